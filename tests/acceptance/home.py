"""A board of its own for a test: a folder with a configuration, the real program, and what its agents wrote down."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from kora.config import load
from kora.domain.ticket import NewTicket
from kora.store.port import Reader, Store
from tests.acceptance.preloaded import typed
from tests.stores import open_new

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bin" / "kora-actors"
JOURNAL_AGENT = Path(__file__).with_name("journal_agent.py")
PATIENCE_SECONDS = 120


@dataclass
class Mark:
    """One line that an agent wrote."""

    what: str
    attempt: str
    pid: int
    at_ns: int


@dataclass
class Home:
    """Everything under one folder; whatever was started here is ended with it."""

    folder: Path
    url: str = "sqlite:///kora.db"
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "supervisor.toml"

    @property
    def journal(self) -> Path:
        directory = self.folder / "journal"
        directory.mkdir(exist_ok=True)
        return directory

    def configure(self, name: str = "supervisor.toml", **sections: dict[str, Any]) -> Path:
        """Write a configuration with short times; `sections` go over it key by key."""
        settings: dict[str, dict[str, Any]] = {
            "runtime": {"store": self.url, "state_dir": ".kora", "tick_seconds": 0.05, "log_level": "DEBUG"},
            "poller": {"poll_interval_seconds": 0.2, "lease_seconds": 60},
            "workers": {"count": 2},
            "agent": {"command": self.journal_command(0.02), "grace_seconds": 2},
            "control": {"drain_seconds": 30},
        }
        for section, keys in sections.items():
            settings.setdefault(section, {}).update(keys)
        text = "".join(
            f"[{section}]\n"
            # None takes a key away that stands here by default.
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None)
            for section, keys in settings.items()
        )
        path = self.folder / name
        path.write_text(text)
        return path

    def journal_command(self, seconds: float, *, gated: bool = False) -> list[str]:
        """The agent that keeps its own record and takes so long; a gated one longer, while its gate is shut."""
        gate = [str(self.gate)] if gated else []
        return [sys.executable, "-I", "-S", str(JOURNAL_AGENT), str(self.journal), str(seconds), *gate]

    @property
    def gate(self) -> Path:
        """The file that is locked while the gate is shut."""
        return self.folder / "gate"

    @contextmanager
    def shut(self) -> Iterator[Callable[[], None]]:
        """The gate is shut, until it is opened by a call of this; however long a test takes for what it does before."""
        with self.gate.open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield lambda: fcntl.flock(gate, fcntl.LOCK_UN)

    def kora(self, *arguments: str, config: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of the real program to its end; what works the board is loaded as a user has it."""
        more = {"cwd": self.folder, "capture_output": True, "text": True, "timeout": PATIENCE_SECONDS} | more
        words = ["--config", str(config or self.config), *arguments]
        if arguments[0] in {"run", "watch"}:
            return subprocess.run([PROGRAM, *words], check=False, **more)
        return typed(*words, **more)

    def json(self, *arguments: str) -> Any:
        """What a reading command says to a machine."""
        done = self.kora(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str, config: Path | None = None) -> subprocess.Popen[str]:
        """Start the real program; its log goes to a file of its own."""
        log = (self.folder / f"log-{len(self.processes)}.txt").open("w")
        process = subprocess.Popen(
            [PROGRAM, "--config", config or self.config, *arguments],
            cwd=self.folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        log.close()
        self.processes.append(process)
        return process

    def log(self, number: int = -1) -> str:
        """What the process wrote that was started as the n-th."""
        index = range(len(self.processes))[number]
        return (self.folder / f"log-{index}.txt").read_text(errors="replace")

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The board's store in the test's own process: far cheaper than a command each time."""
        runtime = load(self.config).runtime
        with open_new(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor) as store:
            yield store

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reading handle on it."""
        with self.store() as store, closing(store.reader()) as reader:
            yield reader

    def add(self, count: int, **fields: Any) -> None:
        """Put so many tickets on the board at once."""
        tickets = [NewTicket.model_validate({"ticket_title": f"ticket {number}", **fields}) for number in range(count)]
        with self.store() as store, closing(store.board()) as board:
            board.add(tickets, who="test")

    def tickets(self) -> list[dict[str, Any]]:
        with self.reading() as reader:
            return [ticket.model_dump(mode="json") for ticket in reader.tickets()]

    def events(self) -> list[dict[str, Any]]:
        with self.reading() as reader:
            return [event.model_dump(mode="json") for event in reader.events()]

    def marks(self) -> dict[str, list[Mark]]:
        """What the agents wrote down, by ticket, in the order of writing."""
        found = {}
        for file in self.journal.iterdir():
            rows = [line.split() for line in file.read_text().splitlines()]
            found[file.name] = [Mark(row[0], row[1], int(row[2]), int(row[4])) for row in rows]
        return found

    def runs(self) -> int:
        """How many attempts have begun, as the agents say."""
        return sum(mark.what == "start" for marks in self.marks().values() for mark in marks)

    def left_over(self) -> list[psutil.Process]:
        """Processes of this home's agents, guardians and spawners that still run."""
        here = str(self.folder)
        found = []
        for process in psutil.process_iter(["cmdline", "cwd", "status"]):
            info = process.info
            ours = here in (info["cwd"] or "") or any(here in word for word in info["cmdline"] or ())
            if ours and process.pid != os.getpid() and info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def end(self) -> None:
        """End what was started and wait until nothing of it is left."""
        for process in self.processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
                process.wait(PATIENCE_SECONDS)
        psutil.wait_procs(self.left_over(), timeout=20)


def wait_until(home: Home, holds: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait, with a bound, until something is so; the process must not end before."""
    for _ in range(PATIENCE_SECONDS * 20):
        if holds():
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"did not come about\n{home.log()}")


def assert_sound(home: Home) -> None:
    """No two agents on one ticket at once, as they say themselves; and the chains verify."""
    for ticket, marks in home.marks().items():
        assert [mark for mark in marks if mark.what == "overlap"] == [], ticket
    with home.reading() as reader:
        assert reader.verify().fault is None


def assert_each_completed_once(home: Home) -> None:
    """Every ticket is completed, and exactly one attempt at it ran to its end: the one that the board names."""
    tickets, marks = home.tickets(), home.marks()
    assert {ticket["sea_status"] for ticket in tickets} == {"completed"}
    for ticket in tickets:
        ends = [mark.attempt for mark in marks[ticket["ticket_id"]] if mark.what == "end"]
        assert len(ends) == 1, (ticket, marks[ticket["ticket_id"]])
