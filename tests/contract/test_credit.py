"""The credit pool: each attempt is charged once, whatever is told twice; refreshes, ramps, epochs."""

from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest

from kora.clock import from_us
from kora.domain.claim import ClaimKey, ClaimResult
from kora.domain.cost import Ramp, Resumption, month_of
from kora.domain.resolution import Resolution
from kora.domain.ticket import Status
from kora.store.port import ClaimOrder, Turn
from kora.store.steering import Charge
from tests.contract.conftest import settlement

RAMP = Ramp(3_600.0, 30.0)
NO_RAMP = Ramp(0.0, 30.0)
DEFERRED = Status.DEFERRED_COST_LIMIT


@pytest.fixture
def board(store):
    with closing(store.board()) as handle:
        yield handle


@pytest.fixture
def spent(reader):
    return lambda: reader.steering().pool.spent_micro_usd


def next_month(clock):
    """Until the next one has begun."""
    now = from_us(clock.us)
    year, month = divmod(now.year * 12 + now.month, 12)
    clock.advance((datetime(year, month + 1, 1, tzinfo=UTC) - now).total_seconds() + 60)


def paid(claim, usd, status=Status.FAILED_RETRYABLE):
    return settlement(claim, status, cost_usd=usd)


def cost_of(place, ticket_id):
    return place.spent(ticket_id)[2]


def test_what_attempts_cost_is_added_up_by_month(*, runtime, other, add, reader, clock, spent):
    add(4)
    first, second, third = runtime.claim(3)
    month = month_of(from_us(clock.us))
    runtime.settle(paid(first, 0.25), paid(second, None), paid(third, 0.1))
    other.settle(paid(other.claim(1)[0], 1e-6))

    assert spent() == 350_001
    pool = reader.steering().pool
    assert (pool.month, pool.counted_micro_usd, pool.reconciled_micro_usd) == (month, 350_001, 0)
    next_month(clock)
    assert (spent(), reader.spend()) == (0, {month: 350_001})
    (again,) = runtime.claim(1)
    runtime.settle(paid(again, 1.0))
    assert list(reader.spend().items()) == [(month_of(from_us(clock.us)), 1_000_000), (month, 350_001)]


def test_a_claim_says_what_its_ticket_has_cost(runtime, add):
    add(1)
    (claim,) = runtime.claim(1)
    assert claim.spent_micro_usd == 0
    runtime.settle(paid(claim, 0.5, Status.RELEASED))

    (again,) = runtime.claim(1)

    assert again.spent_micro_usd == 500_000
    assert [held.spent_micro_usd for held in runtime.writer.held()] == [500_000]


def test_an_attempt_whose_lease_was_lost_is_charged_once_and_only_upwards(
    *, runtime, other, add, clock, spent, place, reader
):
    (ticket,) = add(1)
    (lost,) = runtime.claim(1, 60.0)
    clock.advance(61)
    (taken,) = other.turn(sweep=True, claim=ClaimOrder(1, 60.0)).claims

    for usd in (0.5, 0.5, 0.25, 0.75):
        assert runtime.turn(charge=[Charge(lost.key, usd)]).set_aside == []
        assert spent() >= 500_000
    runtime.turn(charge=[Charge(lost.key, 0.8), Charge(lost.key, 0.1), Charge(lost.key, 0.8)])

    assert (spent(), cost_of(place, ticket)) == (800_000, 800_000)
    assert place.tallies()["runtime-1", "expired"] == (0, 800_000, 0)
    assert reader.ticket(ticket).claim.claim_fence_token == taken.key.claim_fence_token
    report = reader.report(from_us(0))
    assert (report.cost_usd, report.attempts_by_resolution) == (0.8, {"expired": 1})


def test_a_charge_counts_with_what_a_settlement_has_charged_already(runtime, add, spent, place):
    (ticket,) = add(1)
    (claim,) = runtime.claim(1)
    runtime.settle(paid(claim, 0.5))

    runtime.turn(charge=[Charge(claim.key, 0.5)])
    assert spent() == 500_000
    runtime.turn(charge=[Charge(claim.key, 0.6)])

    assert (spent(), cost_of(place, ticket)) == (600_000, 600_000)
    assert place.tallies()["runtime-1", "failed_retryable"] == (1, 600_000, 0)


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_settlement_charges_no_more_than_is_left_to_be_charged(
    forgotten, *, runtime, store, start, add, spent, place
):
    (ticket,) = add(1)
    (claim,) = runtime.claim(1)
    runtime.turn(charge=[Charge(claim.key, 0.5)])

    with closing(start(store, runtime.id).writer) as successor:
        for _ in range(2):
            if forgotten:
                result = successor.turn(2, Turn(settle=[paid(claim, 0.75)]))
            else:
                result = runtime.writer.turn(2, Turn(settle=[paid(claim, 0.75)]))
            assert result.settled == [claim.key]

    assert (spent(), cost_of(place, ticket)) == (750_000, 750_000)
    assert place.tallies()["runtime-1", "failed_retryable"][:2] == (1, 250_000)


def test_an_end_of_unknown_cost_takes_nothing_back(runtime, add, spent, place):
    (ticket,) = add(1)
    (claim,) = runtime.claim(1)
    runtime.turn(charge=[Charge(claim.key, 0.5)])

    runtime.settle(paid(claim, None, Status.RELEASED))
    runtime.turn(charge=[Charge(claim.key, 0.5)])

    assert (spent(), cost_of(place, ticket)) == (500_000, 500_000)


def test_a_charge_of_an_unknown_attempt_is_set_aside_and_keeps_no_other_from_being_made(
    runtime, add, spent, store_factory, start
):
    add(2)
    one, two = runtime.claim(2)
    theirs = store_factory("elsewhere")
    with closing(start(theirs, "runtime-of-theirs").writer) as writer:
        result = writer.turn(1, Turn(charge=[Charge(one.key, 1.0)]))
        assert ["no such attempt" in said for said in result.set_aside] == [True]
    strange = [ClaimKey(one.key.ticket_id, 1, two.key.work_attempt_id), ClaimKey("x", 1, "y")]

    result = runtime.turn(charge=[*(Charge(key, 1.0) for key in strange), Charge(one.key, 0.25)])

    assert len(result.set_aside) == 2
    assert spent() == 250_000


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), -1.0])
def test_a_cost_that_is_none_charges_nothing(usd, *, runtime, add, spent):
    add(1)
    (claim,) = runtime.claim(1)

    runtime.turn(charge=[Charge(claim.key, usd)])

    assert spent() == 0


def test_reconciling_only_moves_spend_up_and_for_this_month_alone(*, runtime, add, board, spent, clock, reader):
    add(2)
    runtime.settle(paid(runtime.claim(1)[0], 3.0))

    assert board.reconcile(10_000_000, who="ada").spent_micro_usd == 10_000_000
    assert board.reconcile(4_000_000, who="ada").spent_micro_usd == 10_000_000
    runtime.settle(paid(runtime.claim(1)[0], 1.0))
    assert spent() == 11_000_000
    assert board.reconcile(12_000_000, who="ada").reconciled_micro_usd == 8_000_000
    verbs = [event.payload["verb"] for event in reader.events(event_types=["kora.operator.acted"])]
    assert verbs == ["add", "add", "reconcile", "reconcile", "reconcile"]
    next_month(clock)
    assert spent() == 0
    assert board.reconcile(1_000_000, who="ada").spent_micro_usd == 1_000_000


def test_after_a_refresh_nothing_is_spent_and_what_was_deferred_is_eligible(
    *, runtime, add, board, spent, reader, clock, ends
):
    ticket, other_ticket = add(2)
    one, two = runtime.claim(2)
    runtime.settle(paid(one, 3.0, DEFERRED), ends(two, Status.BLOCKED_NEEDS_OPERATOR))
    board.reconcile(5_000_000, who="ada")
    assert runtime.claim(1) == []

    pool = board.refresh_credit(NO_RAMP, who="ada")

    assert (pool.spent_micro_usd, pool.refreshed_at, pool.ramp_seconds) == (0, from_us(clock.us), 0)
    assert spent() == 0
    assert reader.ticket(other_ticket).sea_status is Status.BLOCKED_NEEDS_OPERATOR
    (again,) = runtime.claim(5)
    assert (again.key.ticket_id, again.ticket.next_eligible_at) == (ticket, None)
    runtime.settle(paid(again, 2.0))
    assert spent() == 2_000_000
    assert reader.spend() == {month_of(from_us(clock.us)): 5_000_000}
    (event,) = [e for e in reader.events() if e.payload.get("verb") == "refresh_credit"]
    assert event.payload["before"] == {"counted_micro_usd": 3_000_000, "reconciled_micro_usd": 2_000_000}
    assert event.payload["after"]["tickets_eligible"] == 1


def test_during_a_ramp_one_claim_is_made_an_interval_over_all_runtimes(*, runtime, other, add, board, clock, reader):
    add(6)
    board.refresh_credit(RAMP, who="ada")
    assert reader.steering().pool.ramp_seconds == 3_600.0

    result = runtime.turn(claim=ClaimOrder(4, 60.0))
    assert (len(result.claims), result.blocked_by) == (1, ClaimResult.BLOCKED_BY_COST)
    assert result.next_eligible_in_seconds == 30.0
    clock.advance(12)
    result = other.turn(claim=ClaimOrder(1, 60.0))
    assert (result.claims, result.blocked_by) == ([], ClaimResult.BLOCKED_BY_COST)
    assert result.next_eligible_in_seconds == 18.0
    clock.advance(18)
    result = other.turn(claim=ClaimOrder(1, 60.0))
    assert (len(result.claims), result.blocked_by, result.next_eligible_in_seconds) == (1, None, None)
    assert runtime.claim(1) == []

    clock.advance(3_550)
    assert len(runtime.claim(1)) == 1
    result = runtime.turn(claim=ClaimOrder(1, 60.0))
    assert result.next_eligible_in_seconds == 20.0
    clock.advance(20)
    assert len(runtime.claim(3)) == 3
    assert reader.steering().pool.ramp_seconds == 0


def test_for_the_whole_hour_of_a_ramp_no_two_claims_are_closer_than_its_interval_whoever_asks(
    *, store, start, add, board, clock
):
    add(200)
    board.refresh_credit(RAMP, who="ada")
    fleet = [start(store, f"runtime-{number}") for number in range(4)]
    rng, began, claimed_at = Random(1), clock.us, []
    while (clock.us - began) / 1_000_000 < RAMP.seconds:
        # Whoever asks is as greedy as can be, with leases that outlast the hour.
        asked = rng.choice(fleet).turn(claim=ClaimOrder(10, 7_200.0))
        claimed_at += [clock.us] * len(asked.claims)
        clock.advance(rng.choice([1, 7, 15, 22]))
    gaps = [later - earlier for earlier, later in pairwise(claimed_at)]
    assert min(gaps) >= RAMP.interval_seconds * 1_000_000
    assert 75 < len(claimed_at) <= 120, "nor is anybody kept waiting for longer"
    clock.advance(RAMP.interval_seconds)
    assert sum(len(each.claim(10, 7_200.0)) for each in fleet) == 40
    for each in fleet:
        each.writer.close()


def test_a_paced_claim_that_finds_nothing_keeps_nobody_waiting(runtime, other, add, board):
    board.refresh_credit(RAMP, who="ada")

    result = runtime.turn(claim=ClaimOrder(1, 60.0))
    assert (result.claims, result.blocked_by) == ([], None)

    add(1)
    assert len(other.claim(1)) == 1


def test_a_new_month_frees_what_was_deferred_once_whoever_asks(
    *, runtime, other, add, board, clock, spent, reader, ends
):
    add(3)
    claims = runtime.claim(3)
    runtime.settle(*(paid(claim, 1.0, DEFERRED) for claim in claims))
    next_month(clock)

    asked = Resumption(RAMP, None)

    result = runtime.turn(resume_credit=asked, claim=ClaimOrder(5, 60.0))

    assert (len(result.claims), result.blocked_by) == (1, ClaimResult.BLOCKED_BY_COST)
    pool = reader.steering().pool
    assert (pool.spent_micro_usd, pool.refreshed_at, pool.ramp_seconds) == (0, from_us(clock.us), 3_600.0)
    clock.advance(3_601)
    other.turn(resume_credit=asked)
    assert reader.steering().pool.ramp_seconds == 0
    runtime.settle(paid(result.claims[0], 1.0, DEFERRED))
    runtime.turn(resume_credit=asked)
    assert len(other.claim(5)) == 2
    assert spent() == 1_000_000
    next_month(clock)
    asked = Resumption(RAMP, pool.refreshed_at)
    board.refresh_credit(NO_RAMP, who="ada")
    runtime.turn(resume_credit=asked)
    assert reader.steering().pool.ramp_seconds == 0


def test_a_pause_that_ends_again_in_the_same_month_frees_what_was_deferred_and_nothing_spent_is_forgotten(
    *, runtime, other, add, board, clock, spent, reader
):
    add(2)
    board.refresh_credit(NO_RAMP, who="ada")
    clock.advance(1)
    runtime.settle(*(paid(claim, 1.0, DEFERRED) for claim in runtime.claim(2)))
    asked = Resumption(RAMP, reader.steering().pool.refreshed_at)

    assert len(runtime.turn(resume_credit=asked, claim=ClaimOrder(5, 60.0)).claims) == 1

    pool = reader.steering().pool
    assert (pool.spent_micro_usd, pool.refreshed_at, pool.ramp_seconds) == (2_000_000, from_us(clock.us), 3_600.0)
    clock.advance(3_601)
    other.turn(resume_credit=asked)
    assert reader.steering().pool.ramp_seconds == 0
    assert len(other.claim(5)) == 1


def test_what_is_deferred_once_the_pause_is_over_is_eligible(*, runtime, add, board, clock, reader):
    first, second = add(2)
    one, two = runtime.claim(2)
    clock.advance(1)
    board.refresh_credit(NO_RAMP, who="ada")
    runtime.settle(paid(one, 1.0, DEFERRED))
    assert reader.ticket(first).sea_status is Status.ASSIGNED
    next_month(clock)
    runtime.settle(paid(two, 1.0, DEFERRED))
    assert reader.ticket(second).sea_status is Status.ASSIGNED

    again = runtime.claim(5)

    assert {claim.key.ticket_id for claim in again} == {first, second}
    runtime.settle(*(paid(claim, 1.0, DEFERRED) for claim in again))
    assert runtime.claim(5) == [], "these belong to a pause that has not ended"


def test_a_critical_order_takes_nothing_but_critical_tickets(runtime, add):
    low, critical, other, third = add({}, *[{"sea_priority": "critical"}] * 3)

    order = ClaimOrder(1, 60.0, is_critical_only=True)
    assert [claim.key.ticket_id for claim in runtime.turn(claim=order).claims] == [critical]
    order = ClaimOrder(5, 60.0, frozenset({other}), is_critical_only=True)
    assert [claim.key.ticket_id for claim in runtime.turn(claim=order).claims] == [third]
    assert {claim.key.ticket_id for claim in runtime.claim(5)} == {low, other}


def test_a_new_epoch_forgives_what_was_tried_so_far(runtime, add, board, reader, ends):
    add(3)
    claims = runtime.claim(3)
    runtime.settle(ends(claims[0], Status.RELEASED), ends(claims[1]), ends(claims[2], Status.BLOCKED_NEEDS_OPERATOR))
    assert reader.steering().epoch == 1

    assert board.bump_epoch(reason="restored", who="ada") == 2

    assert reader.steering().epoch == 2
    (claim,) = runtime.claim(5)
    assert (claim.attempt, claim.attempts_counted) == (2, 1)
    (event,) = [e for e in reader.events() if e.payload.get("verb") == "bump_epoch"]
    assert (event.payload["before"], event.payload["after"]) == ({"epoch": 1}, {"epoch": 2, "reason": "restored"})


def test_a_new_epoch_and_its_own_end_forgive_an_attempt_once(runtime, add, board, ends):
    add(1)
    (claim,) = runtime.claim(1)
    board.bump_epoch(reason="restored", who="ada")
    runtime.settle(ends(claim, Status.RELEASED, is_forgiven=True))

    (again,) = runtime.claim(1)

    assert (again.attempt, again.attempts_counted) == (2, 1)


def test_heads_of_chains_are_those_that_have_begun(runtime, add, reader):
    add(1)
    runtime.claim(1)

    heads = reader.heads(["workspace:workspace", "runtime-1", "nobody"])

    assert [(head.chain_id, head.chain_seq) for head in heads] == [("runtime-1", 1), ("workspace:workspace", 1)]
    last = {event.chain_id: event.this_event_hash for event in reader.events()}
    assert {head.chain_id: head.event_hash.hex() for head in heads} == last


def test_a_reason_that_is_no_ceiling_is_logged_as_it_is(runtime, add, reader, clock):
    for ticket in add(3):
        (claim,) = runtime.claim(1)
        end = settlement(claim, Status.BLOCKED_NEEDS_OPERATOR, blocked_for="cost")
        runtime.settle(end._replace(resolution=Resolution.FAILED_RETRYABLE))
        (event,) = reader.events(ticket_id=ticket, event_types=["kora.sea_ticket.blocked"])
        assert event.payload["reason"] == "cost"

    assert not reader.steering().has_ceiling
