"""The supervisor and a pure model of it agree on whatever may happen."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.unit.actors.supervision.duet import Duet, play_rehearsed, play_threaded
from tests.unit.actors.supervision.schedules import Case, Cases
from tests.unit.actors.supervision.stage import RehearsedStage

EVERYTHING = Cases().strategy()
# An actor that is not waited for may still speak, at the same moment, or not: with threads only one thing happens then.
ONE_BY_ONE = Cases(together=1, most=6).strategy()
TOGETHER = Cases(brutal=False, most=6).strategy()
# Shrinking says in which few steps a fault is seen; the proofs, whose counts are large, are satisfied with any.
PROOF = settings(max_examples=2_000, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@given(case=EVERYTHING)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_model_and_the_supervisor_agree_on_every_schedule(case):
    play_rehearsed(case)


@pytest.mark.prove
@given(case=EVERYTHING)
@settings(PROOF)
def test_they_agree_on_two_thousand_schedules(case):
    play_rehearsed(case)


@given(case=ONE_BY_ONE | TOGETHER)
@settings(PROOF, max_examples=10, phases=[Phase.generate])
def test_they_agree_with_threads(case):
    play_threaded(case)


@pytest.mark.prove
@given(case=ONE_BY_ONE | TOGETHER)
@settings(PROOF, max_examples=200, phases=[Phase.generate])
def test_they_agree_on_two_hundred_schedules_with_threads(case):
    play_threaded(case)


def trace(case):
    stage = RehearsedStage(case)
    Duet(case, stage).play()
    return stage.rehearsal.trace


@given(case=EVERYTHING)
@settings(PROOF, max_examples=20)
def test_the_same_seed_gives_the_same_trace(case):
    assert trace(case) == trace(case)


def test_another_seed_may_give_another_trace():
    tree = {"name": "root", "children": [{"name": name, "poison_after": 0} for name in ("a", "b", "c")]}
    cases = [Case(tree=tree, before=(), steps=(("crash", ("a", "b", "c")),), seed=seed) for seed in range(20)]
    assert len({tuple(trace(case)) for case in cases}) > 1
