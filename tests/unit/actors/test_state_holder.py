"""The mirror: told, never asked."""

from __future__ import annotations

import pytest
from loguru import logger

from actors.messages import Append, Held
from actors.names import LEDGER, STATE_HOLDER
from actors.state_holder import StateHolder
from actors.steering import Standing, Transition
from kora.domain.control import ClaimPermission
from kora.domain.state import (
    COST_PAUSED,
    CREDIT_REFRESHED,
    OPERATOR_CLEARED,
    OPERATOR_PAUSED,
    PERMISSION_CHANGED,
    DegradationReason,
    PrimaryState,
)


def held(number, *attempts, incarnation=1):
    return Held(version=(incarnation, number), attempts=frozenset(attempts))


def standing(number, *reasons, permission=None, generation=1, target=None, trigger=""):
    permission = permission or (ClaimPermission.NONE if reasons else ClaimPermission.NORMAL)
    if PAUSE in reasons and target is None:
        target, trigger = PrimaryState.PAUSED, OPERATOR_PAUSED
    return Standing(
        version=(generation, number),
        permission=permission,
        reasons=frozenset(reasons),
        target=target,
        trigger=trigger,
    )


PAUSE = DegradationReason.OPERATOR


@pytest.fixture
def holder(stage):
    holder = stage.put(STATE_HOLDER, StateHolder)
    holder.on_receive(Transition(target=PrimaryState.READY, trigger="all boot gates pass"))
    stage.said(LEDGER)
    return holder


def recorded(stage):
    return [
        (event.payload["from_primary_state"], event.payload["to_primary_state"], event.payload["trigger"])
        for message in stage.said(LEDGER)
        if isinstance(message, Append)
        for event in message.events
    ]


def test_active_lasts_from_the_first_claim_held_to_the_last_gone(holder, stage):
    for number, attempts in enumerate(["a", "ab", "b", ""], 1):
        holder.on_receive(held(number, *attempts))
    assert recorded(stage) == [("ready", "active", "claim acquired"), ("active", "ready", "claim released")]


def test_an_older_word_changes_nothing(holder, stage):
    holder.on_receive(held(5))
    holder.on_receive(held(4, "a"))
    assert recorded(stage) == []
    holder.on_receive(held(1, "a", incarnation=2))
    assert recorded(stage) == [("ready", "active", "claim acquired")]


@pytest.mark.parametrize(("attempts", "state"), [((), "ready"), (("a",), "active")])
def test_a_restarted_holder_adopts_the_state_silently(stage, attempts, state):
    holder = stage.put(STATE_HOLDER, StateHolder)
    holder.on_receive(held(9, *attempts))
    assert holder.state.primary_state == state
    assert recorded(stage) == []


def test_elsewhere_claims_change_the_held_set_only_and_leaving_paused_goes_through_ready(holder, stage):
    holder.on_receive(Transition(target=PrimaryState.PAUSED, trigger="operator"))
    holder.on_receive(held(1, "a"))
    assert holder.state.primary_state == "paused"
    stage.said(LEDGER)
    holder.on_receive(Transition(target=PrimaryState.READY, trigger="operator clears by reset"))
    assert recorded(stage) == [
        ("paused", "ready", "operator clears by reset"),
        ("ready", "active", "claim acquired"),
    ]


def test_a_transition_that_is_refused_is_one_warning_and_the_holder_lives_on(holder, stage):
    lines = []
    number = logger.add(lambda message: lines.append(str(message.record["message"])), level="WARNING")
    holder.on_receive(Transition(target=PrimaryState.BOOTING, trigger="a mistake"))
    logger.remove(number)
    [line] = lines
    assert "operational-state transition" in line
    assert "booting" in line
    assert "a mistake" in line
    assert holder.state.primary_state == "ready"
    assert recorded(stage) == []


def test_one_listener_that_raises_does_not_stop_the_others(stage):
    heard = []

    def broken(*_):
        raise RuntimeError("broken")

    holder = stage.put(
        STATE_HOLDER, lambda seat: StateHolder(seat, listeners=[broken, lambda *change: heard.append(change[2])])
    )
    holder.on_receive(Transition(target=PrimaryState.READY, trigger="all boot gates pass"))
    assert heard == ["all boot gates pass"]
    assert holder.state.primary_state == "ready"


def test_an_operators_pause_is_mirrored_and_its_end_goes_through_ready(holder, stage):
    holder.on_receive(held(1, "a"))
    stage.said(LEDGER)
    holder.on_receive(standing(1))
    holder.on_receive(standing(2, PAUSE))
    holder.on_receive(standing(3, PAUSE))
    [said] = [event.payload for message in stage.said(LEDGER) for event in message.events]
    assert said == {
        "from_primary_state": "active",
        "to_primary_state": "paused",
        "claim_permission": "none",
        "degradation_reasons": ["operator"],
        "trigger": OPERATOR_PAUSED,
    }
    holder.on_receive(standing(4))
    assert recorded(stage) == [("paused", "ready", OPERATOR_CLEARED), ("ready", "active", "claim acquired")]


def test_a_word_of_control_that_is_older_changes_nothing(holder, stage):
    holder.on_receive(standing(1, PAUSE, generation=2))
    stage.said(LEDGER)
    holder.on_receive(standing(7, generation=1))
    assert recorded(stage) == []
    assert holder.state.primary_state == "paused"


def test_what_is_permitted_changes_in_the_same_primary_state(holder, stage):
    holder.on_receive(standing(1, permission=ClaimPermission.CRITICAL_ONLY))
    assert recorded(stage) == [("ready", "ready", PERMISSION_CHANGED)]
    assert holder.state.claim_permission == "critical_only"


@pytest.mark.parametrize("words", [[held(1, "a"), standing(1, PAUSE)], [standing(1, PAUSE), held(1, "a")]])
def test_a_holder_that_is_restarted_while_paused_adopts_that_silently(stage, words):
    shown = []
    holder = stage.put(STATE_HOLDER, lambda seat: StateHolder(seat, show=shown.append))
    for word in words:
        holder.on_receive(word)
    assert recorded(stage) == []
    assert shown[-1] == holder.state
    assert holder.state.primary_state == "paused"
    holder.on_receive(standing(2))
    assert recorded(stage) == [("paused", "ready", OPERATOR_CLEARED), ("ready", "active", "claim acquired")]


def test_a_runtime_that_begins_paused_says_so(holder, stage):
    holder.on_receive(standing(1, PAUSE))
    assert recorded(stage) == [("ready", "paused", OPERATOR_PAUSED)]


def test_a_pause_for_cost_is_mirrored_once_and_ends_with_the_refresh(holder, stage):
    cost, paused = DegradationReason.COST, PrimaryState.PAUSED
    for version in (1, 2):
        holder.on_receive(standing(version, cost, target=paused, trigger=COST_PAUSED))
    holder.on_receive(standing(3))
    assert recorded(stage) == [("ready", "paused", COST_PAUSED), ("paused", "ready", CREDIT_REFRESHED)]


def test_a_pause_whose_cause_changes_stays_and_ends_as_the_last_one_does(holder, stage):
    paused = PrimaryState.PAUSED
    holder.on_receive(standing(1, PAUSE, target=paused, trigger="stop level 1"))
    holder.on_receive(standing(2, PAUSE, target=paused, trigger="stop level 3"))
    holder.on_receive(standing(3, DegradationReason.COST, target=paused, trigger=COST_PAUSED))
    holder.on_receive(standing(4))
    assert recorded(stage) == [
        ("ready", "paused", "stop level 1"),
        ("paused", "paused", "stop level 3"),
        ("paused", "paused", COST_PAUSED),
        ("paused", "ready", CREDIT_REFRESHED),
    ]


def test_what_is_stopped_stays_so_whatever_is_held_and_told(holder, stage):
    holder.on_receive(standing(1, PAUSE, target=PrimaryState.STOPPED, trigger="stop level 4"))
    holder.on_receive(held(1, "a"))
    holder.on_receive(standing(2, PAUSE))
    holder.on_receive(standing(3))
    assert {target for _, target, _ in recorded(stage)} == {"stopped"}
    assert holder.state.primary_state == "stopped"


def test_a_pause_of_the_mirror_alone_is_not_ended_by_what_is_permitted(holder, stage):
    holder.on_receive(Transition(target=PrimaryState.PAUSED, trigger="a rehearsal"))
    holder.on_receive(standing(1))
    assert holder.state.primary_state == "paused"
