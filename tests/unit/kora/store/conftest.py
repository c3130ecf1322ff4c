"""One SQLite store and the ways to look inside."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.ticket import NewTicket
from kora.store.port import RuntimeRecord, Store
from kora.store.sqlite.write import SqliteWriter
from tests.stores import open_new


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "kora.db"


@pytest.fixture
def store(path) -> Store:
    return open_new(f"sqlite:///{path}", workspace_id="w", actor_id="a")


@pytest.fixture
def add(store) -> Callable[[int], list[str]]:
    def some(count: int) -> list[str]:
        with closing(store.board()) as board:
            return board.add((NewTicket(ticket_title=f"ticket {n}") for n in range(count)), who="tester")

    return some


@pytest.fixture
def writer(store) -> Iterator[SqliteWriter]:
    handle = store.writer(RuntimeRecord("runtime-1", "here", 1, "0"))
    yield handle
    handle.close()


@pytest.fixture
def raw(store, path) -> Iterator[sqlite3.Connection]:
    """Open the file behind Kora's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
