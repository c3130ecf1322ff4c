"""What an idle runtime costs: the share of a core and the memory of all its processes.

    python benchmarks/idle.py [--agents N] [--seconds N] [--settle N] [--json]

`bin/kora-actors` runs with the settings that ship, on an empty board in a temporary directory; with `--agents`, as many
coding agents run on it and are quiet, each with a tool call in flight, and their own processes count as well. The
processor's time is read from /proc/PID/stat before and after; memory is what is resident, shared pages counted in each
process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SETTLE_SECONDS: Final = 10.0
SECONDS: Final = 20.0
STOP_SECONDS: Final = 30.0
CALL: Final = '{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t","name":"Bash"}]}}'
QUIET: Final = f"#!/bin/sh\necho '{CALL}'\nexec sleep 100000\n"
"""a coding agent's program that waits for a tool"""
_USER, _SYSTEM, _RESIDENT_PAGES = 11, 12, 21
"""places in /proc/PID/stat behind the command's name"""


def _processes(root: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _processor_seconds(pids: list[int]) -> float:
    ticks = sum(int(_stat(pid)[_USER]) + int(_stat(pid)[_SYSTEM]) for pid in pids)
    return ticks / os.sysconf("SC_CLK_TCK")


def _mib(pids: list[int]) -> float:
    return sum(int(_stat(pid)[_RESIDENT_PAGES]) for pid in pids) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _settle(folder: Path, agents: int) -> None:
    """Write the settings; with agents, also those, and a ticket for each."""
    settings = folder / "supervisor.toml"
    if not agents:
        settings.write_text((ROOT / "supervisor.toml").read_text(encoding="utf-8"), encoding="utf-8")
        return
    # What is not said here is as in the settings that ship.
    settings.write_text(
        f'[agent]\nkind = "claude"\nexecutable = "./claude"\n[workers]\ncount = {agents}\n'
        "[control]\ndrain_seconds = 1\n",
        encoding="utf-8",
    )
    program = folder / "claude"
    program.write_text(QUIET, encoding="utf-8")
    program.chmod(0o755)
    tickets = "".join(f'{{"ticket_title":"ticket {number}"}}\n' for number in range(agents))
    subprocess.run(
        [str(ROOT / "bin" / "kora-actors"), "ticket", "import", "-"],
        cwd=folder,
        input=tickets.encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def measure(settle_seconds: float, seconds: float, agents: int) -> dict[str, float]:
    """The share of a core in hundredths, the MiB, and how many processes these were."""
    with tempfile.TemporaryDirectory() as directory:
        _settle(Path(directory), agents)
        command = [str(ROOT / "bin" / "kora-actors"), "run"]
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            try:
                time.sleep(settle_seconds)
                if running.poll() is not None:
                    raise SystemExit(running.stderr.read().decode() if running.stderr else "the runtime ended")
                pids = _processes(running.pid)
                if len(pids) < 2 * agents:
                    raise SystemExit(f"only {len(pids)} processes: not all agents run yet; --settle longer")
                begun, used = time.monotonic(), _processor_seconds(pids)
                time.sleep(seconds)
                share = (_processor_seconds(pids) - used) / (time.monotonic() - begun)
                mib = _mib(pids)
            finally:
                if running.poll() is None:
                    running.send_signal(signal.SIGTERM)
                running.wait(STOP_SECONDS)
    return {"core_percent": round(share * 100, 2), "resident_mib": round(mib, 1), "processes": len(pids)}


def main() -> None:
    """Run, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds before it begins (default 10)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds that are measured (default 20)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a line")
    parser.add_argument("--agents", type=int, default=0, help="how many quiet agents run meanwhile (default 0)")
    chosen = parser.parse_args()
    found = measure(chosen.settle, chosen.seconds, chosen.agents)
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.write(
        f"{found['core_percent']} % of a core, {found['resident_mib']} MiB resident in {found['processes']} processes\n"
    )


if __name__ == "__main__":
    main()
