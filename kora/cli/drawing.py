"""Rows drawn in columns on a terminal of any width. Imports rich: to be imported only where there is a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_LAST_COLUMN_LEAST: Final = 24
_HEADS: Final = {
    "ticket_id": "ticket",
    "ticket_title": "title",
    "sea_status": "status",
    "sea_priority": "priority",
    "occurred_at": "time",
    "event_type": "event",
}
"""short names for people, where there is no room to spare"""


class Drawing:
    """A table that is drawn part by part. The cells are escaped already.

    Where the columns do not fit side by side, the last ones (`below`) go below the others, set in; nothing is cut.
    """

    def __init__(
        self, columns: Sequence[str], *, styles: Mapping[str, str], below: int = 1, least: Sequence[int] = ()
    ) -> None:
        self._console = Console(markup=False, highlight=False, emoji=False)
        self._head = [_HEADS.get(name, name) for name in columns]
        self._below = below
        self._styles = styles
        self._least = list(least) or [0] * len(columns)
        self._headed = False

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Draw these rows; before the first ones, the head."""
        widths = [max(map(cell_len, cells)) for cells in zip(self._head, *rows, strict=True)]
        widths = [max(pair) for pair in zip(widths, self._least, strict=True)]
        lines = [[Text(cell, style=self._styles.get(cell, "")) for cell in row] for row in rows]
        if not self._headed:
            lines.insert(0, [Text(cell, style="bold") for cell in self._head])
            self._headed = True
        last = min(widths[-1], _LAST_COLUMN_LEAST)
        if sum(widths[:-1]) + _GAP * (len(widths) - 1) + last <= self._console.width:
            self._side_by_side(lines, widths)
        else:
            self._one_below_the_other(lines, widths)

    def _side_by_side(self, lines: list[list[Text]], widths: list[int]) -> None:
        drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
        for width in widths[:-1]:
            drawn.add_column(min_width=width, no_wrap=True)
        drawn.add_column(overflow="fold")
        for line in lines:
            drawn.add_row(*line)
        self._console.print(drawn)

    def _one_below_the_other(self, lines: list[list[Text]], widths: list[int]) -> None:
        gap = Text(" " * _GAP)
        for line in lines:
            leading = [
                Text.assemble(cell, " " * (width - cell.cell_len))
                for cell, width in zip(line[: -self._below], widths, strict=False)
            ]
            above = gap.join(leading)
            above.rstrip()
            self._console.print(above, soft_wrap=True)
            under = gap.join(line[-self._below :])
            self._console.print(Padding(under, (0, 0, 0, _GAP), expand=False), overflow="fold")
