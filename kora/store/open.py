"""From a store's URL to the store."""

from __future__ import annotations

from pathlib import Path

from kora.clock import SystemTime, TimeSource
from kora.errors import StoreUnusableError
from kora.store.port import Store
from kora.store.sqlite.schema import look as look_at_sqlite
from kora.store.sqlite.schema import prepare
from kora.store.sqlite.store import SqliteStore
from kora.store.url import SQLITE, checked_url, is_postgres, shown_url
from kora.store.views import Look


def open_store(
    url: str, *, workspace_id: str, actor_id: str, time: TimeSource | None = None, as_it_is: bool = False
) -> Store:
    """The store, ready for use: a file is made or migrated if need be; workspace and actor are registered.

    `as_it_is`: nothing of that is done; for one that `look` has found to be current, to be read and rehearsed with.

    Raises `StoreUnusableError` when a person must act first, `StoreUnavailableError` when it stayed locked for half a
    minute, or there is no room, `StoreUnreachableError` when its server does not answer.
    """
    time = time or SystemTime()
    if is_postgres(url):
        from kora.store.postgres.store import PostgresStore  # noqa: PLC0415 - psycopg costs 100 ms

        return PostgresStore(
            checked_url(url),
            shown_url(url),
            workspace_id=workspace_id,
            actor_id=actor_id,
            time=time,
            as_it_is=as_it_is,
        )
    return SqliteStore(
        url, sqlite_path(url), workspace_id=workspace_id, actor_id=actor_id, time=time, as_it_is=as_it_is
    )


def look(url: str, *, workspace_id: str, actor_id: str) -> Look:
    """How the store stands; nothing is made, migrated, registered or locked. Raises what `open_store` raises."""
    if is_postgres(url):
        from kora.store.postgres.place import PostgresPlace  # noqa: PLC0415 - psycopg costs 100 ms
        from kora.store.postgres.schema import look as look_at_postgres  # noqa: PLC0415 - as above

        return look_at_postgres(PostgresPlace(checked_url(url), shown_url(url), workspace_id, actor_id, SystemTime()))
    return look_at_sqlite(sqlite_path(url), workspace_id=workspace_id, actor_id=actor_id)


def migrate(url: str, *, workspace_id: str, runtime_role: str | None = None) -> tuple[str | None, str]:
    """The store is at this Kora's revision: from which one it came (None: it was new), and to which.

    On PostgreSQL the workspace is registered as well, and this role, and the runtime's, may work there from now on.
    Raises what `open_store` raises.
    """
    if is_postgres(url):
        from kora.store.postgres.schema import migrate as migrate_postgres  # noqa: PLC0415 - psycopg costs 100 ms

        name = shown_url(url)
        return migrate_postgres(checked_url(url), name, workspace_id=workspace_id, runtime_role=runtime_role)
    if runtime_role is not None:
        raise StoreUnusableError(f"{shown_url(url)}: a file has no roles, and so no {runtime_role}")
    return prepare(sqlite_path(url))


def has_roles(url: str) -> bool:
    """Whether the store's database has roles, so that one may migrate and another only work."""
    return is_postgres(url)


def roles_sql(url: str, *, workspace_id: str, runtime_role: str | None = None) -> str:
    """The SQL with which an administrator makes the store's roles. Raises `StoreUnusableError` where it has none."""
    if not is_postgres(url):
        raise StoreUnusableError(f"{shown_url(url)}: a file has no roles")
    from kora.store.postgres.roles import roles_sql as roles_sql_postgres  # noqa: PLC0415 - psycopg costs 100 ms

    name = shown_url(url)
    return roles_sql_postgres(checked_url(url), name, workspace_id=workspace_id, runtime_role=runtime_role)


def sqlite_path(url: str) -> Path:
    """The file that the URL names. Raises `StoreUnusableError` for any other URL, naming the kinds there are."""
    try:
        checked_url(url)
    except ValueError as error:
        raise StoreUnusableError(f"{shown_url(url)}: {error}") from None
    if is_postgres(url):
        raise StoreUnusableError(f"{shown_url(url)}: is no file; write {SQLITE}FILE, or {SQLITE}/ABSOLUTE/FILE")
    return Path(url.removeprefix(SQLITE))
