"""What is still to be waited for, and what it costs to ask."""

import itertools

import pytest

from kora.domain.ids import new_id

pytestmark = pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)


def steps(reader):
    """How much SQLite does for an answer, in thousands of its instructions."""
    count = []
    reader._connection.bare.set_progress_handler(lambda: count.append(1), 1_000)
    found = reader.outstanding()
    reader._connection.bare.set_progress_handler(None, 0)
    return found, len(count)


def test_what_waits_for_others_is_looked_at_only_where_nothing_else_is_left(runtime, add, reader):
    ids = [new_id() for _ in range(301)]
    chain = [{"ticket_id": this, "blocked_by": (that,)} for this, that in itertools.pairwise(ids)]
    add(*chain, {"ticket_id": ids[-1], "assigned_to_actor_id": new_id()})

    blocked, alone = steps(reader)
    add(1)
    ready, beside = steps(reader)
    runtime.claim()
    held, while_held = steps(reader)

    assert (blocked.any, blocked.blocked) == (True, True)
    assert (ready.ready, held.held) == (True, True)
    assert alone > 1
    assert (beside, while_held) == (0, 0)
