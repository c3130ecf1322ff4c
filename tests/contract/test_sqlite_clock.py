"""SQLite's time is this machine's: it follows the wall clock, and yet no lease and no delay changes its length."""

from contextlib import closing
from datetime import timedelta

import pytest

from kora.clock import from_us
from kora.domain.operation import OperationRequest, Step
from kora.domain.ticket import NewTicket, Status
from kora.store.port import ClaimOrder, Turn

pytestmark = pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)

JUMPS = [-86_400.0, -3.0, 3.0, 86_400.0]


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_jump_neither_expires_nor_prolongs_a_lease(*, runtime, other, add, clock, seconds):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.jump(seconds)

    clock.advance(59)
    early = other.turn(sweep=True, claim=ClaimOrder(1, 600.0))
    clock.advance(1)
    late = other.turn(sweep=True, claim=ClaimOrder(1, 600.0))

    assert (early.returned, early.claims) == ([], [])
    assert late.returned == [claim.key]


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_jump_is_the_same_for_whoever_opens_the_store_later(*, runtime, add, clock, store_factory, start, seconds):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.jump(seconds)

    with store_factory() as later, closing(start(later, "later").writer) as writer:
        clock.advance(59)
        assert writer.holds_any([runtime.id]) == {runtime.id}
        assert runtime.refresh(claim, seconds=60.0).refreshed == [claim.key]
        clock.advance(59)
        assert runtime.refresh(claim, seconds=60.0).refreshed == [claim.key]
        clock.advance(60)
        assert runtime.refresh(claim, seconds=60.0).lost == [claim.key]


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_sweep_alone_goes_by_the_same_time(runtime, other, add, clock, seconds):
    add(1)
    runtime.claim(lease_seconds=60)
    clock.jump(seconds)

    clock.advance(59)
    assert other.turn(sweep=True).returned == []
    clock.advance(1)
    assert len(other.turn(sweep=True).returned) == 1


def in_every_order():
    """Between any two turns the wall clock may be set."""
    hour, day = 3_600.0, -86_400.0
    return [(hour, 0, 0), (0, day, 0), (0, 0, hour), (hour, -hour, day), (day, -day, hour), (1.5, hour, -1.5)]


@pytest.mark.parametrize("jumps", in_every_order())
def test_two_writers_keep_their_leases_over_any_jumps(*, runtime, other, add, clock, jumps):
    add(2)
    (mine,) = runtime.claim(lease_seconds=60)
    clock.jump(jumps[0])
    (theirs,) = other.claim(lease_seconds=60)
    clock.advance(59)
    clock.jump(jumps[1])

    assert runtime.refresh(mine, seconds=60.0, sweep=True).returned == []
    clock.jump(jumps[2])
    assert other.turn(sweep=True).returned == []
    clock.advance(1)
    assert runtime.turn(sweep=True).returned == [theirs.key]
    clock.jump(-jumps[2])
    clock.advance(58.999)
    assert other.turn(sweep=True, claim=ClaimOrder(0, 60.0)).returned == []
    clock.jump(jumps[0])
    clock.advance(0.001)
    assert other.refresh(theirs, seconds=60.0).lost == [theirs.key]
    assert other.turn(sweep=True).returned == [mine.key]


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_delay_keeps_its_length_and_a_date_its_day(*, runtime, other, add, clock, ends, place, seconds):
    delayed, failed, _ = add(3)
    claims = runtime.claim(count=3)
    statuses = (Status.RELEASED, Status.FAILED_RETRYABLE)
    runtime.settle(
        *(
            ends(claim, status, next_eligible_offset_seconds=50.0)
            for claim, status in zip(claims, statuses, strict=False)
        )
    )
    date = from_us(clock.us) + timedelta(days=30)
    (dated,) = add({"next_eligible_at": date})
    clock.jump(seconds)

    clock.advance(49)
    assert other.claim(count=5) == []
    clock.advance(1)
    assert {claim.key.ticket_id for claim in other.claim(count=5)} == {delayed, failed}
    assert from_us(place.due(dated)) == date


@pytest.mark.parametrize("seconds", JUMPS)
def test_an_attempt_took_as_long_as_it_took(*, runtime, add, clock, ends, place, reader, seconds):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    clock.jump(seconds)
    clock.advance(7)
    runtime.turn(claim=ClaimOrder(0, 600.0))
    (work,) = reader.claims()
    runtime.settle(ends(claim))

    (attempt,) = reader.attempts(ticket_id)
    _, worked_us, *_ = place.spent(ticket_id)
    assert attempt.ended_at - attempt.started_at == timedelta(seconds=7)
    assert worked_us == 7_000_000
    assert from_us(clock.us) - work.claimed_at == timedelta(seconds=7)
    assert work.lease_left_seconds == 593.0


@pytest.mark.parametrize("seconds", JUMPS)
def test_while_something_is_held_the_next_turn_takes_the_wall_clock_up(*, runtime, add, clock, reader, seconds):
    add(1)
    runtime.claim()
    clock.jump(seconds)
    add({"next_eligible_at": from_us(clock.us) + timedelta(seconds=10)})

    assert runtime.turn(claim=ClaimOrder(1, 600.0)).next_eligible_in_seconds == 10.0
    clock.advance(10)
    assert len(runtime.claim()) == 1
    assert list(reader.events())[-1].occurred_at == from_us(clock.us)


def test_attempts_keep_their_numbers_when_the_clock_goes_back(*, runtime, add, clock, ends, reader):
    (ticket_id,) = add(1)
    attempts = []
    for number in (1, 2, 3):
        (claim,) = runtime.claim()
        runtime.turn(operate=[OperationRequest(claim.key, Step.BEGIN, 1, "tool", f"key {number}")])
        clock.advance(1)
        runtime.settle(ends(claim, Status.RELEASED))
        attempts.append(claim.key.work_attempt_id)
        clock.jump(-86_400)
    (last,) = runtime.claim()

    assert [record.work_attempt_id for record in reader.attempts(ticket_id)][:3] == attempts
    assert [record.attempt for record in reader.attempts(ticket_id)] == [1, 2, 3, 4]
    assert [operation.operation_key for operation in reader.operations(ticket_id)] == ["key 1", "key 2", "key 3"]
    assert [operation.work_attempt_id for operation in last.operations] == attempts


@pytest.mark.parametrize("seconds", JUMPS)
def test_with_nothing_held_the_next_turn_takes_the_wall_clock_up(*, runtime, add, clock, ends, seconds):
    add(1)
    (claim,) = runtime.claim()
    clock.jump(seconds)
    runtime.settle(ends(claim))

    due = from_us(clock.us) + timedelta(seconds=10)
    add({"next_eligible_at": due})
    waiting = runtime.turn(claim=ClaimOrder(1, 600.0))
    clock.advance(10)
    ready = runtime.turn(claim=ClaimOrder(1, 600.0))

    assert (waiting.claims, waiting.next_eligible_in_seconds) == ([], 10.0)
    assert len(ready.claims) == 1
    assert ready.claims[0].lease_expires_at == from_us(clock.us) + timedelta(seconds=600)


def test_a_claim_of_another_workspace_keeps_the_time_too(*, runtime, add, clock, store_factory, start):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    elsewhere = store_factory(workspace_id="elsewhere")
    with closing(start(elsewhere, "stranger").writer) as writer, closing(elsewhere.board()) as board:
        clock.jump(86_400.0)
        board.add([NewTicket(ticket_title="t")], who="tester")
        writer.turn(1, Turn(claim=ClaimOrder(0, 60.0)))

    clock.advance(59)
    assert runtime.refresh(claim, seconds=60.0).refreshed == [claim.key]


def test_small_differences_are_left_alone(runtime, add, clock, reader):
    add(1)
    before = list(reader.events())[-1].occurred_at
    clock.jump(1.9)

    (claim,) = runtime.claim(lease_seconds=60)

    assert claim.lease_expires_at == before + timedelta(seconds=60)


@pytest.mark.parametrize("seconds", [30.0, -86_400.0])
def test_a_new_boot_begins_with_the_wall_clock_and_what_was_held_before_is_free(
    *, runtime, add, clock, store_factory, start, place, seconds
):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.reboot()
    clock.jump(seconds)

    with store_factory() as store, closing(start(store, "after the boot").writer) as writer:
        assert place.clocks() == [(clock.boot_id(), clock.us - clock.booted_us)]
        result = writer.turn(1, Turn(sweep=True, claim=ClaimOrder(1, 60.0)))
        assert result.returned == [claim.key]
        (again,) = result.claims
        clock.advance(59)
        assert writer.turn(1, Turn(sweep=True)).returned == []
        clock.advance(1)
        assert writer.turn(1, Turn(sweep=True)).returned == [again.key]


def test_what_a_store_without_any_clock_holds_keeps_its_lease(*, runtime, other, add, clock, place):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    place.forget_clocks()

    assert runtime.refresh(claim, seconds=60.0).refreshed == [claim.key]
    place.forget_clocks()
    clock.advance(60)
    assert other.turn(sweep=True).returned == [claim.key]


def test_an_idle_runtime_sweeps_even_if_its_clock_has_gone(*, runtime, other, add, clock, place):
    add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.advance(60)
    place.forget_clocks()

    assert other.turn(sweep=True).returned == [claim.key]
    assert len(place.clocks()) == 1
