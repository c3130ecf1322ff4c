"""Making a PostgreSQL database ready, which only `migrate` does; and refusing one that is not."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from kora.errors import StoreUnusableError
from kora.store.postgres.connection import PostgresConnection
from kora.store.postgres.errors import translated
from kora.store.postgres.place import PostgresPlace
from kora.store.postgres.turn_statements import MAKE_CHAIN

REVISION: Final = "0001"
OLDEST_SERVER: Final = 150_000

_SERVER: Final = """
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
       to_regclass('kora.alembic_version') IS NOT NULL
"""
_REVISION: Final = "SELECT version_num FROM kora.alembic_version"

_REGISTER_WORKSPACE: Final = """
INSERT INTO kora.workspaces (workspace_id, created_at) VALUES ($1, kora.now_us()) ON CONFLICT DO NOTHING
"""
_REGISTER_ACTOR: Final = """
INSERT INTO kora.actor_registry (workspace_id, actor_id, actor_kind, registered_at)
VALUES ($1, $2, 'kora', kora.now_us()) ON CONFLICT DO NOTHING
"""
_ADMIT: Final = """
INSERT INTO kora.workspace_roles (role_name, workspace_id, workspace_no)
SELECT coalesce($2::name, current_user), workspace_id, workspace_no FROM kora.workspaces WHERE workspace_id = $1
ON CONFLICT DO NOTHING
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
_SHIFT_SEQ: Final = "UPDATE kora.workspaces SET seq_shift = seq_shift + $2 WHERE workspace_id = $1"

GRANTS: Final = (
    "GRANT USAGE ON SCHEMA kora TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA kora TO {role}",
    # An event is written once and never changed; whoever archives has the role that owns the schema.
    """
GRANT INSERT ON kora.actor_registry, kora.runtimes, kora.tickets, kora.objectives, kora.operations, kora.events,
    kora.chains, kora.dependencies, kora.tallies TO {role}
""",
    "GRANT UPDATE ON kora.runtimes, kora.tickets, kora.operations, kora.chains, kora.tallies TO {role}",
    "GRANT UPDATE (claim_permission, seq_shift) ON kora.workspaces TO {role}",
    "GRANT DELETE ON kora.dependencies TO {role}",
)
"""what a runtime, and whoever works on its board, may do"""


def migrate(url: str, name: str, *, workspace_id: str, runtime_role: str | None) -> tuple[str | None, str]:
    """The database is at this Kora's revision, the workspace is there, and this role, or also another, may work in it.

    The result tells from which revision it came (None: it was new), and to which. Nothing changes where all is so.

    Raises:
        StoreUnusableError: it is of a newer Kora, or the role may not do that.
        StoreUnavailableError: the server is out of reach.
    """
    from kora.store.postgres.migrations.run import upgrade  # noqa: PLC0415 - SQLAlchemy costs 200 ms

    with closing(PostgresConnection(url, name, workspace_id, is_patient=True)) as connection:
        with translated(name):
            before = _revision(connection, name)
        if before is not None and before > REVISION:
            raise StoreUnusableError(_of_another(name, before))
        if before != REVISION:
            with translated(name):
                upgrade(connection.conninfo)
        with connection.writing():
            connection.execute(_REGISTER_WORKSPACE, (workspace_id,))
            connection.execute(_ADMIT, (workspace_id, None))
            connection.execute(MAKE_CHAIN, (workspace_id, f"workspace:{workspace_id}"))
            if runtime_role is not None:
                connection.execute(_ADMIT, (workspace_id, runtime_role))
                for grant in GRANTS:
                    connection.grant(grant, runtime_role)
    return before, REVISION


def check(place: PostgresPlace) -> None:
    """The database is fit to be worked in by this role, in this workspace; the actor is registered.

    Raises:
        StoreUnusableError: a person must act first; the message says what is to be done.
        StoreUnavailableError: the server is out of reach.
    """
    with closing(place.connect()) as connection, translated(place.name):
        revision = _revision(connection, place.name)
        if revision != REVISION:
            raise StoreUnusableError(_of_another(place.name, revision))
        _check_workspace(connection, place)


def _check_workspace(connection: PostgresConnection, place: PostgresPlace) -> None:
    chain_id = f"workspace:{place.workspace_id}"
    row = connection.execute(_WORKSPACE, (place.workspace_id, place.actor_id, chain_id)).fetchone()
    if row is None or not (row[0] and row[2]):
        raise StoreUnusableError(
            f"{place.name}: this role has no workspace {place.workspace_id} there; whoever owns Kora's tables is to run"
            " `kora-actors migrate` with this configuration, for another role with --runtime-role ROLE"
        )
    _, is_registered, _, ahead = row
    with connection.writing():
        if not is_registered:
            connection.execute(_REGISTER_ACTOR, (place.workspace_id, place.actor_id))
        if ahead is not None and ahead >= 0:
            # Restored from another server: what comes from now on is to stand behind what is there.
            connection.execute(_SHIFT_SEQ, (place.workspace_id, ahead + 1))


def _revision(connection: PostgresConnection, name: str) -> str | None:
    """At which revision the database is; None: Kora has nothing in it. Raises `StoreUnusableError` for an unfit one."""
    version, encoding, is_there = _one(connection, _SERVER)
    if version < OLDEST_SERVER:
        raise StoreUnusableError(f"{name} is PostgreSQL {version // 10_000}; a store needs 15 or later")
    if encoding != "UTF8":
        raise StoreUnusableError(f"{name} is encoded in {encoding}; create a database with ENCODING 'UTF8'")
    return str(_one(connection, _REVISION)[0]) if is_there else None


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
