"""How long a claim of 10 takes on a large SQLite board, plain and with most tickets dated in the future.

    python benchmarks/claim_latency.py [--tickets N]… [--turns N] [--json]

On the dated board 94 % of the tickets wait for a later day and only the two low priorities are due, so that a queue
without the waiting index would have to read past nearly everything. Each turn gives back at once what it claimed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Priority, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn

SIZES: Final = (10_000, 100_000)
CLAIMED_AT_ONCE: Final = 10
DUE_OF_HUNDRED: Final = 6
LOW: Final = (Priority.MEDIUM, Priority.LOW)


def _plain(tickets: int) -> Iterator[NewTicket]:
    priorities = tuple(Priority)
    for number in range(tickets):
        yield NewTicket(ticket_title=f"ticket {number}", sea_priority=priorities[number % len(priorities)])


def _dated(tickets: int) -> Iterator[NewTicket]:
    priorities, tomorrow = tuple(Priority), datetime.now(UTC) + timedelta(days=1)
    for number in range(tickets):
        if number % 100 < DUE_OF_HUNDRED:
            yield NewTicket(ticket_title=f"ticket {number}", sea_priority=LOW[number % len(LOW)])
        else:
            yield NewTicket(
                ticket_title=f"ticket {number}",
                sea_priority=priorities[number % len(priorities)],
                next_eligible_at=tomorrow + timedelta(seconds=number),
            )


BOARDS: Final = {"plain": _plain, "94 % dated": _dated}


def measure(board_name: str, tickets: int, turns: int) -> dict[str, object]:
    """The milliseconds of a claiming turn on such a board, commit included."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'kora.db'}"
        with open_store(url, workspace_id="benchmark", actor_id="benchmark") as store:
            with closing(store.board()) as board:
                board.add(BOARDS[board_name](tickets), who="benchmark")
            with closing(store.writer(RuntimeRecord("benchmark", "here", 1, "0"))) as writer:
                incarnation = writer.next_incarnation()
                milliseconds = []
                for _ in range(turns):
                    begun = time.perf_counter()
                    claims = writer.turn(incarnation, Turn(claim=ClaimOrder(CLAIMED_AT_ONCE, 600.0))).claims
                    milliseconds.append((time.perf_counter() - begun) * 1_000)
                    ends = [Settlement(c.key, Resolution.RELEASED, Status.RELEASED, "", None, {}) for c in claims]
                    writer.turn(incarnation, Turn(settle=ends))
    return {
        "board": board_name,
        "tickets": tickets,
        "median_ms": round(statistics.median(milliseconds), 2),
        "worst_ms": round(max(milliseconds), 2),
    }


def main() -> None:
    """Measure each board in each size and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tickets", type=int, action="append", help="a board's size; repeatable (default 10000, 100000)"
    )
    parser.add_argument("--turns", type=int, default=100, help="turns measured on each board (default 100)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args()
    rows = [measure(name, size, chosen.turns) for size in chosen.tickets or SIZES for name in BOARDS]
    if chosen.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write(f"{'board':<12} {'tickets':>10} {'median ms':>10} {'worst ms':>10}\n")
    for row in rows:
        sys.stdout.write(f"{row['board']:<12} {row['tickets']:>10,} {row['median_ms']:>10} {row['worst_ms']:>10}\n")


if __name__ == "__main__":
    main()
