"""What is spent is what the agents have told, to the cent, whoever is killed on the way."""

from __future__ import annotations

import fcntl
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from kora.admin.client import Client
from kora.domain.ticket import Status
from kora.errors import KoraError, RefusedError
from kora.store.open import migrate
from kora.store.port import Store
from tests.acceptance.home import PATIENCE_SECONDS, Home
from tests.postgres import Server

PAID_AGENT = Path(__file__).with_name("paid_agent.py")
RUNTIMES, WORKERS = 4, 3
VICTIMS = ("agent", "runtime", "agent", "worker")
LOOK_SECONDS = 0.05
ATTEMPTS_A_KILL = 9

_never = threading.Event()


@dataclass
class Fleet:
    """Runtimes of one pool, each with a state directory of its own, and somebody who kills."""

    home: Home
    configs: list[Path]
    random: random.Random = field(default_factory=lambda: random.Random(7))
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    kills: int = 0

    def start(self) -> None:
        self.running = [self.home.start("run", "--until-idle", config=config) for config in self.configs]

    def is_at_work(self, store: Store) -> bool:
        """Whether anything is left; what waits for its time is eligible now."""
        with closing(store.reader()) as reader, closing(store.board()) as board:
            for ticket in reader.tickets((Status.RELEASED, Status.FAILED_RETRYABLE)):
                with suppress(RefusedError):
                    board.force_retry(ticket.ticket_id, who="test")
            return reader.outstanding().any

    def trouble(self) -> None:
        """Somebody is killed."""
        number = self.random.randrange(len(self.running))
        process = self.running[number]
        what = VICTIMS[self.kills % len(VICTIMS)]
        if what == "runtime":
            process.kill()
            process.wait()
            self.running[number] = self.home.start("run", "--until-idle", config=self.configs[number])
        elif what == "agent":
            self._kill_an_agent()
        else:
            with suppress(KoraError):
                client = Client(self.configs[number].parent / f"state-{number}", timeout_seconds=20)
                client.restart(f"worker-{self.random.randrange(WORKERS) + 1}")
        self.kills += 1

    def _kill_an_agent(self) -> None:
        """One that is not just between its journal and its word."""
        journals = sorted(self.home.journal.iterdir())
        for path in self.random.sample(journals, min(20, len(journals))):
            with path.open("rb") as journal:
                lines = journal.read().split()
                if not lines:
                    continue
                fcntl.flock(journal, fcntl.LOCK_EX)
                with suppress(psutil.Error):
                    agent = psutil.Process(int(lines[-1]))
                    if any("paid_agent" in word for word in agent.cmdline()):
                        agent.kill()
                        return

    def see_through(self, kills: int, open_the_gate: Callable[[], None]) -> None:
        """Until every ticket is done, every runtime has ended, and nobody has anything left to be charged.

        The last ticket is not done before so many were killed.
        """
        with self.home.store() as store:
            while self.is_at_work(store):
                if self.kills >= kills:
                    open_the_gate()
                if len(list(self.home.journal.iterdir())) > self.kills * ATTEMPTS_A_KILL:
                    self.trouble()
                else:
                    _never.wait(LOOK_SECONDS)
        for process in self.running:
            assert process.wait(PATIENCE_SECONDS) == 0, self.home.log(self.home.processes.index(process))

    def told_micro_usd(self) -> dict[str, int]:
        """What each attempt has told, as it wrote down itself."""
        told = {}
        for path in self.home.journal.iterdir():
            lines = path.read_text().split()
            told[path.name] = int(lines[-2]) if lines else 0
        return told


def fleet_on(home: Home, store: str) -> Fleet:
    command = [sys.executable, "-I", "-S", str(PAID_AGENT), str(home.journal), "seed"]
    configs = [
        home.configure(
            f"runtime-{number}.toml",
            runtime={"store": store, "state_dir": f"state-{number}", "log_level": "INFO", "tick_seconds": 0.1},
            workers={"count": WORKERS},
            agent={"command": command, "grace_seconds": 20},
            control={"max_attempts": 1_000, "drain_seconds": 30},
            cost={"pool_usd": 0},
            **{"agents.last": {"command": [*command, str(home.gate)], "grace_seconds": 20}},
        )
        for number in range(RUNTIMES)
    ]
    shutil.copy(configs[0], home.config)
    return Fleet(home, configs)


def work_off(fleet: Fleet, tickets: int) -> None:
    home = fleet.home
    home.add(tickets - 1)
    home.add(1, agent="last")
    with home.shut() as open_the_gate:
        fleet.start()
        fleet.see_through(tickets // ATTEMPTS_A_KILL, open_the_gate)
    told = fleet.told_micro_usd()
    with home.reading() as reader:
        spent = reader.spend()
        report = reader.report(next(reader.events()).occurred_at)
        assert reader.verify().fault is None
    assert len(told) >= tickets
    assert sum(spent.values()) == sum(told.values())
    assert round(report.cost_usd * 1_000_000) == sum(told.values())
    assert list(home.folder.glob("state-*/meters/*/*")) == [], "something has yet to be charged"
    assert fleet.kills >= tickets // ATTEMPTS_A_KILL


@pytest.mark.parametrize("tickets", [50, pytest.param(5_000, marks=pytest.mark.prove)])
def test_the_spend_is_what_the_agents_have_told_whoever_is_killed_on_the_way(home, tickets):
    work_off(fleet_on(home, "sqlite:///kora.db"), tickets)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.prove
def test_the_same_on_a_server(home, server):
    database = server.database()
    migrate(server.url(database), workspace_id="default", runtime_role=None)
    work_off(fleet_on(home, server.url(database)), 1_000)
