"""Boot gates: their order, their retries, and what their results come to."""

from __future__ import annotations

from itertools import product

import pytest

from kora.domain import gates
from kora.domain.gates import GATES, GateClass, GateOutcome, GateResult, RetrySchedule, conclude
from kora.domain.state import DegradationReason, PrimaryState, allowed


def result(gate, outcome, detail=""):
    return GateResult(gate.gate_id, gate.gate_class, outcome, 1, 0, detail)


def results(*failed):
    return [result(gate, GateOutcome.FAILED if gate in failed else GateOutcome.PASSED) for gate in GATES]


def test_the_gates_stand_in_the_order_of_the_contract_each_with_its_class():
    assert [(gate.gate_id, gate.gate_class.value) for gate in GATES] == [
        ("configuration", "invariant"),
        ("store", "transient"),
        ("schema", "invariant"),
        ("actor", "invariant"),
        ("agents", "invariant"),
        ("credentials", "transient"),
        ("clock", "transient"),
        ("epoch", "invariant_pause"),
        ("chains", "invariant_pause"),
        ("control_log", "transient"),
        ("cost", "transient"),
        ("claim_smoke", "invariant"),
    ]


def test_by_the_defaults_a_gate_is_tried_five_times_with_pauses_of_two_seconds_doubling():
    schedule = RetrySchedule(5, 2.0, 30.0)
    assert [schedule.pause_seconds(failures) for failures in range(1, 7)] == [2, 4, 8, 16, 30, 30]
    assert [schedule.is_spent(failures) for failures in range(1, 7)] == [False, False, False, False, True, True]


def test_a_pause_never_gets_longer_than_its_cap_however_often_it_was_tried():
    assert RetrySchedule(1, 2.0, 30.0).pause_seconds(10_000) == 30.0
    assert RetrySchedule(1, 5.0, 1.0).pause_seconds(1) == 1.0
    assert RetrySchedule(1, 0.0, 30.0).pause_seconds(10_000) == 0.0


def test_all_gates_passed_is_ready():
    conclusion = conclude(results())
    assert (conclusion.state, conclusion.reasons, conclusion.failed) == (PrimaryState.READY, frozenset(), ())


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.gate_id)
def test_one_failed_gate_comes_to_what_its_class_says(gate):
    conclusion = conclude(results(gate))
    pauses = gate.gate_class is GateClass.INVARIANT_PAUSE
    assert conclusion.state is (PrimaryState.PAUSED if pauses else PrimaryState.STOPPED)
    assert conclusion.reasons == {gate.reason}
    assert [failed.gate_id for failed in conclusion.failed] == [gate.gate_id]
    assert allowed(PrimaryState.BOOTING, conclusion.state)


def test_of_any_two_failed_gates_one_that_stops_outweighs_one_that_pauses():
    for first, second in product(GATES, GATES):
        conclusion = conclude(results(first, second))
        both_pause = {first.gate_class, second.gate_class} == {GateClass.INVARIANT_PAUSE}
        assert conclusion.state is (PrimaryState.PAUSED if both_pause else PrimaryState.STOPPED)


def test_a_spent_budget_and_a_failed_invariant_are_told_apart():
    assert conclude(results(gates.CLOCK)).trigger == "retry budget exhausted"
    assert conclude(results(gates.SCHEMA)).trigger == "invariant gate failure"
    assert conclude(results(gates.EPOCH, gates.CHAINS)).trigger == "epoch mismatch"


def test_what_was_skipped_is_no_failure_of_its_own():
    found = [
        result(gate, GateOutcome.FAILED if gate is gates.STORE else GateOutcome.SKIPPED)
        for gate in (gates.STORE, gates.SCHEMA)
    ]
    assert conclude(found).failed == (found[0],)


def test_a_gates_reason_says_what_is_wrong_while_it_is_tried_again():
    said = {gate.gate_id: gate.reason for gate in GATES if gate.gate_class is GateClass.TRANSIENT}
    assert said == {
        "store": DegradationReason.SUBSTRATE,
        "credentials": DegradationReason.AUTH,
        "clock": DegradationReason.SUBSTRATE,
        "control_log": DegradationReason.SUBSTRATE,
        "cost": DegradationReason.COST,
    }


def test_a_result_is_spelt_by_its_wire_names():
    found = GateResult("store", GateClass.TRANSIENT, GateOutcome.PASSED, 2, 7, "there")
    assert found.document() == {
        "gate_id": "store",
        "gate_class": "transient",
        "outcome": "passed",
        "attempts": 2,
        "elapsed_ms": 7,
        "detail": "there",
    }
