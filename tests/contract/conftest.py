"""What the contract suite runs on. A new store joins by adding a place to `PLACES`."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kora.domain.claim import Claim, ClaimKey
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, Earned, RuntimeRecord, Store, Turn, TurnResult

WORKSPACE = "workspace"
ACTOR = "0190a000-0000-7000-8000-000000000001"


class HandClock:
    """A wall clock and a boot clock that only a test moves."""

    def __init__(self):
        self.us = 1_790_000_000_000_000
        """the wall's"""
        self.booted_us = 5_000_000_000
        self.boot = "the first boot"

    def now_us(self) -> int:
        return self.us

    def boot_seconds(self) -> float:
        return self.booted_us / 1e6

    def boot_id(self) -> str:
        return self.boot

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.booted_us += round(seconds * 1_000_000)
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.us += round(seconds * 1_000_000)

    def reboot(self) -> None:
        self.boot += ", and another"
        self.booted_us = 10_000_000


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
            "INSERT INTO operations (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id,"
            " tool_name, state, allocated_at, operation_key)"
            " SELECT ?2, ?3, ticket_no, attempt, ?2 || ?3, 'tool', 'dispatched', 0, 'key'"
            " FROM tickets JOIN operations USING (ticket_no)"
            " WHERE ticket_id = ?1 AND operations.work_attempt_id = ?2 AND sequence_within_attempt = 0",
            claim.key.ticket_id,
            claim.key.work_attempt_id,
            sequence,
        )

    def commit(self, claim: Claim, sequence: int, result: str) -> None:
        """That operation is done, with this result."""
        self._ask(
            "UPDATE operations SET state = 'committed', dispatch_result = ?3, ended_at = 0"
            " WHERE work_attempt_id = ?1 AND sequence_within_attempt = ?2",
            claim.key.work_attempt_id,
            sequence,
            result,
        )

    def forgive(self, ticket_id: str, attempts: int) -> None:
        """So many attempts count no more."""
        self._ask("UPDATE tickets SET attempts_forgiven = ? WHERE ticket_id = ?", attempts, ticket_id)

    def spent(self, ticket_id: str) -> tuple[int | None, int, int, int | None, int | None]:
        """Last claimed, worked for, cost, ended, last progress; times in µs, cost in millionths."""
        return self._ask(
            "SELECT claimed_at, worked_us, cost_micro_usd, ended_at, progress_at FROM tickets WHERE ticket_id = ?",
            ticket_id,
        )[0]

    def tallies(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """By writer and way of ending: how many, their cost and their time; minutes added up."""
        found = self._ask(
            "SELECT chain_id, resolution, sum(attempts), sum(cost_micro_usd), sum(worked_us) FROM tallies GROUP BY 1, 2"
        )
        return {(chain_id, resolution): tuple(sums) for chain_id, resolution, *sums in found}

    def due(self, ticket_id: str) -> int | None:
        """From when on it may be claimed, in µs."""
        return self._ask("SELECT next_eligible_at FROM tickets WHERE ticket_id = ?", ticket_id)[0][0]

    def forget_clocks(self) -> None:
        self._ask("DELETE FROM clocks")

    def clocks(self) -> list[tuple[str, int]]:
        """Every boot, and what is to be added to its clock."""
        return self._ask("SELECT boot_id, anchor_us FROM clocks")

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

    def refresh(
        self, *claims: Claim | ClaimKey, seconds: float = 60.0, age: float = 0.0, **parts: object
    ) -> TurnResult:
        keys = [getattr(claim, "key", claim) for claim in claims]
        return self.turn(refresh=[Earned(key, age) for key in keys], refresh_seconds=seconds, **parts)

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
