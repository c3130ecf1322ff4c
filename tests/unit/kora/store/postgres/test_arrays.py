"""What is sent as an array's binary form is what the server has then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.store.postgres.arrays import ARRAYS
from kora.store.postgres.bare import Waiting
from kora.store.postgres.errors import ROW_ERRORS

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=300)
VALUES = st.one_of(
    st.tuples(st.just("text"), st.lists(TEXTS, min_size=1)),
    st.tuples(st.just("text"), st.lists(st.text("0123456789abcdef-", min_size=36, max_size=36), min_size=1)),
    st.tuples(st.just("text"), st.lists(st.text("é\x7f", min_size=200, max_size=200), min_size=1, max_size=3)),
    st.tuples(st.just("bytea"), st.lists(st.binary(max_size=40), min_size=1)),
    st.tuples(st.just("bytea"), st.lists(st.binary().map(bytearray), min_size=1)),
    st.tuples(st.just("bigint"), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)),
    st.tuples(st.just("integer"), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1)),
)

UNNEST = {
    "text": "SELECT unnest($1::text[])",
    "bytea": "SELECT unnest($1::bytea[])",
    "bigint": "SELECT unnest($1::bigint[])",
    "integer": "SELECT unnest($1::integer[])",
}


@pytest.fixture(scope="module")
def connection(postgres) -> Iterator[Waiting]:
    with Waiting.opened(postgres.url("postgres"), 60.0) as made:
        yield made


def asked(connection: Waiting, kind: str, values: list[Any]) -> list[Any]:
    return [each for (each,) in connection.execute(UNNEST[kind], [ARRAYS[kind](values)]).fetchall()]


@given(VALUES)
def test_the_server_has_each_value_as_it_was(connection, drawn):
    kind, values = drawn
    assert asked(connection, kind, values) == values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["a\0b"]),
        ("text", ["a\0b", "of another length"]),
        ("text", ["\ud800"]),
        ("text", [1]),
        ("bigint", [2**63]),
        ("integer", [-(2**31) - 1]),
        ("bigint", ["1"]),
        ("bytea", ["text"]),
    ],
)
def test_what_cannot_be_stored_is_a_rows_own_fault(connection, kind, values):
    with pytest.raises(ROW_ERRORS):
        asked(connection, kind, values)
    assert not connection.closed
