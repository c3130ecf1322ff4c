"""Kora on PostgreSQL: no-op tickets a second beside pgqueuer, how soon a new ticket is picked up, claims in trouble.

    python benchmarks/postgres.py [throughput] [pickup] [claims] [--tickets N] [--rounds N] [--large N] [--drained N]

All on one server with PostgreSQL's defaults, fsync included, whose files lie in the temporary directory (TMPDIR chooses
another disk); Kora works as a role that owns nothing, under row-level security. What is measured, all if none is named:

throughput  the real program (`run --until-idle`), its callable does nothing, at one and at two processes, in turn with
            pgqueuer (see postgres_rival.py). Seconds from the first claim to the last release, by the server's clock.
pickup      an idle runtime, tickets added one by one: from the adding transaction's beginning to the claiming one's.
claims      a claim of 10, commit included: on a small board, on a large one, on one of which 94 % is dated in the
            future and only low priorities are due, after a drain, and after a drain beside a snapshot that stayed open.
            Each turn gives back at once what it claimed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg
from cycle import AGENT
from postgres_rival import PROCESSES, drain
from rich.console import Console
from rich.table import Table

from kora.domain.control import CommandStatus, StopLevel
from kora.domain.events import EventType
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import migrate, open_store
from kora.store.port import ClaimOrder, Reader, RuntimeRecord, Store, Turn, Writer
from tests.postgres import NEWEST, Server

ROLE: Final = "kora_runtime"
WORKSPACE: Final = "benchmark"
ACTOR: Final = "0190a000-0000-7000-8000-000000000001"
CONFIGURATION: Final = """
[runtime]
store = "{url}"
workspace = "{workspace}"
actor = "{actor}"
state_dir = "state"
log_level = "ERROR"
[agent]
kind = "callable"
callable = "noop_agent:run"
[workers]
count = {workers}
"""
WORKERS: Final = 2
CLAIMED_AT_ONCE: Final = 10
DRAINED_AT_ONCE: Final = 1_000
TURNS: Final = 100
PICKUPS: Final = 100
PATIENCE_SECONDS: Final = 60.0
WHO: Final = "benchmark"
LOOK_SECONDS: Final = 0.002

FILL: Final = """
WITH new AS (
    INSERT INTO kora.tickets (ticket_no, ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank, created_at,
                              next_eligible_at, sea_status, sea_idea_kind, sea_captured_at, ticket_title)
    SELECT (w.workspace_no << 40) + n, gen_random_uuid(), w.workspace_id, %(actor)s,
           CASE WHEN %(dated)s AND n %% 100 >= 6 THEN 2 ELSE 1 END,
           CASE WHEN %(dated)s AND n %% 100 < 6 THEN 2 + n %% 2 ELSE n %% 4 END,
           kora.now_us() + n,
           CASE WHEN %(dated)s AND n %% 100 >= 6 THEN kora.now_us() + 86400000000 + n END,
           'assigned', 'task', kora.now_us(), 'ticket ' || n
    FROM kora.workspaces AS w, generate_series(1, %(tickets)s) AS n WHERE w.workspace_id = %(workspace)s
    RETURNING ticket_no, ticket_id
)
INSERT INTO kora.objectives (ticket_no, ticket_id, ticket_objective) SELECT ticket_no, ticket_id, 'do it' FROM new
"""


@contextmanager
def board(server: Server, tickets: int = 0, *, dated: bool = False) -> Iterator[str]:
    """A fresh database with so many tickets; the name of it."""
    database = server.database()
    migrate(server.url(database), workspace_id=WORKSPACE, runtime_role=ROLE)
    if tickets:
        with psycopg.connect(server.url(database)) as connection:
            bound = {"actor": ACTOR, "dated": dated, "tickets": tickets, "workspace": WORKSPACE}
            connection.execute(FILL, bound)
        server.execute("VACUUM ANALYZE", database=database)
        server.execute("CHECKPOINT")
    yield database
    server.drop(database)


def opened(server: Server, database: str) -> Store:
    """The store, as the runtime's role has it."""
    return open_store(server.url(database, user=ROLE), workspace_id=WORKSPACE, actor_id=ACTOR)


def program(folder: Path, url: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the real program, with a state directory in this folder."""
    folder.mkdir()
    config = folder / "supervisor.toml"
    config.write_text(CONFIGURATION.format(url=url, workspace=WORKSPACE, actor=ACTOR, workers=WORKERS))
    (folder / "noop_agent.py").write_text(AGENT)
    return subprocess.Popen([sys.executable, "-P", "-m", "kora", "--config", str(config), "run", *arguments])


def work(server: Server, tickets: int, processes: int) -> float:
    """The seconds that so many runtimes take for so many tickets, in a database of their own.

    They begin together, as the rival's workers do: what was to be stopped until all are up is let go by a reset.
    """
    with (
        board(server, tickets) as database,
        tempfile.TemporaryDirectory() as name,
        closing(opened(server, database).board()) as operator,
        closing(opened(server, database).reader()) as reader,
    ):
        url = server.url(database, user=ROLE)
        operator.stop(StopLevel.BLOCK_NEW_INTAKE, reason="not all are up", enforce_seconds=PATIENCE_SECONDS, who=WHO)
        runtimes = [program(Path(name) / str(number), url, "--until-idle") for number in range(processes)]
        _await_up(reader, processes)
        operator.reset(reason="all are up", who=WHO)
        for runtime in runtimes:
            if runtime.wait():
                sys.exit(f"a runtime ended with {runtime.returncode}")
        ((seconds, done),) = server.execute(
            "SELECT (max(occurred_at) FILTER (WHERE event_type = 'sea_ticket.claim_released')"
            " - min(occurred_at) FILTER (WHERE event_type = 'sea_ticket.claimed_for_edit')) / 1e6,"
            " count(*) FILTER (WHERE event_type = 'sea_ticket.claim_released') FROM kora.events",
            database=database,
        )
    if done != tickets:
        sys.exit(f"{done:,} tickets of {tickets:,} were worked")
    return float(seconds)


def _await_up(reader: Reader, processes: int) -> None:
    """So many runtimes have heard that they are to take in nothing."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while sum(mark.status is CommandStatus.ENFORCED for each in reader.commands() for mark in each.marks) < processes:
        if time.monotonic() > give_up_at:
            sys.exit("a runtime did not start")
        time.sleep(LOOK_SECONDS)


def throughput(server: Server, console: Console, tickets: int, rounds: int) -> None:
    """Both in turns, at each number of processes."""
    table = Table("processes", "round", "pgqueuer/s", "Kora/s", "ratio")
    for processes in PROCESSES:
        rates: list[tuple[float, float]] = []
        for number in range(rounds):
            theirs = tickets / drain(server, tickets, processes)
            ours = tickets / work(server, tickets, processes)
            rates.append((theirs, ours))
            table.add_row(str(processes), str(number + 1), f"{theirs:,.0f}", f"{ours:,.0f}", f"{ours / theirs:.2f}")
        theirs, ours = (statistics.median(found) for found in zip(*rates, strict=True))
        table.add_row(str(processes), "median", f"{theirs:,.0f}", f"{ours:,.0f}", f"{ours / theirs:.2f}")
    console.print(table)


def pickup(server: Server, console: Console) -> None:
    """How soon an idle runtime has a new ticket."""
    with board(server) as database, tempfile.TemporaryDirectory() as name:
        runtime = program(Path(name) / "runtime", server.url(database, user=ROLE))
        try:
            waits = list(_pickups(opened(server, database)))
        finally:
            runtime.terminate()
            runtime.wait()
    quarters = statistics.quantiles(waits, n=20)
    console.print(
        f"pick-up of {len(waits)} new tickets: median {statistics.median(waits):.1f} ms, 95 % {quarters[-1]:.1f} ms"
    )


def _pickups(store: Store) -> Iterator[float]:
    with closing(store.board()) as adding, closing(store.reader()) as reader:
        for number in range(PICKUPS + 1):
            (ticket_id,) = adding.add([NewTicket(ticket_title=f"ticket {number}")], who=WHO)
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            while reader.ticket(ticket_id).sea_status is not Status.COMPLETED:
                if time.monotonic() > give_up_at:
                    sys.exit("a ticket was not worked")
                time.sleep(LOOK_SECONDS)
            at = {event.event_type: event.occurred_at for event in reader.events(ticket_id=ticket_id)}
            if number:
                # The first one waits for the runtime to start.
                yield (at[EventType.CLAIMED] - at[EventType.OPERATOR_ACTED]).total_seconds() * 1_000


def claims(server: Server, console: Console, large: int, drained: int) -> None:
    """A claim of ten, in all kinds of trouble."""
    troubles: dict[str, Callable[[], float]] = {
        "10,000 tickets": lambda: _claimed(server, 10_000),
        f"{large:,} tickets": lambda: _claimed(server, large),
        f"{large:,} tickets, 94 % of them dated": lambda: _claimed(server, large, dated=True),
        f"after a drain of {drained:,}": lambda: _claimed(server, drained + 10_000, drained=drained),
        f"beside a snapshot from before a drain of {drained:,}": lambda: _claimed(
            server, drained + 10_000, drained=drained, beside_snapshot=True
        ),
    }
    table = Table("board", "median ms", "times the first")
    first = 0.0
    for name, measure in troubles.items():
        milliseconds = measure()
        first = first or milliseconds
        table.add_row(name, f"{milliseconds:.2f}", f"{milliseconds / first:.2f}")
    console.print(table)


def _claimed(
    server: Server, tickets: int, *, dated: bool = False, drained: int = 0, beside_snapshot: bool = False
) -> float:
    with (
        board(server, tickets, dated=dated) as database,
        psycopg.connect(server.url(database)) as old,
        closing(opened(server, database).writer(RuntimeRecord("benchmark", "here", 1, "0"))) as writer,
    ):
        if beside_snapshot:
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM kora.workspaces")
        incarnation = writer.next_incarnation()
        left = drained
        while left > 0:
            left -= _turn(writer, incarnation, min(left, DRAINED_AT_ONCE), Status.COMPLETED)
        return statistics.median(_timed(writer, incarnation) for _ in range(TURNS))


def _timed(writer: Writer, incarnation: int) -> float:
    begun = time.perf_counter()
    claimed = writer.turn(incarnation, Turn(claim=ClaimOrder(CLAIMED_AT_ONCE, 600.0))).claims
    milliseconds = (time.perf_counter() - begun) * 1_000
    ends = [Settlement(claim.key, Resolution.RELEASED, Status.RELEASED, "", None, {}) for claim in claimed]
    writer.turn(incarnation, Turn(settle=ends))
    return milliseconds


def _turn(writer: Writer, incarnation: int, count: int, status: Status) -> int:
    claimed = writer.turn(incarnation, Turn(claim=ClaimOrder(count, 600.0))).claims
    ends = [Settlement(claim.key, Resolution(status.value), status, "", None, {}) for claim in claimed]
    writer.turn(incarnation, Turn(settle=ends))
    return len(claimed)


def main() -> None:
    """Measure what is named, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["throughput", "pickup", "claims", []], default=[])
    parser.add_argument("--tickets", type=int, default=30_000, help="of each run of throughput (default 30000)")
    parser.add_argument("--rounds", type=int, default=3, help="of throughput (default 3)")
    parser.add_argument("--large", type=int, default=1_000_000, help="tickets of the large boards (default 1000000)")
    parser.add_argument("--drained", type=int, default=300_000, help="tickets of the drains (default 300000)")
    told = parser.parse_args()
    console = Console()
    with Server({}, version=NEWEST, in_memory=False) as server:
        server.execute(f"CREATE ROLE {ROLE} LOGIN")
        if not told.what or "throughput" in told.what:
            throughput(server, console, told.tickets, told.rounds)
        if not told.what or "pickup" in told.what:
            pickup(server, console)
        if not told.what or "claims" in told.what:
            claims(server, console, told.large, told.drained)


if __name__ == "__main__":
    main()
