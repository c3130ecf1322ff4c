"""Tickets that wait for others: how they are added, what frees them, what blocks them."""

import re
from contextlib import closing

import pytest

from kora.clock import from_us
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket, Status
from kora.errors import RefusedError


@pytest.fixture
def board(store):
    with closing(store.board()) as handle:
        yield handle


@pytest.fixture
def finish(runtime, ends):
    """Work exactly this ticket, which must be the next one, to this end."""

    def to(ticket_id, status=Status.COMPLETED):
        (claim,) = runtime.claim()
        assert claim.key.ticket_id == ticket_id
        assert runtime.settle(ends(claim, status)).settled == [claim.key]

    return to


def claimable(runtime, ends):
    """The tickets that are eligible now; claimed and given back."""
    claims = runtime.claim(100)
    runtime.settle(*(ends(claim, Status.RELEASED) for claim in claims))
    return [claim.key.ticket_id for claim in claims]


def new_ids(count):
    return [new_id() for _ in range(count)]


def test_a_ticket_waits_until_all_that_block_it_are_completed(add, runtime, reader, finish):
    first, second = add(2)
    (waiting,) = add({"blocked_by": [second, first, second], "sea_priority": "critical"})
    ticket = reader.ticket(waiting)
    assert (ticket.sea_status, ticket.blocked_by) == (Status.ASSIGNED, (first, second))

    finish(first)
    finish(second)

    (claim,) = runtime.claim()
    assert claim.key.ticket_id == waiting
    assert claim.ticket.blocked_by == (first, second)


def test_a_freed_ticket_still_waits_for_its_time(add, runtime, reader, finish, clock):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker], "next_eligible_at": from_us(clock.us + 60_000_000)})

    finish(blocker)

    assert runtime.claim() == []
    clock.advance(60)
    assert [claim.key.ticket_id for claim in runtime.claim()] == [waiting]


def test_what_is_completed_already_blocks_nothing(add, runtime, finish, reader):
    (done,) = add(1)
    finish(done)

    (free,) = add({"blocked_by": [done]})

    assert reader.ticket(free).blocked_by == (done,)
    assert [claim.key.ticket_id for claim in runtime.claim()] == [free]


def test_tickets_of_one_batch_may_name_one_another_in_any_order(add, runtime, ends, finish, reader):
    a, b, c = new_ids(3)
    assert add({"ticket_id": c, "blocked_by": [a, b]}, {"ticket_id": b, "blocked_by": [a]}, {"ticket_id": a}) == [
        c,
        b,
        a,
    ]
    assert reader.ticket(c).blocked_by == (b, a)

    for ticket_id in (a, b, c):
        finish(ticket_id)


def test_a_batch_longer_than_what_is_written_at_a_time_may_name_ahead(add, runtime, ends):
    ids = new_ids(1_201)

    add(*({"ticket_id": mine, "blocked_by": [ids[n + 1]]} for n, mine in enumerate(ids[:-1])), {"ticket_id": ids[-1]})

    assert claimable(runtime, ends) == [ids[-1]]


def test_an_id_is_taken_as_told(add, reader):
    ticket_id = new_id()

    assert add({"ticket_id": ticket_id.upper()}) == [ticket_id]


def test_the_added_tickets_agent_and_blockers_are_in_its_row_and_its_event(add, reader):
    (blocker,) = add(1)
    (ticket_id,) = add({"agent": "review", "blocked_by": [blocker]})

    (event,) = reader.events(ticket_id=ticket_id)
    assert reader.ticket(ticket_id).agent == event.payload["after"]["agent"] == "review"
    assert event.payload["after"]["blocked_by"] == [blocker]


def refused(add, *tickets):
    with pytest.raises(RefusedError) as refusal:
        add(*tickets)
    return str(refusal.value)


def test_ids_that_are_there_already_are_refused_all_of_them_named(add, reader, store_factory):
    taken, twice = new_id(), new_id()
    add({"ticket_id": taken})
    events = reader.verify().events

    said = refused(add, {}, {"ticket_id": taken}, {"ticket_id": twice}, {"ticket_id": twice})

    assert "nothing was added" in said
    assert [found for found in (taken, twice) if f"there is a ticket {found} already" in said] == [taken, twice]
    assert [ticket.ticket_id for ticket in reader.tickets()] == [taken]
    assert reader.verify().events == events
    with closing(store_factory(workspace_id="another").board()) as elsewhere, pytest.raises(RefusedError):
        elsewhere.add([NewTicket(ticket_title="t", ticket_id=taken)], who="tester")


def test_an_id_is_not_taken_twice_in_one_batch_however_far_apart(add):
    twice = new_id()

    said = refused(add, {"ticket_id": twice}, *({} for _ in range(600)), {"ticket_id": twice})

    assert twice in said


def test_blockers_that_are_not_there_are_refused_all_of_them_named(add, reader, store_factory):
    mine, missing, also_missing = new_ids(3)
    with closing(store_factory(workspace_id="another").board()) as elsewhere:
        (foreign,) = elsewhere.add([NewTicket(ticket_title="t")], who="tester")

    said = refused(add, {"ticket_id": mine, "blocked_by": [missing, foreign]}, {"blocked_by": [also_missing]})

    for ticket_id in (missing, foreign, also_missing):
        assert f"is to wait for {ticket_id}, and there is no such ticket" in said
    assert mine in said
    assert list(reader.tickets()) == []


def test_many_faults_are_counted_and_the_first_named(add):
    said = refused(add, *({"blocked_by": [new_id()]} for _ in range(100)))

    assert len(said.splitlines()) == 22
    assert "and 80 more" in said


def circle_named(text):
    return re.findall(r"[0-9a-f-]{36}", text)


def test_a_ticket_cannot_wait_for_itself(add):
    mine = new_id()

    assert circle_named(refused(add, {"ticket_id": mine, "blocked_by": [mine]})) == [mine, mine]


def test_tickets_cannot_wait_for_one_another_in_a_circle(add, reader):
    (fine,) = add(1)
    a, b, c, d = new_ids(4)

    said = refused(
        add,
        {"ticket_id": d, "blocked_by": [a]},
        {"ticket_id": a, "blocked_by": [fine, b]},
        {"ticket_id": b, "blocked_by": [c]},
        {"ticket_id": c, "blocked_by": [fine, a]},
    )

    named = circle_named(said)
    assert (len(named), named[0], set(named)) == (4, named[-1], {a, b, c})
    assert f"{a} → {b}" in said or f"{b} → {c} → {a}" in said
    assert [ticket.ticket_id for ticket in reader.tickets()] == [fine]


def test_a_long_circle_is_named_in_part(add):
    ids = new_ids(1_300)

    said = refused(add, *({"ticket_id": mine, "blocked_by": [ids[n - 1]]} for n, mine in enumerate(ids)))

    assert "(1,290 more)" in said
    assert len(said) < 1_000


def test_what_waits_for_a_failed_ticket_waits_for_an_operator_and_the_log_says_so(
    *, add, runtime, reader, ends, finish, log, place
):
    (blocker,) = add(1)
    a, b = add({"blocked_by": [blocker]}, {"blocked_by": [blocker]})
    (further,) = add({"blocked_by": [a]})

    finish(blocker, Status.FAILED_TERMINAL)

    for ticket_id in (a, b):
        assert reader.ticket(ticket_id).sea_status is Status.BLOCKED_NEEDS_OPERATOR
        payload = {
            "sea_ticket_id": ticket_id,
            "workspace_id": "workspace",
            "reason": "blocked_by",
            "blocked_by": blocker,
        }
        assert log(ticket_id) == [(EventType.BLOCKED, payload)]
    assert reader.ticket(further).sea_status is Status.ASSIGNED
    assert runtime.claim() == []
    assert reader.verify().fault is None


def test_cancelling_blocks_what_waits(add, board, reader, log):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker]})

    board.cancel(blocker, who="ann")

    assert reader.ticket(waiting).sea_status is Status.BLOCKED_NEEDS_OPERATOR
    ((event_type, payload),) = log(waiting)
    assert (event_type, payload["blocked_by"]) == (EventType.BLOCKED, blocker)


def test_what_is_added_behind_a_failed_ticket_is_blocked_at_once(add, board, reader, log, runtime):
    failed, fine = add(2)
    board.cancel(failed, who="ann")
    mine = new_id()

    one, other, behind = add(
        {"blocked_by": [fine, failed], "ticket_id": mine}, {"blocked_by": [failed]}, {"blocked_by": [mine]}
    )

    for ticket_id in (one, other):
        assert reader.ticket(ticket_id).sea_status is Status.BLOCKED_NEEDS_OPERATOR
        ((event_type, payload),) = log(ticket_id)
        assert (event_type, payload["reason"], payload["blocked_by"]) == (EventType.BLOCKED, "blocked_by", failed)
    assert reader.ticket(behind).sea_status is Status.ASSIGNED
    assert [claim.key.ticket_id for claim in runtime.claim(5)] == [fine]


def test_an_unblocked_ticket_does_without_what_failed_and_waits_for_the_rest(add, board, reader, runtime, finish):
    failed, open_one = add({}, {"sea_priority": "low"})
    (waiting,) = add({"blocked_by": [failed, open_one]})
    board.cancel(failed, who="ann")

    ticket = board.unblock(waiting, who="ann")

    assert (ticket.sea_status, ticket.blocked_by) == (Status.ASSIGNED, (open_one,))
    finish(open_one)
    finish(waiting)


def test_a_blocker_that_was_done_without_is_not_waited_for_when_it_is_reopened(add, board, runtime, finish, reader):
    (failed,) = add({"sea_priority": "low"})
    (waiting,) = add({"blocked_by": [failed]})
    board.cancel(failed, who="ann")
    board.unblock(waiting, who="ann")

    board.force_retry(failed, who="ann")

    finish(waiting)
    finish(failed)


def test_a_blocker_that_was_reopened_is_waited_for(add, board, runtime, finish, reader):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker]})
    board.cancel(blocker, who="ann")
    board.force_retry(blocker, who="ann")

    assert board.unblock(waiting, who="ann").blocked_by == (blocker,)

    finish(blocker)
    finish(waiting)


def test_a_blocked_ticket_whose_blocker_completes_after_all_still_waits_for_the_operator(
    add, board, finish, runtime, reader
):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker]})
    board.cancel(blocker, who="ann")
    board.force_retry(blocker, who="ann")
    finish(blocker)
    assert reader.ticket(waiting).sea_status is Status.BLOCKED_NEEDS_OPERATOR
    assert runtime.claim() == []

    board.unblock(waiting, who="ann")

    finish(waiting)


def test_a_reopened_ticket_still_waits_for_its_blockers(add, board, runtime, finish):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker]})
    board.cancel(waiting, who="ann")
    board.force_retry(waiting, who="ann")

    finish(blocker)
    finish(waiting)


def test_a_cancelled_ticket_is_not_freed_by_its_blockers_end(add, board, runtime, finish, reader):
    (blocker,) = add(1)
    (waiting,) = add({"blocked_by": [blocker]})
    board.cancel(waiting, who="ann")

    finish(blocker)

    assert runtime.claim() == []
    assert reader.ticket(waiting).sea_status is Status.FAILED_TERMINAL


def test_a_refusal_names_what_is_waited_for(add, board):
    blockers = add(5)
    (waiting,) = add({"blocked_by": blockers})

    with pytest.raises(RefusedError) as refused:
        board.force_retry(waiting, who="ann")

    assert f"waits for {', '.join(blockers[:3])} and 2 more;" in str(refused.value)


def test_new_tickets_are_tallied_for_the_report(add, place, clock):
    add(700)
    add(1)
    clock.advance(60)
    add(2)

    minute = (clock.us - 60_000_000) // 60_000_000
    assert place.ask("SELECT minute, chain_id, attempts FROM tallies WHERE resolution = 'added'") == [
        (minute, "workspace:workspace", 701),
        (minute + 1, "workspace:workspace", 2),
    ]


def test_more_dependents_than_one_end_can_see_to_are_refused_and_the_blocker_named(add, finish, monkeypatch):
    monkeypatch.setattr("kora.store.sql.add.DEPENDENTS_MAX", 3)
    hub, other = add(2)
    add(*[{"blocked_by": (hub,)}] * 2)

    with pytest.raises(
        RefusedError, match=f"4 tickets would wait for {hub}, and at most 3 may wait for one; add a few"
    ):
        add({"blocked_by": (other,)}, *[{"blocked_by": (hub,)}] * 2)
    add({"blocked_by": (hub,)})
    finish(hub)

    assert len(add({"blocked_by": (hub,)})) == 1, "what is completed ends no more"
