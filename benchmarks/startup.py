"""How long a command takes to start: `bin/kora-actors --help` beside a Python that does nothing.

Usage: .venv/bin/python benchmarks/startup.py [--runs N] [--json]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
COMMANDS: dict[str, list[str]] = {
    "python -c pass": [str(ROOT / ".venv" / "bin" / "python"), "-c", "pass"],
    "bin/kora-actors --help": [str(ROOT / "bin" / "kora-actors"), "--help"],
}


def seconds_of(command: list[str]) -> float:
    """Return how long one run of the command took; a run that fails ends the benchmark."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measure(runs: int) -> dict[str, list[float]]:
    """Return the seconds of each command's runs, taken in turn so that a busy machine slows all alike."""
    for command in COMMANDS.values():
        seconds_of(command)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            seconds[name].append(seconds_of(command))
    return seconds


def main() -> None:
    """Measure, and print a table for people or one JSON document for programs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each command")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    rows = [
        {
            "command": name,
            "runs": len(seconds),
            "median_ms": round(statistics.median(seconds) * 1000, 1),
            "min_ms": round(min(seconds) * 1000, 1),
            "max_ms": round(max(seconds) * 1000, 1),
        }
        for name, seconds in measure(options.runs).items()
    ]
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(rows) + b"\n")
        return
    table = Table("command", "runs", "median ms", "min ms", "max ms")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
