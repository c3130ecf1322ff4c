"""Fixtures for tests that run the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kora.store.open import migrate
from tests.acceptance.home import Home


@pytest.fixture(scope="session")
def home_on(request) -> Callable[[str, Path], AbstractContextManager[Home]]:
    """A home in this folder, on a store of this kind: "sqlite", or "postgres", which is a database of its own."""

    @contextmanager
    def made(kind: str, folder: Path) -> Iterator[Home]:
        server = request.getfixturevalue("postgres") if kind == "postgres" else None
        database = None if server is None else server.database()
        home = Home(folder)
        if server is not None:
            home.url = server.url(database)
            migrate(home.url, workspace_id="default")
        home.configure()
        try:
            yield home
        finally:
            home.end()
            if server is not None:
                server.drop(database)

    return made


@pytest.fixture
def home(request, home_on, tmp_path) -> Iterator[Home]:
    """On SQLite, unless the test says otherwise."""
    with home_on(getattr(request, "param", "sqlite"), tmp_path) as home:
        yield home
