"""What the writer remembers of its claims, so that their settlement need not ask."""

from contextlib import closing

import pytest

from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import Status
from kora.store.port import ClaimOrder, Turn
from kora.store.sql import write


@pytest.fixture
def turn(writer):
    incarnation = writer.next_incarnation()
    return lambda **parts: writer.turn(incarnation, Turn(**parts))


@pytest.fixture
def asked(writer):
    """Every time that the store was asked how it stands to what is to be settled."""
    told = []
    writer.trace(lambda statement: told.append(statement) if "json_array(claim.column1" in statement else None)
    return told


def completed(claim):
    return Settlement(claim.key, Resolution.COMPLETED, Status.COMPLETED, "", None, {})


def test_nothing_is_asked_about_ones_own_claims(add, turn, asked):
    add(3)
    claims = turn(claim=ClaimOrder(3, 60.0)).claims

    assert len(turn(settle=[completed(claim) for claim in claims]).settled) == 3
    assert asked == []


def test_what_is_settled_or_forgotten_is_asked_about(monkeypatch, add, turn, asked):
    add(3)
    first, second = turn(claim=ClaimOrder(2, 60.0)).claims
    turn(settle=[completed(first)])

    assert turn(settle=[completed(first)]).settled == [first.key]
    assert len(asked) == 1

    monkeypatch.setattr(write, "REMEMBERED_MAX", 1)
    (third,) = turn(claim=ClaimOrder(1, 60.0)).claims

    assert turn(settle=[completed(second), completed(third)]).settled == [second.key, third.key]
    assert len(asked) == 2


def test_a_claim_that_is_gone_is_stale_and_leaves_the_others_alone(store, add, turn, asked):
    add(2)
    gone, kept = turn(claim=ClaimOrder(2, 60.0)).claims
    with closing(store.board()) as board:
        board.cancel(gone.key.ticket_id, who="test")

    result = turn(settle=[completed(gone), completed(kept)])

    assert (result.stale, result.settled, result.set_aside) == ([gone.key], [kept.key], [])
    assert len(asked) == 1
