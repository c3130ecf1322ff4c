"""Lists, claims, and what a follower asks."""

from contextlib import closing

import pytest

from kora.clock import from_us
from kora.domain.ticket import NewTicket, Status
from kora.store.views import ActiveWork

ALL = list(Status)


@pytest.fixture
def mixed(add, runtime, ends):
    """Two hundred tickets, of every status that a ticket can rest at, in turn; twenty are held."""
    ids = add(200)
    rest = [
        Status.COMPLETED,
        Status.FAILED_TERMINAL,
        Status.BLOCKED_NEEDS_OPERATOR,
        Status.DEFERRED_COST_LIMIT,
        Status.RELEASED,
        Status.FAILED_RETRYABLE,
    ]
    claims = runtime.claim(count=180)
    runtime.settle(
        *[
            ends(claim, rest[number % 6], next_eligible_offset_seconds=60.0 if number % 6 > 3 else None)
            for number, claim in enumerate(claims[:160])
        ]
    )
    return ids


@pytest.mark.parametrize("status", ALL)
def test_each_status_is_listed_whole_in_the_order_of_adding(mixed, reader, status):
    every = list(reader.tickets())

    assert [ticket.ticket_id for ticket in every] == mixed
    expected = [ticket for ticket in every if ticket.sea_status is status]
    assert list(reader.tickets([status])) == expected
    assert bool(expected) == (status is not Status.CLAIMED)


@pytest.mark.parametrize("limit", [None, 0, 1, 64, 65, 100, 1_000])
def test_several_statuses_are_listed_together(mixed, reader, limit):
    for statuses in (
        ALL,
        [Status.ASSIGNED, Status.RELEASED],
        [Status.RELEASED, Status.COMPLETED, Status.RELEASED],
        [Status.IN_PROGRESS, Status.FAILED_TERMINAL, Status.FAILED_RETRYABLE],
    ):
        expected = [ticket for ticket in reader.tickets() if ticket.sea_status in statuses]
        assert list(reader.tickets(statuses, limit)) == expected[:limit]


def test_a_list_of_another_workspace_is_another(mixed, store_factory):
    with closing(store_factory("another").reader()) as reader:
        assert list(reader.tickets(ALL)) == []


def test_who_works_what(add, runtime, other, reader, clock):
    add(3)
    (first,) = runtime.claim()
    clock.advance(5)
    (second,) = other.claim(lease_seconds=10.0)
    begun = from_us(clock.us)
    clock.advance(7)
    runtime.refresh(first, seconds=60.0, age=2.0)
    clock.advance(4)

    assert reader.claims() == [
        ActiveWork(
            ticket_id=first.key.ticket_id,
            ticket_title="ticket 0",
            holder="runtime-1",
            host="here",
            pid=1,
            claim_fence_token=1,
            work_attempt_id=first.key.work_attempt_id,
            attempt=1,
            claimed_at=from_us(clock.us - 16_000_000),
            lease_expires_at=from_us(clock.us + 56_000_000),
            lease_left_seconds=56.0,
            progress_at=from_us(clock.us - 6_000_000),
        ),
        ActiveWork(
            ticket_id=second.key.ticket_id,
            ticket_title="ticket 1",
            holder="runtime-2",
            host="here",
            pid=1,
            claim_fence_token=1,
            work_attempt_id=second.key.work_attempt_id,
            attempt=1,
            claimed_at=begun,
            lease_expires_at=second.lease_expires_at,
            lease_left_seconds=-1.0,
            progress_at=None,
        ),
    ]


def test_a_follower_knows_where_the_log_ends_and_whether_it_grew(add, reader):
    assert reader.last_seq() == 0
    reader.changed()
    assert not reader.changed()

    add(2)

    assert reader.last_seq() == list(reader.events())[-1].seq
    assert reader.changed()
    assert not reader.changed()


def test_the_log_ends_where_the_stores_does_also_for_a_workspace_without_events(add, reader, store_factory):
    other = store_factory("another")
    with closing(other.reader()) as elsewhere, closing(other.board()) as board:
        add(2)
        ours, theirs = reader.last_seq(), elsewhere.last_seq()
        assert theirs in (0, ours)

        board.add([NewTicket(ticket_title="theirs")], who="tester")

        assert len(list(elsewhere.events(after_seq=theirs))) == 1
        assert list(reader.events(after_seq=ours)) == []
