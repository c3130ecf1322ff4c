"""What containment costs: an attempt of `/bin/true` against running it bare, the two taking turns in one run.

.venv/bin/python benchmarks/attempt.py [--rounds 300] [--json]
"""

from __future__ import annotations

import argparse
import fcntl
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.containment import Containment
from kora.agents.meter import Meters
from kora.agents.port import Lease, OnAnswer
from kora.clock import SystemTime
from kora.domain.claim import Claim, ClaimKey
from kora.domain.operation import OperationAnswer, OperationRequest, Verdict
from kora.domain.ticket import Priority, Status, Ticket

PROGRAM = "/bin/true"
LEASE_SECONDS = 600.0
MILLISECONDS = 1_000


class NoLedger:
    """For agents that have no operations."""

    def submit(self, request: OperationRequest, on_answer: OnAnswer) -> None:
        """Every claim is over, as far as this goes."""
        on_answer(OperationAnswer(request, Verdict.LOST))


def a_claim() -> Claim:
    """A claim as the store would hand it out."""
    now = datetime.now(UTC)
    ticket = Ticket(
        ticket_id="benchmark",
        workspace_id="default",
        ticket_title="Cost nothing",
        ticket_objective="",
        sea_status=Status.IN_PROGRESS,
        sea_priority=Priority.MEDIUM,
        sea_idea_kind="task",
        sea_captured_at=now,
        created_at=now,
        assigned_to_actor_id="benchmark",
        next_eligible_at=None,
        claim_count=1,
        work_attempt_count=1,
        failure_count_by_reason={},
    )
    return Claim(ClaimKey("benchmark", 1, "benchmark"), ticket, "benchmark", now)


def attempt_with(agent: CommandAgent, claim: Claim) -> Callable[[], None]:
    """Runs one attempt to its end."""

    def run() -> None:
        ended = threading.Event()
        lease = Lease(SystemTime().boot_seconds() + LEASE_SECONDS, LEASE_SECONDS)
        attempt = agent.start(claim, lease, ended.set, NoLedger())
        ended.wait()
        if attempt.outcome is None or attempt.outcome.exit_code != 0:
            sys.exit(f"the attempt did not end well: {attempt.outcome}")

    return run


def bare() -> None:
    """Runs the program as any Python program would, its streams caught."""
    subprocess.run([PROGRAM], input=b"{}", capture_output=True, check=True)


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every run, by kind."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        containment = Containment(lock.fileno())
        settings = CommandSettings(command=(PROGRAM,), workdir=Path(folder))
        contained = attempt_with(
            CommandAgent(settings, containment, state_dir=Path(folder), meters=Meters(Path(folder) / "meters")),
            a_claim(),
        )
        kinds = {"bare": bare, "attempt": contained}
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        contained()
        for _ in range(rounds):
            for kind, run in kinds.items():
                started = time.perf_counter()
                run()
                taken[kind].append((time.perf_counter() - started) * MILLISECONDS)
        containment.close()
    return taken


def main() -> None:
    """Print a table, or one JSON document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    taken = measure(max(arguments.rounds, 2))
    figures = {
        kind: {"median_ms": round(statistics.median(runs), 3), "p90_ms": round(statistics.quantiles(runs, n=10)[-1], 3)}
        for kind, runs in taken.items()
    }
    over = round(figures["attempt"]["median_ms"] - figures["bare"]["median_ms"], 3)
    if arguments.json:
        sys.stdout.write(json.dumps({"rounds": arguments.rounds, **figures, "median_over_bare_ms": over}) + "\n")
        return
    sys.stdout.write(f"{PROGRAM}, {arguments.rounds} rounds, in turns\n{'':10}{'median':>10}{'p90':>10}\n")
    for kind, figure in figures.items():
        sys.stdout.write(f"{kind:10}{figure['median_ms']:8.2f}ms{figure['p90_ms']:8.2f}ms\n")
    sys.stdout.write(f"{'over bare':10}{over:8.2f}ms\n")


if __name__ == "__main__":
    main()
