"""A stream that outlives the runtime: nothing that the store has is left out, whatever happens in between."""

import queue
import threading
from contextlib import closing

import pytest

from kora.cli.admin import outlasting
from kora.domain.events import EventType, NewEvent
from kora.errors import NoRuntimeError, UnknownNameError
from kora.store.port import RuntimeRecord, Turn
from tests.unit.kora.admin.stand_in import line

RUNTIME = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"


@pytest.fixture
def append(away):
    with closing(away.console.store.writer(RuntimeRecord(RUNTIME, "ship", 1, "0"))) as writer:
        incarnation = writer.next_incarnation()
        yield lambda number: writer.turn(incarnation, Turn(append=[NewEvent(EventType.BOOT_READY, {"number": number})]))


@pytest.fixture
def followed(runtime, monkeypatch):
    """Follow this path from now on: a queue of what comes."""
    is_over, came, away = threading.Event(), queue.Queue(), threading.Semaphore(0)
    threads = []

    def pause():
        away.release()
        if is_over.wait(0.01):
            raise KeyboardInterrupt

    def follow(path, after):
        try:
            for item in outlasting.outlasting(runtime.client, path, after=after):
                came.put(item)
        except KeyboardInterrupt:
            pass

    def begin(path, after=None):
        threads.append(threading.Thread(target=follow, args=(path, after)))
        threads[0].start()
        return came, away

    monkeypatch.setattr(outlasting, "pause", pause)
    yield begin
    is_over.set()
    runtime.stop()
    threads[0].join()


def number(came):
    return came.get(timeout=30)["payload"]["number"]


def test_what_was_appended_while_the_runtime_was_away_comes_when_it_is_back(runtime, append, followed, capsys):
    came, away = followed("/events/stream", 0)
    append(1)
    assert number(came) == 1
    runtime.stop()
    assert away.acquire(timeout=30)
    append(2)
    append(3)
    runtime.start()
    append(4)

    assert [number(came) for _ in range(3)] == [2, 3, 4]
    assert came.empty()
    assert capsys.readouterr().err.splitlines() == [
        "kora-actors: the runtime is gone; waiting until it is back, or for Ctrl-C",
        "kora-actors: the runtime is back",
    ]


def test_a_restart_of_the_server_alone_is_not_noticed(runtime, followed, capsys):
    came, _ = followed("/log/stream", 0)
    runtime.console.log.add(line("one"))
    assert came.get(timeout=30)["text"] == "one"
    runtime.client.restart("admin")
    runtime.console.log.add(line("two"))

    assert came.get(timeout=30)["text"] == "two"
    assert capsys.readouterr().err == ""


def test_what_was_left_out_is_said(runtime, followed, capsys):
    runtime.console.log.add(*(line() for _ in range(1_500)))
    came, _ = followed("/log/stream", 1)

    assert came.get(timeout=30)["text"].startswith("line")
    assert capsys.readouterr().err == "kora-actors: 499 items left out: they came faster than they are shown\n"


def test_what_cannot_be_followed_from_the_beginning_fails(away):
    with pytest.raises(NoRuntimeError):
        next(outlasting.outlasting(away.client, "/log/stream"))
    away.start()
    with pytest.raises(UnknownNameError):
        next(outlasting.outlasting(away.client, "/actors/nobody/trace"))
