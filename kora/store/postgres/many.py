"""One statement for many rows: a round trip costs as much as a hundred rows do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kora.store.sql.place import Count, Counted, Executing

ROWS: Final = "{rows}"
"""stands in a statement for its rows"""


def _of_texts(values: Sequence[Any]) -> str:
    # What no text can hold stands between them meanwhile.
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        raise ValueError("a text with a NUL character cannot be stored")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'{{"{escaped}"}}'


def _of_bytes(values: Sequence[Any]) -> str:
    return '{{"\\\\x{}"}}'.format('","\\\\x'.join([value.hex() for value in values]))


def _of_numbers(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


_SPELT: Final[Mapping[str, Callable[[Sequence[Any]], str]]] = {"text": _of_texts, "bytea": _of_bytes}
"""an array's literal; psycopg's own goes through a regular expression for each element, as slow as all else together"""


class Many:
    """A statement over any number of rows, each of its columns bound as one array.

    It stands over `{rows}`, whose columns are `column1` and so on, none of them null; or takes the columns themselves.
    What all rows share is bound as `$1` and so on, the arrays behind it.
    """

    def __init__(self, statement: str, *, shared: int, types: Sequence[str]) -> None:
        arrays = ", ".join(f"${shared + place}::{kind}[]" for place, kind in enumerate(types, 1))
        columns = ", ".join(f"column{place}" for place in range(1, len(types) + 1))
        self.statement: Final = statement.replace(ROWS, f"unnest({arrays}) WITH ORDINALITY AS given({columns}, place)")
        self._width = len(types)
        self._spelt = [_SPELT.get(kind, _of_numbers) for kind in types]

    def execute(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> Counted:
        """Do it for these rows, given as one value after another."""
        return connection.execute(self.statement, self._bound(shared, values)) if values else Count(0)

    def ask(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> list[Any]:
        """What a query of one value answers for these rows."""
        return [connection.execute(self.statement, self._bound(shared, values)).fetchone()[0]] if values else []

    def _bound(self, shared: Sequence[object], values: Sequence[object]) -> list[object]:
        columns = (values[column :: self._width] for column in range(self._width))
        return [*shared, *(spelt(column) for spelt, column in zip(self._spelt, columns, strict=True))]
