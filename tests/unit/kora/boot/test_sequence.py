"""The gates in their order: what is tried again, how long is waited, what is said, and what ends it."""

from __future__ import annotations

import os
import signal

import pytest
from loguru import logger

from kora.app.boot import sequence
from kora.app.boot.sequence import Sequence
from kora.domain import gates
from kora.domain.gates import GATES, GateClass, GateOutcome, RetrySchedule
from kora.errors import (
    AgentError,
    BootEndedError,
    BootError,
    StartError,
    StoreFullError,
    StoreLockedError,
    StoreUnreachableError,
    StoreUnusableError,
)
from kora.signals import Signals

AWAY = StoreUnreachableError("postgresql://ada:***@db/kora: no server answers there")


class Moments:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Gates:
    """Gates that fail so often, each with its error, before they pass."""

    def __init__(self, **failing):
        self.failing = {gate_id: list(errors) for gate_id, errors in failing.items()}
        self.tried = []
        self.at = {}

    def tries(self, moments):
        return {gate: lambda gate=gate: self.attempt(gate, moments) for gate in GATES}

    def attempt(self, gate, moments):
        self.tried.append(gate.gate_id)
        self.at.setdefault(gate.gate_id, []).append(moments.now)
        left = self.failing.get(gate.gate_id)
        if left:
            error = left.pop(0)
            raise error() if callable(error) and not isinstance(error, Exception) else error
        return f"{gate.gate_id} is as it should be"


@pytest.fixture
def moments(monkeypatch):
    moments = Moments()
    monkeypatch.setattr(sequence, "time", moments)
    return moments


@pytest.fixture
def said():
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(sink)


def run(made, moments, *, schedule=RetrySchedule(5, 2.0, 30.0), signals=None, tell=lambda _: None):  # noqa: B008 - it is frozen
    return Sequence(made.tries(moments), schedule, tell=tell, signals=signals).run()


def outcomes(results):
    return [(result.gate_id, result.outcome.value, result.attempts) for result in results]


def test_every_gate_is_tried_once_in_order_and_says_what_it_found(moments):
    made = Gates()
    results = run(made, moments)
    assert made.tried == [gate.gate_id for gate in GATES]
    assert outcomes(results) == [(gate.gate_id, "passed", 1) for gate in GATES]
    assert results[0].detail == "configuration is as it should be"
    assert moments.now == 0.0


@pytest.mark.parametrize("gate", [gate for gate in GATES if gate.gate_class is GateClass.TRANSIENT])
def test_a_transient_gate_is_tried_five_times_with_pauses_that_double_and_then_stops_the_runtime(moments, gate):
    made = Gates(**{gate.gate_id: [BootError("not yet")] * 9})
    results = run(made, moments)
    assert made.at[gate.gate_id] == pytest.approx([0, 2, 6, 14, 30])
    assert outcomes(results)[-1] == (gate.gate_id, "failed", 5)
    assert (results[-1].detail, results[-1].elapsed_ms) == ("not yet", 30_000)
    assert made.tried[-1] == gate.gate_id, "nothing behind it is tried"


def test_a_transient_gate_that_passes_in_time_is_passed_with_its_attempts_counted(moments):
    made = Gates(clock=[BootError("off"), BootError("off")])
    results = run(made, moments)
    assert ("clock", "passed", 3) in outcomes(results)
    assert len(results) == len(GATES)


@pytest.mark.parametrize("gate", [gate for gate in GATES if gate.gate_class is GateClass.INVARIANT])
def test_an_invariant_that_fails_once_stops_the_runtime(moments, gate):
    made = Gates(**{gate.gate_id: [AgentError("missing")]})
    results = run(made, moments)
    assert outcomes(results)[-1] == (gate.gate_id, "failed", 1)
    assert made.tried[-1] == gate.gate_id
    assert moments.now == 0.0


def test_one_that_only_pauses_lets_the_others_be_tried(moments):
    made = Gates(epoch=[BootError("bumped")], chains=[BootError("behind")])
    results = run(made, moments)
    failed = [result.gate_id for result in results if result.outcome is GateOutcome.FAILED]
    assert failed == ["epoch", "chains"]
    assert made.tried == [gate.gate_id for gate in GATES]


@pytest.mark.parametrize("gate", [gates.SCHEMA, gates.EPOCH, gates.CHAINS, gates.CLAIM_SMOKE])
@pytest.mark.parametrize("error", [StoreFullError("no room"), StoreLockedError("is being written")])
def test_what_only_the_store_is_the_cause_of_fails_no_gate_at_once(moments, gate, error):
    made = Gates(**{gate.gate_id: [error] * 4})
    assert (gate.gate_id, "passed", 5) in outcomes(run(made, moments))
    made = Gates(**{gate.gate_id: [error] * 5})
    place = -1 if gate.gate_class is GateClass.INVARIANT else GATES.index(gate)
    assert outcomes(run(made, moments))[place] == (gate.gate_id, "failed", 5)


@pytest.mark.parametrize("gate", [gates.STORE, gates.EPOCH, gates.CLAIM_SMOKE])
@pytest.mark.parametrize("error", [AWAY, StoreLockedError("is being written")])
def test_a_server_out_of_reach_or_a_store_in_use_is_waited_for_however_long_it_takes(moments, said, gate, error):
    made = Gates(**{gate.gate_id: [error] * 500})
    with Signals() as signals:
        results = run(made, moments, signals=signals)
    assert (gate.gate_id, "passed", 501) in outcomes(results)
    assert 500 * 30 * 0.5 < moments.now < 500 * 30 + 1


def test_without_anybody_who_could_end_it_a_server_out_of_reach_is_not_waited_for(moments):
    with pytest.raises(StoreUnreachableError):
        run(Gates(store=[AWAY] * 3), moments)


@pytest.mark.parametrize("error", [StoreUnusableError("kora.db is a directory"), StartError("too few files")])
def test_what_needs_a_person_at_once_is_not_tried_again(moments, error):
    made = Gates(store=[error] * 2)
    with pytest.raises(type(error)):
        run(made, moments)
    assert made.tried.count("store") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_at_once_whatever_it_waits_for(moments, number):
    def told():
        os.kill(os.getpid(), number)
        return AWAY

    made = Gates(store=[AWAY, AWAY, told])
    with Signals() as signals, pytest.raises(BootEndedError, match="told to end before it began"):
        run(made, moments, schedule=RetrySchedule(5, 3_600.0, 3_600.0), signals=signals)
    assert made.tried.count("store") == 3
    assert moments.now <= 2 * 3_600, "the pause behind the last try is not sat out"


def test_it_is_said_at_once_and_then_again_with_pauses_that_grow(moments, said):
    made = Gates(store=[AWAY] * 400)
    with Signals() as signals:
        run(made, moments, signals=signals)
    assert 2 * 3_600 < moments.now < 4 * 3_600
    assert 7 <= sum("no server answers there; this runtime tries again" in line for line in said) <= 11
    assert any(line.startswith("INFO boot gate store passes") for line in said)


def test_where_the_gates_stand_is_told_at_every_step(moments):
    told = []
    run(Gates(clock=[BootError("off by 9 s")]), moments, tell=told.append)
    at_clock = [now for now in told if now.gate is gates.CLOCK]
    assert [(now.failures, now.detail) for now in at_clock] == [(0, ""), (1, "off by 9 s")]
    assert at_clock[0].since is not None
    assert [result.gate_id for result in at_clock[0].results] == [gate.gate_id for gate in GATES[:6]]
    assert told[-1].gate is None
    assert len(told[-1].results) == len(GATES)
