"""What a command needs to know of how it was called."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from kora.cli.output import complain

if TYPE_CHECKING:
    from kora.admin.client import Client
    from kora.cli.port import Launcher
    from kora.config import Settings
    from kora.store.port import Board, Reader, Store

Name = TypeVar("Name", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the program: who runs the actors, and which file was named."""

    launcher: Launcher
    config: str | None = None
    attached: Client | None = None
    """the runtime that a REPL is attached to"""

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

    def store(self, settings: Settings | None = None) -> Store:
        """The board's store. One that is made here is named on stderr: its place may be a slip of the pen."""
        from kora.store.open import open_store

        runtime = (settings or self.settings()).runtime
        store = open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)
        if store.is_new:
            complain(f"made a new store: {store.url}")
        return store

    def client(self) -> Client:
        """Asks the running runtime. Raises `ConfigurationError` as `settings`."""
        if self.attached is not None:
            return self.attached
        from kora.admin.client import Client

        return Client(self.settings().runtime.state_dir)

    @contextmanager
    def reader(self, settings: Settings | None = None) -> Iterator[Reader]:
        """A reading handle on the board's store, closed at the end."""
        with self.store(settings) as store, closing(store.reader()) as reader:
            yield reader

    @contextmanager
    def board(self, settings: Settings | None = None) -> Iterator[Board]:
        """An operator's handle on the board's store, closed at the end."""
        with self.store(settings) as store, closing(store.board()) as board:
            yield board

    def typed(self, *words: str) -> str:
        """What is to be typed here to run this command on the same board."""
        named = () if self.config is None else ("--config", self.config)
        return f"{program_here()} {shlex.join((*named, *words))}"


def program_here() -> str:
    """How this program is called from the working directory."""
    from kora.cli.init import program_as_typed
    from kora.config import SHIPPED

    return program_as_typed(SHIPPED.parent / "bin" / "kora-actors", Path.cwd())


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


def known_id(context: typer.Context, text: str, hint: str, *, what: str = "ticket") -> str:
    """The id in its canonical spelling. Raises `BadParameter` for what is no UUID."""
    from kora.domain.ids import parse_id

    try:
        return parse_id(text)
    except ValueError:
        where = ", as `ticket list` shows them" if what == "ticket" else ""
        message = f"{text!r} is no {what}'s id: those are UUIDs{where}"
        raise typer.BadParameter(message, ctx=context, param_hint=hint) from None


def known_names(context: typer.Context, names: Sequence[str], kind: type[Name], hint: str, *, what: str) -> list[Name]:
    """The members that are meant. Raises `BadParameter` for names that are none, and says which there are."""
    known = [str(member) for member in kind]
    strange = [name for name in names if name not in known]
    if strange:
        message = f"no such {what}: {', '.join(map(repr, strange))}; there are: {', '.join(known)}"
        raise typer.BadParameter(message, ctx=context, param_hint=hint)
    return [kind(name) for name in names]
