"""What fifty clients on the admin socket cost a runtime: its tickets a second with them, and alone.

    python benchmarks/streams.py [--tickets N] [--rounds N] [--clients N] [--json]

The board is that of benchmarks/cycle.py: the real program, a callable that does nothing, SQLite with synchronous=FULL.
The clients follow the log, the events, the state and the Ledger's messages, in turn; one process reads all but one of
them as fast as they come, and the last one, a process of its own, is stopped (SIGSTOP) as soon as its stream has
begun. Both runs take turns. At the end stand how many streams the runtime has dropped, how many items were left out,
and how much more memory it had at its most than alone.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cycle import prepare, program, timed
from rich.console import Console
from rich.table import Table

from kora.admin.client import Client
from kora.config import load
from kora.errors import KoraError

TOPICS: Final = ("/events/stream", "/log/stream", "/state/stream", "/actors/ledger/trace")
READ_BYTES: Final = 1 << 20
PATIENCE_SECONDS: Final = 30.0
"""for the socket to be there, and for a stream to begin"""
STALL_SECONDS: Final = 2.0
STATS_SECONDS: Final = 0.5
SETTINGS: Final = f"\n[admin]\nstall_seconds = {STALL_SECONDS}\n"


def connected(path: Path, topic: str) -> socket.socket:
    """A client that has asked for a stream."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
        except OSError:
            client.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
            continue
        client.sendall(f"GET {topic} HTTP/1.1\r\nHost: kora\r\n\r\n".encode())
        return client


def follow(path: Path, clients: int) -> None:
    """Read so many streams until the runtime closes them; the bytes of each stand on stdout at the end."""
    selector = selectors.DefaultSelector()
    read = dict.fromkeys(range(clients), 0)
    for number in range(clients):
        client = connected(path, TOPICS[number % len(TOPICS)])
        client.settimeout(0)
        selector.register(client, selectors.EVENT_READ, number)
    while selector.get_map():
        for key, _ in selector.select():
            stream = key.fileobj
            assert isinstance(stream, socket.socket)  # noqa: S101 - nothing else was registered
            try:
                content = stream.recv(READ_BYTES)
            except OSError:
                content = b""
            read[key.data] += len(content)
            if not content:
                selector.unregister(stream)
                stream.close()
    sys.stdout.write(json.dumps(list(read.values())) + "\n")


def freeze(path: Path) -> None:
    """Ask for the events, and stop at the first that come."""
    client = connected(path, TOPICS[0])
    client.recv(1)
    os.kill(os.getpid(), signal.SIGSTOP)
    client.close()


def besieged(config: Path, clients: int) -> tuple[list[subprocess.Popen[str]], Path]:
    """The clients of a runtime that is about to be started."""
    path = load(config, {}).runtime.state_dir / "admin.sock"
    command = [sys.executable, __file__, "--socket", str(path)]
    followers = [*command, "--follow", str(clients - 1)]
    return [
        subprocess.Popen(followers, stdout=subprocess.PIPE, text=True),
        subprocess.Popen([*command, "--freeze"], text=True),
    ], path


def run(tickets: int, workers: int, clients: int) -> dict[str, Any]:
    """One run of the real program, with so many clients or none."""
    with tempfile.TemporaryDirectory() as name:
        config = prepare(Path(name), tickets, workers)
        with config.open("a", encoding="utf-8") as file:
            file.write(SETTINGS)
        found: dict[str, Any] = {"peak_rss_mib": 0.0, "server": {}}
        others, _ = besieged(config, clients) if clients else ([], Path())
        begun = program(config)
        client = Client(load(config, {}).runtime.state_dir)

        looked_at = time.monotonic()

        def look() -> int | None:
            nonlocal looked_at
            code = begun()
            if code is None and time.monotonic() - looked_at > STATS_SECONDS:
                looked_at = time.monotonic()
                # Not there yet, or not any more.
                with suppress(KoraError):
                    stats = client.get("/stats")
                    found["peak_rss_mib"] = max(found["peak_rss_mib"], round(stats["memory_bytes"] / 2**20, 1))
                    found["server"] = stats["admin"]
            return code

        found |= timed(config, tickets, lambda: look)
        for other in others:
            if other.stdout is not None:
                found["read_mib"] = round(sum(json.loads(other.communicate()[0])) / 2**20, 1)
            other.kill()
            other.wait()
        return found


def compare(tickets: int, rounds: int, workers: int, clients: int) -> dict[str, Any]:
    """Measure both in turns."""
    alone, beset = [], []
    for _ in range(rounds):
        alone.append(run(tickets, workers, 0))
        beset.append(run(tickets, workers, clients))
    rates = {
        name: [round(tickets / each["seconds"]) for each in runs] for name, runs in (("alone", alone), ("with", beset))
    }
    medians = {name: statistics.median(each) for name, each in rates.items()}
    return {
        "tickets": tickets,
        "clients": clients,
        "tickets_per_second": rates,
        "ratio_of_each_round": [round(w / a, 2) for a, w in zip(*rates.values(), strict=True)],
        "ratio_of_medians": round(medians["with"] / medians["alone"], 2),
        "read_mib": [each["read_mib"] for each in beset],
        "peak_rss_mib": {"alone": [r["peak_rss_mib"] for r in alone], "with": [r["peak_rss_mib"] for r in beset]},
        "server": [each["server"] for each in beset],
    }


def main() -> None:
    """Measure, and print a table for people or one JSON document for programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=40_000, help="tickets of each run (default 40000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the runtime (default 2)")
    parser.add_argument("--clients", type=int, default=50, help="clients that stream (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--socket", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--follow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--freeze", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.freeze:
        freeze(chosen.socket)
    elif chosen.follow:
        follow(chosen.socket, chosen.follow)
    else:
        found = compare(chosen.tickets, chosen.rounds, chosen.workers, chosen.clients)
        if chosen.json:
            sys.stdout.write(json.dumps(found) + "\n")
            return
        table = Table("round", "alone/s", "with clients/s", "ratio", "read MiB", "peak MiB alone", "with clients")
        rates, peaks = found["tickets_per_second"], found["peak_rss_mib"]
        rows = zip(
            rates["alone"],
            rates["with"],
            found["ratio_of_each_round"],
            found["read_mib"],
            peaks["alone"],
            peaks["with"],
            strict=True,
        )
        for number, row in enumerate(rows, 1):
            table.add_row(str(number), *(f"{figure:,}" for figure in row))
        console = Console()
        console.print(table)
        console.print(f"ratio of medians: {found['ratio_of_medians']}; the server: {found['server'][-1]}")


if __name__ == "__main__":
    main()
