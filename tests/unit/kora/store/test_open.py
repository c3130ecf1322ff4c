"""From URL and file to store: what is made, what is recognised, what is refused and how."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kora.errors import StoreUnusableError
from kora.store.open import migrate, open_store, sqlite_path

ROOT = Path(__file__).resolve().parents[4]


def opened(path, **more):
    return open_store(f"sqlite:///{path}", workspace_id="w", actor_id="a", **more)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_three_slashes_are_relative_and_four_absolute():
    assert sqlite_path("sqlite:///some/kora.db") == Path("some/kora.db")
    assert sqlite_path("sqlite:////some/kora.db") == Path("/some/kora.db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://here/kora",
        "kora.db",
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://x/y",
    ],
)
def test_other_urls_are_refused_and_the_kinds_there_are_named(url):
    with pytest.raises(StoreUnusableError, match=r"sqlite:///FILE") as refusal:
        sqlite_path(url)
    assert refusal.value.exit_code == 7


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_a_new_store(path, umask):
    before = os.umask(umask)
    try:
        with closing(opened(path).board()) as board:
            board.add([], who="tester")
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == ["kora.db", "kora.db-shm", "kora.db-wal"]
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)


def test_every_commit_is_synced_to_a_write_ahead_log(store, writer, raw):
    with closing(store.reader()) as reader, closing(store.board()) as board:
        for handle in (reader, board, writer):
            assert handle._connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert handle._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_reader_cannot_write(store):
    with closing(store.reader()) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM events")


def test_opening_registers_workspace_and_actor_once(store, path, raw):
    opened(path)

    assert raw.execute("SELECT workspace_id, claim_permission FROM workspaces").fetchall() == [("w", "normal")]
    assert raw.execute("SELECT workspace_id, actor_id, actor_kind FROM actor_registry").fetchall() == [
        ("w", "a", "kora")
    ]


def test_opening_a_registered_store_needs_no_write_lock(store, path, raw):
    raw.execute("BEGIN IMMEDIATE")

    with closing(opened(path).reader()) as reader:
        assert not reader.outstanding().any
    raw.execute("ROLLBACK")


def test_an_empty_file_is_a_new_store(path):
    path.touch(0o640)

    with closing(opened(path).reader()) as reader:
        assert not reader.outstanding().any


def test_a_name_full_of_signs_is_only_a_name(tmp_path):
    path = tmp_path / "50% #1?mode=memory&x.db"

    opened(path)

    assert path.stat().st_size > 0


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StoreUnusableError, match=r"no directory .*/absent; create it"):
        opened(tmp_path / "absent" / "kora.db")


def test_a_directory_is_no_store(tmp_path):
    with pytest.raises(StoreUnusableError, match="is a directory"):
        opened(tmp_path)


def test_a_pipe_is_no_store(path):
    os.mkfifo(path)

    with pytest.raises(StoreUnusableError, match="no regular file"):
        opened(path)


def test_a_file_in_the_place_of_a_directory_is_named(path):
    path.touch()

    with pytest.raises(StoreUnusableError, match="cannot be opened"):
        opened(path / "kora.db")


def test_a_read_only_file_is_refused_whoever_asks(store, path):
    path.chmod(0o400)

    with pytest.raises(StoreUnusableError, match=r"kora\.db is read-only; make it writable"):
        opened(path)


def test_what_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"no database at all\n" * 100)

    with pytest.raises(StoreUnusableError, match=r"kora\.db is not a database"):
        opened(path)
    assert path.read_bytes() == b"no database at all\n" * 100
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_database_is_refused(store, path):
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 4000 + content[4100:])

    with pytest.raises(StoreUnusableError, match="is damaged"):
        opened(path)


def test_a_database_of_something_else_is_refused_and_left_alone(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE tickets (anything)")
    content = path.read_bytes()

    with pytest.raises(StoreUnusableError, match=r"kora\.db is a database of something else"):
        opened(path)
    assert path.read_bytes() == content


def test_a_newer_schema_is_refused_and_both_revisions_are_named(store, path, raw):
    raw.execute("UPDATE alembic_version SET version_num = '0042'")

    with pytest.raises(StoreUnusableError, match=r"revision 0042, newer than this Kora's 0006"):
        opened(path)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0042",)]


def test_a_store_without_its_tables_is_refused(store, path, raw):
    raw.execute("DROP TABLE alembic_version")

    with pytest.raises(StoreUnusableError, match="does not have the tables"):
        opened(path)


def test_migrating_tells_from_where_to_where(path):
    assert migrate(f"sqlite:///{path}", workspace_id="w") == (None, "0006")
    assert migrate(f"sqlite:///{path}", workspace_id="w") == ("0006", "0006")


def test_the_database_knows_whose_it_is(store, raw):
    assert raw.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"Kora"


def program(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_processes_may_open_a_new_store_at_once(path):
    code = """
import sys
from kora.store.open import open_store
import kora.store.sqlite.migrations.run
print("ready", flush=True)
sys.stdin.readline()
open_store(f"sqlite:///{sys.argv[1]}", workspace_id="w" + sys.argv[2], actor_id="a")
"""
    racers = [program(code, path, number) for number in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ends = [racer.communicate(timeout=60) for racer in racers]

    assert [(racer.returncode, err) for racer, (_, err) in zip(racers, ends, strict=True)] == [(0, "")] * 4
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM workspaces").fetchone() == (4,)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_current_store_opens_without_the_migration_library(store, path):
    code = """
import sys
from kora.store.open import open_store
open_store(f"sqlite:///{sys.argv[1]}", workspace_id="w", actor_id="a")
print([name for name in ("alembic", "sqlalchemy") if name in sys.modules])
"""
    with program(code, path) as opener:
        assert opener.communicate(timeout=60) == ("[]\n", "")
