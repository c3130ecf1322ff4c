"""How the demo shows itself: a live board on a terminal, lines in a pipe, and one summary for both."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, Self

from rich import live as rich_live
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kora.cli.output import fields, say, table
from kora.domain.ticket import Status
from kora.logging import escaped

if TYPE_CHECKING:
    from kora.domain.ticket import Ticket

_NOTES_SHOWN: Final = 8
_BAR_CELLS: Final = 2
_COLUMNS: Final = ("sea_priority", "sea_status", "attempts", "result", "ticket_title")
_NEXT: Final = {
    'bin/kora-actors ticket add "Say hello"': "put a ticket on your own board",
    "bin/kora-actors run --until-idle": "work it off with the agent of supervisor.toml",
    "bin/kora-actors events --verify": "check the record",
}


class View(Protocol):
    """Where the demo shows what happens."""

    def note(self, line: str) -> None:
        """Tell of one occurrence."""

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Show how the tickets stand."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Plain:
    """One line for each occurrence, for pipes and files."""

    def note(self, line: str) -> None:
        """Print the line."""
        say(line)

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Print nothing: the lines tell it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Live:
    """The board by status, redrawn in place, with the latest occurrences below it."""

    def __init__(self) -> None:
        console = Console(markup=False, highlight=False, emoji=False)
        self._live = rich_live.Live(console=console, auto_refresh=False, transient=True)
        self._notes: deque[str] = deque(maxlen=_NOTES_SHOWN)
        self._counts: Counter[Status] = Counter()

    def note(self, line: str) -> None:
        """Show the line below the board until newer ones push it out."""
        self._notes.append(line)
        self._draw()

    def board(self, tickets: Sequence[Ticket]) -> None:
        """Show how many tickets stand how."""
        self._counts = Counter(ticket.sea_status for ticket in tickets)
        self._draw()

    def _draw(self) -> None:
        grid = Table.grid(padding=(0, 2))
        for status in Status:
            if status in self._counts or status in (Status.ASSIGNED, Status.IN_PROGRESS, Status.COMPLETED):
                count = self._counts[status]
                grid.add_row(Text(status), Text(str(count)), Text("█" * (_BAR_CELLS * count), style="green"))
        notes = Text("\n".join(escaped(note) for note in self._notes), style="dim")
        self._live.update(Group(grid, Text(), notes), refresh=True)

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
    fields({f"  {command}": purpose for command, purpose in _NEXT.items()})
