"""What the contract suite runs on: every test on every store. A new store joins by a `Place` and its name."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest

from kora.domain.claim import Claim, ClaimKey
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import migrate, open_store
from kora.store.port import ClaimOrder, Earned, RuntimeRecord, Store, Turn, TurnResult
from tests.postgres import SUPERUSER, Server
from tests.proxies import PoolingProxy
from tests.stores import open_new

WORKSPACE = "workspace"
RUNTIME_ROLE = "kora_runtime"
EMPTY = """
DELETE FROM tickets; DELETE FROM objectives; DELETE FROM operations; DELETE FROM events; DELETE FROM dependencies;
DELETE FROM tallies; DELETE FROM archives; DELETE FROM runtimes; DELETE FROM actor_registry;
DELETE FROM unfinished_copies; DELETE FROM control_commands; DELETE FROM control_marks; DELETE FROM spend;
DELETE FROM ceilings; DELETE FROM watchers;
DELETE FROM chains WHERE chain_id NOT LIKE 'workspace:%';
UPDATE chains SET last_chain_seq = 0, last_event_hash = decode(repeat('00', 32), 'hex'),
    archived_chain_seq = 0, archived_event_hash = NULL;
UPDATE workspaces SET claim_permission = 'normal', seq_shift = 0, stop_level = 0, epoch = 1, pool_month = 0,
    baseline_micro_usd = 0, reconciled_micro_usd = 0, refreshed_at = NULL, ramp_until = 0, ramp_interval_us = 0,
    paced_at = 0
"""
"""a database, as it was when its workspaces were registered"""
ACTOR = "0190a000-0000-7000-8000-000000000001"


class HandClock:
    """A wall clock and a boot clock that only a test moves."""

    def __init__(self):
        self.us = 1_790_000_000_000_000
        """the wall's"""
        self.booted_us = 5_000_000_000
        self.boot = "the first boot"
        self.servers_us = self.us
        self.followers = []
        """servers, told of their time whenever it is moved"""

    def now_us(self) -> int:
        return self.us

    def boot_seconds(self) -> float:
        return self.booted_us / 1e6

    def boot_id(self) -> str:
        return self.boot

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.booted_us += round(seconds * 1_000_000)
        self.set_everywhere(seconds)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock of this machine: no server's."""
        self.us += round(seconds * 1_000_000)

    def set_everywhere(self, seconds: float) -> None:
        """Somebody sets the clock by which the store dates what it writes."""
        self.jump(seconds)
        self.servers_us += round(seconds * 1_000_000)
        for follow in self.followers:
            follow(self.servers_us)

    def reboot(self) -> None:
        self.boot += ", and another"
        self.booted_us = 10_000_000


class Place:
    """One database, and the looks and pokes that the port does not offer; `?` stands for each value."""

    def open(self, workspace_id: str = WORKSPACE, actor_id: str = ACTOR) -> Store:
        raise NotImplementedError

    def ask(self, statement: str, *bound: object) -> list[tuple]:
        raise NotImplementedError

    def open_as_owner(self, workspace_id: str = WORKSPACE) -> Store:
        """As whoever may also archive."""
        return self.open(workspace_id)

    @property
    def url(self) -> str:
        """As whoever may also copy a board here."""
        raise NotImplementedError

    def make_fail(self, ticket_id: str) -> None:
        """From now on every change of this ticket's row is refused as the row's own fault."""
        raise NotImplementedError

    def make_tool_fail(self, tool_name: str) -> None:
        """From now on no operation of this tool can be written."""
        raise NotImplementedError

    def ledger(self, ticket_id: str) -> list[tuple[str, int, str, str | None, str | None]]:
        """Attempt, sequence, state, result and error of every row, in the order of making."""
        return self.ask(
            "SELECT o.work_attempt_id, sequence_within_attempt, state, dispatch_result, dispatch_error"
            " FROM operations AS o JOIN tickets USING (ticket_no) WHERE ticket_id = ? ORDER BY 1, 2",
            ticket_id,
        )

    def dispatch(self, claim: Claim, sequence: int) -> None:
        """A further operation under this claim, on its way."""
        key = claim.key
        ((ticket_no, attempt),) = self.ask(
            "SELECT ticket_no, attempt FROM operations WHERE work_attempt_id = ? AND sequence_within_attempt = 0",
            key.work_attempt_id,
        )
        self.ask(
            "INSERT INTO operations (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id,"
            " tool_name, state, allocated_at, operation_key) VALUES (?, ?, ?, ?, ?, 'tool', 'dispatched', 0, 'key')",
            *(key.work_attempt_id, sequence, ticket_no, attempt, f"{key.work_attempt_id}{sequence}"),
        )

    def commit(self, claim: Claim, sequence: int, result: str) -> None:
        """That operation is done, with this result."""
        self.ask(
            "UPDATE operations SET state = 'committed', dispatch_result = ?, ended_at = 0"
            " WHERE work_attempt_id = ? AND sequence_within_attempt = ?",
            *(result, claim.key.work_attempt_id, sequence),
        )

    def forgive(self, ticket_id: str, attempts: int) -> None:
        """So many attempts count no more."""
        self.ask("UPDATE tickets SET attempts_forgiven = ? WHERE ticket_id = ?", attempts, ticket_id)

    def spent(self, ticket_id: str) -> tuple[int | None, int, int, int | None, int | None]:
        """Last claimed, worked for, cost, ended, last progress; times in µs, cost in millionths."""
        return self.ask(
            "SELECT claimed_at, worked_us, cost_micro_usd, ended_at, progress_at FROM tickets WHERE ticket_id = ?",
            ticket_id,
        )[0]

    def tallies(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """By writer and way of ending: how many, their cost and their time; minutes added up."""
        found = self.ask(
            "SELECT chain_id, resolution, sum(attempts), sum(cost_micro_usd), sum(worked_us) FROM tallies GROUP BY 1, 2"
        )
        return {(chain_id, resolution): tuple(sums) for chain_id, resolution, *sums in found}

    def due(self, ticket_id: str) -> int | None:
        """From when on it may be claimed, in µs."""
        return self.ask("SELECT next_eligible_at FROM tickets WHERE ticket_id = ?", ticket_id)[0][0]

    def operations(self) -> list[tuple[str, str]]:
        """Operation id and tool of every row."""
        return self.ask("SELECT kora_operation_id, tool_name FROM operations")

    def abandon_operations(self) -> None:
        """Every ledger row, also the presence marks."""
        self.ask("UPDATE operations SET state = 'abandoned'")

    def give_back(self) -> None:
        """It is needed no more: for who makes many in one test."""

    def permit(self, permission: str) -> None:
        self.ask("UPDATE workspaces SET claim_permission = ?", permission)


class SqlitePlace(Place):
    """One SQLite file."""

    database = "kora.db"

    def __init__(self, directory: Path, clock: HandClock):
        self.path = directory / "kora.db"
        self._clock = clock

    def open(self, workspace_id: str = WORKSPACE, actor_id: str = ACTOR) -> Store:
        return open_new(self.url, workspace_id=workspace_id, actor_id=actor_id, time=self._clock)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def make_fail(self, ticket_id: str) -> None:
        self.ask(
            f"CREATE TRIGGER fails_{ticket_id.replace('-', '')} BEFORE UPDATE ON tickets"
            f" WHEN old.ticket_id = '{ticket_id}' BEGIN SELECT raise(ABORT, 'made to fail'); END"
        )

    def make_tool_fail(self, tool_name: str) -> None:
        self.ask(
            f"CREATE TRIGGER one_tool_fails BEFORE INSERT ON operations WHEN new.tool_name = '{tool_name}'"
            " BEGIN SELECT raise(ABORT, 'made to fail'); END"
        )

    def forget_clocks(self) -> None:
        self.ask("DELETE FROM clocks")

    def clocks(self) -> list[tuple[str, int]]:
        """Every boot, and what is to be added to its clock."""
        return self.ask("SELECT boot_id, anchor_us FROM clocks")

    def ask(self, statement: str, *bound: object) -> list[tuple]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, bound).fetchall()


class PostgresPlace(Place):
    """One PostgreSQL database, whose clock is the test's, and a role that owns nothing in it.

    Making a database, and each connection to one, costs more than a test: so it is emptied, and used again. Stores
    reach it through a proxy, if there is one.
    """

    def __init__(self, server: Server, database: str, proxy: PoolingProxy | None = None):
        self._server = server
        self._entrance = proxy or server
        self.database = database
        self._admitted = {WORKSPACE}
        self._made = []
        self.give_back = lambda: None
        self._clock = HandClock()
        self._poking = psycopg.connect(server.url(database), autocommit=True)
        self._poking.execute("SET search_path = kora")

    def begin(self, clock: HandClock) -> None:
        """Be at the disposal of a test with this clock."""
        self._clock = clock
        clock.followers.append(self._follow)
        self._follow(clock.servers_us)

    def end(self) -> None:
        """Be as new."""
        self._clock.followers.remove(self._follow)
        for statement in self._made:
            self.ask(statement)
        self._made.clear()
        self._poking.execute(EMPTY)

    def close(self) -> None:
        self._poking.close()

    def open(self, workspace_id: str = WORKSPACE, actor_id: str = ACTOR) -> Store:
        if workspace_id not in self._admitted:
            migrate(self._server.url(self.database), workspace_id=workspace_id, runtime_role=RUNTIME_ROLE)
            self._admitted.add(workspace_id)
        return self._open(RUNTIME_ROLE, workspace_id, actor_id)

    def open_as_owner(self, workspace_id: str = WORKSPACE) -> Store:
        return self._open(SUPERUSER, workspace_id, ACTOR)

    @property
    def url(self) -> str:
        return self._server.url(self.database)

    def make_fail(self, ticket_id: str) -> None:
        self._trigger("UPDATE ON tickets", f"old.ticket_id = '{ticket_id}'")

    def make_tool_fail(self, tool_name: str) -> None:
        self._trigger("INSERT ON operations", f"new.tool_name = '{tool_name}'")

    def _trigger(self, before: str, when: str) -> None:
        name = f"fails_{len(self._made)}"
        self.ask(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE check_violation USING MESSAGE = ''made to fail''; END'"
        )
        self._made.append(f"DROP FUNCTION {name} CASCADE")
        self.ask(f"CREATE TRIGGER {name} BEFORE {before} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()")

    def ask(self, statement: str, *bound: object) -> list[tuple]:
        cursor = self._poking.execute(statement.replace("?", "%s"), bound or None)
        return cursor.fetchall() if cursor.description else []

    def _open(self, role: str, workspace_id: str, actor_id: str) -> Store:
        url = self._entrance.url(self.database, user=role)
        return open_store(url, workspace_id=workspace_id, actor_id=actor_id, time=self._clock)

    def _follow(self, us: int) -> None:
        self.ask("UPDATE test_clock SET us = ?", us)


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


POOLED = "postgres-pooled"
"""through a proxy that gives each transaction another session"""
POOLED_ALWAYS = {"test_claim.py", "test_operate.py"}
"""bin/prove does all of them"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Through the pooling proxy, all but a few tests are for the long proof."""
    for item in items:
        if f"[{POOLED}" in item.nodeid and item.path.name not in POOLED_ALWAYS:
            item.add_marker(pytest.mark.prove)


@pytest.fixture(params=["sqlite", "postgres", POOLED])
def new_place(request, new_place_of) -> Callable[[], Place]:
    """Make a fresh, empty place for a store."""
    return partial(new_place_of, request.param)


@pytest.fixture
def new_place_of(request, tmp_path, clock) -> Iterator[Callable[[str], Place]]:
    """Make a fresh, empty place for a store of this kind."""
    numbers = itertools.count()
    used: list[PostgresPlace] = []

    def on_sqlite() -> Place:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return SqlitePlace(directory, clock)

    def on_postgres(kind: str) -> Place:
        spare = request.getfixturevalue("postgres_places").setdefault(kind, [])
        proxy = request.getfixturevalue("pooling") if kind == POOLED else None
        place = spare.pop() if spare else request.getfixturevalue("new_postgres_place")(proxy)
        place.begin(clock)
        place.give_back = partial(give_back, place, spare)
        used.append(place)
        return place

    def give_back(place: PostgresPlace, spare: list[PostgresPlace]) -> None:
        used.remove(place)
        place.end()
        spare.append(place)

    yield lambda kind: on_sqlite() if kind == "sqlite" else on_postgres(kind)
    while used:
        used[-1].give_back()


@pytest.fixture
def part_of(request) -> Callable[[int], int]:
    """Of a count of examples, what is run: on a server a fifth, as each statement goes there and back."""
    return (
        (lambda count: count) if request.node.callspec.params["new_place"] == "sqlite" else (lambda count: count // 5)
    )


@pytest.fixture(scope="session")
def postgres_places() -> Iterator[dict[str, list[PostgresPlace]]]:
    """Those of each kind that no test has at the moment."""
    spare: dict[str, list[PostgresPlace]] = {}
    yield spare
    for place in itertools.chain.from_iterable(spare.values()):
        place.close()


@pytest.fixture(scope="session")
def pooling(postgres) -> Iterator[PoolingProxy]:
    """Two sessions of each role and database, and each transaction in the one that is free."""
    with PoolingProxy(postgres.port, size=2) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def new_postgres_place(postgres) -> Callable[[PoolingProxy | None], PostgresPlace]:
    """Make a database with Kora's tables, in which a table is the clock."""
    postgres.execute(f"CREATE ROLE {RUNTIME_ROLE} LOGIN")

    def make(proxy: PoolingProxy | None) -> PostgresPlace:
        name = postgres.database()
        migrate(postgres.url(name), workspace_id=WORKSPACE, runtime_role=RUNTIME_ROLE)
        with psycopg.connect(postgres.url(name), autocommit=True) as connection:
            connection.execute("CREATE TABLE kora.test_clock AS SELECT 0::bigint AS us")
            connection.execute(f"GRANT SELECT ON kora.test_clock TO {RUNTIME_ROLE}")
            connection.execute(
                "CREATE OR REPLACE FUNCTION kora.now_us() RETURNS bigint LANGUAGE sql VOLATILE"
                " AS 'SELECT us FROM kora.test_clock'"
            )
        return PostgresPlace(postgres, name, proxy)

    return make


@pytest.fixture
def place(new_place) -> Place:
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
