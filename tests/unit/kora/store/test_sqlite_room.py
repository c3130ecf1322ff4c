"""A disk that is small, and one that is full."""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket
from kora.errors import StoreFullError, StoreLockedError, StoreUnavailableError
from kora.store.open import open_store
from kora.store.port import RuntimeRecord, Turn
from kora.store.sqlite import room, schema
from kora.store.sqlite.errors import translate

DISK_BYTES = 3 * 1_048_576
EVENT_BYTES = 2_000


@pytest.fixture
def small(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder on a disk of its own; where mounting is refused, one of which the system says that it is small."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", folder], check=True)
        return
    real = os.statvfs

    def said(path: Path) -> os.statvfs_result:
        fields = list(real(path))
        used = sum(file.stat().st_size for file in folder.iterdir())
        fields[4] = max(0, DISK_BYTES - used) // fields[1]
        return os.statvfs_result(fields)

    monkeypatch.setattr(room.os, "statvfs", said)
    yield folder


def spoken(count: int) -> list[NewEvent]:
    return [NewEvent(EventType.BOOT_READY, {"filler": "x" * EVENT_BYTES}) for _ in range(count)]


def in_use(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_on_a_small_disk_the_log_leaves_the_room_that_folding_it_in_needs(small):
    # Were the log left to SQLite's own measure, it would have taken the disk before it is folded in once.
    store = open_store(f"sqlite:///{small}/kora.db", workspace_id="w", actor_id="a")
    with closing(store.writer(RuntimeRecord("r", "here", 1, "0"))) as writer:
        incarnation = writer.next_incarnation()
        for _ in range(DISK_BYTES // 2 // (10 * EVENT_BYTES)):
            if (small / "kora.db").stat().st_size > DISK_BYTES // 2:
                break
            writer.turn(incarnation, Turn(append=spoken(10)))
            assert in_use(small) <= DISK_BYTES
    assert (small / "kora.db").stat().st_size > DISK_BYTES // 2
    with closing(store.reader()) as reader:
        assert reader.verify().fault is None


def test_on_a_big_disk_the_log_may_take_thirty_two_megabytes_before_a_commit_folds_it_in(writer):
    assert writer._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (8_000,)


def test_for_want_of_room_the_log_gives_its_own_back(path, add, writer):
    add(1)
    incarnation = writer.next_incarnation()
    log = path.with_name("kora.db-wal")
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    assert log.stat().st_size > 0

    with pytest.raises(StoreFullError):
        writer.turn(incarnation, Turn(append=spoken(100)))

    assert log.stat().st_size == 0


@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"])
def test_what_cannot_grow_is_told_with_what_to_do(path, code):
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, code), code

    told = translate(error, path)

    assert isinstance(told, StoreFullError)
    assert all(word in str(told) for word in (str(path), code, "make room", "goes on by itself"))
    assert code == "SQLITE_FULL" or "ulimit -f" in str(told)


def refusing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def test_only_a_locked_store_is_waited_for(monkeypatch):
    slept = []
    monkeypatch.setattr(schema.time, "sleep", slept.append)

    assert schema.patiently(refusing(StoreLockedError("locked"), StoreLockedError("locked"))) == "done"
    assert len(slept) == 2
    for error in (StoreFullError("full"), StoreUnavailableError("bad disk")):
        with pytest.raises(type(error)):
            schema.patiently(refusing(error))
    assert len(slept) == 2


def test_an_operator_on_a_full_disk_is_told_at_once(store, monkeypatch):
    monkeypatch.setattr(schema.time, "sleep", lambda _: pytest.fail("waited"))
    with closing(store.board()) as board:
        (pages,) = board._connection.execute("PRAGMA page_count").fetchone()
        board._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFullError, match="make room"):
            board.add([NewTicket(ticket_title="t", ticket_objective="x" * 100_000)], who="tester")
