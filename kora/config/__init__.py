"""The settings: one TOML file, checked whole, every fault named at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from kora.config import cost, prompts
from kora.config.agent import AnchoredAgent, anchored, misfits
from kora.config.faults import explained, said
from kora.config.sections import LEASE_SECONDS, Child, Document, Settings, number
from kora.errors import ConfigurationError
from kora.store.url import SQLITE, checked_url

__all__ = ["Child", "Settings", "find", "load"]

FILE_NAME: Final = "supervisor.toml"
SHIPPED: Final = Path(__file__).resolve().parents[2] / FILE_NAME
_FILE_BYTES: Final = 1_048_576


def find(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The file to read: the one named, else KORA_CONFIG's, else the working directory's, else the shipped one."""
    named = Path(environ["KORA_CONFIG"]) if explicit is None and environ.get("KORA_CONFIG") else explicit
    if named is not None:
        return cwd / named
    here = cwd / FILE_NAME
    # A dangling link was put there for a purpose: reading it will say what is wrong.
    return here if here.exists() or here.is_symlink() else SHIPPED


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file, KORA_STORE heeded. Raises `ConfigurationError` with all faults at once."""
    path = path.absolute()
    document = _read(path)
    document.setdefault("agent", {})
    faults = _faults(document, path.parent)
    store = environ.get("KORA_STORE", "")
    if store:
        try:
            checked_url(store)
        except ValueError as error:
            faults.append(f"KORA_STORE: {error}")
    if faults:
        raise ConfigurationError(str(path), faults)
    settings = Document.model_validate(document)
    return _anchored(settings, path, store)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be read: {error.strerror}"]) from None
    if len(content) > _FILE_BYTES:
        raise ConfigurationError(str(path), [f"is larger than {_FILE_BYTES:,} bytes"])
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(str(path), [f"is not UTF-8: line {line}, byte {error.start + 1}"]) from None
    except RecursionError:
        raise ConfigurationError(str(path), ["broken TOML: nested too deeply"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), [f"broken TOML: {error}"]) from None
    except ValueError:
        raise ConfigurationError(str(path), ["broken TOML: a number of too many digits"]) from None


def _faults(document: dict[str, Any], folder: Path) -> list[str]:
    faults = []
    try:
        Document.model_validate(document)
    except ValidationError as error:
        faults = explained(error, Document)
    named = {fault.partition(": ")[0] for fault in faults}
    amiss = (*misfits(document), *prompts.faults(document, folder), *cost.faults(document))
    faults += [f"{key}: {wrong}" for key, wrong in amiss if key not in named]
    lease = number(document, "poller", "lease_seconds", LEASE_SECONDS)
    beat = number(document, "heartbeat", "interval_seconds")
    if lease is not None and beat is not None and 0 < lease <= beat:
        faults.append(
            f"heartbeat.interval_seconds: must be shorter than poller.lease_seconds ({said(lease)}), not {said(beat)}"
        )
    return faults


def _anchored(document: Document, path: Path, store: str) -> Settings:
    runtime, folder = document.runtime, path.parent
    url = _anchored_url(store, Path.cwd()) if store else _anchored_url(runtime.store, folder)
    values: dict[str, Any] = {name: getattr(document, name) for name in Document.model_fields}
    values["runtime"] = runtime.model_copy(update={"store": url, "state_dir": folder / runtime.state_dir})
    values["agent"] = AnchoredAgent.of(document.agent, folder)
    values["agents"] = {name: AnchoredAgent.of(agent, folder) for name, agent in document.agents.items()}
    values["notify"] = document.notify.model_copy(update={"command": anchored(document.notify.command, folder)})
    return Settings(**values, path=path)


def _anchored_url(url: str, folder: Path) -> str:
    return f"{SQLITE}{folder / url.removeprefix(SQLITE)}" if url.startswith(SQLITE) else url
