"""Refreshing, settling and giving back: what a fence protects."""

from datetime import timedelta

import pytest

from kora.clock import from_us
from kora.domain.claim import ClaimKey
from kora.domain.events import EventType, NewEvent
from kora.domain.resolution import Resolution
from kora.domain.ticket import NewTicket, Status
from kora.errors import IncarnationLostError
from kora.store.port import ClaimOrder, Earned, Turn

RELEASED = "sea_ticket.claim_released"
EXPIRED = "sea_ticket.claim_expired"
RESOLVED = "kora.sea_ticket.resolved"


def stranger_to(claim, **fields):
    return claim._replace(key=claim.key._replace(**fields))


WRONG_KEYS = [
    {"claim_fence_token": 2},
    {"claim_fence_token": 0},
    {"work_attempt_id": "0190a000-0000-7000-8000-0000000000ff"},
    {"ticket_id": "0190a000-0000-7000-8000-0000000000ff"},
]


def test_a_refresh_moves_the_end_of_the_lease(runtime, add, clock, reader):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.advance(59)

    result = runtime.refresh(claim.key, seconds=60.0)

    assert (result.refreshed, result.lost) == ([claim.key], [])
    assert reader.ticket(ticket_id).claim.lease_expires_at == from_us(clock.us) + timedelta(seconds=60)


def test_a_refresh_after_the_leases_end_is_lost(runtime, add, clock, reader):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim(lease_seconds=60)
    clock.advance(60)

    result = runtime.refresh(claim.key, seconds=60.0)

    assert (result.refreshed, result.lost) == ([], [claim.key])
    assert reader.ticket(ticket_id).claim.lease_expires_at == claim.lease_expires_at


@pytest.mark.parametrize("wrong", WRONG_KEYS, ids=str)
def test_a_refresh_needs_the_whole_key(runtime, add, clock, reader, wrong):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    key = claim.key._replace(**wrong)
    clock.advance(1)

    alone = runtime.refresh(key, seconds=600.0)

    assert (alone.refreshed, alone.lost) == ([], [key])
    assert reader.ticket(ticket_id).claim.lease_expires_at == claim.lease_expires_at
    assert runtime.refresh(key, claim.key, seconds=600.0).refreshed == [claim.key]


def test_a_refresh_needs_the_holder(runtime, other, add):
    add(1)
    (claim,) = runtime.claim()

    assert other.refresh(claim.key, seconds=60.0).lost == [claim.key]


def test_a_refresh_needs_the_attempts_presence_mark(runtime, add, place):
    add(1)
    (claim,) = runtime.claim()
    place.abandon_operations()

    assert runtime.refresh(claim.key, seconds=60.0).lost == [claim.key]


def test_the_same_refresh_twice_in_one_turn_is_one(runtime, add):
    add(1)
    (claim,) = runtime.claim()

    assert runtime.refresh(claim.key, claim.key, seconds=60.0).refreshed == [claim.key]


def test_a_settlement_resolves_and_releases(*, runtime, add, reader, log, place, ends):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    end = ends(claim, summary="all well", model_tier_used="large", cost_usd=0.25)

    result = runtime.settle(end)

    ticket = reader.ticket(ticket_id)
    assert (result.settled, result.stale) == ([claim.key], [])
    assert (ticket.sea_status, ticket.claim, ticket.last_summary) == (Status.COMPLETED, None, "all well")
    assert ticket.last_resolution == Resolution.COMPLETED
    assert log(ticket_id)[1:] == [
        (
            RESOLVED,
            {
                "sea_ticket_id": ticket_id,
                "workspace_id": ticket.workspace_id,
                "resolution": "completed",
                "resolution_summary": "all well",
                "model_tier_used": "large",
                "cost_usd": 0.25,
            },
        ),
        (RELEASED, {"holder": runtime.id, "work_attempt_id": claim.key.work_attempt_id}),
    ]
    assert [row[2:] for row in place.ledger(ticket_id)] == [
        ("committed", '{"resolution":"completed","summary":"all well"}', None)
    ]


def test_a_settlement_abandons_the_attempts_open_operations(runtime, add, place, ends):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    place.dispatch(claim, 1)

    runtime.settle(ends(claim))

    assert [row[1:3] for row in place.ledger(ticket_id)] == [(0, "committed"), (1, "abandoned")]


@pytest.mark.parametrize(
    ("status", "offset", "ready", "waiting"),
    [
        (Status.COMPLETED, None, False, False),
        (Status.FAILED_TERMINAL, None, False, False),
        (Status.DEFERRED_COST_LIMIT, None, False, False),
        (Status.BLOCKED_NEEDS_OPERATOR, None, False, False),
        (Status.RELEASED, None, True, False),
        (Status.RELEASED, 0.0, True, False),
        (Status.RELEASED, 60.0, False, True),
        (Status.FAILED_RETRYABLE, None, True, False),
        (Status.FAILED_RETRYABLE, 60.0, False, True),
    ],
)
def test_where_a_settled_ticket_lies(*, runtime, add, reader, ends, clock, status, offset, ready, waiting):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()

    runtime.settle(ends(claim, status, next_eligible_offset_seconds=offset, failure_count_by_reason={"stalled": 2}))

    ticket, left = reader.ticket(ticket_id), reader.outstanding()
    assert (ticket.sea_status, ticket.failure_count_by_reason) == (status, {"stalled": 2})
    assert (left.ready, left.waiting, left.held, left.any) == (ready, waiting, False, ready or waiting)
    due = from_us(clock.us) + timedelta(seconds=60) if waiting else None
    assert ticket.next_eligible_at == due


def test_a_settlement_that_ran_out_but_was_not_taken_over_still_counts(runtime, add, clock, ends, reader):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim(lease_seconds=1)
    clock.advance(60)

    result = runtime.settle(ends(claim), sweep=True)

    assert (result.settled, result.returned) == ([claim.key], [])
    assert reader.ticket(ticket_id).sea_status is Status.COMPLETED


@pytest.mark.parametrize("wrong", WRONG_KEYS, ids=str)
def test_a_settlement_needs_the_whole_key(runtime, add, log, ends, wrong):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    wrongly = stranger_to(claim, **wrong)

    assert runtime.settle(ends(wrongly)).stale == [wrongly.key]
    assert len(log(ticket_id)) == 1
    assert runtime.writer.held() == [claim]


def test_a_settlement_needs_the_holder(runtime, other, add, ends):
    add(1)
    (claim,) = runtime.claim()

    assert other.settle(ends(claim)).stale == [claim.key]
    assert runtime.writer.held() == [claim]


def test_a_taken_over_claim_can_no_longer_be_settled_or_refreshed(*, runtime, other, add, clock, ends, reader, log):
    (ticket_id,) = add(1)
    (lost,) = runtime.claim(lease_seconds=10)
    clock.advance(11)
    (taken,) = other.turn(sweep=True, claim=ClaimOrder(1, 600.0)).claims

    late = runtime.refresh(lost.key, seconds=600.0, settle=[ends(lost)])

    assert (late.lost, late.stale, late.settled) == ([lost.key], [lost.key], [])
    assert reader.ticket(ticket_id) == taken.ticket
    assert RESOLVED not in [kind for kind, _ in log(ticket_id)]


def test_repeating_a_settlement_whose_answer_was_lost_writes_nothing(runtime, other, add, ends, log):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    end = ends(claim, Status.RELEASED)
    runtime.settle(end)
    other.claim()
    told = log(ticket_id)

    assert (again := runtime.settle(end)).settled == [claim.key]
    assert again.stale == []
    assert log(ticket_id) == told


def test_the_same_settlement_twice_in_one_turn_is_one(runtime, add, ends, log):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()

    result = runtime.settle(ends(claim), ends(claim, Status.RELEASED))

    assert (result.settled, result.stale, result.set_aside) == ([claim.key], [], [])
    assert [kind for kind, _ in log(ticket_id)][1:] == [RESOLVED, RELEASED]
    assert log(ticket_id)[1][1]["resolution"] == "completed"


def test_a_sweep_returns_what_ran_out_whoever_held_it(*, runtime, other, add, clock, reader, log, place):
    short, long = add(2)
    (claim,) = runtime.claim(lease_seconds=10)
    runtime.claim(lease_seconds=100)
    place.dispatch(claim, 1)
    clock.advance(10)

    result = other.turn(sweep=True)

    ticket = reader.ticket(short)
    assert len(result.returned) == 1
    assert (ticket.sea_status, ticket.claim, ticket.next_eligible_at) == (Status.ASSIGNED, None, None)
    assert log(short)[1:] == [(EXPIRED, {"holder": runtime.id, "work_attempt_id": claim.key.work_attempt_id})]
    assert {event.chain_id for event in reader.events(event_types=[EXPIRED])} == {other.id}
    assert [row[1:3] + row[4:] for row in place.ledger(short)] == [
        (0, "abandoned", "lease expired"),
        (1, "abandoned", "lease expired"),
    ]
    assert reader.ticket(long).claim is not None


def test_a_sweep_and_a_claim_in_one_turn_take_over(runtime, other, add, clock):
    (ticket_id,) = add(1)
    (lost,) = runtime.claim(lease_seconds=10)
    clock.advance(11)

    (taken,) = other.turn(sweep=True, claim=ClaimOrder(1, 60.0)).claims

    assert taken.key.ticket_id == ticket_id
    assert taken.key.claim_fence_token > lost.key.claim_fence_token


def test_a_lease_refreshed_in_the_same_turn_is_not_swept(runtime, add, clock):
    add(1)
    (claim,) = runtime.claim(lease_seconds=10)
    clock.advance(9.999_999)

    result = runtime.refresh(claim.key, seconds=10.0, sweep=True)

    assert (result.refreshed, result.returned) == ([claim.key], [])


def test_what_a_dead_holder_held_is_returned_at_once(*, runtime, other, add, reader, log, place):
    mine, theirs = add(2)
    runtime.claim()
    (claim,) = other.claim()

    result = runtime.turn(return_holders=[other.id, "unknown"])

    assert len(result.returned) == 1
    assert reader.ticket(theirs).sea_status is Status.ASSIGNED
    assert log(theirs)[1:] == [(EXPIRED, {"holder": other.id, "work_attempt_id": claim.key.work_attempt_id})]
    assert place.ledger(theirs)[0][4] == "holder is gone"
    assert [held.key.ticket_id for held in runtime.writer.held()] == [mine]


@pytest.mark.parametrize("way", ["sweep", "return_holders"])
def test_a_ticket_attempted_too_often_waits_for_an_operator(*, runtime, other, add, clock, reader, way):
    (ticket_id,) = add(1)
    for attempt in range(1, 4):
        assert [claim.attempt for claim in runtime.claim(lease_seconds=10)] == [attempt]
        clock.advance(11)
        other.turn(max_attempts=3, **{way: True if way == "sweep" else [runtime.id]})

    assert reader.ticket(ticket_id).sea_status is Status.BLOCKED_NEEDS_OPERATOR
    assert not reader.outstanding().any
    assert runtime.claim() == []


def test_a_retired_writer_changes_nothing(*, runtime, add, store, start, reader, ends):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    successor = start(store, runtime.id)
    log_before = list(reader.events())

    with pytest.raises(IncarnationLostError):
        runtime.refresh(claim.key, seconds=60.0, settle=[ends(claim)], sweep=True)

    assert successor.incarnation == runtime.incarnation + 1
    assert list(reader.events()) == log_before
    assert reader.ticket(ticket_id) == claim.ticket
    assert successor.settle(ends(claim)).settled == [claim.key]
    successor.writer.close()


def test_a_runtime_that_never_registered_changes_nothing(store, runtime, start):
    with pytest.raises(IncarnationLostError):
        runtime.writer.turn(runtime.incarnation + 1, Turn())


def test_a_settlement_that_cannot_be_written_is_set_aside_and_the_rest_is_done(runtime, add, place, reader, ends):
    ids = add(4)
    claims = runtime.claim(count=3)
    place.make_fail(ids[1])

    result = runtime.turn(
        refresh=[],
        settle=[ends(claim) for claim in claims],
        claim=ClaimOrder(1, 60.0),
        append=[NewEvent(EventType.BOOT_READY, {})],
    )

    assert result.settled == [claims[0].key, claims[2].key]
    assert len(result.set_aside) == 1
    assert ids[1] in result.set_aside[0]
    assert [claim.key.ticket_id for claim in result.claims] == [ids[3]]
    assert [ticket.sea_status for ticket in reader.tickets()] == [
        Status.COMPLETED,
        Status.IN_PROGRESS,
        Status.COMPLETED,
        Status.IN_PROGRESS,
    ]
    assert reader.verify().fault is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"summary": "\ud800"},
        {"next_eligible_offset_seconds": float("nan")},
        {"next_eligible_offset_seconds": 1e300},
        {"failure_count_by_reason": {"x": {1}}},
    ],
    ids=str,
)
def test_a_settlement_of_impossible_content_is_set_aside(runtime, add, reader, ends, spoilt):
    add(2)
    bad, good = runtime.claim(count=2)

    result = runtime.settle(
        ends(bad, Status.RELEASED, **spoilt), ends(good), refresh=[Earned(bad.key, 0.0)], refresh_seconds=60.0
    )

    assert (result.settled, result.refreshed, len(result.set_aside)) == ([good.key], [bad.key], 1)
    assert [held.key for held in runtime.writer.held()] == [bad.key]
    assert reader.verify().fault is None


def test_a_settlement_to_a_status_no_attempt_ends_in_is_set_aside(runtime, add, ends):
    add(1)
    (claim,) = runtime.claim()

    result = runtime.settle(ends(claim)._replace(sea_status=Status.ASSIGNED))

    assert (result.settled, len(result.set_aside)) == ([], 1)


def test_an_event_that_cannot_be_written_is_set_aside_and_the_others_stand(runtime, add, reader):
    (ticket_id,) = add(1)
    unknown = "0190a000-0000-7000-8000-0000000000ff"

    result = runtime.turn(
        append=[
            NewEvent(EventType.TRANSITIONED, {"n": 1}, ticket_id),
            NewEvent(EventType.TRANSITIONED, {"n": {1}}),
            NewEvent(EventType.TRANSITIONED, {"n": "\ud800"}),
            NewEvent(EventType.TRANSITIONED, {"n": 2}, unknown),
            NewEvent(EventType.TRANSITIONED, {"n": 3}),
        ]
    )

    told = list(reader.events(event_types=[EventType.TRANSITIONED]))
    assert [(event.payload["n"], event.ticket_id, event.chain_seq) for event in told] == [
        (1, ticket_id, 1),
        (3, None, 2),
    ]
    assert len(result.set_aside) == 3
    assert unknown in result.set_aside[2]
    assert reader.verify().fault is None


def test_a_ticket_that_cannot_be_claimed_does_not_stand_in_the_way(runtime, add, place):
    ids = add(4)
    place.make_fail(ids[0])
    place.make_fail(ids[2])

    result = runtime.turn(claim=ClaimOrder(2, 60.0))

    assert [claim.key.ticket_id for claim in result.claims] == [ids[1], ids[3]]
    assert sorted(ticket_id for ticket_id in ids for line in result.set_aside if ticket_id in line) == [ids[0], ids[2]]


def test_a_ticket_that_cannot_be_swept_does_not_keep_the_others(runtime, other, add, place, clock):
    ids = add(3)
    runtime.claim(count=3, lease_seconds=1)
    place.make_fail(ids[1])
    clock.advance(2)

    result = other.turn(sweep=True)

    assert (len(result.returned), len(result.set_aside)) == (2, 1)


def test_a_repeated_turn_does_no_harm(runtime, add, ends, reader):
    add(3)
    first, second = runtime.claim(count=2)
    parts = {"refresh": [Earned(first.key, 0.0)], "refresh_seconds": 60.0, "settle": [ends(second)], "sweep": True}
    runtime.turn(**parts)
    log_before = list(reader.events())

    again = runtime.turn(**parts)

    assert (again.refreshed, again.settled, again.stale) == ([first.key], [second.key], [])
    assert list(reader.events()) == log_before


def test_an_empty_turn_writes_nothing(runtime, reader):
    before = reader.verify()

    result = runtime.turn()

    assert (result.settled, result.claims, result.set_aside) == ([], [], [])
    assert reader.verify() == before


def test_an_unknown_claim_is_lost_and_stale(runtime, ends, add):
    add(1)
    (claim,) = runtime.claim()
    key = ClaimKey("0190a000-0000-7000-8000-0000000000ff", 1, "x")

    result = runtime.refresh(key, settle=[ends(claim)._replace(key=key)])

    assert (result.lost, result.stale) == ([key], [key])


def test_an_event_that_is_handed_over_again_is_written_once_and_no_fault(runtime, add, reader):
    (ticket_id,) = add(1)
    events = [NewEvent(EventType.TRANSITIONED, {"n": 1}), NewEvent(EventType.TRANSITIONED, {"n": 2}, ticket_id)]
    runtime.turn(append=events)

    again = runtime.turn(append=[*events, NewEvent(EventType.TRANSITIONED, {"n": 3})])

    told = list(reader.events(event_types=[EventType.TRANSITIONED]))
    assert [event.event_id for event in told[:2]] == [event.event_id for event in events]
    assert [event.payload["n"] for event in told] == [1, 2, 3]
    assert again.set_aside == []
    assert reader.verify().fault is None


@pytest.mark.parametrize("age", [0.0, 7.5])
def test_a_refresh_says_when_the_progress_was_made(runtime, add, clock, place, age):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    assert place.spent(ticket_id)[4] is None
    clock.advance(30)

    runtime.refresh(claim, age=age)

    assert place.spent(ticket_id)[4] == clock.us - round(age * 1e6)


def test_a_new_claim_has_made_no_progress(runtime, add, place, ends):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    runtime.refresh(claim)
    runtime.settle(ends(claim, Status.RELEASED))

    runtime.claim()

    assert place.spent(ticket_id)[4] is None


def test_only_what_was_refused_is_lost(runtime, other, add, clock):
    add(4)
    mine = runtime.claim(count=2, lease_seconds=100)
    (short,) = runtime.claim(lease_seconds=10)
    (theirs,) = other.claim()
    clock.advance(11)

    result = runtime.refresh(short, *mine, theirs, seconds=100.0)

    assert result.refreshed == [claim.key for claim in mine]
    assert result.lost == [short.key, theirs.key]


def test_attempts_add_up_in_time_and_money(*, runtime, other, add, clock, place, ends):
    (ticket_id,) = add(1)
    (first,) = runtime.claim()
    clock.advance(10)
    runtime.settle(ends(first, Status.RELEASED, cost_usd=0.25))
    runtime.claim(lease_seconds=5)
    clock.advance(20)
    other.turn(sweep=True)
    claimed_at = clock.us
    (third,) = runtime.claim()
    clock.advance(30)

    runtime.settle(ends(third, cost_usd=0.000_001))

    assert place.spent(ticket_id) == (claimed_at, 60_000_000, 250_001, clock.us, None)
    assert place.tallies() == {
        (runtime.id, "released"): (1, 250_000, 10_000_000),
        (other.id, "expired"): (1, 0, 20_000_000),
        (runtime.id, "completed"): (1, 1, 30_000_000),
    } | {key: sums for key, sums in place.tallies().items() if key[1] == "added"}


def test_tallies_of_one_minute_add_up(runtime, add, clock, place, ends):
    add(5)
    for _ in range(2):
        claims = runtime.claim(count=2)
        clock.advance(1)
        runtime.settle(*[ends(claim, cost_usd=1.5) for claim in claims])

    assert place.tallies()[runtime.id, "completed"] == (4, 6_000_000, 4_000_000)


def test_what_is_refused_or_repeated_is_not_tallied(*, runtime, other, add, place, ends):
    ids = add(2)
    claims = runtime.claim(count=2)
    place.make_fail(ids[0])
    other.settle(ends(claims[1]))
    runtime.settle(*map(ends, claims))
    runtime.settle(ends(claims[1]))

    assert place.tallies()[runtime.id, "completed"][0] == 1
    assert place.spent(ids[0])[1:4] == (0, 0, None)


def test_a_cost_beyond_all_measure_does_not_break_the_sums(runtime, add, place, ends, reader):
    ids = add(3)
    costs = [1e300, 1e12, float("nan")]

    result = runtime.settle(
        *[ends(claim, cost_usd=cost) for claim, cost in zip(runtime.claim(count=3), costs, strict=True)]
    )

    assert (len(result.settled), len(result.set_aside)) == (2, 1)
    assert [place.spent(ticket_id)[2] for ticket_id in ids] == [10**12, 10**12, 0]
    assert reader.verify().fault is None


@pytest.mark.parametrize("way", ["settle", "sweep", "return_holders"])
def test_whoever_waits_for_an_operator_is_told_in_the_log(*, runtime, other, add, clock, ends, log, way):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim(lease_seconds=10)
    clock.advance(11)
    if way == "settle":
        runtime.settle(ends(claim, Status.BLOCKED_NEEDS_OPERATOR))
    else:
        other.turn(max_attempts=1, **{way: True if way == "sweep" else [runtime.id]})

    kind, payload = log(ticket_id)[-1]
    assert kind == "kora.sea_ticket.blocked"
    assert payload == {"sea_ticket_id": ticket_id, "workspace_id": "workspace", "reason": "max_attempts"}
    assert [kind for kind, _ in log(ticket_id)].count("kora.sea_ticket.blocked") == 1


def test_a_blocker_that_completes_and_one_that_fails_in_one_turn_block(*, runtime, add, ends, reader, log):
    good, bad = add(2)
    (waits,) = add({"blocked_by": [good, bad]})
    (last,) = add({"blocked_by": [waits]})
    first, second = runtime.claim(count=2)

    runtime.settle(ends(first), ends(second, Status.FAILED_TERMINAL))

    assert reader.ticket(waits).sea_status is Status.BLOCKED_NEEDS_OPERATOR
    assert reader.ticket(last).sea_status is Status.ASSIGNED
    assert log(waits)[-1] == (
        "kora.sea_ticket.blocked",
        {"sea_ticket_id": waits, "workspace_id": "workspace", "reason": "blocked_by", "blocked_by": bad},
    )
    assert runtime.claim() == []
    assert not reader.outstanding().any


def test_the_last_blocker_frees_what_waits_in_the_same_turn(runtime, add, ends, reader, clock):
    first, second = add(2)
    due = from_us(clock.us) + timedelta(seconds=90)
    (at_once,) = add({"blocked_by": [first, second]})
    (dated,) = add({"blocked_by": [first], "next_eligible_at": due})
    one, two = runtime.claim(count=2)
    assert reader.outstanding().held

    runtime.settle(ends(one))
    assert runtime.claim() == []
    result = runtime.settle(ends(two), claim=ClaimOrder(2, 60.0))

    assert [claim.key.ticket_id for claim in result.claims] == [at_once]
    assert result.next_eligible_in_seconds == 90.0
    clock.advance(90)
    assert [claim.key.ticket_id for claim in runtime.claim()] == [dated]


@pytest.mark.parametrize("held", [False, True])
def test_what_waits_for_another_actors_ticket_is_outstanding(*, store_factory, start, add, reader, ends, held):
    other_actor = "0190a000-0000-7000-8000-00000000000f"
    (far,) = add({"assigned_to_actor_id": other_actor})
    (near,) = add({"assigned_to_actor_id": other_actor, "blocked_by": [far]})
    add({"blocked_by": [near]})
    theirs = start(store_factory(actor_id=other_actor), "theirs")

    if held:
        (claim,) = theirs.claim()
    assert (reader.outstanding().ready, reader.outstanding().blocked) == (False, True)
    if held:
        theirs.settle(ends(claim, Status.FAILED_TERMINAL))
        assert not reader.outstanding().any
    theirs.writer.close()


def test_a_turn_in_which_a_row_fails_does_the_rest_as_it_would_have_been(*, new_place, start, ends, clock):
    """The same turn on two boards, one of them with a row that fails: but for that ticket they end up alike."""
    told = []
    for fails in (False, True):
        place = new_place()
        store = place.open()
        runtime, board, reader = start(store, "runtime-1"), store.board(), store.reader()
        ids = board.add([NewTicket(ticket_title=f"ticket {n}") for n in range(8)], who="tester")
        claims = runtime.claim(count=4)
        if fails:
            place.make_fail(ids[3])
        result = runtime.turn(
            refresh=[Earned(claims[0].key, 0.0)],
            refresh_seconds=60.0,
            settle=[ends(claim) for claim in claims[1:]],
            sweep=True,
            claim=ClaimOrder(2, 60.0),
            append=[NewEvent(EventType.BOOT_READY, {})],
        )
        assert (result.refreshed, len(result.set_aside)) == ([claims[0].key], int(fails))
        events = [event for event in reader.events() if event.ticket_id != ids[3]]
        told.append(
            (
                [(event.event_type, event.ticket_id and ids.index(event.ticket_id)) for event in events],
                [ticket.sea_status for ticket in reader.tickets() if ticket.ticket_id != ids[3]],
                [ids.index(claim.key.ticket_id) for claim in result.claims],
            )
        )
        assert reader.verify().fault is None
        for handle in (runtime.writer, board, reader):
            handle.close()

    assert told[0] == told[1]


def test_an_attempt_that_never_began_counts_no_more(runtime, add, ends, reader):
    (ticket_id,) = add(1)
    for expected in range(4):
        (claim,) = runtime.claim()
        assert (claim.attempt, claim.attempts_forgiven, claim.attempts_counted) == (expected + 1, expected, 1)
        end = ends(claim, Status.RELEASED, is_forgiven=True)
        assert runtime.settle(end).settled == [claim.key]
        # Told again, it is forgiven once.
        assert runtime.settle(end).settled == [claim.key]
    (claim,) = runtime.claim()
    runtime.settle(ends(claim, Status.RELEASED))
    (claim,) = runtime.claim()
    assert (claim.attempt, claim.attempts_forgiven) == (6, 4)
    assert reader.ticket(ticket_id).work_attempt_count == 6


def test_of_ends_of_one_turn_only_those_that_never_began_are_forgiven(runtime, add, ends):
    add(6)
    claims = runtime.claim(count=6)
    runtime.settle(*(ends(claim, Status.RELEASED, is_forgiven=n % 2 == 0) for n, claim in enumerate(claims)))
    assert [claim.attempts_forgiven for claim in runtime.claim(count=6)] == [1, 0] * 3


def test_a_settlement_needs_the_attempts_presence_mark(runtime, add, place, reader, ends):
    add(2)
    (claim,) = runtime.claim()
    place.abandon_operations()
    (other,) = runtime.claim()

    result = runtime.settle(ends(claim), ends(other))

    assert (result.stale, result.settled) == ([claim.key], [other.key])
    assert [held.key for held in runtime.writer.held()] == [claim.key]
    assert reader.verify().fault is None
