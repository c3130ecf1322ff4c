"""One statement for many rows: a round trip costs as much as a hundred rows do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kora.store.postgres.arrays import ARRAYS
from kora.store.sql.place import Count, Counted, Executing

ROWS: Final = "{rows}"
"""stands in a statement for its rows"""


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
        self._spelt = [ARRAYS[kind] for kind in types]

    def execute(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> Counted:
        """Do it for these rows, given as one value after another."""
        return connection.execute(self.statement, self._bound(shared, values)) if values else Count(0)

    def ask(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> list[Any]:
        """What a query of one value answers for these rows."""
        return [connection.execute(self.statement, self._bound(shared, values)).fetchone()[0]] if values else []

    def _bound(self, shared: Sequence[object], values: Sequence[object]) -> list[object]:
        columns = (values[column :: self._width] for column in range(self._width))
        return [*shared, *(spelt(column) for spelt, column in zip(self._spelt, columns, strict=True))]
