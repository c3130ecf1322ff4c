"""How many no-op tickets a second a runtime works from the claim to the release, beside huey with as many tasks.

    python benchmarks/cycle.py [--tickets N] [--rounds N] [--workers N] [--json]
    python benchmarks/cycle.py --profile [--tickets N] [--workers N]

Kora is the real program (`run --until-idle`) on a SQLite file (WAL, synchronous=FULL), its callable does nothing. huey
is SqliteHuey with its default fsync, one worker thread, no results. Both boards are filled beforehand, start-up is not
counted, and the two take turns. Kora's seconds are those between its first claim and its last release, as its events
say; beside them stands what this process saw on its own clock. `--profile` runs Kora in this process and says where the
time goes. The files lie in the temporary directory (TMPDIR chooses another disk).
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.table import Table

from kora.config import load
from kora.domain.events import EventType
from kora.domain.ticket import NewTicket
from kora.store.open import open_store

CONFIGURATION: Final = """
[runtime]
log_level = "WARNING"
[agent]
kind = "callable"
callable = "noop_agent:run"
[workers]
count = {workers}
"""
AGENT: Final = "def run(ticket, work):\n    return None\n"
LOOK_SECONDS: Final = 0.05
SAMPLE_SECONDS: Final = 0.002
FUNCTIONS: Final = 30
WIDTH: Final = 120
OURS: Final = "benchmark"
MICROSECONDS: Final = 1_000_000


def prepare(folder: Path, tickets: int, workers: int) -> Path:
    """Write a configuration with so many tickets on its board."""
    config = folder / "supervisor.toml"
    config.write_text(CONFIGURATION.format(workers=workers))
    (folder / "noop_agent.py").write_text(AGENT)
    runtime = load(config, {}).runtime
    with (
        open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor) as store,
        closing(store.board()) as board,
    ):
        board.add((NewTicket(ticket_title=f"ticket {n}") for n in range(tickets)), who="benchmark")
    return config


def kora(tickets: int, workers: int) -> dict[str, float]:
    """The seconds of one run of the real program."""
    with tempfile.TemporaryDirectory() as name:
        config = prepare(Path(name), tickets, workers)
        return timed(config, tickets, lambda: program(config))


def program(config: Path) -> Callable[[], int | None]:
    """Start the real program; what is called to hear whether it has ended."""
    command = [sys.executable, "-P", "-m", "kora", "--config", str(config), "run", "--until-idle"]
    return subprocess.Popen(command, cwd=config.parent).poll


def timed(config: Path, tickets: int, start: Callable[[], Callable[[], int | None]]) -> dict[str, float]:
    """The seconds that a started runtime takes from the first claim to the last release."""
    runtime = load(config, {}).runtime
    with (
        open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor) as store,
        closing(store.reader()) as reader,
    ):
        before = begun = ended = time.perf_counter()
        seen = first = reader.last_seq()
        ended_with = start()
        while (code := ended_with()) is None:
            time.sleep(LOOK_SECONDS)
            now, seq = time.perf_counter(), reader.last_seq()
            if seq > seen:
                begun = before if seen == first else begun
                ended = now
            before, seen = now, seq
        if code:
            sys.exit(f"the runtime ended with {code}")
        claims = [event.occurred_at for event in reader.events(event_types=[EventType.CLAIMED])]
        releases = [event.occurred_at for event in reader.events(event_types=[EventType.RELEASED])]
    if len(claims) != tickets or len(releases) != tickets:
        sys.exit(f"{len(claims):,} claims and {len(releases):,} releases for {tickets:,} tickets")
    return {"seconds": (max(releases) - min(claims)).total_seconds(), "seen_seconds": ended - begun}


def huey(tickets: int) -> dict[str, float]:
    """The seconds of one run of huey, in a process of its own."""
    command = [sys.executable, __file__, "--huey", "--tickets", str(tickets)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def huey_here(tickets: int) -> float:
    """The seconds from huey's first task to the end of its last."""
    # By name: only the process that measures it needs it, and it says nothing of its types.
    huey_library: Any = importlib.import_module("huey")
    with tempfile.TemporaryDirectory() as folder:
        queue = huey_library.SqliteHuey(filename=f"{folder}/huey.db", results=False)
        ended = threading.Event()
        moments: list[float] = []

        def count(number: int) -> None:
            if number == 0:
                moments.append(time.perf_counter())
            elif number == tickets - 1:
                moments.append(time.perf_counter())
                ended.set()

        noop = queue.task()(count)
        rows = [(queue.name, memoryview(queue.serialize_task(noop.s(number))), 0) for number in range(tickets)]
        with queue.storage.db(commit=True) as cursor:
            cursor.executemany("INSERT INTO task (queue, data, priority) VALUES (?, ?, ?)", rows)
        consumer = queue.create_consumer(workers=1, worker_type="thread", periodic=False, check_worker_health=False)
        consumer.start()
        ended.wait()
        consumer.stop(graceful=True)
    return moments[1] - moments[0]


class Sampler:
    """Where the threads of this process are, and what each has used of a processor since it was last looked at."""

    def __init__(self) -> None:
        self.cpu: Counter[tuple[str, str]] = Counter()
        """nanoseconds, by thread and function"""
        self.waited: Counter[tuple[str, str]] = Counter()
        """nanoseconds without a processor, by thread and function"""
        self._last: dict[int, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            frames = sys._current_frames()  # noqa: SLF001 - there is no public way to see them
            for thread in threading.enumerate():
                frame = frames.get(thread.ident or 0)
                if frame is None or thread.native_id is None or thread is self._thread or thread.name == OURS:
                    continue
                code = frame.f_code
                where = f"{Path(code.co_filename).stem}.{code.co_qualname}"
                self._note(thread.native_id, thread.name, where)

    def _note(self, native_id: int, name: str, where: str) -> None:
        try:
            used = int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0])
        except OSError:
            return
        now = time.perf_counter_ns()
        used_before, then = self._last.get(native_id, (used, now))
        self._last[native_id] = used, now
        self.cpu[name, where] += used - used_before
        self.waited[name, where] += max(0, now - then - used + used_before)


def profile(tickets: int, workers: int) -> None:
    """Run Kora in this process, and print where the time goes: processor time by thread and by function.

    A thread's time is exact. It is put down to the function that the thread was in when it was looked at: one that
    works in short bursts is mostly seen where it waits.
    """
    from kora import app  # noqa: PLC0415 - only this needs the running system here

    with tempfile.TemporaryDirectory() as name, Sampler() as sampler:
        config = prepare(Path(name), tickets, workers)
        settings = load(config, {})
        codes: list[int] = []
        watched: dict[str, float] = {}

        def watch() -> None:
            watched.update(timed(config, tickets, lambda: lambda: codes[0] if codes else None))

        watcher = threading.Thread(target=watch, name=OURS)
        watcher.start()
        sampler.cpu.clear()
        sampler.waited.clear()
        codes.append(app.run(settings, until_idle=True))
        watcher.join()
    each = 1_000 * tickets
    console = Console(width=WIDTH)
    console.print(
        f"{tickets:,} tickets, {tickets / watched['seconds']:,.0f}/s while sampled,"
        f" {MICROSECONDS * watched['seconds'] / tickets:.1f} µs each"
    )
    by_thread: Counter[str] = Counter()
    for (thread, _), nanoseconds in sampler.cpu.items():
        by_thread[thread] += nanoseconds
    threads = Table("thread", "CPU µs/ticket")
    for thread, nanoseconds in by_thread.most_common(FUNCTIONS):
        threads.add_row(thread, f"{nanoseconds / each:.2f}")
    console.print(threads)
    functions = Table("thread", "function", "CPU µs/ticket", "without CPU µs/ticket")
    for place, nanoseconds in sampler.cpu.most_common(FUNCTIONS):
        functions.add_row(*place, f"{nanoseconds / each:.2f}", f"{sampler.waited[place] / each:.2f}")
    console.print(functions)


def compare(tickets: int, rounds: int, workers: int) -> dict[str, Any]:
    """Measure both in turns."""
    taken: dict[str, list[dict[str, float]]] = {"kora": [], "huey": []}
    for _ in range(rounds):
        taken["huey"].append(huey(tickets))
        taken["kora"].append(kora(tickets, workers))
    rates = {name: [round(tickets / run["seconds"]) for run in runs] for name, runs in taken.items()}
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "tickets": tickets,
        "workers": workers,
        "tickets_per_second": rates,
        "kora_as_seen": [round(tickets / run["seen_seconds"]) for run in taken["kora"]],
        "ratio_of_each_round": [round(ours / theirs, 2) for ours, theirs in zip(*rates.values(), strict=True)],
        "ratio_of_medians": round(medians["kora"] / medians["huey"], 2),
    }


def main() -> None:
    """Measure, and print a table for people or one JSON document for programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=60_000, help="tickets of each run (default 60000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the runtime (default 2)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--profile", action="store_true", help="only Kora, in this process: where the time goes")
    parser.add_argument("--huey", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.huey:
        sys.stdout.write(json.dumps({"seconds": huey_here(chosen.tickets)}) + "\n")
        return
    if chosen.profile:
        profile(chosen.tickets, chosen.workers)
        return
    found = compare(chosen.tickets, chosen.rounds, chosen.workers)
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("round", "huey/s", "Kora/s", "Kora/s, as seen", "ratio")
    rates = found["tickets_per_second"]
    rows = zip(rates["huey"], rates["kora"], found["kora_as_seen"], found["ratio_of_each_round"], strict=True)
    for number, row in enumerate(rows, 1):
        table.add_row(str(number), *(f"{figure:,}" for figure in row))
    console = Console()
    console.print(table)
    console.print(f"ratio of medians: {found['ratio_of_medians']}")


if __name__ == "__main__":
    main()
