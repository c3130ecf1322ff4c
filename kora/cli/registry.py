"""Every command by its name: where it is, and what it does in a line. Its module is imported when it is called for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup


class Entry(NamedTuple):
    """One command, or a group of them: `module:name` below `kora.cli`, and its line in the help."""

    where: str
    short_help: str


BOARD: Final = {
    "ticket": Entry("board:app", "The board: put tickets on it, look at them, decide about them."),
    "agent": Entry("agent:app", "Try an agent: one attempt outside the board."),
    "init": Entry("init:init", "Write a configuration and an agent of your own here."),
    "run": Entry("runtime:run", "Work the board (also without a command)."),
    "watch": Entry("watch:watch", "Escalate STOP commands that are not enforced in time."),
    "demo": Entry("runtime:demo", "Watch it work: a dozen tickets, one crash."),
    "claims": Entry("claims:claims", "Show who works what."),
    "report": Entry("report:report", "Show what was done, what failed, what needs a person."),
    "events": Entry("log:events", "Show the log, follow it, or verify it."),
    "archive": Entry("archive:archive", "Move old events out of the store."),
    "copy": Entry("copy:copy", "Copy the board to another store."),
    "migrate": Entry("runtime:migrate", "Bring the store's schema up to date."),
}
"""what needs no running runtime"""

LOOK: Final = {
    "status": Entry("admin.look:status", "Show how the runtime and its actors stand."),
    "tree": Entry("admin.look:tree", "Show the supervision tree."),
    "info": Entry("admin.look:info", "Show all that is known of an actor, and what it may be told."),
    "mailbox": Entry("admin.look:mailbox", "Show what waits for an actor."),
    "stack": Entry("admin.look:stack", "Show where an actor is, or every thread."),
    "stats": Entry("admin.account:stats", "Show counts since the start."),
    "tickets": Entry("admin.account:tickets", "Show the board, as the runtime has it."),
    "tail": Entry("admin.streams:tail", "Show the last log lines, or follow them."),
    "trace": Entry("admin.streams:trace", "Follow what an actor is sent and sends."),
}
HEALTH: Final = {
    "health": Entry("admin.health:health", "Show whether the runtime is well; the exit code says so, too."),
}
ACT: Final = {
    "tell": Entry("admin.talk:tell", "Send an actor a message."),
    "ask": Entry("admin.talk:ask", "Send an actor a message, and show its answer."),
    "start": Entry("admin.act:start", "Start a stopped actor."),
    "stop": Entry("admin.act:stop", "Stop an actor until it is started."),
    "restart": Entry("admin.act:restart", "Replace an actor; no message is lost."),
    "pause": Entry("admin.act:pause", "Claim nothing new."),
    "resume": Entry("admin.act:resume", "Claim again."),
    "drain": Entry("admin.act:drain", "Claim nothing new; what runs is released after a while."),
    "release": Entry("admin.act:release", "End a ticket's agent, and give the ticket back."),
    "deadletters": Entry("admin.dead_letters:app", "Show, resend or drop messages that nobody handled."),
    "reread": Entry("admin.act:reread", "Show what `update` would change."),
    "update": Entry("admin.act:update", "Follow the changed configuration."),
    "shutdown": Entry("admin.act:shutdown", "End the runtime."),
    "ping": Entry("admin.act:ping", "Show whether the runtime answers, and how fast."),
    "version": Entry("admin.act:version", "Show which version runs."),
}
STEER: Final = {
    "control": Entry("control:app", "Stop the work, let it go on; show what may be claimed."),
    "cost": Entry("cost:app", "Show what was spent of the credit pool; refresh it."),
    "epoch": Entry("epoch:app", "Show the store's epoch; raise it after a restore."),
}
"""what is done in the store, for every runtime of the workspace; `control` alone asks the running one"""
REPL: Final = {"repl": Entry("repl.command:repl", "Type the commands for a running runtime one after the other.")}
HELP: Final = {"help": Entry("admin.help:show", "Show what the commands do, or one of them.")}

PROGRAM: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Board": BOARD,
    "Steer": STEER,
    "Look at a running runtime": LOOK | HEALTH,
    "Act on a running runtime": ACT,
    "More": REPL | HELP,
}
"""what `kora-actors` takes, by theme"""

SESSION: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Look": LOOK
    | {
        "claims": Entry("admin.account:claims", "Show who works what."),
        "events": Entry("admin.streams:events", "Show the last events, or follow them."),
    },
    "Act": ACT,
    "Steer": STEER,
    "More": HELP | {"quit": Entry("repl.command:leave", "Leave; the runtime goes on.")},
}
"""what the REPL takes, by theme"""


class Commands(MutableMapping[str, Any]):
    """Commands that are made when they are called for."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - typer's own class of commands is private
        if name not in self._made:
            self._made[name] = made(self.entries[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __setitem__(self, name: str, command: object) -> NoReturn:
        raise TypeError(f"the commands are those of the registry; {name} is none")

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError(f"the commands are those of the registry; {name} stays")


def made(entry: Entry) -> Any:  # noqa: ANN401 - as above
    """The command, or the group, that the entry names."""
    module, _, name = entry.where.partition(":")
    found = getattr(import_module(f"kora.cli.{module}"), name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(short_help=entry.short_help)(found)
        found = alone
    return typer.main.get_command(found)


def group(themes: Mapping[str, Mapping[str, Entry]]) -> type[TyperGroup]:
    """A group of these commands; its help lists them by theme without making them."""

    class Themed(TyperGroup):
        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on as it is
            super().__init__(**attributes)
            self.commands = Commands({name: entry for theme in themes.values() for name, entry in theme.items()})

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer's own class is private
            return list(self.commands)

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - as above
            for theme, entries in themes.items():
                with formatter.section(theme):
                    width = max(map(len, self.commands))
                    formatter.write_dl([(f"{name:<{width}}", entry.short_help) for name, entry in entries.items()])

    return Themed
