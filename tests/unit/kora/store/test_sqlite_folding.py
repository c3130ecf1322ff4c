"""What is folded into the file beside a writer, and what becomes of it when that cannot be done."""

import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from kora.config.sections import Child
from kora.domain.events import EventType, NewEvent
from kora.store.port import Turn
from kora.store.sqlite.folding import CLOSE_SECONDS, ROWS, Folding

SOME = 2_000


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "folding"]


@pytest.fixture
def place(writer):
    return writer._place


@pytest.fixture
def folding(place):
    folding = Folding(place)
    yield folding
    folding.close()


def in_the_file_alone(path, folder):
    """How many events whoever had the file without its log would see."""
    copy = folder / "copy.db"
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as raw:
        return raw.execute("SELECT count(*) FROM events").fetchone()[0]


def speak(writer, incarnation, count=SOME):
    writer.turn(incarnation, Turn(append=tuple(NewEvent(EventType.BOOT_READY, {}) for _ in range(count))))


def test_what_was_committed_is_folded_in_while_its_writer_goes_on(writer, folding, path, tmp_path):
    incarnation = writer.next_incarnation()
    speak(writer, incarnation)
    assert in_the_file_alone(path, tmp_path) == 0
    folding.committed(ROWS)
    folding.close()
    assert in_the_file_alone(path, tmp_path) == SOME
    speak(writer, incarnation)


def test_a_writer_has_the_log_folded_in_after_so_many_rows(writer, path, tmp_path):
    incarnation = writer.next_incarnation()
    while not threads():
        speak(writer, incarnation)
    assert writer._connection.bare.total_changes >= ROWS
    # Of its own, as the last handle it would fold in what is left when it is closed.
    writer._folding.close()
    assert in_the_file_alone(path, tmp_path) >= ROWS - SOME
    assert not threads()


def test_an_idle_writer_has_no_thread_for_it(writer):
    speak(writer, writer.next_incarnation(), 10)
    assert not threads()


def test_a_writer_that_is_closed_leaves_no_thread(writer):
    incarnation = writer.next_incarnation()
    while not threads():
        speak(writer, incarnation)
    writer.close()
    assert not threads()


def test_a_store_that_was_taken_away_is_left_to_its_writer_to_complain_of(folding, path):
    path.rename(path.with_name("gone.db"))
    folding.committed(ROWS)
    folding.close()
    assert not threads()


def test_where_no_thread_is_to_be_had_it_is_tried_again(folding, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        folding.committed(ROWS)
    folding.committed(2 * ROWS - 1)
    assert not threads()
    folding.committed(2 * ROWS)
    assert threads()


def test_a_disk_that_hangs_does_not_make_a_ledger_overrun_the_time_that_it_has_to_stop():
    # Left behind, it would close no handle, and count among the threads of which a few end the runtime.
    assert Child().shutdown_seconds / 2 >= CLOSE_SECONDS
