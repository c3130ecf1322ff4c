"""The credit pool's rungs, who works on which, and the caps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.domain.cost import COST_MAX_USD, NO_CAPS, Caps, Downshift, Rung, amount_usd, micro_usd, most_usd, rung
from kora.domain.ticket import Priority
from tests.claims import a_claim

TABLE = Downshift(
    warn_75={Priority.LOW: "small", Priority.MEDIUM: "medium"},
    downshift_90={Priority.LOW: "tiny", Priority.HIGH: "medium"},
)
RUNGS = (Rung.WARN_75, Rung.DOWNSHIFT_90, Rung.HARD_STOP_100)


def ticket(priority: Priority, agent: str | None = None):
    return a_claim().ticket.model_copy(update={"sea_priority": priority, "agent": agent})


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        (0, Rung.NORMAL),
        (74.999999, Rung.NORMAL),
        (75, Rung.WARN_75),
        (89.999999, Rung.WARN_75),
        (90, Rung.DOWNSHIFT_90),
        (99.999999, Rung.DOWNSHIFT_90),
        (100, Rung.HARD_STOP_100),
        (1_000, Rung.HARD_STOP_100),
    ],
)
def test_the_rung_is_where_the_spend_stands(spent, expected):
    assert rung(micro_usd(spent * 2), micro_usd(200)) is expected


def test_a_pool_without_a_bound_is_never_used_up():
    assert rung(10**15, 0) is Rung.NORMAL


@pytest.mark.parametrize("priority", list(Priority))
def test_while_the_pool_is_well_filled_every_ticket_has_its_own_agent(priority):
    assert TABLE(Rung.NORMAL, ticket(priority)) is None


@pytest.mark.parametrize(
    ("priority", "at_75", "from_90_on"),
    [
        (Priority.LOW, "small", "tiny"),
        (Priority.MEDIUM, "medium", "medium"),
        (Priority.HIGH, None, "medium"),
        (Priority.CRITICAL, None, None),
    ],
)
def test_a_ticket_that_names_no_agent_is_done_by_its_prioritys(priority, at_75, from_90_on):
    assert [TABLE(now, ticket(priority)) for now in RUNGS] == [at_75, from_90_on, from_90_on]


@pytest.mark.parametrize("now", RUNGS)
def test_a_ticket_that_names_its_agent_is_done_by_that(now):
    assert TABLE(now, ticket(Priority.LOW, "large")) is None


def test_an_empty_table_changes_nothing():
    assert all(Downshift()(now, ticket(priority)) is None for now in Rung for priority in Priority)


def test_what_an_attempt_may_cost_is_the_lesser_of_its_cap_and_what_its_ticket_has_left():
    assert NO_CAPS.left_usd(5_000_000) is None
    assert Caps(attempt_usd=2.0).left_usd(50_000_000) == 2.0
    assert Caps(ticket_usd=10.0).left_usd(7_500_000) == 2.5
    assert Caps(attempt_usd=2.0, ticket_usd=10.0).left_usd(9_000_000) == 1.0
    assert Caps(ticket_usd=10.0).left_usd(11_000_000) == 0.0


def test_no_cap_stops_nothing():
    assert not NO_CAPS.stops_attempt(COST_MAX_USD)
    assert not NO_CAPS.stops_ticket(10**15, COST_MAX_USD)


@given(st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none(), st.lists(st.integers())))
def test_whatever_is_told_is_an_amount_that_can_be_charged_or_none(value):
    amount = amount_usd(value)
    assert amount is None or 0 <= amount <= COST_MAX_USD
    if amount is not None:
        assert micro_usd(amount) >= 0


def test_what_is_spent_does_not_come_back():
    assert most_usd(None, None) is None
    assert most_usd(None, 0.0) == 0.0
    assert most_usd(2.0, None, 1.0) == 2.0
