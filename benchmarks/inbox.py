"""How much a supervised tell costs beside a bare Pykka ``ThreadingActor``: both in one run.

    .venv/bin/python -m benchmarks.inbox [--messages N] [--rounds N] [--json]

Each side is told N messages by one thread and is done when its actor has handled the last. The sides take turns;
the best round of each counts, because noise only ever adds.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import pykka
from rich.console import Console
from rich.table import Table

from actors.supervision import ChildSpec, Directory, Seat, SupervisedActor, Supervisor, SupervisorSpec

LIMIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Counted:
    """What is told."""

    number: int


class Bare(pykka.ThreadingActor):
    """Pykka as it comes."""

    def __init__(self, last: int, done: threading.Event) -> None:
        super().__init__()
        self._last = last
        self._done = done

    def on_receive(self, message: Any) -> None:  # noqa: ANN401  # Pykka's signature
        """Sees the last one."""
        if message.number == self._last:
            self._done.set()


class Supervised(SupervisedActor):
    """The same under supervision: lanes, bound, acknowledged one by one."""

    def __init__(self, seat: Seat, last: int, done: threading.Event) -> None:
        super().__init__(seat)
        self._last = last
        self._done = done

    def on_receive(self, message: Any) -> None:  # noqa: ANN401  # Pykka's signature
        """Sees the last one."""
        if message.number == self._last:
            self._done.set()


def bare_seconds(messages: list[Counted]) -> float:
    """Seconds until a bare actor has handled them all."""
    done = threading.Event()
    ref = Bare.start(len(messages) - 1, done)
    begin = time.perf_counter()
    for message in messages:
        ref.tell(message)
    done.wait(LIMIT_SECONDS)
    seconds = time.perf_counter() - begin
    ref.stop()
    return seconds


def supervised_seconds(messages: list[Counted]) -> float:
    """Seconds until a supervised actor has handled them all, told by name."""
    done = threading.Event()
    directory = Directory()
    child = ChildSpec(
        name="counter",
        actor=Supervised,
        arguments={"last": len(messages) - 1, "done": done},
        # Nothing is to be dropped here: every message is to be paid for on both sides.
        inbox_bound=len(messages),
    )
    spec = SupervisorSpec(name="benchmark", children=(child,), max_restarts=0, within_seconds=1)
    supervisor = Supervisor(spec, directory, on_report=lambda _: None)
    supervisor.start()
    begin = time.perf_counter()
    for message in messages:
        directory.tell("counter", message)
    done.wait(LIMIT_SECONDS)
    seconds = time.perf_counter() - begin
    supervisor.stop()
    return seconds


def main() -> int:
    """Prints both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as the runtime does
    messages = [Counted(number) for number in range(options.messages)]
    rounds = [(bare_seconds(messages), supervised_seconds(messages)) for _ in range(options.rounds)]
    bare = options.messages / min(bare for bare, _ in rounds)
    supervised = options.messages / min(supervised for _, supervised in rounds)
    ratio = supervised / bare
    if options.json:
        figures = {"bare_per_second": round(bare), "supervised_per_second": round(supervised), "ratio": round(ratio, 2)}
        sys.stdout.write(f"{json.dumps(figures)}\n")
        return 0
    table = Table("actor", "tells a second", "ratio")
    table.add_row("pykka.ThreadingActor", f"{bare:,.0f}", "1")
    table.add_row("SupervisedActor, by name", f"{supervised:,.0f}", f"{ratio:.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
