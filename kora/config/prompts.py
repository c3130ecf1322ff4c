"""The prompts of coding agents: in the configuration itself, or in files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator

from kora.agents.prompt import DEFAULT, check
from kora.config.faults import key_path
from kora.config.values import no_nul

FILE_BYTES: Final = 1_048_576

Prompt = Annotated[str, AfterValidator(no_nul), AfterValidator(lambda text: check(text) if text else text)]
"""A template, each of its placeholders known; empty: none is given here."""


def chosen(prompt: str, prompt_file: Path, folder: Path) -> str:
    """The template of an agent that says this of it, in a file of this folder; the default one if it says nothing.

    Raises:
        ValueError: it is in a file that cannot be read, or is no template; see `faults`.
    """
    if prompt_file != Path():
        return _read(folder / prompt_file)
    return prompt or DEFAULT


def faults(document: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Each `prompt_file` of the unchecked document's agents from which no prompt can be had, with what is wrong."""
    named = document.get("agents")
    tables = {"agent": document.get("agent")}
    tables |= {key_path(("agents", name)): table for name, table in named.items()} if isinstance(named, dict) else {}
    for where, table in tables.items():
        if not isinstance(table, dict) or not isinstance(file := table.get("prompt_file"), str):
            continue
        if table.get("prompt"):
            yield f"{where}.prompt_file", "goes not with prompt: give one of both"
            continue
        try:
            _read(folder / no_nul(file))
        except ValueError as error:
            yield f"{where}.prompt_file", str(error)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"'{path}' cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES:
        raise ValueError(f"'{path}' is larger than {FILE_BYTES:,} bytes")
    try:
        return check(no_nul(content.decode("utf-8-sig").replace("\r\n", "\n")))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"'{path}' is not UTF-8: line {line}, byte {error.start + 1}") from None
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from None
