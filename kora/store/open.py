"""From a store's URL to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from kora.clock import SystemTime, TimeSource
from kora.errors import StoreUnusableError
from kora.store.port import Store
from kora.store.sqlite.schema import prepare
from kora.store.sqlite.store import SqliteStore

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


def open_store(url: str, *, workspace_id: str, actor_id: str, time: TimeSource | None = None) -> Store:
    """The store, ready for use: made or migrated if need be, workspace and actor registered.

    Raises `StoreUnusableError` when a person must act first, `StoreUnavailableError` when it stayed locked for half a
    minute, or there is no room.
    """
    if is_postgres(url):
        from kora.store.postgres.store import PostgresStore  # noqa: PLC0415 - psycopg costs 100 ms

        return PostgresStore(url, shown(url), workspace_id=workspace_id, actor_id=actor_id, time=time or SystemTime())
    path = sqlite_path(url)
    return SqliteStore(url, path, workspace_id=workspace_id, actor_id=actor_id, time=time or SystemTime())


def migrate(url: str, *, workspace_id: str, runtime_role: str | None = None) -> tuple[str | None, str]:
    """The store is at this Kora's revision: from which one it came (None: it was new), and to which.

    On PostgreSQL the workspace is registered as well, and this role, and the one named, are admitted to it.

    Raises what `open_store` raises.
    """
    if is_postgres(url):
        from kora.store.postgres.schema import migrate as migrate_postgres  # noqa: PLC0415 - psycopg costs 100 ms

        return migrate_postgres(url, shown(url), workspace_id=workspace_id, runtime_role=runtime_role)
    return prepare(sqlite_path(url))


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL database."""
    return url.startswith(_POSTGRES)


def shown(url: str) -> str:
    """The URL without its password, fit for messages."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + host, query=""))


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
