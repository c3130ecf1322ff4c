"""The Console's parts: rings, texts, the main thread's requests, the record."""

from __future__ import annotations

import io
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from actors.messages import Drain, Work
from actors.steering import Transition
from actors.supervision import Sent
from kora import logging
from kora.agents.port import Lease
from kora.app.console import recorder as recorder_module
from kora.app.console.feeds import TRACED_A_SECOND, LogShown, Ring, Trace
from kora.app.console.main_thread import MainThread
from kora.app.console.recorder import Acted, Recorder
from kora.app.console.text import DETAIL_CHARACTERS, PREVIEW_CHARACTERS, Text
from kora.domain.state import PrimaryState
from kora.errors import NoAnswerError, RefusedError, StoreLockedError, StoreUnusableError
from tests.claims import a_claim

logger.remove()
SECRET = "sk-" + "abcdefghijklmnopqrstuvwxyz0123"


@given(kept=st.integers(1, 5), added=st.lists(st.integers(0, 4), max_size=8), limit=st.integers(1, 4))
def test_whoever_follows_a_ring_has_all_that_it_did_not_miss_in_order(kept, added, limit):
    ring, everything, position, missed, heard = Ring(kept), [], 0, 0, []
    for count in added:
        new = list(range(len(everything), len(everything) + count))
        everything += new
        ring.add(*new)
        batch = ring.since(position, limit)
        assert len(batch.items) <= limit
        assert batch.next == position + batch.missed + len(batch.items)
        heard += batch.items
        position, missed = batch.next, missed + batch.missed
    while batch := ring.since(position, limit).items:
        heard += batch
        position += len(batch)
    assert ring.position() == position == len(everything)
    assert missed + len(heard) == len(everything)
    assert heard == sorted(set(heard))


def test_a_position_beyond_the_end_waits_there():
    ring = Ring(3)
    ring.add(1)
    assert ring.since(9, 5).items == []
    assert ring.since(9, 5).next == 1


def test_a_flood_is_traced_at_a_bounded_rate_and_the_next_one_says_how_many_were_left_out():
    now = 0.0
    trace = Trace("ledger", Text(), clock=lambda: now)

    def hear(count, receiver="ledger"):
        for _ in range(count):
            trace.hear(Sent(receiver, Drain(deadline=1.0), "poller", control=True))

    hear(3, "poller")
    hear(TRACED_A_SECOND + 7)
    assert trace.messages.position() == TRACED_A_SECOND
    now += 1
    hear(2)
    last = trace.messages.since(0, 10_000).items[-2:]
    assert [each.left_out for each in last] == [7, 0]
    assert last[0].preview == "Drain(deadline=1.0, at_once=False, is_final=True)"


def test_a_preview_is_short_and_tells_no_secret_and_has_no_control_character():
    text = Text()
    claims = tuple(a_claim() for _ in range(300))
    work = text.preview(Work(claims, Lease(1.0, 1.0), 1, 1))
    assert work.startswith("Work(claims=[Claim(key=ClaimKey(ticket_id=")
    assert len(work) <= PREVIEW_CHARACTERS
    for trigger in (
        f"token {SECRET}",
        *("x" * number + f" {SECRET}" for number in range(55, 80)),
        "password=hunter2hunter2",
        "\x1b[2J\u202e",
    ):
        said = text.preview(Transition(target=PrimaryState.PAUSED, trigger=trigger))
        assert said.startswith("Transition(target=paused, trigger=")
        assert not any(part in said for part in ("hunter2", "abcdefgh", "\x1b", "\u202e"))
    assert text.preview(Drain(deadline=1.0)) == "Drain(deadline=1.0, at_once=False, is_final=True)"


@pytest.mark.parametrize("left", range(1, len(SECRET), 3))
def test_a_detail_that_is_shortened_shows_no_half_of_a_secret(left):
    # So much of it would be left, were it cut where it is shown from, or at all before it is looked through.
    shown_from = Text().detail(f"begin\ntoken {SECRET}" + "y\n" * ((DETAIL_CHARACTERS - left) // 2))
    secrets = f"token {SECRET}\n" * 2_000
    looked_through_from = Text().detail(secrets + "y" * (-left % len(f"token {SECRET}\n")))
    for said in (shown_from, looked_through_from):
        assert len(said) <= DETAIL_CHARACTERS + 2
        assert not [part for part in range(3, len(SECRET) - 3) if SECRET[part : part + 4] in said]


@dataclass
class Odd:
    """Something that no message should hold."""

    deep: object


def test_whatever_it_is_given_a_preview_comes_to_an_end():
    odd = Odd(None)
    odd.deep = [odd, {"x": odd}]
    assert "…" in Text().preview(odd)


def test_plain_values_keep_their_shape_and_lose_their_secrets():
    value = {"a": [1, 2.5, None, True], "password": "hunter2hunter2", "b": (f"say {SECRET}",), "c": {"d": object()}}
    assert Text().plain(value) == {
        "a": [1, 2.5, None, True],
        "password": "***",
        "b": ["say ***"],
        "c": {"d": "object(…)"},
    }


def test_the_log_is_kept_line_by_line_redacted_and_only_from_the_level_that_is_logged():
    log = LogShown()
    logging.configure("INFO", io.StringIO())
    try:
        logging.listen(log.hear)
        logger.bind(actor="poller").warning("first password=hunter2hunter2\nsecond\x1b[2J")
        logger.debug("not said")
    finally:
        logging.shutdown()
    lines = log.lines.since(0, 10).items
    assert [(line.level, line.actor, line.text) for line in lines] == [
        ("WARNING", "poller", "first password=***"),
        ("WARNING", "poller", "    second\\u001b[2J"),
    ]


def test_what_the_main_thread_is_asked_for_is_done_there_and_its_error_is_the_askers():
    main, answers = MainThread(), []

    def fail():
        raise RefusedError("no")

    def ask():
        answers.append(main.ask(threading.get_ident))
        with pytest.raises(RefusedError, match="no"):
            main.ask(fail)
        answers.append("done")

    asker = threading.Thread(target=ask)
    asker.start()
    while asker.is_alive():
        main.serve()
        asker.join(0.01)
    assert answers == [threading.get_ident(), "done"]


def test_who_asks_without_end_does_not_keep_the_main_thread_from_its_work(eventually):
    main, askers = MainThread(), []

    def ask_again():
        askers.append(threading.Thread(target=main.ask, args=(ask_again if len(askers) < 9 else int,)))
        askers[-1].start()
        eventually(lambda: main._asked.qsize() == 1)

    askers.append(threading.Thread(target=main.ask, args=(ask_again,)))
    askers[0].start()
    for count in range(1, 10):
        eventually(lambda: main._asked.qsize() == 1)
        main.serve()
        assert len(askers) == count + 1
    main.serve()
    for asker in askers:
        asker.join()


def test_nobody_waits_for_a_main_thread_that_does_not_come_or_has_ended():
    main, begun = MainThread(), []
    with pytest.raises(NoAnswerError, match="did not come to it"):
        main.ask(lambda: begun.append(1), 0.01)
    main.serve()
    assert begun == []
    main.close()
    with pytest.raises(RefusedError, match="ending"):
        main.ask(lambda: begun.append(1))


def test_what_is_asked_of_a_runtime_that_has_just_ended_is_refused_though_its_thread_comes_to_it_first():
    main, begun, refused = MainThread(), [], []
    refuse_all, came = main._refuse_all, threading.Event()

    def serve_first():
        """The main thread is back at its loop before the asker has looked whether the runtime has ended."""
        if threading.current_thread() is not threading.main_thread():
            main.serve()
            came.set()
        refuse_all()

    main._refuse_all = serve_first
    main.close()

    def ask():
        with pytest.raises(RefusedError, match="ending"):
            main.ask(lambda: begun.append(1), 10)
        refused.append(1)

    asker = threading.Thread(target=ask)
    asker.start()
    assert came.wait(10)
    asker.join(10)
    assert (begun, refused) == ([], [1])


def test_the_main_thread_does_not_wait_for_a_request_that_was_just_taken_away_from_it():
    main = MainThread()

    class Emptied(queue.SimpleQueue):
        """One whose last request is refused by its asker as soon as the main thread has seen it."""

        def empty(self):
            seen = super().empty()
            with suppress(queue.Empty):
                super().get_nowait()
            return seen

    main._asked = Emptied()
    main._asked.put((lambda: None, Future()))
    served = threading.Thread(target=main.serve, daemon=True)
    served.start()
    served.join(10)
    assert not served.is_alive()


class Board:
    """A store's handle that fails as it is told, once each."""

    def __init__(self):
        self.faults, self.written, self.tried = [], [], threading.Semaphore(0)

    def record(self, verb, target, *, before, after, who, event_id):
        self.tried.release()
        if self.faults:
            raise self.faults.pop(0)
        self.written.append((event_id, who, verb, target, before, after))

    def close(self):
        """There is nothing to close."""


@pytest.fixture
def said():
    lines = []
    sink = logger.add(lambda message: lines.append((message.record["level"].name, message.record["message"])))
    yield lines
    logger.remove(sink)


@pytest.fixture
def board():
    return Board()


def test_records_are_written_in_order_and_wait_while_the_store_is_away(board, said, monkeypatch):
    monkeypatch.setattr(recorder_module, "_AGAIN_SECONDS", 0.01)
    opened = []
    recorder = Recorder(lambda: opened.append(1) or board)
    board.faults = [StoreLockedError("locked")] * 3
    acted = [Acted("ann", "tell", f"actor-{number}", {}, {}) for number in range(5)]
    recorder.start()
    for each in acted:
        recorder.add(each)
    recorder.close()
    assert [event_id for event_id, *_ in board.written] == [each.event_id for each in acted]
    assert [line for level, line in said if level == "WARNING"] == [
        "what operators do cannot be put on record, trying on: locked"
    ]
    assert ("INFO", "operator ann: tell actor-0") in said
    # Each time anew, for the file may be another by the next.
    assert len(opened) == 4
    assert recorder.waiting == 0


def test_what_cannot_be_written_stands_whole_in_the_log(board, said, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(recorder_module, "_AGAIN_SECONDS", 0.01)
    recorder = Recorder(lambda: board)
    board.faults = [StoreUnusableError("no database"), *[StoreLockedError("locked")] * 1_000]
    recorder.start()
    for verb in ("pause", "resume"):
        recorder.add(Acted("ann", verb, "it", {"was": 1}, {"is": 2}))
    recorder.close()
    lost = [line for level, line in said if level == "ERROR"]
    assert len(lost) == 2
    assert "no database" in lost[0]
    assert '"verb": "pause"' in lost[0]
    assert '"before": {"was": 1}' in lost[1]
    assert board.written == []


def test_of_more_than_may_wait_the_oldest_are_left_to_the_log(board, said, monkeypatch):
    monkeypatch.setattr(recorder_module, "RECORDS_WAITING", 2)
    recorder = Recorder(lambda: board)
    for number in range(3):
        recorder.add(Acted("ann", "tell", f"actor-{number}", {}, {}))
    assert recorder.waiting == 2
    assert [line for level, line in said if level == "ERROR" and "actor-0" in line]
