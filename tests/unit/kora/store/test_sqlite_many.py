"""Statements over many rows: whatever their number, each row counts once and the filling never."""

import re
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.store.sqlite import statements, turn_statements
from kora.store.sqlite.many import Many

ADD = Many("INSERT INTO t SELECT column1, ?1, column2 FROM (VALUES {rows}) WHERE column1 <> ''", shared=1, width=2)
CHANGE = Many("UPDATE t SET c = ?1 FROM (VALUES {rows}) AS asked WHERE t.a = asked.column1", shared=1, width=1)
INSERT = Many("INSERT INTO t (b, a, c) VALUES {rows}", shared=1, width=2, row="(?1, ?, ?)")
SUM = Many("SELECT coalesce(sum(?1 + column1), 0) FROM (VALUES {rows}) WHERE column1 <> ''", shared=1, width=1)


@given(st.sampled_from((ADD, INSERT)), st.integers(0, 300))
def test_every_row_counts_once(add, count):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b, c)")
        values = [value for number in range(count) for value in (number, f"text {number}")]

        assert add.execute(connection, ("shared",), values).rowcount == count
        assert connection.execute("SELECT a, b, c FROM t ORDER BY a").fetchall() == [
            (number, "shared", f"text {number}") for number in range(count)
        ]
        assert CHANGE.execute(connection, ("new",), range(0, count, 2)).rowcount == len(range(0, count, 2))
        assert sum(SUM.ask(connection, (1,), range(count))) == count + sum(range(count))


@pytest.mark.parametrize(
    "many",
    [
        pytest.param(value, id=name)
        for module in (statements, turn_statements)
        for name, value in vars(module).items()
        if isinstance(value, Many)
    ],
)
def test_what_is_shared_is_numbered_before_the_rows(many):
    """SQLite numbers a plain `?` one above the highest number that it has read."""
    for size, statement in many.statements.items():
        before, rows = statement.split("VALUES ", 1)
        numbers = [f"?{number}" for number in range(1, many.shared + 1)]
        # Where the rows are the statement's own, the first of them begins with what is shared.
        until_a_plain_one = re.split(r"\?(?!\d)", before + rows, maxsplit=1)[0]
        assert numbers[-1] in until_a_plain_one
        assert all(number in statement for number in numbers)
        assert len(re.findall(r"(?<!nullif)\(\?", rows)) == size
