"""What commands print: tables for people, plain lines for pipes, JSON for programs."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kora.logging import escaped

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kora.cli.drawing import Drawing

_ROWS_MEASURED: Final = 500
_DELETE: Final = b"\x7f"
_BEYOND_ASCII: Final = re.compile("[\x7f-\uffff]+")
"""as far as `escaped` and JSON spell alike"""
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


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


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    nothing: str,
    *,
    below: int = 1,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print the rows, or one line when there are none: a table on a terminal, else lines of cells parted by tabs.

    On a terminal that is too narrow the last columns, `below` of them, go below the others. A cell that says what
    `styles` names is drawn in that style.
    """
    every = (cells_of(row) for row in rows)
    # A column's width is measured on the rows at hand, so that a board of any size starts to appear at once.
    size = _ROWS_MEASURED if sys.stdout.isatty() else 1
    first = list(itertools.islice(every, size))
    if not first:
        say(nothing)
        return
    rolling = Rolling(columns, below=below, styles=styles)
    rolling.add(first)
    while more := list(itertools.islice(every, size)):
        rolling.add(more)


class Rolling:
    """A table whose rows come bit by bit: drawn on a terminal, else lines of cells parted by tabs."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        below: int = 1,
        least: Sequence[int] = (),
        styles: Mapping[str, str] | None = None,
    ) -> None:
        self._drawing: Drawing | None = None
        if sys.stdout.isatty():
            from kora.cli.drawing import Drawing

            self._drawing = Drawing(columns, below=below, least=least, styles=styles or {})
        else:
            sys.stdout.write("\t".join(columns) + "\n")

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Print these rows; their cells are escaped already (`cells_of`)."""
        if self._drawing is not None:
            self._drawing.rows(rows)
        else:
            sys.stdout.writelines("\t".join(row) + "\n" for row in rows)


def cells_of(row: Sequence[object]) -> list[str]:
    """The row's values as people read them, escaped."""
    return [escaped(shown(value)) for value in row]


def has_colours() -> bool:
    """Whether stdout is a terminal that shows colours, and its user wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, *styles: str) -> str:
    """The text, escaped; in these styles where stdout shows colours. For `write_line`, which does not escape."""
    plain = escaped(text)
    if not styles or not plain or not has_colours():
        return plain
    return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{plain}\x1b[0m"


def write_line(*parts: str) -> None:
    """Print one line made of parts that `painted` made."""
    sys.stdout.write("".join(parts) + "\n")


def fields(values: Mapping[str, object]) -> None:
    """Print one thing, a field a line; the further lines of a long text are set in."""
    width = max(map(len, values))
    for name, value in values.items():
        first, *others = shown(value).split("\n")
        sys.stdout.write(f"{name:<{width}}  {escaped(first)}\n")
        sys.stdout.writelines(f"{'':<{width}}  {escaped(line)}\n" for line in others)


def document(text: str) -> None:
    """Print one JSON document."""
    _write_raw(f"{text}\n".encode())


def plain_document(value: object) -> None:
    """Print one JSON document made of JSON's own types, dataclasses and moments; these in UTC, with a Z."""
    _write_raw(_as_json(value) + b"\n")


def plain_documents(values: Iterable[object]) -> None:
    """Print one JSON array, an element a line, as the elements come."""
    _write_array(map(_as_json, values))


def documents(models: Iterable[BaseModel]) -> None:
    """Print one JSON array, an element a line, as the elements come."""
    _write_array(model.model_dump_json().encode() for model in models)


def discard() -> None:
    """Throw away what is still to be printed: nobody reads it, and Python would complain of that at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _as_json(value: object) -> bytes:
    import orjson

    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return shown(value)
        case Mapping():
            return dict(value)
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON's")


def _write_array(elements: Iterable[bytes]) -> None:
    part = b"["
    for element in elements:
        _write_raw(part + b"\n" + element)
        part = b","
    _write_raw(b"[]\n" if part == b"[" else b"\n]\n")


def _harmless(content: bytes) -> bytes:
    r"""The same JSON, with what a terminal might obey spelt `\u…`: JSON itself asks that only of the first 32."""
    if content.isascii() and _DELETE not in content:
        return content
    return _BEYOND_ASCII.sub(lambda found: escaped(found[0]), content.decode()).encode()


def _write_raw(content: bytes) -> None:
    # JSON is UTF-8, whatever the terminal's encoding is.
    sys.stdout.flush()
    sys.stdout.buffer.write(_harmless(content))
