"""One statement for many rows: a round trip costs as much as a hundred rows do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kora.store.sql.place import Executing

ROWS: Final = "{rows}"
"""stands in a statement for its rows"""


class Many:
    """A statement over any number of rows, each of its columns bound as one array.

    It stands over `{rows}`, whose columns are `column1` and so on. What all rows share is bound as `$1` and so on,
    the arrays behind it.
    """

    def __init__(self, statement: str, *, shared: int, types: Sequence[str]) -> None:
        arrays = ", ".join(f"${shared + place}::{kind}[]" for place, kind in enumerate(types, 1))
        columns = ", ".join(f"column{place}" for place in range(1, len(types) + 1))
        self.statement: Final = statement.replace(ROWS, f"unnest({arrays}) WITH ORDINALITY AS given({columns}, place)")
        self._width = len(types)

    def execute(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> int:
        """How many rows of the table were changed for these rows, given as one value after another."""
        return connection.execute(self.statement, self._bound(shared, values)).rowcount if values else 0

    def ask(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> list[Any]:
        """What a query of one value answers for these rows."""
        return [connection.execute(self.statement, self._bound(shared, values)).fetchone()[0]] if values else []

    def _bound(self, shared: Sequence[object], values: Sequence[object]) -> list[object]:
        return [*shared, *(list(values[column :: self._width]) for column in range(self._width))]
