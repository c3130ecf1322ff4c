"""A ticket's attempts and operations, as people and later attempts see them."""

from contextlib import closing

import pytest

from kora.clock import from_us
from kora.domain.ids import new_id
from kora.domain.operation import OperationRequest, Step
from kora.domain.ticket import Status
from kora.errors import NotFoundError, StoreUnusableError


def test_attempts_are_numbered_and_say_how_each_ended(*, add, runtime, other, reader, store, clock, ends):
    (ticket_id,) = add(1)
    begun = clock.us
    (first,) = runtime.claim()
    clock.advance(5)
    runtime.settle(ends(first, Status.RELEASED, summary="not today"))
    (second,) = other.claim()
    clock.advance(601)
    runtime.turn(sweep=True)
    (third,) = runtime.claim()
    runtime.turn(return_holders=[runtime.id])
    (fourth,) = runtime.claim()
    with closing(store.board()) as board:
        board.cancel(ticket_id, who="ann")
        board.force_retry(ticket_id, who="ann")
    (fifth,) = runtime.claim()

    attempts = reader.attempts(ticket_id)

    claims = (first, second, third, fourth, fifth)
    assert [record.work_attempt_id for record in attempts] == [claim.key.work_attempt_id for claim in claims]
    assert [record.attempt for record in attempts] == [1, 2, 3, 4, 5]
    assert (attempts[0].started_at, attempts[0].ended_at) == (from_us(begun), from_us(begun + 5_000_000))
    assert [record.resolution for record in attempts] == ["released", None, None, None, None]
    assert [record.summary for record in attempts] == [
        "not today",
        "lease expired",
        "holder is gone",
        "cancelled by ann",
        None,
    ]
    assert [record.ended_at is None for record in attempts] == [False, False, False, False, True]


def test_operations_stand_in_the_order_in_which_they_were_begun(add, runtime, reader, ends, clock):
    (ticket_id,) = add(1)
    for keys in (["a", "b"], [], ["c"]):
        (claim,) = runtime.claim()
        for number, key in enumerate(keys, 1):
            runtime.turn(operate=[OperationRequest(claim.key, Step.BEGIN, number, "tool", key)])
        clock.advance(1)
        runtime.settle(ends(claim, Status.RELEASED))

    assert [operation.operation_key for operation in reader.operations(ticket_id)] == ["a", "b", "c"]


def test_a_ticket_without_attempts_has_none(add, reader):
    (ticket_id,) = add(1)

    assert reader.attempts(ticket_id) == []
    assert reader.operations(ticket_id) == []


@pytest.mark.parametrize("question", ["attempts", "operations"])
def test_an_unknown_ticket_has_no_history(reader, add, store_factory, question):
    with pytest.raises(NotFoundError):
        getattr(reader, question)(new_id())
    (ticket_id,) = add(1)
    with closing(store_factory(workspace_id="another").reader()) as elsewhere, pytest.raises(NotFoundError):
        getattr(elsewhere, question)(ticket_id)


def test_a_damaged_ledger_is_named(add, runtime, ends, reader, place):
    (ticket_id,) = add(1)
    (claim,) = runtime.claim()
    runtime.turn(operate=[OperationRequest(claim.key, Step.BEGIN, 1, "tool", "key")])
    runtime.settle(ends(claim))
    place.ask("UPDATE operations SET dispatch_result = '{'")

    for question in (reader.attempts, reader.operations):
        with pytest.raises(StoreUnusableError, match=ticket_id):
            question(ticket_id)
