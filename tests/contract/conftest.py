"""What the contract suite runs on. A new store joins by adding a place to `PLACES`."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.claim import Claim
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Store, Turn, TurnResult

WORKSPACE = "workspace"
ACTOR = "0190a000-0000-7000-8000-000000000001"


class HandClock:
    """A clock that only a test moves."""

    def __init__(self):
        self.us = 1_790_000_000_000_000

    def now_us(self) -> int:
        return self.us

    def boot_seconds(self) -> float:
        return self.us / 1e6

    def advance(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


class SqlitePlace:
    """One SQLite file, and the looks and pokes that the port does not offer."""

    def __init__(self, directory: Path, clock: HandClock):
        self.path = directory / "kora.db"
        self._clock = clock

    def open(self, workspace_id: str = WORKSPACE, actor_id: str = ACTOR) -> Store:
        return open_store(f"sqlite:///{self.path}", workspace_id=workspace_id, actor_id=actor_id, time=self._clock)

    def ledger(self, ticket_id: str) -> list[tuple[str, int, str, str | None, str | None]]:
        """Attempt, sequence, state, result and error of every row, in the order of making."""
        return self._ask(
            "SELECT o.work_attempt_id, sequence_within_attempt, state, dispatch_result, dispatch_error"
            " FROM operations AS o JOIN tickets USING (ticket_no) WHERE ticket_id = ? ORDER BY 1, 2",
            ticket_id,
        )

    def dispatch(self, claim: Claim, sequence: int) -> None:
        """A further operation under this claim, on its way."""
        self._ask(
            "INSERT INTO operations SELECT ?2, ?3, ticket_no, ?2 || ?3, 'tool', 'dispatched', NULL, NULL, 0, NULL"
            " FROM tickets WHERE ticket_id = ?1",
            claim.key.ticket_id,
            claim.key.work_attempt_id,
            sequence,
        )

    def operations(self) -> list[tuple[str, str]]:
        """Operation id and tool of every row."""
        return self._ask("SELECT kora_operation_id, tool_name FROM operations")

    def abandon_operations(self) -> None:
        """Every ledger row, also the presence marks."""
        self._ask("UPDATE operations SET state = 'abandoned'")

    def make_fail(self, ticket_id: str) -> None:
        """From now on every change of this ticket's row is refused as the row's own fault."""
        self._ask(
            f"CREATE TRIGGER fails_{ticket_id.replace('-', '')} BEFORE UPDATE ON tickets"
            f" WHEN old.ticket_id = '{ticket_id}' BEGIN SELECT raise(ABORT, 'made to fail'); END"
        )

    def permit(self, permission: str) -> None:
        self._ask("UPDATE workspaces SET claim_permission = ?", permission)

    def _ask(self, statement: str, *bound: object) -> list[tuple]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, bound).fetchall()


PLACES = {"sqlite": SqlitePlace}


class Runtime:
    """A Ledger's handle as a test uses it."""

    def __init__(self, store: Store, runtime_id: str):
        self.id = runtime_id
        self.writer = store.writer(RuntimeRecord(runtime_id=runtime_id, host="here", pid=1, version="0"))
        self.incarnation = self.writer.next_incarnation()

    def turn(self, **parts: object) -> TurnResult:
        return self.writer.turn(self.incarnation, Turn(**parts))

    def claim(self, count: int = 1, lease_seconds: float = 600.0, **more: object) -> list[Claim]:
        return self.turn(claim=ClaimOrder(count, lease_seconds, **more)).claims

    def settle(self, *settlements: Settlement, **parts: object) -> TurnResult:
        return self.turn(settle=settlements, **parts)


def settlement(claim: Claim, status: Status = Status.COMPLETED, **more: object) -> Settlement:
    resolution = Resolution.RELEASED if status is Status.BLOCKED_NEEDS_OPERATOR else Resolution(status.value)
    fields = {"summary": "done", "next_eligible_offset_seconds": None, "failure_count_by_reason": {}} | more
    return Settlement(key=claim.key, resolution=resolution, sea_status=status, **fields)


@pytest.fixture
def ends() -> Callable[..., Settlement]:
    """A settlement of a claim, by its status."""
    return settlement


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=PLACES)
def new_place(request, tmp_path, clock) -> Callable[[], SqlitePlace]:
    """Make a fresh, empty place for a store."""
    numbers = itertools.count()

    def make() -> SqlitePlace:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return PLACES[request.param](directory, clock)

    return make


@pytest.fixture
def place(new_place) -> SqlitePlace:
    return new_place()


@pytest.fixture
def store_factory(place) -> Callable[..., Store]:
    """Open the test's one store, for any workspace and actor."""
    return place.open


@pytest.fixture
def store(store_factory) -> Store:
    return store_factory()


@pytest.fixture
def start() -> Callable[..., Runtime]:
    """Start a runtime on a store."""
    return Runtime


@pytest.fixture
def runtime(store) -> Iterator[Runtime]:
    running = Runtime(store, "runtime-1")
    yield running
    running.writer.close()


@pytest.fixture
def other(store) -> Iterator[Runtime]:
    running = Runtime(store, "runtime-2")
    yield running
    running.writer.close()


@pytest.fixture
def reader(store):
    with closing(store.reader()) as handle:
        yield handle


@pytest.fixture
def add(store) -> Iterator[Callable[..., list[str]]]:
    """Add tickets: so many alike, or one for each mapping of fields."""
    with closing(store.board()) as board:

        def some(*tickets: dict[str, object] | int) -> list[str]:
            said = [{}] * tickets[0] if isinstance(tickets[0], int) else tickets
            return board.add(
                (NewTicket(**{"ticket_title": f"ticket {n}", **fields}) for n, fields in enumerate(said)), who="tester"
            )

        yield some


@pytest.fixture
def log(reader) -> Callable[..., list[tuple[str, dict]]]:
    """Read a ticket's events but the one of its adding, as type and payload."""

    def events(ticket_id: str) -> list[tuple[str, dict]]:
        found = list(reader.events(ticket_id=ticket_id))
        assert found[0].event_type == "kora.operator.acted"
        return [(event.event_type, event.payload) for event in found[1:]]

    return events
