"""How long a million events take to archive and to verify from there, and how much memory that needs.

    python benchmarks/archive.py [--events N] [--json]

The events are those of tickets that were added, claimed, resolved and released. Archiving and verifying each run in a
process of their own; the peak of one that only opens the store is printed beside theirs.
The file lies in the temporary directory. A bar on a terminal shows how far it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, track

from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Store, Turn

EVENTS: Final = 1_000_000
EVENTS_A_TICKET: Final = 4
TICKETS_AT_ONCE: Final = 500
FAR: Final = datetime(2200, 1, 1, tzinfo=UTC)
ARCHIVE: Final = "archive"
NOTHING: Final = "nothing"
VERIFY: Final = "verify"


def _open(directory: Path) -> Store:
    return open_store(f"sqlite:///{directory / 'kora.db'}", workspace_id="benchmark", actor_id="benchmark")


def _shown(parts: Iterable[int], what: str) -> Iterable[int]:
    return track(parts, what, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


def fill(directory: Path, events: int) -> None:
    """A log of so many events, four of each ticket."""
    with (
        _open(directory) as store,
        closing(store.board()) as board,
        closing(store.writer(RuntimeRecord("benchmark", "here", 1, "0"))) as writer,
    ):
        incarnation = writer.next_incarnation()
        for _ in _shown(range(0, events, EVENTS_A_TICKET * TICKETS_AT_ONCE), "filling the log"):
            board.add((NewTicket(ticket_title=f"ticket {n}") for n in range(TICKETS_AT_ONCE)), who="benchmark")
            claims = writer.turn(incarnation, Turn(claim=ClaimOrder(TICKETS_AT_ONCE, 600.0))).claims
            ends = [Settlement(c.key, Resolution.COMPLETED, Status.COMPLETED, "done", None, {}) for c in claims]
            writer.turn(incarnation, Turn(settle=ends))


def _peak_mib() -> float:
    """Of this process alone: `ru_maxrss` would be that of whoever started it, if that was more."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) / 1024


def work(what: str, directory: Path) -> dict[str, Any]:
    """Do it here, and tell what it took."""
    with _open(directory) as store:
        begun = time.perf_counter()
        events = 0
        if what == ARCHIVE:
            with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
                task = bar.add_task("archiving", total=None)
                events = store.archive(
                    directory / "cold",
                    FAR,
                    who="benchmark",
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                ).events
        elif what == VERIFY:
            with closing(store.reader()) as reader:
                report = reader.verify()
                if report.fault is not None:
                    raise SystemExit(str(report.fault))
                events = report.events
        seconds = time.perf_counter() - begun
    return {"what": what, "events": events, "seconds": round(seconds, 1), "peak_mib": round(_peak_mib(), 1)}


def main() -> None:
    """Fill a log, archive it, verify it, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help="events in the log (default 1000000)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--work", nargs=2, metavar=("WHAT", "DIRECTORY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        sys.stdout.write(json.dumps(work(chosen.work[0], Path(chosen.work[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), chosen.events)
        rows = []
        for what in (NOTHING, ARCHIVE, VERIFY):
            command = [sys.executable, "-P", __file__, "--work", what, name]
            rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        cold_bytes = sum(file.stat().st_size for file in (Path(name) / "cold").iterdir())
    if chosen.json:
        sys.stdout.write(json.dumps({"rows": rows, "archived_bytes": cold_bytes}) + "\n")
        return
    sys.stdout.write(f"{'':<8} {'events':>10} {'seconds':>8} {'peak MiB':>9}\n")
    for row in rows:
        sys.stdout.write(f"{row['what']:<8} {row['events']:>10,} {row['seconds']:>8} {row['peak_mib']:>9}\n")
    sys.stdout.write(f"{cold_bytes / 2**20:,.0f} MiB in the archive\n")


if __name__ == "__main__":
    main()
