"""What a ticket costs the store, in SQL statements: a number that is pinned, so that nobody raises it unawares."""

import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn

ROOT = Path(__file__).resolve().parents[2]
TICKETS = 640
BATCH = 64
SLACK = 0.9


def statements_per_ticket(directory: Path) -> float:
    """How many statements the Ledger's turns run for each ticket that they claim and complete, sixty-four at a time."""
    statements = []
    with open_store(f"sqlite:///{directory / 'kora.db'}", workspace_id="default", actor_id="counted") as store:
        with closing(store.board()) as board:
            board.add((NewTicket(ticket_title=f"ticket {n}") for n in range(TICKETS)), who="test")
        with closing(store.writer(RuntimeRecord("runtime", "here", 1, "0"))) as writer:
            incarnation = writer.next_incarnation()
            writer.trace(statements.append)
            ends, settled = [], 0
            while settled < TICKETS:
                result = writer.turn(
                    incarnation, Turn(settle=ends, sweep=True, claim=ClaimOrder(BATCH, lease_seconds=600.0))
                )
                settled += len(result.settled)
                ends = [
                    Settlement(claim.key, Resolution.COMPLETED, Status.COMPLETED, "done", None, {})
                    for claim in result.claims
                ]
                assert ends or settled == TICKETS, "a turn claimed nothing"
    return len(statements) / TICKETS


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> float:
    return round(statements_per_ticket(tmp_path_factory.mktemp("store")), 3)


@pytest.fixture(scope="module")
def pinned() -> float:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["kora"]["statements_per_ticket"]


def test_the_count_is_the_same_every_time(measured, tmp_path):
    assert round(statements_per_ticket(tmp_path), 3) == measured


def test_a_ticket_costs_no_more_statements_than_are_pinned(measured, pinned):
    assert measured <= pinned, (
        f"a ticket costs {measured} SQL statements, and {pinned} are pinned: find out why. If it must be,"
        " raise [tool.kora] statements_per_ticket in pyproject.toml, and say so in a line of CHANGELOG.md"
    )


def test_the_pin_is_not_far_above_what_a_ticket_costs(measured, pinned):
    assert measured >= SLACK * pinned, (
        f"a ticket costs only {measured} SQL statements, and {pinned} are pinned:"
        " lower the pin ([tool.kora] statements_per_ticket in pyproject.toml)"
    )
