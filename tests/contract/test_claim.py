"""Claiming: who gets what, in which order, and what it leaves behind."""

from contextlib import closing
from datetime import timedelta

import pytest

from kora.clock import from_us
from kora.domain.ids import operation_id
from kora.domain.operation import CLAIM_TOOL, default_key
from kora.domain.ticket import Priority, Status, Ticket
from kora.store.port import ClaimOrder, Earned

CLAIMED = "sea_ticket.claimed_for_edit"


def test_a_claim_shows_the_ticket_as_it_stands_under_it(runtime, add, reader, clock):
    (ticket_id,) = add({"ticket_title": "title", "ticket_objective": "objective", "sea_priority": "high"})

    (claim,) = runtime.claim(lease_seconds=60)

    until = from_us(clock.us) + timedelta(seconds=60)
    assert claim.key.ticket_id == ticket_id
    assert (claim.holder, claim.lease_expires_at, claim.attempt) == (runtime.id, until, 1)
    assert (claim.ticket.sea_status, claim.ticket.ticket_objective) == (Status.IN_PROGRESS, "objective")
    assert claim.ticket == reader.ticket(ticket_id)
    assert claim.ticket.claim.claim_fence_token == claim.key.claim_fence_token


def test_a_claims_ticket_is_as_good_as_a_validated_one(runtime, add):
    add(1)

    (claim,) = runtime.claim()

    assert Ticket.model_validate(claim.ticket.model_dump()) == claim.ticket
    assert Ticket.model_validate_json(claim.ticket.model_dump_json()) == claim.ticket


def test_a_claim_allocates_its_ledger_row_in_the_same_turn(runtime, add, place):
    (ticket_id,) = add(1)

    (claim,) = runtime.claim()

    assert place.ledger(ticket_id) == [(claim.key.work_attempt_id, 0, "allocated", None, None)]
    assert place.operations() == [
        (operation_id(ticket_id, default_key(CLAIM_TOOL, 0, claim.key.work_attempt_id)), CLAIM_TOOL)
    ]


def test_a_claim_is_told_in_the_log(runtime, add, log, store):
    (ticket_id,) = add(1)

    (claim,) = runtime.claim()

    told = log(ticket_id)
    assert [kind for kind, _ in told] == [CLAIMED]
    assert set(told[0][1]) == {"holder", "actor_id", "work_attempt_id", "lease_expires_at"}
    assert told[0][1]["holder"] == runtime.id
    assert told[0][1]["work_attempt_id"] == claim.key.work_attempt_id
    assert told[0][1]["lease_expires_at"] == claim.lease_expires_at.isoformat().replace("+00:00", "Z")


def test_the_most_urgent_goes_first_and_then_the_oldest(runtime, add, clock):
    expected = {}
    for priority in ("low", "critical", "medium", "high"):
        for age in range(2):
            (expected[priority, age],) = add({"sea_priority": priority})
            clock.advance(1)

    claimed = [runtime.claim()[0].key.ticket_id for _ in range(3)] + [
        claim.key.ticket_id for claim in runtime.claim(count=20)
    ]

    order = [(priority, age) for priority in ("critical", "high", "medium", "low") for age in range(2)]
    assert claimed == [expected[key] for key in order]


def test_tickets_added_together_go_in_the_order_given(runtime, add):
    ids = add(30)

    assert [claim.key.ticket_id for claim in runtime.claim(count=30)] == ids


def test_a_ticket_is_claimed_once(runtime, other, add):
    ids = add(5)

    first, second = runtime.claim(count=3), other.claim(count=5)

    assert [claim.key.ticket_id for claim in first + second] == ids
    assert runtime.claim() == []


def test_an_order_of_nothing_claims_nothing(runtime, add):
    add(1)

    assert runtime.claim(count=0) == []


def test_tickets_of_another_actor_are_left_alone(runtime, add):
    add({"assigned_to_actor_id": "0190a000-0000-7000-8000-00000000000f"})

    assert runtime.claim() == []


def test_excepted_tickets_are_passed_over(runtime, add):
    ids = add(3)

    claims = runtime.claim(count=2, except_tickets=frozenset(ids[:1]))

    assert [claim.key.ticket_id for claim in claims] == ids[1:]


def test_all_but_the_excepted_are_claimed_however_many_of_these_are_ready_and_how_many_are_not(runtime, add):
    ids = add(300)
    excepted = frozenset(ids[:140] + ids[150:290]) | {f"nowhere-{number}" for number in range(1_000)}

    claims = runtime.claim(count=30, except_tickets=excepted)

    assert [claim.key.ticket_id for claim in claims] == ids[140:150] + ids[290:]


def test_a_dated_ticket_waits_for_its_time(runtime, add, clock):
    due = from_us(clock.us) + timedelta(seconds=90)
    (ticket_id,) = add({"next_eligible_at": due})

    early = runtime.turn(claim=ClaimOrder(1, 600.0))
    clock.advance(89)
    still = runtime.turn(claim=ClaimOrder(1, 600.0))
    clock.advance(1)
    late = runtime.turn(claim=ClaimOrder(1, 600.0))

    assert (early.claims, early.next_eligible_in_seconds) == ([], 90.0)
    assert (still.claims, still.next_eligible_in_seconds) == ([], 1.0)
    assert [claim.key.ticket_id for claim in late.claims] == [ticket_id]
    assert late.next_eligible_in_seconds is None


@pytest.mark.parametrize("priority", list(Priority))
def test_a_dated_ticket_of_any_priority_comes_up(runtime, add, clock, priority):
    (ticket_id,) = add({"sea_priority": priority, "next_eligible_at": from_us(clock.us + 5_000_000)})

    assert runtime.turn(claim=ClaimOrder(1, 600.0)).next_eligible_in_seconds == 5.0
    clock.advance(5)
    assert [claim.key.ticket_id for claim in runtime.claim()] == [ticket_id]


def test_a_ticket_dated_in_the_past_is_ready_at_once(runtime, add, clock, reader):
    add({"next_eligible_at": from_us(clock.us - 1)})

    assert (reader.outstanding().ready, reader.outstanding().waiting) == (True, False)
    assert len(runtime.claim()) == 1


def test_nothing_is_said_of_later_tickets_while_the_order_is_filled(runtime, add, clock):
    add({}, {"next_eligible_at": from_us(clock.us) + timedelta(seconds=90)})

    assert runtime.turn(claim=ClaimOrder(1, 600.0)).next_eligible_in_seconds is None


def test_the_soonest_of_all_priorities_is_told(runtime, add, clock):
    add(
        {"sea_priority": "critical", "next_eligible_at": from_us(clock.us + 50_000_000)},
        {"sea_priority": "low", "next_eligible_at": from_us(clock.us + 20_000_000)},
    )

    assert runtime.turn(claim=ClaimOrder(1, 600.0)).next_eligible_in_seconds == 20.0


@pytest.mark.parametrize("status", [Status.RELEASED, Status.FAILED_RETRYABLE])
def test_a_ticket_that_falls_due_again_keeps_its_status_until_it_is_claimed(
    *, runtime, add, clock, reader, ends, status
):
    (first, second) = add(2)
    for claim in runtime.claim(count=2):
        runtime.settle(ends(claim, status, next_eligible_offset_seconds=30.0))
    clock.advance(30)

    (claim,) = runtime.claim()

    assert (claim.key.ticket_id, claim.ticket.sea_status) == (first, Status.IN_PROGRESS)
    assert reader.ticket(second).sea_status is status
    assert (reader.outstanding().ready, reader.outstanding().waiting) == (True, False)


def test_many_tickets_falling_due_at_once_are_promoted_in_bounded_steps(runtime, add, clock, reader):
    add(*[{"next_eligible_at": from_us(clock.us + 1_000_000)}] * 250)
    clock.advance(2)

    first = runtime.turn(claim=ClaimOrder(250, 600.0))
    second = runtime.turn(claim=ClaimOrder(250, 600.0))

    assert (len(first.claims), first.next_eligible_in_seconds) == (200, 0.0)
    assert (len(second.claims), second.next_eligible_in_seconds) == (50, None)
    assert not reader.outstanding().waiting


def test_an_urgent_ticket_that_fell_due_overtakes_ready_ones(runtime, add, clock):
    add({"sea_priority": "medium"})
    (urgent,) = add({"sea_priority": "critical", "next_eligible_at": from_us(clock.us + 1_000_000)})
    clock.advance(2)

    assert runtime.claim()[0].key.ticket_id == urgent


def test_fences_of_a_ticket_rise(runtime, other, add, ends, clock):
    add(1)
    fences = []
    for holder in (runtime, other, other, runtime):
        (claim,) = holder.claim(lease_seconds=10)
        fences.append(claim.key.claim_fence_token)
        if len(fences) % 2:
            holder.settle(ends(claim, Status.RELEASED))
        else:
            clock.advance(11)
            holder.turn(sweep=True)

    assert fences == sorted(set(fences))


def test_every_claim_is_a_new_attempt(runtime, add, ends):
    add(1)
    (first,) = runtime.claim()
    runtime.settle(ends(first, Status.RELEASED))
    (second,) = runtime.claim()

    assert first.key.work_attempt_id != second.key.work_attempt_id
    assert (second.attempt, second.ticket.claim_count) == (2, 2)


def test_a_later_attempt_abandons_what_the_earlier_left_open(runtime, add, place, ends):
    (ticket_id,) = add(1)
    (first,) = runtime.claim()
    runtime.settle(ends(first, Status.RELEASED))
    place.dispatch(first, 1)

    (second,) = runtime.claim()

    states = {(attempt, sequence): (state, error) for attempt, sequence, state, _, error in place.ledger(ticket_id)}
    assert states == {
        (first.key.work_attempt_id, 0): ("committed", None),
        (first.key.work_attempt_id, 1): ("abandoned", "a later attempt began"),
        (second.key.work_attempt_id, 0): ("allocated", None),
    }


def test_what_a_runtime_holds_is_read_back_as_claimed(runtime, other, add, clock):
    add(5)
    claims = runtime.claim(count=3)
    other.claim(count=2)
    clock.advance(10_000)

    assert runtime.writer.held() == claims


def test_which_runtimes_hold_anything(runtime, other, add):
    add(1)
    runtime.claim()

    assert other.writer.holds_any([runtime.id, other.id, "unknown"]) == {runtime.id}
    assert other.writer.holds_any([]) == frozenset()


def test_a_writer_learns_that_others_wrote(runtime, other, add):
    runtime.writer.changed()
    other.writer.changed()
    assert (runtime.writer.changed(), other.writer.changed()) == (False, False)

    add(1)

    assert [runtime.writer.changed(), runtime.writer.changed(), other.writer.changed()] == [True, False, True]


def test_two_workspaces_in_one_store_do_not_see_each_other(*, store_factory, start, add, runtime, place, clock):
    (mine,) = add(1)
    elsewhere = store_factory(workspace_id="elsewhere")
    stranger = start(elsewhere, "stranger")
    with closing(stranger.writer), closing(elsewhere.reader()) as reader:
        assert stranger.claim() == []
        (claim,) = runtime.claim(lease_seconds=1)
        clock.advance(5)

        result = stranger.turn(
            refresh=[Earned(claim.key, 0.0)], refresh_seconds=9, sweep=True, return_holders=[runtime.id]
        )

        assert (result.returned, result.lost) == ([], [claim.key])
        assert stranger.writer.holds_any([runtime.id]) == frozenset()
        assert not reader.outstanding().any
        assert (list(reader.tickets()), list(reader.events()), list(reader.events(ticket_id=mine))) == ([], [], [])
        assert (reader.verify().events, reader.verify().fault) == (0, None)
    assert runtime.writer.held() == [claim]


@pytest.mark.parametrize("count", [1, 4, 5, 16, 17, 64, 65, 128, 129, 300])
def test_any_number_of_tickets_is_claimed_and_settled_in_a_turn(runtime, add, ends, reader, count):
    ids = add(count + 1)

    claims = runtime.claim(count=count)
    result = runtime.turn(settle=[ends(claim) for claim in claims], claim=ClaimOrder(count, 600.0))

    assert [claim.key.ticket_id for claim in claims] == ids[:count]
    assert result.settled == [claim.key for claim in claims]
    assert [claim.key.ticket_id for claim in result.claims] == ids[count:]
    assert runtime.writer.holds() == {claim.key for claim in result.claims}
    assert [ticket.sea_status for ticket in reader.tickets()] == [Status.COMPLETED] * count + [Status.IN_PROGRESS]
    assert (reader.verify().fault, reader.verify().events) == (None, count + 1 + 3 * count + 1)


def test_the_keys_held_are_those_of_the_claims(runtime, other, add, clock):
    add(3)
    claims = runtime.claim(count=2)
    other.claim()
    clock.advance(10_000)

    assert runtime.writer.holds() == {claim.key for claim in claims}
    assert runtime.writer.holds() == {claim.key for claim in runtime.writer.held()}


def test_a_claim_says_which_agent_and_what_its_ticket_waited_for(runtime, add, ends, reader):
    first, second = add(2)
    (last,) = add({"agent": "reviewer", "blocked_by": [second, first]})
    for claim in runtime.claim(count=2):
        assert (claim.ticket.agent, claim.ticket.blocked_by) == (None, ())
        runtime.settle(ends(claim))

    (claim,) = runtime.claim()

    assert (claim.ticket.agent, claim.ticket.blocked_by) == ("reviewer", (first, second))
    assert claim.ticket == reader.ticket(last)


def test_a_claim_brings_what_earlier_attempts_recorded(runtime, add, ends, place):
    add(2)
    first, unrelated = runtime.claim(count=2)
    assert (first.operations, first.attempts_forgiven) == ((), 0)
    place.dispatch(unrelated, 1)
    for sequence in (1, 2):
        place.dispatch(first, sequence)
    place.commit(first, 1, '{"sent": 1}')
    runtime.settle(ends(first, Status.RELEASED))
    (second,) = runtime.claim()
    place.dispatch(second, 1)
    runtime.settle(ends(second, Status.RELEASED))

    (third,) = runtime.claim()

    assert [(row.work_attempt_id, row.sequence_within_attempt, row.state.value) for row in third.operations] == [
        (first.key.work_attempt_id, 1, "committed"),
        (first.key.work_attempt_id, 2, "abandoned"),
        (second.key.work_attempt_id, 1, "abandoned"),
    ]
    assert [row.dispatch_result for row in third.operations] == [{"sent": 1}, None, None]
    assert third.operations[1].dispatch_error == "the attempt ended"
    assert [row.operation_key for row in third.operations] == ["key"] * 3


def test_a_claim_brings_the_newest_results_up_to_four_megabytes(runtime, add, ends, place):
    add(2)
    for first in runtime.claim(count=2):
        for sequence in range(1, 7):
            place.dispatch(first, sequence)
            place.commit(first, sequence, f'"{"é" * 500_000}"')
        runtime.settle(ends(first, Status.RELEASED))

    for claim in runtime.claim(count=2):
        assert [row.sequence_within_attempt for row in claim.operations] == [3, 4, 5, 6]


def test_a_claim_brings_along_how_the_newest_attempts_ended(runtime, add, ends, clock):
    add(1)
    for number in range(11):
        (claim,) = runtime.claim()
        assert [ended.attempt for ended in claim.earlier_attempts] == list(range(max(1, number - 9), number + 1))
        runtime.settle(ends(claim, Status.RELEASED, summary=f"attempt {number + 1}"))
    (claim,) = runtime.claim(lease_seconds=1)
    clock.advance(1)
    runtime.turn(sweep=True, max_attempts=99)
    (last,) = runtime.claim()

    ended = [(said.attempt, said.resolution, said.summary) for said in last.earlier_attempts]
    assert ended[-2:] == [(11, "released", "attempt 11"), (12, None, "lease expired")]
    assert last.earlier_attempts[-1].work_attempt_id == claim.key.work_attempt_id
    assert len(ended) == 10


@pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)
def test_what_is_passed_over_is_not_read(runtime, add, place):
    heavy = add({"ticket_objective": "x" * 1_000_000}, {"ticket_objective": "x" * 1_000_000})
    (light,) = add(1)
    told = []
    runtime.writer.trace(told.append)

    (claim,) = runtime.claim(except_tickets=frozenset(heavy))

    assert claim.key.ticket_id == light
    assert any(all(ticket_id in statement for ticket_id in heavy) for statement in told)


def test_forgiven_attempts_are_told_and_do_not_count(runtime, add, place, clock, reader):
    (ticket_id,) = add(1)
    place.forgive(ticket_id, 1)

    for attempt, counted in ((1, 0), (2, 1)):
        (claim,) = runtime.claim(lease_seconds=10)
        assert (claim.attempt, claim.attempts_forgiven, claim.attempts_counted) == (attempt, 1, counted)
        clock.advance(11)
        runtime.turn(sweep=True, max_attempts=2)
        assert reader.ticket(ticket_id).sea_status is Status.ASSIGNED
    runtime.claim(lease_seconds=10)
    clock.advance(11)
    runtime.turn(sweep=True, max_attempts=2)

    assert reader.ticket(ticket_id).sea_status is Status.BLOCKED_NEEDS_OPERATOR


def test_a_text_full_of_signs_comes_through_as_it_is(runtime, add):
    title = "\"quoted\" \\ \u0001 \x7f \u2028 \U0001f40b [1,2] NULL ''"
    add({"ticket_title": title, "ticket_objective": title * 100})

    (claim,) = runtime.claim()

    assert (claim.ticket.ticket_title, claim.ticket.ticket_objective) == (title, title * 100)
