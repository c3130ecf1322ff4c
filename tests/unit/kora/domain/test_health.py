"""What a runtime's health follows from, one vital sign at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kora.domain.control import NO_WATCHER, ClaimPermission, StopLevel
from kora.domain.cost import Rung
from kora.domain.health import BROKEN_SECONDS, CROWDED, STALE_SECONDS, STILL_SECONDS, Grade, health, held_up_by
from kora.domain.state import PrimaryState
from kora.domain.vitals import (
    ActorVitals,
    HeartbeatVitals,
    LedgerVitals,
    SteeringVitals,
    SupervisorVitals,
    Vitals,
)

STEERING = SteeringVitals(permission=ClaimPermission.NORMAL, pool_micro_usd=200_000_000, watcher_seen_seconds=0.5)
WELL = Vitals(
    primary_state=PrimaryState.READY,
    is_supervised=True,
    ledger=LedgerVitals(turned_seconds=0.1, written_seconds=2.0),
    heartbeat=HeartbeatVitals(ticked_seconds=0.1, refreshed_seconds=None),
    steering=STEERING,
    workers=2,
    actors=(ActorVitals("ledger", "idle"), ActorVitals("state_holder", "idle", is_needed=False)),
    supervisors=(SupervisorVitals("kora", "running", 0, 30), SupervisorVitals("mirror", "running", 0, 30)),
    max_retired=8,
)


def steered(**changes):
    return replace(WELL, steering=replace(STEERING, **changes))


def graded(vitals):
    """The parts that are not well, with their grades."""
    return {each.part: each.grade.value for each in health(vitals).parts if each.grade is not Grade.OK}


def test_a_runtime_that_is_well_is_live_and_ready_and_nothing_has_stopped_it():
    found = health(WELL)

    assert graded(WELL) == {}
    assert (found.status, found.is_live, found.not_ready, found.stopped_on_purpose) == (Grade.OK, True, None, None)
    assert found.summary == "ok"


@pytest.mark.parametrize(
    ("vitals", "expected"),
    [
        (steered(watcher_seen_seconds=None), {"watcher": "degraded"}),
        (steered(watcher_seen_seconds=5.1), {"watcher": "degraded"}),
        (steered(is_readable=False), {"control": "degraded"}),
        (steered(has_ceiling=True, permission=ClaimPermission.CRITICAL_ONLY), {"control": "degraded"}),
        (steered(held_by_boot=("substrate",)), {"boot": "broken"}),
        (steered(refused=("claude refuses",)), {"dispatch": "degraded"}),
        (steered(rung=Rung.WARN_75), {"cost": "degraded"}),
        (steered(rung=Rung.HARD_STOP_100), {"cost": "degraded"}),
        (replace(WELL, is_supervised=False), {"supervisor": "broken"}),
        (replace(WELL, supervisors=(SupervisorVitals("workers", "failed"),)), {"supervisor": "broken"}),
        (
            replace(WELL, supervisors=(SupervisorVitals("mirror", "failed", is_needed=False),)),
            {"supervisor": "degraded"},
        ),
        (replace(WELL, actors=(ActorVitals("ledger", "failed"),)), {"actors": "broken"}),
        (replace(WELL, actors=(ActorVitals("ledger", "hung"),)), {"actors": "degraded"}),
        (replace(WELL, actors=(ActorVitals("poller", "stopped"),)), {"actors": "degraded"}),
        (replace(WELL, actors=(ActorVitals("admin", "failed", is_needed=False),)), {"actors": "degraded"}),
        (replace(WELL, actors=(ActorVitals("ledger", "busy", mailbox=CROWDED),)), {"mailboxes": "degraded"}),
        (replace(WELL, actors=(ActorVitals("ledger", "busy", mailbox=CROWDED - 1),)), {}),
        (replace(WELL, ledger=LedgerVitals(STILL_SECONDS, 1.0)), {"ledger": "broken"}),
        (replace(WELL, ledger=LedgerVitals(0.1, STALE_SECONDS)), {"last_write": "degraded"}),
        (replace(WELL, ledger=LedgerVitals(0.1, 1.0, is_writable=False)), {"last_write": "degraded"}),
        (replace(WELL, ledger=LedgerVitals(0.1, BROKEN_SECONDS, is_writable=False)), {"last_write": "broken"}),
        (replace(WELL, ledger=LedgerVitals(0.1, None)), {"last_write": "degraded"}),
        (replace(WELL, heartbeat=HeartbeatVitals(STILL_SECONDS)), {"heartbeat": "degraded"}),
        (replace(WELL, heartbeat=HeartbeatVitals(BROKEN_SECONDS)), {"heartbeat": "broken"}),
        (replace(WELL, supervisors=(SupervisorVitals("kora", "running", 15, 30),)), {}),
        (replace(WELL, supervisors=(SupervisorVitals("kora", "running", 16, 30),)), {"restarts": "degraded"}),
        (replace(WELL, retired=1), {"threads": "degraded"}),
        (replace(WELL, retired=9), {"threads": "broken"}),
        (replace(WELL, dead_letters=1, dead_letters_total=4), {"dead_letters": "degraded"}),
        (replace(WELL, dead_letters_total=4), {}),
    ],
)
def test_each_part_is_graded_by_itself_and_the_worst_counts(vitals, expected):
    assert graded(vitals) == expected
    worst = max((list(Grade).index(Grade(each)) for each in expected.values()), default=0)
    assert health(vitals).status is list(Grade)[worst]


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (steered(level=StopLevel.BLOCK_NEW_INTAKE), "a STOP command of level 1 (block_new_intake)"),
        (steered(level=StopLevel.ABORT_RELEASE_CLAIM), "a STOP command of level 3 (abort_release_claim)"),
        (replace(WELL, paused="by ann"), "paused by ann"),
        (replace(WELL, is_ending=True), "it is drained"),
        (steered(rung=Rung.HARD_STOP_100), "the credit pool is used up"),
    ],
)
def test_what_is_stopped_on_purpose_says_by_what_and_is_not_ready_and_not_broken(vitals, words):
    found = health(vitals)

    assert (found.stopped_on_purpose, found.not_ready) == (words, words)
    assert found.is_live
    assert found.status is not Grade.BROKEN


def test_what_is_stopped_on_purpose_may_be_broken_as_well():
    found = health(replace(WELL, paused="by ann", ledger=LedgerVitals(STILL_SECONDS, 1.0)))

    assert (found.status, found.stopped_on_purpose, found.is_live) == (Grade.BROKEN, "paused by ann", False)


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (replace(WELL, ledger=LedgerVitals(0.1, 1.0, is_writable=False)), "the store cannot be written"),
        (steered(is_readable=False), "the command log cannot be read"),
        (steered(permission=ClaimPermission.NONE, refused=("claude refuses (auth)",)), "claude refuses (auth)"),
        (steered(permission=ClaimPermission.NONE), "nothing may be claimed"),
        (replace(WELL, ledger=LedgerVitals(STILL_SECONDS, 1.0)), "ledger: turned 30.0 s ago"),
    ],
)
def test_what_cannot_claim_says_why(vitals, words):
    assert health(vitals).not_ready == words


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("idle", "stopped", "idle"), None),
        (("idle", "stopped", "stopped"), "there is no worker-1, worker-2"),
        (("stopped", "idle", "idle"), "there is no poller"),
        (("hung", "busy", "restarting"), None),
    ],
)
def test_without_those_by_whom_claims_are_made_it_is_not_ready(states, words):
    named = [("poller", "poller"), ("worker-1", "workers"), ("worker-2", "workers"), ("heartbeat", "")]
    actors = [
        ActorVitals(name, state, duty=duty) for (name, duty), state in zip(named, (*states, "stopped"), strict=True)
    ]
    assert health(replace(WELL, actors=actors)).not_ready == words


@pytest.mark.parametrize("permission", [ClaimPermission.NORMAL, ClaimPermission.CRITICAL_ONLY])
def test_what_may_claim_anything_at_all_is_ready(permission):
    assert health(steered(permission=permission)).not_ready is None


@pytest.mark.parametrize(
    "vitals",
    [
        replace(WELL, is_supervised=False),
        replace(WELL, ledger=LedgerVitals(STILL_SECONDS, 1.0)),
        replace(WELL, ledger=LedgerVitals(None, None)),
    ],
)
def test_without_a_supervisor_or_a_ledger_that_turns_it_is_not_live(vitals):
    assert not health(vitals).is_live


def test_a_store_that_is_away_is_no_reason_to_end_the_process():
    assert health(replace(WELL, ledger=LedgerVitals(0.1, 10_000.0, is_writable=False))).is_live


def test_while_it_boots_it_is_live_and_not_ready_and_says_what_it_is_at():
    found = health(Vitals(booting="store: try 3 of 5: out of reach"))

    assert (found.is_live, found.not_ready) == (True, "booting: store: try 3 of 5: out of reach")
    assert [(each.part, each.grade) for each in found.parts] == [("boot", Grade.DEGRADED)]


def test_all_that_holds_claims_up_is_named_the_weightiest_first():
    everything = replace(
        steered(
            permission=ClaimPermission.NONE,
            level=StopLevel.ABORT_RELEASE_CLAIM,
            trigger="stop level 3",
            rung=Rung.HARD_STOP_100,
            refused=("claude refuses (auth)", "codex refuses (dispatch)"),
            is_readable=False,
        ),
        actors=(ActorVitals("poller", "stopped", duty="poller"),),
    )

    assert held_up_by(everything) == [
        "a STOP command of level 3 (abort_release_claim)",
        "the credit pool is used up",
        "there is no poller",
        "the command log cannot be read",
        "claude refuses (auth); codex refuses (dispatch)",
    ]
    assert held_up_by(WELL) == []


@pytest.mark.parametrize(
    ("has_ceiling", "why"), [(True, "the retry ceiling was reached"), (False, "so the workspace is set")]
)
def test_what_leaves_only_critical_tickets_holds_the_others_up(has_ceiling, why):
    narrowed = steered(permission=ClaimPermission.CRITICAL_ONLY, has_ceiling=has_ceiling)
    assert held_up_by(narrowed) == [f"only critical tickets are claimed: {why}"]


def test_its_words_name_what_is_missing():
    found = health(steered(watcher_seen_seconds=None))

    assert found.summary == f"degraded; watcher: {NO_WATCHER}"
    [cost] = [each for each in found.parts if each.part == "cost"]
    assert cost.says == "0.00 of 200.00 USD spent: normal"
