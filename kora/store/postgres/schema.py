"""Making a PostgreSQL database ready, which only `migrate` does; and refusing one that is not."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from kora.errors import StoreUnusableError
from kora.store.postgres.connection import PostgresConnection
from kora.store.postgres.errors import translated
from kora.store.postgres.place import PostgresPlace
from kora.store.postgres.roles import admission, check_runtime_role
from kora.store.sql.unfinished import check_finished
from kora.store.views import Look

REVISION: Final = "0004"
OLDEST_SERVER: Final = 150_000

_SERVER: Final = """
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
       to_regclass('kora.alembic_version') IS NOT NULL
"""
_REVISION: Final = "SELECT version_num FROM kora.alembic_version"

_REGISTER_ACTOR: Final = """
INSERT INTO kora.actor_registry (workspace_id, actor_id, actor_kind, registered_at)
VALUES ($1, $2, 'kora', kora.now_us()) ON CONFLICT DO NOTHING
"""

# What this role sees of the workspace, and whether a restored log is ahead of the server's transactions.
_WORKSPACE: Final = """
SELECT EXISTS (SELECT 1 FROM kora.workspace_roles WHERE role_name = current_user AND workspace_id = $1),
       EXISTS (SELECT 1 FROM kora.actor_registry WHERE workspace_id = $1 AND actor_id = $2),
       EXISTS (SELECT 1 FROM kora.chains WHERE workspace_id = $1 AND chain_id = $3),
       (SELECT max(seq) >> 22 FROM kora.events WHERE workspace_id = $1)
           - pg_snapshot_xmax(pg_current_snapshot())::text::bigint - seq_shift
FROM kora.workspaces WHERE workspace_id = $1
"""
# Whether this role may write all that a board consists of: only whoever owns the tables may.
_MAY_COPY_TO: Final = "SELECT has_table_privilege('kora.unfinished_copies', 'INSERT')"
UNFINISHED_COPY: Final = """
SELECT source, source_state, progress FROM kora.unfinished_copies WHERE workspace_id = $1
"""
_SHIFT_SEQ: Final = "UPDATE kora.workspaces SET seq_shift = seq_shift + $2 WHERE workspace_id = $1"


def migrate(url: str, name: str, *, workspace_id: str, runtime_role: str | None) -> tuple[str | None, str]:
    """The database is at this Kora's revision, the workspace is there, and this role, or also another, may work in it.

    The result tells from which revision it came (None: it was new), and to which. Nothing changes where all is so.

    Raises:
        StoreUnusableError: it is of a newer Kora, or the role may not do that.
        StoreUnavailableError: the server is out of reach.
    """
    from kora.store.postgres.migrations.run import ONE_AT_A_TIME, upgrade  # noqa: PLC0415 - SQLAlchemy costs 200 ms

    with closing(PostgresConnection(url, name, workspace_id, is_patient=True)) as connection:
        with translated(name):
            before = _revision(connection, name)
        if before is not None and before > REVISION:
            raise StoreUnusableError(_of_another(name, before))
        if runtime_role is not None:
            with translated(name):
                check_runtime_role(connection, name, runtime_role)
        if before != REVISION:
            with translated(name):
                upgrade(connection.conninfo)
        with connection.writing():
            connection.execute(ONE_AT_A_TIME)
            for step in admission(workspace_id, runtime_role):
                connection.carry_out(step)
    return before, REVISION


def check(place: PostgresPlace) -> None:
    """The database is fit to be worked in by this role, in this workspace; the actor is registered.

    Raises:
        StoreUnusableError: a person must act first; the message says what is to be done.
        StoreUnavailableError: the server is out of reach.
    """
    with closing(place.connect()) as connection, translated(place.name):
        is_registered, ahead = _checked_workspace(connection, place)
        check_finished(connection, UNFINISHED_COPY, name=place.name, workspace_id=place.workspace_id)
        if not is_registered:
            with connection.writing():
                connection.execute(_REGISTER_ACTOR, (place.workspace_id, place.actor_id))
        if ahead is not None and ahead >= 0:
            # Restored from another server: what comes from now on is to stand behind what is there.
            with connection.writing():
                connection.execute(_SHIFT_SEQ, (place.workspace_id, ahead + 1))


def look(place: PostgresPlace) -> Look:
    """How the database stands; nothing of it is changed. Raises what `check` raises."""
    with closing(place.connect()) as connection, translated(place.name):
        is_registered, _ = _checked_workspace(connection, place)
        check_finished(connection, UNFINISHED_COPY, name=place.name, workspace_id=place.workspace_id)
    return Look(REVISION, REVISION, is_registered=is_registered)


def check_source(place: PostgresPlace) -> None:
    """The database has this workspace, and this role may read it. It is only looked at. Raises what `check` raises."""
    with closing(place.connect()) as connection, translated(place.name):
        _checked_workspace(connection, place)
        check_finished(connection, UNFINISHED_COPY, name=place.name, workspace_id=place.workspace_id)


def check_target(place: PostgresPlace) -> None:
    """This role may copy a board to this workspace, which is there. Raises what `check` raises."""
    with closing(place.connect()) as connection, translated(place.name):
        _checked_workspace(connection, place)
        if not _one(connection, _MAY_COPY_TO)[0]:
            raise StoreUnusableError(
                f"{place.name}: a board is copied by the role that owns Kora's tables, the one that ran"
                " `kora-actors migrate`; this one may only work on it"
            )


def _checked_workspace(connection: PostgresConnection, place: PostgresPlace) -> tuple[bool, int | None]:
    """Whether the actor is registered, and how far the log is ahead of the server's transactions."""
    revision = _revision(connection, place.name)
    if revision != REVISION:
        raise StoreUnusableError(_of_another(place.name, revision))
    chain_id = f"workspace:{place.workspace_id}"
    row = connection.execute(_WORKSPACE, (place.workspace_id, place.actor_id, chain_id)).fetchone()
    if row is None or not (row[0] and row[2]):
        raise StoreUnusableError(
            f"{place.name}: this role has no workspace {place.workspace_id} there; whoever owns Kora's tables is to run"
            " `kora-actors migrate` with this configuration, for another role with --runtime-role ROLE"
        )
    _, is_registered, _, ahead = row
    return is_registered, ahead


def _revision(connection: PostgresConnection, name: str) -> str | None:
    """At which revision the database is; None: Kora has nothing in it. Raises `StoreUnusableError` for an unfit one."""
    version, encoding, is_there = _one(connection, _SERVER)
    why = unfit(version, encoding)
    if why is not None:
        raise StoreUnusableError(f"{name} {why}")
    return str(_one(connection, _REVISION)[0]) if is_there else None


def unfit(version: int, encoding: str) -> str | None:
    """Why no store can be on a server of this version and encoding; None if one can."""
    if version < OLDEST_SERVER:
        return f"is PostgreSQL {version // 10_000}; a store needs 15 or later"
    if encoding != "UTF8":
        return f"is encoded in {encoding}; create a database with ENCODING 'UTF8'"
    return None


def _of_another(name: str, revision: str | None) -> str:
    if revision is None:
        return f"{name} has no tables of Kora's; run `kora-actors migrate` as the role that is to own them"
    if revision < REVISION:
        return (
            f"{name} is of schema revision {revision}, older than this Kora's {REVISION}; stop the runtimes that still"
            " use it, then run `kora-actors migrate`"
        )
    return (
        f"{name} is of schema revision {revision}, newer than this Kora's {REVISION}; use the Kora that migrated it, or"
        " a later one"
    )


def _one(connection: PostgresConnection, statement: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(statement).fetchone()
    if row is None:
        raise AssertionError(f"no row: {statement}")
    return row
