"""A rehearsal shows that a ticket can be claimed and released, and leaves nothing behind."""

from contextlib import closing

import pytest

from kora.domain.control import StopLevel
from kora.errors import StoreUnusableError
from tests import boards

TABLES = [
    *("tickets", "objectives", "operations", "events", "chains", "runtimes", "tallies", "spend", "dependencies"),
    *("actor_registry", "workspaces", "control_marks", "ceilings"),
]


def all_rows(place):
    return {table: sorted(place.ask(f"SELECT * FROM {table}"), key=repr) for table in TABLES}  # noqa: S608


def test_it_leaves_nothing(place, store, runtime, add):
    add(2)
    runtime.claim(1)
    before = all_rows(place)

    store.rehearse()

    assert all_rows(place) == before
    add(1)
    numbers = [number for (number,) in place.ask("SELECT ticket_no FROM tickets ORDER BY 1")]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_it_is_done_on_an_empty_board_and_while_work_is_stopped(place, store):
    with closing(store.board()) as board:
        board.stop(StopLevel.REVOKE, reason="", enforce_seconds=1, who="ada")

    store.rehearse()

    assert boards.seen(place, store)["tickets"] == []


def test_it_says_so_when_no_ticket_could_be_worked(place, store):
    place.make_tool_fail("kora__claim_sea_ticket")

    with pytest.raises(StoreUnusableError, match="made to fail"):
        store.rehearse()
