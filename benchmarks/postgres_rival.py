"""How many no-op jobs a second pgqueuer works on PostgreSQL: what Kora is measured against there.

    python benchmarks/postgres_rival.py [--jobs N] [--rounds N] [--json]

At one and at two worker processes in turn, each round in a fresh database of one server with PostgreSQL's defaults (and
so with fsync). pgqueuer is set up as its documentation advises for throughput: asyncpg's driver on a connection
of its own, uvloop, `pgq autovac`, batches of 100; its tables are durable, its default. All jobs are enqueued
beforehand, and the tables vacuumed. The seconds are those from the first pick to the last completion, as its log says
by the server's clock. The server's files lie in the temporary directory (TMPDIR chooses another disk).
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
from datetime import timedelta
from typing import Any, Final

import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode
from rich.console import Console

from tests.postgres import NEWEST, Server

# By name: it says nothing of its types.
asyncpg: Any = importlib.import_module("asyncpg")

BATCH: Final = 100
ENQUEUED_AT_ONCE: Final = 10_000
PROCESSES: Final = (1, 2)
LAST_LOOK: Final = timedelta(seconds=1)
"""how long a worker that finds nothing waits before it looks whether everything is done"""
SPAN: Final = """
SELECT extract(epoch FROM max(created) FILTER (WHERE status = 'successful')
                        - min(created) FILTER (WHERE status = 'picked'))::float8,
       count(*) FILTER (WHERE status = 'successful')
FROM pgqueuer_log
"""


def drain(server: Server, jobs: int, processes: int) -> float:
    """The seconds that so many worker processes take for so many jobs, in a database of their own."""
    database = server.database()
    url = server.url(database)
    uvloop.run(_fill(url, jobs))
    server.execute("VACUUM ANALYZE", database=database)
    server.execute("CHECKPOINT")
    command = [sys.executable, __file__, "--worker", url]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(processes)
    ]
    for worker in workers:
        if worker.stdout is None or worker.stdout.readline() != "ready\n":
            sys.exit("a worker did not start")
    for worker in workers:
        if worker.stdin is not None:
            worker.stdin.write("go\n")
    for worker in workers:
        worker.communicate()
    ((seconds, done),) = server.execute(SPAN, database=database)
    if done != jobs:
        sys.exit(f"{done:,} jobs of {jobs:,} were done")
    server.drop(database)
    return float(seconds)


async def _fill(url: str, jobs: int) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    for begin in range(0, jobs, ENQUEUED_AT_ONCE):
        count = min(ENQUEUED_AT_ONCE, jobs - begin)
        await queries.enqueue(["noop"] * count, [None] * count, [0] * count)
    await connection.close()


async def _work(url: str) -> None:
    connection = await asyncpg.connect(url)
    queue = PgQueuer(AsyncpgDriver(connection))
    queue.entrypoint("noop")(_noop)
    print("ready", flush=True)  # noqa: T201 - how a worker speaks to who started it
    sys.stdin.readline()
    await queue.run(batch_size=BATCH, mode=QueueExecutionMode.drain, dequeue_timeout=LAST_LOOK)
    await connection.close()


async def _noop(_job: Job) -> None:
    """Does nothing."""


def main() -> None:
    """Measure, or be one of the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--worker", metavar="URL", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.worker:
        uvloop.run(_work(told.worker))
        return
    console = Console()
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    with Server({}, version=NEWEST, in_memory=False) as server:
        for number in range(told.rounds):
            for processes, seen in rates.items():
                seen.append(told.jobs / drain(server, told.jobs, processes))
                if not told.json:
                    console.print(f"round {number + 1}, processes {processes}: {seen[-1]:,.0f} jobs/s")
    if told.json:
        console.print_json(json.dumps(rates))
        return
    for processes, seen in rates.items():
        console.print(f"processes {processes}: median {statistics.median(seen):,.0f} jobs/s")


if __name__ == "__main__":
    main()
