"""How long the questions of people take on a large SQLite board, Python's start included.

    python benchmarks/board_at_scale.py [--tickets N] [--runs N] [--json]

The board is of every state there is: most tickets completed, some in the queue, some waiting for others, dated, failed
or blocked. Each question is asked by a process of its own, as a person would at the command line, and once more on an
open handle, which shows what the reading alone takes. The file lies in the temporary directory.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.progress import track

from kora.domain.ids import default_actor_id
from kora.domain.ticket import NewTicket, Priority, Status
from kora.store.open import open_store
from kora.store.port import Reader, Store

ROOT: Final = Path(__file__).resolve().parent.parent
TICKETS: Final = 1_000_000
WORKSPACE: Final = "default"
PAGE: Final = 20
LONG_US: Final = 600_000_000
SHORT_US: Final = 100_000
ADDED_AT_ONCE: Final = 20_000
SUMMARY: Final = "It was done as the ticket says, and the tests pass; see the log of attempt "

# What is old is over: the first 85 of a hundred are completed, the last nine stay in the queue.
MIX: Final = """
UPDATE tickets SET
    sea_status = CASE WHEN share < 85 THEN 'completed' WHEN share < 87 THEN 'failed_terminal'
                      WHEN share < 88 THEN 'blocked_needs_operator' WHEN share < 90 THEN 'failed_retryable'
                      ELSE 'released' END,
    queue_state = CASE WHEN share < 88 THEN 0 ELSE 2 END,
    next_eligible_at = CASE WHEN share < 88 THEN NULL ELSE created_at + 1000000000000 END,
    work_attempt_count = 1 + (ticket_no % 17 = 0) + (ticket_no % 1001 = 0),
    last_resolution = 'completed', last_summary = ?1 || ticket_no,
    ended_at = created_at + ticket_no, worked_us = (ticket_no * 7919) % ?2, cost_micro_usd = ticket_no % 1000,
    open_blockers = 0
FROM (SELECT ticket_no AS number, ticket_no * 100 / ?3 AS share FROM tickets)
WHERE ticket_no = number AND share < 91
"""

TALLY: Final = """
INSERT INTO tallies (workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us)
VALUES (?, ?, 'runtime', ?, 50, 100000, 60000000)
"""


def _tickets(count: int) -> Iterator[NewTicket]:
    priorities = tuple(Priority)
    for number in range(count):
        yield NewTicket(
            ticket_title=f"Review the change with the number {number}",
            ticket_objective="Read it whole, say what is wrong with it, and how it could be put right. " * 4,
            sea_priority=priorities[number % len(priorities)],
        )


def fill(store: Store, path: Path, tickets: int, *, longest_us: int) -> None:
    """So many tickets of every kind; a bar on a terminal shows how far it is."""
    parts = range(0, tickets, ADDED_AT_ONCE)
    with closing(store.board()) as board:
        for first in track(parts, "filling the board", disable=not sys.stderr.isatty(), transient=True):
            ids = board.add(_tickets(min(ADDED_AT_ONCE, tickets - first)), who="benchmark")
            waiting = [NewTicket(ticket_title="what comes after", blocked_by=(ticket_id,)) for ticket_id in ids[-9:]]
            board.add(waiting, who="benchmark")
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        # What `open_store` has made, turned by hand into what years of work would have made of it.
        raw.execute("BEGIN")
        raw.execute(MIX, (SUMMARY, longest_us, tickets))
        now = int(time.time() // 60)
        year = [(WORKSPACE, now - minute, kind) for minute in range(525_600) for kind in ("completed", "released")]
        raw.executemany(TALLY, year)
        raw.execute("COMMIT")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _listed(*statuses: Status) -> Callable[[Reader], object]:
    return lambda reader: list(reader.tickets(statuses, PAGE))


def _reported(days: int) -> Callable[[Reader], object]:
    return lambda reader: reader.report(datetime.now(UTC) - timedelta(days=days))


QUESTIONS: Final[Mapping[str, Callable[[Reader], object]]] = {
    "report": _reported(1),
    "report --since 365d": _reported(365),
    "ticket list --limit 20": _listed(),
    **{f"ticket list --limit 20 --status {status.value}": _listed(status) for status in Status},
    "ticket list --limit 20 --status released --status blocked_needs_operator": _listed(
        Status.RELEASED, Status.BLOCKED_NEEDS_OPERATOR
    ),
    "claims": lambda reader: reader.claims(),
}
"""as typed, and as asked of an open handle"""


def _median_seconds(action: Callable[[], object], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def measure(store: Store, url: str, compiled: Path, runs: int) -> list[dict[str, object]]:
    """The median seconds of each question."""
    environment = {**os.environ, "KORA_STORE": url, "KORA_CONFIG": str(ROOT / "supervisor.toml")}
    # As for a person: the modules are compiled once, by whoever comes first.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    rows: list[dict[str, object]] = []
    with closing(store.reader()) as reader:
        for question, read in QUESTIONS.items():
            command = [sys.executable, "-P", "-m", "kora", *question.split()]

            def ask(command: list[str] = command) -> None:
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

            def look(read: Callable[[Reader], object] = read) -> None:
                read(reader)

            ask()
            whole, alone = _median_seconds(ask, runs), _median_seconds(look, runs)
            rows.append({"question": question, "seconds": round(whole, 3), "reading_seconds": round(alone, 3)})
    return rows


def main() -> None:
    """Fill a board, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=TICKETS, help="tickets on the board (default 1000000)")
    parser.add_argument("--runs", type=int, default=5, help="how often each question is asked (default 5)")
    parser.add_argument("--short", action="store_true", help="no ticket was worked for as long as a tenth of a second")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kora.db"
        url = f"sqlite:///{path}"
        with open_store(url, workspace_id=WORKSPACE, actor_id=default_actor_id(WORKSPACE)) as store:
            fill(store, path, chosen.tickets, longest_us=SHORT_US if chosen.short else LONG_US)
            rows = measure(store, url, Path(directory) / "compiled", chosen.runs)
    if chosen.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write(f"{chosen.tickets:,} tickets\n{'':<75} {'seconds':>8} {'reading':>8}\n")
    for row in rows:
        sys.stdout.write(f"{row['question']:<75} {row['seconds']:>8} {row['reading_seconds']:>8}\n")


if __name__ == "__main__":
    main()
