"""Locks, full disks, interruptions and sudden deaths."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket
from kora.errors import StoreUnavailableError, StoreUnusableError
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sqlite import place, schema
from kora.store.sqlite.errors import translate
from kora.store.sqlite.place import SqliteConnection

ROOT = Path(__file__).resolve().parents[4]

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def locked_by_another(store, path):
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as locker:
        assert locker.stdout.readline() == "locked\n"
        yield
        locker.stdin.close()


def test_a_locked_store_is_unavailable_for_one_slice_and_says_so(writer, locked_by_another):
    # Were the wait unbounded, this would hang; the message must not be the driver's own.
    with pytest.raises(StoreUnavailableError, match=r"kora\.db is being written by another process \(SQLITE_BUSY\)"):
        writer.next_incarnation()


def test_a_writer_waits_one_second_and_an_operator_half_a_minute(store, writer):
    with closing(store.board()) as board:
        waits = [handle._connection.execute("PRAGMA busy_timeout").fetchone()[0] for handle in (writer, board)]
    assert waits == [1_000, 30_000]


def test_time_is_read_only_after_the_write_lock_is_held(path, raw):
    asked = []

    class Watchful:
        """Says the time, and whether anybody else could write at that moment."""

        def now_us(self):
            try:
                raw.execute("BEGIN IMMEDIATE")
                raw.execute("ROLLBACK")
                asked.append("free")
            except sqlite3.OperationalError:
                asked.append("held")
            return 1_790_000_000_000_000

        def boot_seconds(self):
            return 0.0

        def boot_id(self):
            return "boot"

    raw.execute("PRAGMA busy_timeout = 0")
    watched = open_store(f"sqlite:///{path}", workspace_id="another", actor_id="a", time=Watchful())
    with closing(watched.board()) as board:
        board.add([NewTicket(ticket_title="t")], who="tester")
    with closing(watched.writer(RuntimeRecord("r", "here", 1, "0"))) as handle:
        handle.turn(handle.next_incarnation(), Turn(claim=ClaimOrder(1, 60.0)))

    assert asked == ["held"] * 4


def test_readers_never_wait_for_a_writer(store, add, locked_by_another_later):
    with closing(store.reader()) as reader:
        reader._connection.execute("PRAGMA busy_timeout = 0")
        assert len(list(reader.tickets())) == 3
        assert reader.verify().events == 3
        assert reader.outstanding().ready


@pytest.fixture
def locked_by_another_later(add, raw):
    add(3)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("UPDATE tickets SET ticket_title = 'changed meanwhile'")
    yield
    raw.execute("ROLLBACK")


def test_opening_a_locked_new_store_ends_in_kora_s_words(path, monkeypatch):
    monkeypatch.setattr(schema, "PATIENT_SECONDS", 0.0)
    monkeypatch.setattr(schema, "WRITER_SECONDS", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(StoreUnavailableError, match="another process"):
            open_store(f"sqlite:///{path}", workspace_id="w", actor_id="a")


def test_opening_waits_for_whoever_is_making_the_store(path, monkeypatch):
    monkeypatch.setattr(schema, "WRITER_SECONDS", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(schema.time, "sleep", lambda _: other.in_transaction and other.execute("ROLLBACK"))

        with closing(open_store(f"sqlite:///{path}", workspace_id="w", actor_id="a").reader()) as reader:
            assert reader.verify().fault is None


def test_an_operator_who_waited_in_vain_is_told(store, raw, monkeypatch):
    monkeypatch.setattr(place, "PATIENT_SECONDS", 0.01)
    raw.execute("BEGIN IMMEDIATE")

    with closing(store.board()) as board, pytest.raises(StoreUnavailableError, match="another process"):
        board.add([NewTicket(ticket_title="t")], who="tester")
    raw.execute("ROLLBACK")


def test_a_full_disk_undoes_the_turn_and_passes(store, writer, add):
    add(1)
    incarnation = writer.next_incarnation()
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    turn = Turn(claim=ClaimOrder(1, 60.0), append=[NewEvent(EventType.BOOT_READY, {"filler": "x" * 100_000})])

    with pytest.raises(StoreUnavailableError, match="no room left"):
        writer.turn(incarnation, turn)

    assert writer.held() == []
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    assert len(writer.turn(incarnation, turn).claims) == 1
    with closing(store.reader()) as reader:
        assert reader.verify().fault is None


def test_a_failed_commit_is_rolled_back_and_can_be_repeated(writer, add, monkeypatch):
    add(1)
    incarnation = writer.next_incarnation()

    class LosesTheDisk:
        def __init__(self, connection):
            self.connection = connection

        def __getattr__(self, name):
            return getattr(self.connection, name)

        def execute(self, statement, *bound):
            if statement == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
                raise error
            return self.connection.execute(statement, *bound)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_connection", SqliteConnection(writer._place, LosesTheDisk(writer._connection.bare)))
        with pytest.raises(StoreUnavailableError, match="error of its disk"):
            writer.turn(incarnation, Turn(claim=ClaimOrder(1, 60.0)))

    assert writer.held() == []
    assert len(writer.turn(incarnation, Turn(claim=ClaimOrder(1, 60.0))).claims) == 1


def test_a_transaction_that_could_not_be_rolled_back_is_ended_before_the_next(writer):
    writer._connection.execute("BEGIN")

    assert writer.next_incarnation() == 1


def test_an_interrupted_statement_ends_as_unavailable(writer, path):
    started = threading.Event()

    def endless() -> int:
        started.set()
        return 1

    writer._connection.bare.create_function("tick", 0, endless)
    ended: list[Exception] = []

    def run() -> None:
        try:
            with writer._connection.writing():
                writer._connection.execute(
                    "WITH RECURSIVE n(x) AS (SELECT tick() UNION ALL SELECT tick() FROM n) SELECT sum(x) FROM n"
                ).fetchall()
        except StoreUnavailableError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(30)
    writer.interrupt()
    thread.join(30)

    assert "was interrupted" in str(ended[0])
    assert writer.next_incarnation() == 1


def test_interrupting_a_closed_handle_does_no_harm(store, writer):
    writer.close()

    writer.interrupt()


@pytest.mark.parametrize("damage", ["UPDATE events SET payload = '{'", "UPDATE events SET occurred_at = 1 << 62"])
def test_a_damaged_event_is_named(store, add, raw, damage):
    add(1)
    raw.execute(damage)

    with closing(store.reader()) as reader, pytest.raises(StoreUnusableError, match="event 1 is damaged"):
        list(reader.events())


def test_a_damaged_ticket_is_named_and_does_not_stop_the_turn(store, add, writer, raw):
    bad, good = add(2)
    raw.execute("UPDATE tickets SET failure_count_by_reason = '{' WHERE ticket_id = ?", (bad,))

    result = writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(1, 60.0)))

    assert [claim.key.ticket_id for claim in result.claims] == [good]
    assert bad in result.set_aside[0]
    with closing(store.reader()) as reader, pytest.raises(StoreUnusableError, match=f"{bad} is damaged"):
        reader.ticket(bad)


def test_text_that_is_no_text_any_more_is_damage(store, add, raw):
    add(1)
    raw.execute("UPDATE tickets SET ticket_title = CAST(x'ff' AS TEXT)")

    with closing(store.reader()) as reader, pytest.raises(StoreUnusableError, match="is damaged"):
        list(reader.tickets())


def test_what_only_kora_can_cause_is_not_translated(path):
    error = sqlite3.IntegrityError("UNIQUE constraint failed")
    error.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT

    assert translate(error, path) is None
    assert translate(sqlite3.ProgrammingError("closed"), path) is None


WORKER = """
import sys
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
store = open_store(f"sqlite:///{sys.argv[1]}", workspace_id="w", actor_id="a")
writer = store.writer(RuntimeRecord("victim", "here", 1, "0"))
incarnation, ends, turns = writer.next_incarnation(), [], 0
while True:
    result = writer.turn(incarnation, Turn(settle=ends, claim=ClaimOrder(5, 600.0)))
    ends = [Settlement(c.key, Resolution.RELEASED, Status.RELEASED, "again", None, {}) for c in result.claims]
    turns += 1
    if turns == int(sys.argv[2]):
        print("busy", flush=True)
"""


@pytest.mark.parametrize("turns", [1, 7, 30])
def test_a_writer_killed_at_work_leaves_a_sound_store(*, store, path, add, writer, raw, turns):
    add(20)
    with subprocess.Popen([sys.executable, "-c", WORKER, path, str(turns)], cwd=ROOT, stdout=subprocess.PIPE) as victim:
        assert victim.stdout.readline() == b"busy\n"
        victim.send_signal(signal.SIGKILL)
        assert victim.wait(30) == -signal.SIGKILL

    with closing(store.reader()) as reader:
        assert reader.verify().fault is None
        held = [ticket for ticket in reader.tickets() if ticket.claim]
        result = writer.turn(writer.next_incarnation(), Turn(return_holders=["victim"], max_attempts=10**9))
        assert len(result.returned) == len(held)
        assert reader.verify().fault is None
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert raw.execute("SELECT count(*) FROM operations WHERE state = 'allocated'").fetchone() == (0,)
