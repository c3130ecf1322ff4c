"""Adding tickets, and reading the board and the log."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from kora.clock import from_us
from kora.domain.control import ClaimPermission
from kora.domain.events import Event, EventType, NewEvent
from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket, Status, Ticket
from kora.errors import NotFoundError


def test_a_ticket_is_added_as_said(store, reader, clock):
    captured, due = datetime(2020, 1, 2, 3, 4, 5, 678_901, UTC), datetime(2090, 1, 1, tzinfo=UTC)
    actor = "0190a000-0000-7000-8000-00000000000f"
    said = NewTicket(
        ticket_title="title \u202e\x1b[31m",
        ticket_objective="objective\n\u00e9",
        sea_priority="critical",
        sea_idea_kind="bug",
        sea_captured_at=captured,
        assigned_to_actor_id=actor,
        next_eligible_at=due,
        agent="review",
        ticket_id=actor,
    )
    with closing(store.board()) as board:
        (ticket_id,) = board.add([said], who="tester")

    ticket = reader.ticket(ticket_id)
    assert ticket_id == actor
    assert ticket == Ticket(
        workspace_id="workspace",
        sea_status=Status.ASSIGNED,
        created_at=from_us(clock.us),
        claim_count=0,
        work_attempt_count=0,
        failure_count_by_reason={},
        **said.model_dump(),
    )


def test_a_title_alone_is_enough(add, reader, clock):
    (ticket_id,) = add(1)

    ticket = reader.ticket(ticket_id)
    assert ticket.sea_captured_at == ticket.created_at == from_us(clock.us)
    assert (ticket.sea_priority, ticket.sea_idea_kind, ticket.next_eligible_at) == ("medium", "task", None)


def test_every_added_ticket_has_its_event_in_the_workspaces_chain(add, reader):
    ids = add(3)

    events = list(reader.events())
    assert [event.ticket_id for event in events] == ids
    assert [event.chain_seq for event in events] == [1, 2, 3]
    assert {event.chain_id for event in events} == {"workspace:workspace"}
    payload = events[0].payload
    assert (payload["who"], payload["verb"], payload["target"], payload["before"]) == ("tester", "add", ids[0], None)
    assert payload["after"]["ticket_title"] == "ticket 0"


def test_all_or_none_are_added(store, reader):
    def broken():
        for number in range(1_200):
            yield NewTicket(ticket_title=f"ticket {number}")
        raise LookupError

    with closing(store.board()) as board:
        with pytest.raises(LookupError):
            board.add(broken(), who="tester")
        assert list(reader.tickets()) == []
        assert reader.verify().events == 0
        assert board.add([], who="tester") == []
        assert len(board.add([NewTicket(ticket_title="after")], who="tester")) == 1
    assert reader.verify().fault is None


def test_many_tickets_are_added_in_one_go(add, reader):
    ids = add(1_234)

    assert [ticket.ticket_id for ticket in reader.tickets()] == ids
    assert reader.verify().events == 1_234


def test_the_board_is_listed_by_status_and_in_part(add, reader, runtime, ends):
    ids = add(200)
    runtime.settle(*[ends(claim) for claim in runtime.claim(count=150)])

    assert [ticket.ticket_id for ticket in reader.tickets([Status.ASSIGNED])] == ids[150:]
    assert [ticket.ticket_id for ticket in reader.tickets([Status.ASSIGNED, Status.COMPLETED], limit=151)] == ids[:151]
    assert [ticket.ticket_id for ticket in reader.tickets(limit=3)] == ids[:3]
    assert list(reader.tickets([Status.FAILED_TERMINAL])) == []
    assert list(reader.tickets(limit=0)) == []


def test_an_unknown_ticket_is_not_found(reader):
    with pytest.raises(NotFoundError, match="0190a000"):
        reader.ticket("0190a000-0000-7000-8000-0000000000ff")


def test_a_workspace_may_claim_until_told_otherwise(reader, place):
    assert reader.steering().granted is ClaimPermission.NORMAL

    place.permit("none")

    assert reader.steering().granted is ClaimPermission.NONE


def test_what_is_outstanding(reader, add, runtime, clock):
    assert not reader.outstanding().any
    add(
        {},
        {"next_eligible_at": from_us(clock.us + 1)},
        {"assigned_to_actor_id": "0190a000-0000-7000-8000-00000000000f"},
    )
    left = reader.outstanding()
    assert (left.ready, left.waiting, left.held) == (True, True, False)

    runtime.claim()

    left = reader.outstanding()
    assert (left.ready, left.waiting, left.held) == (False, True, True)


def test_the_log_is_read_in_the_order_of_arrival(add, runtime, other, reader, ends):
    ids = add(3)
    claims = [holder.claim()[0] for holder in (runtime, other, runtime)]
    runtime.settle(ends(claims[0]))

    events = list(reader.events())
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert [event.chain_id for event in events if event.event_type == EventType.CLAIMED] == [
        runtime.id,
        other.id,
        runtime.id,
    ]
    assert list(reader.events(after_seq=events[3].seq)) == events[4:]
    assert list(reader.events(event_types=[EventType.CLAIMED])) == events[3:6]
    assert [event.event_type for event in reader.events(ticket_id=ids[0])] == [
        EventType.OPERATOR_ACTED,
        EventType.CLAIMED,
        EventType.RESOLVED,
        EventType.RELEASED,
    ]
    assert list(reader.events(ticket_id=ids[0], event_types=[EventType.RELEASED], after_seq=1)) == [events[-1]]
    assert list(reader.events(ticket_id=ids[0], after_seq=events[-1].seq)) == []


def test_a_long_log_is_read_whole(add, runtime, reader):
    (ticket_id,) = add(1)
    runtime.turn(append=[NewEvent(EventType.TRANSITIONED, {"n": n}, ticket_id) for n in range(1_500)])

    for found in (
        list(reader.events(event_types=[EventType.TRANSITIONED])),
        list(reader.events(ticket_id=ticket_id))[1:],
        list(reader.events())[1:],
    ):
        assert [event.payload["n"] for event in found] == list(range(1_500))


def test_an_event_read_is_as_good_as_a_validated_one(add, reader):
    add(1)

    (event,) = reader.events()

    assert Event.model_validate(event.model_dump()) == event


def test_what_is_appended_meanwhile_is_read_too(add, reader):
    add(600)
    events = reader.events()
    next(events)

    add(1)

    assert len(list(events)) == 600


def test_chains_are_linked_and_verify(add, runtime, other, reader, ends):
    add(5)
    for holder in (runtime, other):
        holder.settle(*[ends(claim) for claim in holder.claim(count=2)])

    report = reader.verify()
    events = list(reader.events())
    assert (report.events, report.chains, report.fault) == (len(events), 3, None)
    for chain_id in {event.chain_id for event in events}:
        chain = [event for event in events if event.chain_id == chain_id]
        assert [event.chain_seq for event in chain] == list(range(1, len(chain) + 1))
        assert [event.prev_event_hash for event in chain] == ["0" * 64] + [
            event.this_event_hash for event in chain[:-1]
        ]


def test_the_store_shows_where_it_is(store, place):
    assert place.database in store.url
    with store as same:
        assert same is store


def test_what_an_operator_did_to_a_runtime_is_on_record_once(store, reader):
    said = {"before": {"paused": False}, "after": {"paused": True}, "who": "ann", "event_id": new_id()}
    with closing(store.board()) as board:
        for _ in range(2):
            board.record("pause", "the runtime", **said)
        board.record("resume", "the runtime", before={}, after={}, who="bob", event_id=new_id())

    first, second = reader.events()
    assert (first.event_type, first.chain_id, first.ticket_id) == (
        EventType.OPERATOR_ACTED,
        "workspace:workspace",
        None,
    )
    assert first.event_id == said["event_id"]
    assert first.payload == {
        "who": "ann",
        "verb": "pause",
        "target": "the runtime",
        "before": {"paused": False},
        "after": {"paused": True},
    }
    assert second.payload["who"] == "bob"
    assert reader.verify().fault is None
