"""A gate that closes while turns are under way, each moment brought about on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest

from kora.domain.claim import ClaimResult
from kora.domain.control import StopLevel
from kora.domain.cost import Ramp, Resumption
from kora.domain.ticket import Status
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sql import pace
from tests.unit.kora.store.postgres.fleet import PATIENCE_SECONDS, ended
from tests.unit.kora.store.postgres.test_races import wait_for_waiting

RAMP = Ramp(3_600.0, 600.0)
ORDER = ClaimOrder(2, 60.0)


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def stop(board) -> Callable[[], object]:
    return lambda: board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="a test", enforce_seconds=1.0, who="ada")


@pytest.fixture
def ramp(board) -> Callable[[], object]:
    return lambda: board.refresh_credit(RAMP, who="ada")


@contextmanager
def locked(raw: psycopg.Connection, runtime_id: str) -> Iterator[None]:
    """No turn of this runtime begins inside."""
    with raw.transaction():
        raw.execute("SELECT 1 FROM runtimes WHERE runtime_id = %s FOR UPDATE", [runtime_id])
        yield


@contextmanager
def and_meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> Iterator[None]:
    """The next turn that is about to claim is under way while this happens."""
    claim = pace.claim

    def after_that(turn, order):
        monkeypatch.undo()
        happens()
        claim(turn, order)

    monkeypatch.setattr(pace, "claim", after_that)
    yield


def test_a_stop_is_written_when_every_turn_that_knows_nothing_of_it_has_ended(
    *, runtime, reader, add, raw, beside, stop, monkeypatch
):
    add(3)
    under_way = []

    def stops():
        under_way.append(beside.submit(stop))
        wait_for_waiting(raw)

    with and_meanwhile(monkeypatch, stops):
        assert len(runtime.turn(claim=ORDER).claims) == 2
    under_way[0].result(PATIENCE_SECONDS)

    assert runtime.turn(claim=ORDER).blocked_by is ClaimResult.BLOCKED_BY_CONTROL
    assert next(reversed(list(reader.events()))).payload["verb"] == "stop"


def test_a_turn_that_waited_for_a_stop_finds_it(runtime, add, raw, beside, stop):
    add(1)
    with locked(raw, runtime.id):
        stopping = beside.submit(stop)
        wait_for_waiting(raw)
        claiming = beside.submit(runtime.turn, claim=ORDER)
        wait_for_waiting(raw, 2)
    stopping.result(PATIENCE_SECONDS)

    result = claiming.result(PATIENCE_SECONDS)

    assert (result.claims, result.blocked_by) == ([], ClaimResult.BLOCKED_BY_CONTROL)


def test_a_turn_that_waited_for_a_ramp_is_paced_by_it(runtime, add, raw, beside, ramp):
    add(3)
    with locked(raw, runtime.id):
        refreshing = beside.submit(ramp)
        wait_for_waiting(raw)
        claiming = beside.submit(runtime.turn, claim=ORDER)
        wait_for_waiting(raw, 2)
    refreshing.result(PATIENCE_SECONDS)

    assert len(claiming.result(PATIENCE_SECONDS).claims) == 1


def test_a_runtime_that_comes_while_work_is_being_stopped_finds_it_stopped(*, runtime, store, add, raw, beside, stop):
    add(1)
    with closing(store.writer(RuntimeRecord(runtime_id="new", host="here", pid=1, version="0"))) as new:
        # Connected before: a transaction sees of the server's sessions those that were there when it first looked.
        assert new.held() == []
        with locked(raw, runtime.id):
            stopping = beside.submit(stop)
            wait_for_waiting(raw)
            coming = beside.submit(new.next_incarnation)
            wait_for_waiting(raw, 2)
        stopping.result(PATIENCE_SECONDS)

        result = new.turn(coming.result(PATIENCE_SECONDS), Turn(claim=ORDER))

    assert result.blocked_by is ClaimResult.BLOCKED_BY_CONTROL


def test_of_two_paced_claims_at_once_one_is_refused_and_waits_for_nobody(*, runtime, other, add, ramp, monkeypatch):
    add(3)
    ramp()
    refused = []

    with and_meanwhile(monkeypatch, lambda: refused.append(other.turn(claim=ORDER))):
        assert len(runtime.turn(claim=ORDER).claims) == 1

    assert [(result.claims, result.blocked_by) for result in refused] == [([], ClaimResult.BLOCKED_BY_COST)]


def test_a_new_month_frees_nothing_while_another_turn_is_under_way_that_knows_of_no_ramp(
    *, runtime, other, add, monkeypatch, reader
):
    add(3)
    (claim,) = runtime.claim(1)
    runtime.settle(ended(claim, Status.DEFERRED_COST_LIMIT))

    with and_meanwhile(monkeypatch, lambda: other.turn(resume_credit=Resumption(RAMP, None))):
        assert len(runtime.turn(claim=ORDER).claims) == 2

    assert reader.ticket(claim.key.ticket_id).sea_status is Status.DEFERRED_COST_LIMIT
    other.turn(resume_credit=Resumption(RAMP, None))
    assert reader.ticket(claim.key.ticket_id).sea_status is Status.ASSIGNED
    assert reader.steering().pool.ramp_seconds > 0
