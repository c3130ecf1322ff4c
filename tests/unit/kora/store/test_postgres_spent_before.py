"""A PostgreSQL store of an earlier revision comes up to this one with what stood in it."""

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

from kora.store.open import migrate, roles_sql
from kora.store.postgres.migrations import run
from kora.store.postgres.schema import REVISION
from tests.unit.kora.store.postgres_roles import psql

DECEMBER = 1_796_083_200 // 60
"""the first minute of 2026-12"""
OURS, THEIRS = "ours", "theirs"
TALLIES = [
    (OURS, DECEMBER - 1, "one", 100, "completed"),
    (OURS, DECEMBER - 1, "one", 20, "released"),
    (OURS, DECEMBER - 1, "two", 3, "completed"),
    (OURS, DECEMBER, "one", 4_000, "completed"),
    (OURS, DECEMBER, "two", 0, "completed"),
    (THEIRS, DECEMBER, "one", 50_000, "completed"),
]


def make_first(url: str) -> None:
    """A database of revision 0001, by the revision's own words."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sqlalchemy.pool.NullPool
    )
    config = Config()
    config.set_main_option("script_location", "kora.store.postgres:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as begun:
        for statement in run._MAKE_LOCK:
            begun.exec_driver_sql(statement)
        config.attributes["connection"] = begun
        command.upgrade(config, "0001")


def test_what_was_spent_is_counted_for_the_time_before_in_every_workspace(postgres):
    database, owner = "of_the_first_revision", "keeper_of_the_first"
    url = postgres.url(database, user=owner)
    psql(postgres, roles_sql(url, workspace_id=OURS, runtime_role="worker_of_the_first"))
    make_first(url)
    for workspace_id in (OURS, THEIRS):
        postgres.execute(
            "INSERT INTO kora.workspaces (workspace_id, created_at) VALUES (%s, 0)", workspace_id, database=database
        )
    for row in TALLIES:
        postgres.execute("INSERT INTO kora.tallies VALUES (%s, %s, 1, %s, 0, %s, %s)", *spelt(row), database=database)

    assert migrate(url, workspace_id=OURS) == ("0001", REVISION)

    found = postgres.execute("SELECT * FROM kora.spend ORDER BY 1, 2, 3", database=database)
    assert found == [
        (OURS, 202611, "one", 120),
        (OURS, 202611, "two", 3),
        (OURS, 202612, "one", 4_000),
        (THEIRS, 202612, "one", 50_000),
    ]
    forced = postgres.execute(
        "SELECT DISTINCT relforcerowsecurity FROM pg_class WHERE relname IN ('tallies', 'spend')", database=database
    )
    assert forced == [(True,)]


def spelt(row):
    workspace_id, minute, chain_id, cost, resolution = row
    return workspace_id, minute, cost, chain_id, resolution
