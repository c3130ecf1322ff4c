"""How the demo shows itself: a live board on a terminal, lines in a pipe, and one summary for both."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, Self

from rich import live as rich_live
from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kora.cli.invocation import program_here
from kora.cli.output import fields, say, table
from kora.cli.spans import span
from kora.domain.ticket import Status
from kora.logging import escaped

if TYPE_CHECKING:
    from kora.domain.ticket import Ticket

_NOTES_SHOWN: Final = 6
_BAR_CELLS: Final = 36
_COLUMNS: Final = ("sea_priority", "sea_status", "attempts", "result", "ticket_title")
_NEXT: Final = {
    "init": "make a configuration and an agent of your own here",
    'ticket add "Say hello"': "put a ticket on your board",
    "run --until-idle": "work it off",
    "report": "see what came of it",
}


class View(Protocol):
    """Where the demo shows what happens."""

    def begin(self, workers: int, tickets: int) -> None:
        """Tell what is about to happen."""

    def note(self, line: str) -> None:
        """Tell of one occurrence."""

    def alarm(self, line: str) -> None:
        """Tell of something that went wrong."""

    def recovered(self, line: str) -> None:
        """Tell that it is well again."""

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Show how the tickets stand."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Plain:
    """One line for each occurrence, for pipes and files."""

    def begin(self, workers: int, tickets: int) -> None:
        """Tell what is about to happen."""
        self.note(f"{tickets} tickets, {workers} workers; each ticket is a process of its own")

    def note(self, line: str) -> None:
        """Print the line, for whoever watches through a pipe."""
        say(line)
        sys.stdout.flush()

    alarm = note
    recovered = note

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Print nothing: the lines tell it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Live:
    """A bar for the tickets, a line for each worker, what went wrong, and what happened last; redrawn in place."""

    def __init__(self) -> None:
        console = Console(markup=False, highlight=False, emoji=False)
        self._live = rich_live.Live(console=console, auto_refresh=False, transient=True)
        self._notes: deque[Text] = deque(maxlen=_NOTES_SHOWN)
        self._total = 0
        self._done = 0
        self._places: list[Ticket | None] = []
        self._since: dict[str, float] = {}
        self._incidents: list[Text] = []

    def begin(self, workers: int, tickets: int) -> None:
        """Show the empty bar."""
        self._total = tickets
        self._places = [None] * workers
        self.note("each ticket is a process of its own")

    def note(self, line: str) -> None:
        """Show the line until newer ones push it out."""
        self._notes.append(Text(escaped(line), style="dim"))
        self._draw()

    def alarm(self, line: str) -> None:
        """Show the line from now on."""
        self._incidents.append(Text(escaped(line), style="bold red"))
        self._draw()

    def recovered(self, line: str) -> None:
        """Show the line from now on."""
        self._incidents.append(Text(escaped(line), style="bold green"))
        self._draw()

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Show how many are done, and which are at work."""
        self._done = sum(ticket.sea_status is Status.COMPLETED for ticket in tickets)
        held = {ticket.ticket_id: ticket for ticket in tickets if ticket.claim is not None}
        # Each keeps its line for as long as it is worked.
        self._places = [held.pop(place.ticket_id, None) if place else None for place in self._places]
        newcomers = iter(held.values())
        for number, place in enumerate(self._places):
            if place is None and (newcomer := next(newcomers, None)) is not None:
                self._places[number] = newcomer
                self._since[newcomer.ticket_id] = time.monotonic()
        self._draw()

    def _draw(self) -> None:
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self._total, completed=self._done, width=_BAR_CELLS)
        grid.add_row(Text("tickets"), bar, Text(f"{self._done} of {self._total}"))
        for place in self._places:
            if place is None:
                grid.add_row(Text("worker", style="dim"), Text("free", style="dim"), Text(""))
            else:
                seconds = time.monotonic() - self._since[place.ticket_id]
                grid.add_row(Text("worker"), Text(escaped(place.ticket_title), style="cyan"), Text(span(seconds)))
        parts = [Text(), *self._incidents] if self._incidents else []
        self._live.update(Group(grid, *parts, Text(), *self._notes), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def close_with(tickets: Sequence[Ticket], findings: Sequence[str]) -> None:
    """Print the tickets, what was found, and what to type next."""
    say("")
    table(
        _COLUMNS,
        (
            (each.sea_priority, each.sea_status, each.work_attempt_count, each.last_summary, each.ticket_title)
            for each in tickets
        ),
        "no tickets",
    )
    say("")
    for finding in findings:
        say(finding)
    say("\nNext:")
    program = program_here()
    fields({f"  {program} {command}": purpose for command, purpose in _NEXT.items()})
