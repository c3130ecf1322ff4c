"""Whether starting and stopping children costs the same with many as with few, and what an idle one takes.

    .venv/bin/python -m benchmarks.many_children [--few N] [--many N] [--rounds N] [--json]
    .venv/bin/python -m benchmarks.many_children --crashes N [--json]

Each measurement is a process of its own: one supervisor starts so many children, and stops them again. Memory is what
the process's resident set grew by until all had started, divided by their number. The ratio is seconds a child with
many, beside seconds a child with few; the best round of each counts, because noise only ever adds.

With ``--crashes`` one actor crashes so many times in a row, told one message after each, and what is printed is by how
much the process has grown from the hundredth crash to the last, and which threads and descriptors are left over.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import queue
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actors.supervision import ChildSpec, Directory, Seat, SupervisedActor, Supervisor, SupervisorSpec

LIMIT_SECONDS = 600
KIB = 1_024
MIB = 1_048_576
WARM = 100


class Idle(SupervisedActor):
    """Waits."""


class Fatal:
    """What ``Fragile`` dies of."""


class Fragile(SupervisedActor):
    """Dies of one kind of message, and repeats the rest."""

    def __init__(self, seat: Seat, heard: queue.SimpleQueue[int]) -> None:
        super().__init__(seat)
        self._heard = heard

    def on_receive(self, message: object) -> None:
        """Dies, or repeats it."""
        if isinstance(message, Fatal):
            raise RuntimeError("it was fatal")  # noqa: TRY004  # it is no wrong type
        if isinstance(message, int):
            self._heard.put(message)


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors_open() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def measure(count: int) -> dict[str, float]:
    """Seconds to start and to stop so many, and KiB for each."""
    children = tuple(ChildSpec(name=f"idle-{number}", actor=Idle) for number in range(count))
    spec = SupervisorSpec(name="benchmark", children=children, max_restarts=0, within_seconds=1)
    before = resident()
    supervisor = Supervisor(spec, Directory(), on_report=lambda _: None)
    begin = time.perf_counter()
    supervisor.start(LIMIT_SECONDS)
    started = time.perf_counter()
    grown = resident() - before
    middle = time.perf_counter()
    supervisor.stop(LIMIT_SECONDS)
    stopped = time.perf_counter()
    return {"start": started - begin, "stop": stopped - middle, "kib": grown / count / KIB}


def crash(count: int) -> dict[str, float]:
    """What so many crashes in a row leave behind."""
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()
    directory = Directory()
    child = ChildSpec(name="it", actor=Fragile, arguments={"heard": heard}, poison_after=0)
    spec = SupervisorSpec(name="benchmark", children=(child,), max_restarts=count, within_seconds=86_400)
    supervisor = Supervisor(spec, directory, on_report=lambda _: None)
    supervisor.start()
    before, threads, descriptors = 0, threading.active_count(), descriptors_open()
    for number in range(count):
        directory.tell("it", Fatal())
        directory.tell("it", number)
        if heard.get(timeout=LIMIT_SECONDS) != number:
            raise AssertionError(f"{number} was not next")
        if number == WARM:
            before = resident()
    grown = resident() - before
    left = {"threads": threading.active_count() - threads, "descriptors": descriptors_open() - descriptors}
    supervisor.stop()
    return {"grown_mib": grown / MIB, **left, "dead_letters": directory.dead_letters.total}


def measured(count: int) -> dict[str, float]:
    """As ``measure``, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.many_children", "--measure", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def best(count: int, rounds: int) -> dict[str, float]:
    """The least of each figure."""
    all_rounds = [measured(count) for _ in range(rounds)]
    return {name: min(each[name] for each in all_rounds) for name in all_rounds[0]}


def main() -> int:
    """Prints the figures for few, for many, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crashes", type=int, default=0)
    parser.add_argument("--measure", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable()
    sys.setswitchinterval(0.0005)  # as the runtime does; so is the next
    gc.set_threshold(20_000)
    if options.measure or options.crashes:
        figures = measure(options.measure) if options.measure else crash(options.crashes)
        sys.stdout.write(f"{json.dumps(figures)}\n")
        return 0
    few, many = best(options.few, options.rounds), best(options.many, options.rounds)
    ratios = {name: (many[name] / options.many) / (few[name] / options.few) for name in ("start", "stop")}
    if options.json:
        sys.stdout.write(f"{json.dumps({'few': few, 'many': many, 'ratios': ratios})}\n")
        return 0
    table = Table("children", "start, µs each", "stop, µs each", "KiB each")
    for count, figures in ((options.few, few), (options.many, many)):
        each = [f"{figures[name] / count * 1e6:,.0f}" for name in ("start", "stop")]
        table.add_row(f"{count:,}", *each, f"{figures['kib']:.1f}")
    table.add_row("ratio", f"{ratios['start']:.2f}", f"{ratios['stop']:.2f}", "")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
