"""A database of Kora's on the shared server, worked by a role that owns nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from kora.domain.ticket import NewTicket
from kora.store.open import migrate, open_store
from kora.store.port import Board, Reader, Store
from tests.postgres import Server
from tests.unit.kora.store.postgres.fleet import ACTOR, ROLE, WORKSPACE, Runtime, make_role


@pytest.fixture(scope="session")
def role(postgres) -> str:
    """The runtimes' role."""
    make_role(postgres)
    return ROLE


@pytest.fixture
def fresh(postgres, role, database) -> str:
    """The name of a database in which the workspace is ready."""
    migrate(postgres.url(database), workspace_id=WORKSPACE, runtime_role=role)
    return database


@pytest.fixture
def url(postgres, role, fresh) -> str:
    """Its address for a runtime."""
    return postgres.url(fresh, user=role)


@pytest.fixture
def store(url) -> Store:
    return open_store(url, workspace_id=WORKSPACE, actor_id=ACTOR)


@pytest.fixture
def runtime(store) -> Iterator[Runtime]:
    with closing(Runtime(store, "runtime-1")) as running:
        yield running


@pytest.fixture
def other(store) -> Iterator[Runtime]:
    with closing(Runtime(store, "runtime-2")) as running:
        yield running


@pytest.fixture
def board(store) -> Iterator[Board]:
    with closing(store.board()) as handle:
        yield handle


@pytest.fixture
def reader(store) -> Iterator[Reader]:
    with closing(store.reader()) as handle:
        yield handle


@pytest.fixture
def add(board) -> Callable[..., list[str]]:
    """Add tickets: so many alike, or one for each mapping of fields."""

    def some(*tickets: dict[str, object] | int) -> list[str]:
        said = [{}] * tickets[0] if isinstance(tickets[0], int) else tickets
        return board.add((NewTicket(**{"ticket_title": f"ticket {n}", **each}) for n, each in enumerate(said)), who="t")

    return some


@pytest.fixture
def raw(postgres, fresh) -> Iterator[psycopg.Connection]:
    """The superuser's connection to it."""
    with closing(psycopg.connect(postgres.url(fresh), autocommit=True)) as connection:
        connection.execute("SET search_path = kora")
        yield connection


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may crash and freeze."""
    with Server() as server:
        make_role(server)
        yield server
