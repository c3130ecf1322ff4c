"""How long it takes from a crash until the successor handles its first message, beside what one writes by hand.

    .venv/bin/python -m benchmarks.restarting [--crashes N] [--rounds N] [--json]

By hand, with Pykka alone: ``on_failure`` tells a watching actor, which starts another, and sends it what was to come
next. Supervised: the killer and the next message are told to the name, one after the other; the rest is the kit's.
Both sides handle one crash after the other, N a round, and take turns; the median of all crashes counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import queue
import statistics
import sys
import time
from typing import Any

import pykka
from rich.console import Console
from rich.table import Table

from actors.supervision import ChildSpec, Directory, Seat, SupervisedActor, Supervisor, SupervisorSpec

LIMIT_SECONDS = 60
MICROSECONDS = 1_000_000

Heard = queue.SimpleQueue[float]


class BareWatcher(pykka.ThreadingActor):
    """Starts another one for each that failed, and hands it the next message."""

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard
        self.current = BareWorker.start(self.actor_ref, heard)

    def on_receive(self, message: Any) -> None:  # noqa: ANN401  # Pykka's signature
        """The news of a death, or what is to be passed on."""
        if message == "died":
            self.current = BareWorker.start(self.actor_ref, self._heard)
            self.current.tell("next")
        elif message == "stop":
            self.current.stop()
        else:
            self.current.tell(message)


class BareWorker(pykka.ThreadingActor):
    """Dies of an exception that it is told, and says when it handles the next message."""

    def __init__(self, watcher: pykka.ActorRef[BareWatcher], heard: Heard) -> None:
        super().__init__()
        self._watcher = watcher
        self._heard = heard

    def on_failure(self, *_: object) -> None:
        """The watcher hears of it."""
        self._watcher.tell("died")

    def on_receive(self, message: Any) -> None:  # noqa: ANN401  # Pykka's signature
        """Dies, or says when."""
        if isinstance(message, Exception):
            raise message
        self._heard.put(time.perf_counter())


class Supervised(SupervisedActor):
    """The same under supervision."""

    def __init__(self, seat: Seat, heard: Heard) -> None:
        super().__init__(seat)
        self._heard = heard

    def on_receive(self, message: Any) -> None:  # noqa: ANN401  # Pykka's signature
        """Dies, or says when."""
        if isinstance(message, Exception):
            raise message
        self._heard.put(time.perf_counter())


def by_hand(crashes: int) -> list[float]:
    """Seconds from each tell of the killer to the successor's first message."""
    heard: Heard = queue.SimpleQueue()
    watcher = BareWatcher.start(heard)
    seconds = []
    for number in range(crashes):
        begin = time.perf_counter()
        watcher.tell(ValueError(number))
        seconds.append(heard.get(timeout=LIMIT_SECONDS) - begin)
    watcher.tell("stop")
    watcher.stop()
    return seconds


def supervised(crashes: int) -> list[float]:
    """The same, told to a name."""
    heard: Heard = queue.SimpleQueue()
    directory = Directory()
    child = ChildSpec(name="it", actor=Supervised, arguments={"heard": heard}, poison_after=0)
    spec = SupervisorSpec(name="benchmark", children=(child,), max_restarts=crashes, within_seconds=3_600)
    supervisor = Supervisor(spec, directory, on_report=lambda _: None)
    supervisor.start()
    seconds = []
    for number in range(crashes):
        begin = time.perf_counter()
        directory.tell("it", ValueError(number))
        directory.tell("it", "next")
        seconds.append(heard.get(timeout=LIMIT_SECONDS) - begin)
    supervisor.stop()
    return seconds


def main() -> int:
    """Prints both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--crashes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable()  # both sides would log each death, to nobody
    sys.setswitchinterval(0.0005)  # as the runtime does
    bare: list[float] = []
    kit: list[float] = []
    for _ in range(options.rounds):
        bare += by_hand(options.crashes)
        kit += supervised(options.crashes)
    hand, ours = (statistics.median(side) * MICROSECONDS for side in (bare, kit))
    if options.json:
        figures = {"by_hand_microseconds": round(hand), "supervised_microseconds": round(ours)}
        sys.stdout.write(f"{json.dumps({**figures, 'ratio': round(ours / hand, 2)})}\n")
        return 0
    table = Table("from the crash to the successor's first message", "median µs", "ratio")
    table.add_row("on_failure and a watcher, by hand", f"{hand:,.0f}", "1")
    table.add_row("SupervisedActor", f"{ours:,.0f}", f"{ours / hand:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
