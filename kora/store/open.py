"""From a store's URL to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kora.clock import SystemTime, TimeSource
from kora.errors import StoreUnusableError
from kora.store.port import Store
from kora.store.sqlite.schema import prepare
from kora.store.sqlite.store import SqliteStore

_SQLITE: Final = "sqlite:///"


def open_store(url: str, *, workspace_id: str, actor_id: str, time: TimeSource | None = None) -> Store:
    """The store, ready for use: made or migrated if need be, workspace and actor registered.

    Raises `StoreUnusableError` when a person must act first, `StoreUnavailableError` when it stayed locked for half a
    minute, or there is no room.
    """
    path = sqlite_path(url)
    return SqliteStore(url, path, workspace_id=workspace_id, actor_id=actor_id, time=time or SystemTime())


def migrate(url: str) -> tuple[str | None, str]:
    """The store is at this Kora's revision: from which one it came (None: it was new), and to which.

    Raises what `open_store` raises.
    """
    return prepare(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """The file that the URL names. Raises `StoreUnusableError` for any other URL, naming the kinds there are."""
    scheme, separator, _ = url.partition("://")
    if not url.startswith(_SQLITE):
        what = (
            f"there is no store of the kind {scheme}" if separator and scheme != "sqlite" else "that is no store's URL"
        )
        raise StoreUnusableError(f"{url}: {what}; write sqlite:///FILE, or sqlite:////ABSOLUTE/FILE")
    name = url.removeprefix(_SQLITE)
    if not name or name == ":memory:" or "\0" in name:
        raise StoreUnusableError(f"{url}: names no file; write sqlite:///FILE, or sqlite:////ABSOLUTE/FILE")
    return Path(name)
