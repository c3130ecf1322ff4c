"""What is heard of new tickets, and over which connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from kora.domain.control import StopLevel
from kora.store.hints import Hint, Hints
from kora.store.postgres import listening
from tests.unit.kora.store.postgres.fleet import PATIENCE_SECONDS

LISTENERS = "FROM pg_stat_activity WHERE application_name = 'kora listener' AND datname = current_database()"


@pytest.fixture
def hints(store) -> Iterator[Hints]:
    with closing(store.hints()) as listener:
        assert not listener.wait(0.0)
        yield listener


def test_a_new_ticket_is_heard_of_and_silence_keeps_the_connection(hints, add, raw):
    before = raw.execute(f"SELECT pid {LISTENERS}").fetchall()
    for _ in range(3):
        assert not hints.wait(0.001)

    add(1)

    assert hints.wait(PATIENCE_SECONDS) is Hint.TICKETS
    assert not hints.wait(0.0)
    assert len(before) == 1
    assert raw.execute(f"SELECT pid {LISTENERS}").fetchall() == before


def test_a_command_and_its_reset_are_heard_of_as_such(hints, store):
    with closing(store.board()) as board:
        board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="enough", enforce_seconds=60.0, who="ann")
        assert hints.wait(PATIENCE_SECONDS) is Hint.STEERING
        board.reset(reason="seen to", who="ann")
        assert hints.wait(PATIENCE_SECONDS) is Hint.STEERING


def test_a_connection_that_was_lost_is_made_anew_when_its_pause_is_over(hints, add, raw, monkeypatch):
    raw.execute(f"SELECT pg_terminate_backend(pid, 60000) {LISTENERS}")
    assert not hints.wait(PATIENCE_SECONDS)

    assert not hints.wait(0.0), "it is not tried again at once"
    monkeypatch.setattr(hints, "_circuit", listening.Circuit(least_seconds=0.0, most_seconds=0.0))
    assert not hints.wait(0.0)

    add(1)
    assert hints.wait(PATIENCE_SECONDS)
