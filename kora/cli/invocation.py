"""What a command needs to know of how it was called."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kora.cli.output import complain

if TYPE_CHECKING:
    from kora.cli.port import Launcher
    from kora.config import Settings
    from kora.store.port import Store


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the program: who runs the actors, and which file was named."""

    launcher: Launcher
    config: str | None = None

    def settings(self) -> Settings:
        """The configuration. Raises `ConfigurationError` with every fault."""
        from kora.config import find, load
        from kora.errors import ConfigurationError

        try:
            here = Path.cwd()
        except OSError as error:
            raise ConfigurationError(
                "the working directory", [f"is gone ({error.strerror}); change to another"]
            ) from None
        return load(find(None if self.config is None else Path(self.config), os.environ, here), os.environ)

    def store(self) -> Store:
        """The board's store. One that is made here is named on stderr: its place may be a slip of the pen."""
        from kora.store.open import migrate, open_store

        runtime = self.settings().runtime
        before, _ = migrate(runtime.store)
        if before is None:
            complain(f"made a new store: {runtime.store}")
        return open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)


def invocation(context: typer.Context) -> Invocation:
    """How the program was called."""
    found = context.find_object(Invocation)
    if found is None:
        raise RuntimeError("a command was run without an invocation")
    return found


def login_name() -> str:
    """Who is at the keyboard, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid {os.getuid()}"


def known_id(context: typer.Context, text: str, hint: str) -> str:
    """The id in its canonical spelling. Raises `BadParameter` for what is no UUID."""
    from kora.domain.ids import parse_id

    try:
        return parse_id(text)
    except ValueError:
        message = f"{text!r} is no ticket's id: those are UUIDs, as `ticket list` shows them"
        raise typer.BadParameter(message, ctx=context, param_hint=hint) from None
