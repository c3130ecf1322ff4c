"""Whatever kills, hangs or is asked: order is kept, nothing is lost, nothing is handled twice but what was declared."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.actors.supervision.handover import errands, hand_over


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@given(errand=errands())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_an_actor_was_told_is_handed_over_whole(errand):
    hand_over(errand)


@pytest.mark.prove
@given(errand=errands())
@settings(max_examples=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_for_many_more(errand):
    hand_over(errand)
