"""A PostgreSQL database that Kora cannot work in: one line says why, and what to do. To migrate is all or nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import psycopg
import pytest

from kora.errors import StoreError, StoreUnusableError
from kora.store.open import migrate, open_store
from kora.store.postgres.errors import translate
from kora.store.postgres.schema import REVISION, unfit
from tests.unit.kora.store.postgres_roles import ACTOR

PATIENCE_SECONDS = 20.0


def opened(url: str) -> None:
    open_store(url, workspace_id="w", actor_id=ACTOR).close()


def refusal(url: str, act=opened) -> str:
    with pytest.raises(StoreUnusableError) as refused:
        act(url)
    assert refused.value.exit_code == 7
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(url.split("?", maxsplit=1)[0].replace(":hunter2@", ":***@"))
    assert "hunter2" not in str(refused.value)
    return str(refused.value)


def migrated(url: str, runtime_role: str | None = None) -> tuple[str | None, str]:
    return migrate(url, workspace_id="w", runtime_role=runtime_role)


@pytest.fixture
def url(postgres, database) -> str:
    return postgres.url(database)


def test_a_database_without_tables(url):
    assert "has no tables of Kora's; run `kora-actors migrate` as the role that is to own them" in refusal(url)


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("0000", f"is of schema revision 0000, older than this Kora's {REVISION}; stop the runtimes that still use it"),
        ("9999", f"is of schema revision 9999, newer than this Kora's {REVISION}; use the Kora that migrated it"),
    ],
)
def test_a_database_of_another_revision(postgres, database, url, revision, said):
    migrated(url)
    postgres.execute("UPDATE kora.alembic_version SET version_num = %s", revision, database=database)

    assert said in refusal(url)
    if revision > REVISION:
        assert said in refusal(url, migrated)


@pytest.mark.parametrize(
    ("version", "encoding", "said"),
    [
        (140_012, "UTF8", "is PostgreSQL 14; a store needs 15 or later"),
        (90_624, "UTF8", "is PostgreSQL 9; a store needs 15 or later"),
        (150_000, "LATIN1", "is encoded in LATIN1; create a database with ENCODING 'UTF8'"),
        (150_000, "UTF8", None),
        (180_000, "UTF8", None),
    ],
)
def test_a_server_that_is_too_old_or_does_not_speak_unicode(version, encoding, said):
    assert unfit(version, encoding) == said


def test_a_database_that_is_not_encoded_in_unicode(postgres):
    postgres.execute("CREATE DATABASE plain TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")

    for act in (opened, migrated):
        assert "is encoded in SQL_ASCII; create a database with ENCODING 'UTF8'" in refusal(postgres.url("plain"), act)


def test_a_database_that_is_not_there(postgres):
    for act in (opened, migrated):
        assert "has no such database; create it" in refusal(postgres.url("no_such"), act)


def test_a_role_that_is_not_there(postgres, database):
    assert "does not let this role in; see `kora-actors migrate --print-roles`" in refusal(
        postgres.url(database, user="no_such")
    )


def test_a_role_that_may_not_connect(postgres, database):
    postgres.execute(f"CREATE ROLE of_{database} LOGIN")
    postgres.execute(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")

    assert "does not let this role do that: see `kora-actors migrate --print-roles`" in refusal(
        postgres.url(database, user=f"of_{database}")
    )


def test_a_role_that_may_not_make_the_tables(postgres, database):
    postgres.execute(f"CREATE ROLE maker_{database} LOGIN")

    assert "does not let this role do that: see `kora-actors migrate --print-roles`" in refusal(
        postgres.url(database, user=f"maker_{database}"), migrated
    )


def test_a_password_that_is_wrong_or_missing(postgres, database, url):
    migrated(url)
    postgres.execute(f"CREATE ROLE locked_{database} LOGIN PASSWORD 'right'")
    rules = postgres.directory / "data" / "pg_hba.conf"
    rules.write_text(f"host all locked_{database} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    postgres.execute("SELECT pg_reload_conf()")
    locked = postgres.url(database, user=f"locked_{database}")
    give_up_at = monotonic() + PATIENCE_SECONDS
    while monotonic() < give_up_at:
        try:
            psycopg.connect(locked).close()
        except psycopg.OperationalError:
            break

    assert "refuses the password; see PGPASSWORD, or ~/.pgpass" in refusal(locked)
    assert "refuses the password" in refusal(locked.replace("@", ":hunter2@"))


@pytest.mark.parametrize(
    "said",
    [
        "connection refused",
        "FATAL:  the database system is starting up",
        "FATAL:  sorry, too many clients already",
        "server closed the connection unexpectedly",
        "failed to resolve host 'db.example': Name or service not known",
    ],
)
def test_a_server_that_may_come_back_is_waited_for(said):
    error = translate(psycopg.OperationalError(f"connection failed: {said}"), "here")

    assert isinstance(error, StoreError)
    assert not isinstance(error, StoreUnusableError)


def everything(postgres, database) -> list[tuple]:
    """What migrating could change."""
    return [
        *postgres.execute(
            "SELECT relname, relacl::text, relfilenode, reloptions::text FROM pg_class"
            " WHERE relnamespace = 'kora'::regnamespace ORDER BY relname",
            database=database,
        ),
        *postgres.execute("SELECT xmin::text, to_jsonb(w)::text FROM kora.workspaces AS w", database=database),
        *postgres.execute(
            "SELECT xmin::text, to_jsonb(r)::text FROM kora.workspace_roles AS r ORDER BY 2", database=database
        ),
        *postgres.execute("SELECT xmin::text, to_jsonb(c)::text FROM kora.chains AS c", database=database),
    ]


def test_to_migrate_again_changes_nothing(postgres, database, url):
    postgres.execute(f"CREATE ROLE again_{database} LOGIN")
    assert migrated(url, f"again_{database}") == (None, REVISION)
    before = everything(postgres, database)

    assert migrated(url, f"again_{database}") == (REVISION, REVISION)
    assert everything(postgres, database) == before


def test_of_several_that_migrate_at_once_each_finds_it_done(postgres, database, url):
    postgres.execute(f"CREATE ROLE once_{database} LOGIN")
    many = 4
    together = threading.Barrier(many)

    def act(_: int) -> tuple[str | None, str]:
        together.wait(PATIENCE_SECONDS)
        return migrated(url, f"once_{database}")

    with ThreadPoolExecutor(many) as pool:
        assert {after for _, after in pool.map(act, range(many))} == {REVISION}
    assert postgres.execute("SELECT count(*) FROM kora.workspace_roles", database=database) == [(2,)]
    opened(postgres.url(database, user=f"once_{database}"))


def test_a_migration_that_fails_half_way_leaves_nothing_and_may_be_done_again(postgres, database, url):
    """The table is one of the last that are made."""
    postgres.execute("CREATE SCHEMA kora", database=database)
    postgres.execute("CREATE TABLE kora.archives (mine text)", database=database)

    assert "has something of that name that Kora did not make" in refusal(url, migrated)
    tables = postgres.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'kora'::regnamespace", database=database
    )
    assert tables == [("archives",)]

    postgres.execute("DROP TABLE kora.archives", database=database)
    assert migrated(url) == (None, REVISION)
    opened(url)
