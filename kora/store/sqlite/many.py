"""One statement for many rows.

Python gives the interpreter's lock away at every step of every statement, and where other threads are busy it waits for
its turn to get it back: a hundred rows in a hundred steps take a hundred such waits, in one step they take one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kora.store.sql.place import Count, Counted, Executing

ROWS: Final = "{rows}"
"""stands in a statement for its rows"""
SIZES: Final = (4, 16, 64, 128, 192, 256)
EXACT_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Many:
    """A statement over up to so many rows, written out once for each of a few sizes, which SQLite keeps prepared.

    It stands over `(VALUES {rows})`, whose columns are `column1` and so on. What all rows share is bound as `?1` and so
    on, the last of them before the rows. What is left of a size is filled with rows of empty text, which the statement
    must pass over. Python's driver takes ten times as long to bind None or bytes as text, a number or a bytearray: so
    a statement says for itself which value of a column stands for NULL.

    One that only inserts says with `row` how a row of its own `VALUES` is spelt, what is shared first: half the work
    for SQLite. Such rows are split into sizes that leave nothing to fill.
    """

    def __init__(self, statement: str, *, shared: int, width: int, row: str | None = None) -> None:
        self._is_exact = row is not None
        sizes = EXACT_SIZES if self._is_exact else SIZES
        row = row or f"({', '.join('?' * width)})"
        self._width = width
        self._most = max(sizes)
        self._filling = [""] * (self._most * width)
        self.shared: Final = shared
        self.statements: Final = {size: statement.replace(ROWS, ", ".join([row] * size)) for size in sizes}
        """by size, the smallest first"""

    def execute(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> Counted:
        """Do it for these rows, given as one value after another."""
        done = (connection.execute(statement, bound).rowcount for statement, bound in self._bound(shared, values))
        return Count(sum(done))

    def ask(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> list[Any]:
        """What a query of one value answers for these rows: one value for each time that it had to be put."""
        return [connection.execute(statement, bound).fetchone()[0] for statement, bound in self._bound(shared, values)]

    def _bound(self, shared: Sequence[object], values: Sequence[object]) -> Iterator[tuple[str, list[object]]]:
        begin, end, width = 0, len(values), self._width
        while begin < end:
            size = self._size((end - begin) // width)
            some = values[begin : begin + size * width]
            begin += size * width
            yield self.statements[size], [*shared, *some, *self._filling[: size * width - len(some)]]

    def _size(self, left: int) -> int:
        if self._is_exact:
            return next(size for size in reversed(self.statements) if size <= left)
        return next((size for size in self.statements if size >= left), self._most)
