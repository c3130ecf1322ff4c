"""A new SQLite store, as a copy of one that was made before: to make one takes ten times as long as to open it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from kora.store.open import open_store, sqlite_path
from kora.store.port import Store
from kora.store.sqlite.schema import prepare
from kora.store.url import is_postgres


def open_new(url: str, *, workspace_id: str, actor_id: str, **more: object) -> Store:
    """As `open_store`: only that a file which is not there yet is a copy."""
    if not is_postgres(url):
        _lay(sqlite_path(url))
    return open_store(url, workspace_id=workspace_id, actor_id=actor_id, **more)


def _lay(path: Path) -> None:
    # Whole from the first moment on: a runtime that has just been started may be about to make it.
    with suppress(FileExistsError), tempfile.NamedTemporaryFile(dir=path.parent) as file:
        if not path.exists():
            file.write(_made())
            file.flush()
            path.hardlink_to(file.name)


@cache
def _made() -> bytes:
    """A store's file in which nothing is registered yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kora.db"
        prepare(path)
        return path.read_bytes()
