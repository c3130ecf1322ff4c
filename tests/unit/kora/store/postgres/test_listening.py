"""What is heard of new tickets, and over which connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from kora.store.hints import Hints
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

    assert hints.wait(PATIENCE_SECONDS)
    assert not hints.wait(0.0)
    assert len(before) == 1
    assert raw.execute(f"SELECT pid {LISTENERS}").fetchall() == before


def test_a_connection_that_was_lost_is_made_anew_when_its_pause_is_over(hints, add, raw, monkeypatch):
    raw.execute(f"SELECT pg_terminate_backend(pid, 60000) {LISTENERS}")
    assert not hints.wait(PATIENCE_SECONDS)

    assert not hints.wait(0.0), "it is not tried again at once"
    monkeypatch.setattr(hints, "_circuit", listening.Circuit(least_seconds=0.0, most_seconds=0.0))
    assert not hints.wait(0.0)

    add(1)
    assert hints.wait(PATIENCE_SECONDS)
