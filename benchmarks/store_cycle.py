"""How many tickets a second a Ledger's turns claim and settle on a SQLite file, and with how many statements.

    python benchmarks/store_cycle.py [--tickets N] [--busy] [--json]

Each turn settles what the last one claimed and claims as many again, as the Ledger does. The file lies in the temporary
directory (TMPDIR chooses another disk). Statements are counted as SQLite runs them. With --busy another thread does
nothing but compute: each time that a statement gives the interpreter's lock away, it has to be waited for again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from kora.domain.claim import Claim
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn, TurnResult
from kora.store.sqlite.write import SqliteWriter

BATCHES: Final = (1, 16, 100)
LEASE_SECONDS: Final = 600.0
SHARE_OF_SINGLES: Final = 10
"""single tickets are slow: so many times fewer are enough"""
SWITCH_SECONDS: Final = 0.0005
"""as the runtime sets it"""


def _end(claim: Claim) -> Settlement:
    return Settlement(claim.key, Resolution.COMPLETED, Status.COMPLETED, "done", None, {})


def _cycle(writer: SqliteWriter, batch: int) -> tuple[int, float]:
    incarnation = writer.next_incarnation()
    ends: list[Settlement] = []
    tickets = 0
    begun = time.perf_counter()
    while True:
        order = ClaimOrder(batch, LEASE_SECONDS)
        result: TurnResult = writer.turn(incarnation, Turn(settle=ends, sweep=True, claim=order))
        tickets += len(result.settled)
        if not result.claims:
            return tickets, time.perf_counter() - begun
        ends = [_end(claim) for claim in result.claims]


@contextmanager
def _busy_thread() -> Iterator[None]:
    """Another thread computes meanwhile."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(batch: int, tickets: int, *, count_statements: bool, busy: bool = False) -> tuple[float, float]:
    """Tickets a second, and (if counted: that slows it) statements a ticket."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'kora.db'}"
        with open_store(url, workspace_id="benchmark", actor_id="benchmark") as store:
            with closing(store.board()) as board:
                board.add((NewTicket(ticket_title=f"ticket {n}") for n in range(tickets)), who="benchmark")
            with closing(store.writer(RuntimeRecord("benchmark", "here", 1, "0"))) as writer:
                if not isinstance(writer, SqliteWriter):
                    raise TypeError
                statements = [0]
                if count_statements:
                    writer.trace(lambda _: statements.__setitem__(0, statements[0] + 1))
                with _busy_thread() if busy else nullcontext():
                    done, seconds = _cycle(writer, batch)
    return done / seconds, statements[0] / done


def main() -> None:
    """Measure each batch size and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=20_000, help="tickets for each measurement (default 20000)")
    parser.add_argument("--busy", action="store_true", help="with another thread that computes all the time")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    rows = []
    for batch in BATCHES:
        tickets = max(batch, chosen.tickets // (SHARE_OF_SINGLES if batch == 1 else 1))
        rate, _ = measure(batch, tickets, count_statements=False, busy=chosen.busy)
        _, statements = measure(batch, max(batch, tickets // SHARE_OF_SINGLES), count_statements=True)
        rows.append({"batch": batch, "tickets_per_second": round(rate), "statements_per_ticket": round(statements, 2)})
    if chosen.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write(f"{'batch':>6} {'tickets/s':>10} {'statements/ticket':>18}\n")
    for row in rows:
        sys.stdout.write(f"{row['batch']:>6} {row['tickets_per_second']:>10,} {row['statements_per_ticket']:>18}\n")


if __name__ == "__main__":
    main()
