"""What commands print: tables for people, plain lines for pipes, JSON for programs."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kora.logging import escaped

if TYPE_CHECKING:
    from pydantic import BaseModel

_ROWS_MEASURED: Final = 500
_GAP: Final = 2
_LAST_COLUMN_LEAST: Final = 24


def say(text: str) -> None:
    """Print one line for people, or several; whatever they hold is shown, not obeyed."""
    sys.stdout.write("".join(f"{escaped(line)}\n" for line in text.split("\n")))


def complain(text: str) -> None:
    """Print a message to stderr under the program's name."""
    first, *others = text.split("\n")
    lines = [f"kora-actors: {escaped(first)}", *(escaped(line) for line in others)]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def shown(value: object) -> str:
    """A value as people read it; not escaped yet."""
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return " ".join(f"{key}={_nested(item)}" for key, item in value.items()) or "-"
        case list() | tuple() | set() | frozenset():
            return ", ".join(shown(item) for item in value) or "-"
        case _:
            return str(value)


def _nested(value: object) -> str:
    return f"{{{shown(value)}}}" if isinstance(value, Mapping) else shown(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """Print the rows, or one line when there are none: a table on a terminal, else lines of cells parted by tabs."""
    cells = ([escaped(shown(value)) for value in row] for row in rows)
    first = next(cells, None)
    if first is None:
        say(nothing)
        return
    every = itertools.chain([first], cells)
    if sys.stdout.isatty():
        _draw(columns, every)
    else:
        sys.stdout.write("\t".join(columns) + "\n")
        sys.stdout.writelines("\t".join(row) + "\n" for row in every)


def fields(values: Mapping[str, object]) -> None:
    """Print one thing, a field a line; the further lines of a long text are set in."""
    width = max(map(len, values))
    for name, value in values.items():
        first, *others = shown(value).split("\n")
        sys.stdout.write(f"{name:<{width}}  {escaped(first)}\n")
        sys.stdout.writelines(f"{'':<{width}}  {escaped(line)}\n" for line in others)


def document(text: str) -> None:
    """Print one JSON document, as it is."""
    _write_raw(f"{text}\n".encode())


def documents(models: Iterable[BaseModel]) -> None:
    """Print one JSON array, an element a line, as the elements come."""
    part = b"["
    for model in models:
        _write_raw(part + b"\n" + model.model_dump_json().encode())
        part = b","
    _write_raw(b"[]\n" if part == b"[" else b"\n]\n")


def discard() -> None:
    """Throw away what is still to be printed: nobody reads it, and Python would complain of that at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _write_raw(content: bytes) -> None:
    # JSON is UTF-8, whatever the terminal's encoding is.
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def _draw(columns: Sequence[str], rows: Iterator[list[str]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False)
    header: list[str] = list(columns)
    # A column's width is measured on the rows at hand, so that a board of any size starts to appear at once.
    while batch := list(itertools.islice(rows, _ROWS_MEASURED)):
        widths = [max(map(cell_len, cells)) for cells in zip(header or columns, *batch, strict=True)]
        drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
        for width in widths[:-1]:
            drawn.add_column(min_width=width, no_wrap=True)
        drawn.add_column(overflow="fold")
        lines = [[Text(cell, style="bold") for cell in header]] if header else []
        lines += [[Text(cell) for cell in row] for row in batch]
        if sum(widths[:-1]) + _GAP * len(widths) + _LAST_COLUMN_LEAST <= console.width:
            for line in lines:
                drawn.add_row(*line)
            console.print(drawn)
        else:
            # Too narrow for columns of its own: the terminal wraps, and nothing is cut.
            for line in lines:
                spaced = [
                    Text.assemble(cell, " " * (width - cell.cell_len)) for cell, width in zip(line, widths, strict=True)
                ]
                console.print(Text(" " * _GAP).join(spaced[:-1] + line[-1:]), soft_wrap=True)
        header = []
