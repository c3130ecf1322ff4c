"""Runtimes on one PostgreSQL that is crashed under them, while one of them is killed and another frozen."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from kora.domain.ticket import NewTicket
from kora.store.open import migrate
from kora.store.postgres.bare import ANSWER_SECONDS
from tests.acceptance.home import PATIENCE_SECONDS, Home
from tests.postgres import Server

HERE = Path(__file__).parent
RUNTIMES = 4
KILLED, FROZEN = 0, 1
ROLE = "kora_chaos"

_never = threading.Event()


@dataclass(frozen=True)
class Measure:
    """How much of everything."""

    tickets: int
    programs: int
    """how many of the tickets are programs' work; of the others, a callable's"""
    workers: int
    work_seconds: float
    lease_seconds: float
    crash_every_seconds: float
    crashes: int
    frozen_leases: float = 3.0


SMALL = Measure(2_000, 24, 12, 0.1, 2.0, 3.0, 2)
FULL = Measure(20_000, 200, 16, 0.15, 5.0, 10.0, 4)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.execute(f"CREATE ROLE {ROLE} LOGIN")
        yield server


@dataclass
class Fleet:
    """Runtimes that share a board, each with a state directory of its own."""

    home: Home
    server: Server
    database: str
    configs: list[Path]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, number: int) -> subprocess.Popen[str]:
        """Start one of them; its predecessor, if any, has ended."""
        process = self.home.start("run", config=self.configs[number])
        self.running[number : number + 1] = [process]
        return process

    def log(self, process: subprocess.Popen[str]) -> str:
        return self.home.log(self.home.processes.index(process))

    def ask(self, statement: str) -> list[tuple]:
        return self.server.execute(statement, database=self.database)

    def completed(self) -> int:
        ((count,),) = self.ask("SELECT count(*) FROM kora.tickets WHERE sea_status = 'completed'")
        return count

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait, with a bound, until something is so; nobody must have ended."""
        for _ in range(PATIENCE_SECONDS * 20):
            if holds():
                return
            for process in self.running:
                assert process.poll() is None, self.log(process)
            _never.wait(0.05)
        raise AssertionError("did not come about")


@pytest.fixture
def make_fleet(home, server) -> Callable[[Measure], Fleet]:
    def make(measure: Measure) -> Fleet:
        database = server.database()
        migrate(server.url(database), workspace_id="default", runtime_role=ROLE)
        shutil.copy(HERE / "journal_callable.py", home.folder)
        configs = [
            home.configure(
                f"runtime-{number}.toml",
                runtime={
                    "store": server.url(database, user=ROLE),
                    "state_dir": f"state-{number}",
                    "log_level": "INFO",
                    "tick_seconds": 0.2,
                },
                poller={"lease_seconds": measure.lease_seconds, "poll_interval_seconds": 0.5},
                workers={"count": measure.workers},
                agent={"kind": "callable", "callable": "journal_callable:run", "command": None},
                control={"drain_seconds": 30, "max_attempts": 100},
                **{"agents.program": {"command": home.journal_command(0.3), "grace_seconds": 0.5}},
            )
            for number in range(RUNTIMES)
        ]
        shutil.copy(configs[0], home.config)
        return Fleet(home, server, database, configs)

    return make


def add(home: Home, measure: Measure) -> None:
    every = measure.tickets // measure.programs
    with home.store() as store:
        board = store.board()
        board.add(
            (
                NewTicket(
                    ticket_title=f"ticket {number}",
                    ticket_objective=str(measure.work_seconds),
                    agent=None if number % every else "program",
                )
                for number in range(measure.tickets)
            ),
            who="test",
        )
        board.close()


class Trouble:
    """All that is done to a fleet, one thing after another, as time goes by."""

    def __init__(self, fleet: Fleet, measure: Measure) -> None:
        self._fleet = fleet
        self._measure = measure
        self.frozen: subprocess.Popen[str] | None = None
        self.last_fault = 0.0

    def make(self) -> None:
        """Kill one, freeze one, and crash the server over and over."""
        fleet, measure = self._fleet, self._measure
        frozen = self.frozen = fleet.running[FROZEN]
        agents: list[psutil.Process] = []
        fleet.wait_until(lambda: bool(agents.extend(self._frozen_at_work(frozen)) or agents))
        killed = fleet.running[KILLED]
        killed.kill()
        killed.wait()
        now = time.monotonic()
        times = [(now + measure.frozen_leases * measure.lease_seconds, lambda: self._thaw(frozen, agents))]
        times += [(now + number * measure.crash_every_seconds, self._crash) for number in range(measure.crashes)]
        fleet.start(KILLED)
        for at, do in sorted(times, key=lambda each: each[0]):
            # What happens when is the test itself; nothing is waited for.
            _never.wait(max(0.0, at - time.monotonic()))
            do()
        self.last_fault = time.clock_gettime(time.CLOCK_BOOTTIME)

    def _frozen_at_work(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        """The programs that it had when it was frozen; if it had none, it goes on."""
        process.send_signal(signal.SIGSTOP)
        agents = self._programs_of(process)
        if not agents:
            process.send_signal(signal.SIGCONT)
        return agents

    def _crash(self) -> None:
        self._fleet.server.crash()
        self._fleet.server.start()

    def _thaw(self, frozen: subprocess.Popen[str], agents: list[psutil.Process]) -> None:
        """Let it go on; what its agents were is gone."""
        alive = [agent for agent in agents if agent.is_running() and agent.status() != psutil.STATUS_ZOMBIE]
        assert alive == []
        frozen.send_signal(signal.SIGCONT)

    def _programs_of(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        """The programs that are agents of it just now."""
        family = psutil.Process(process.pid).children(recursive=True)
        return [each for each in family if any("journal_agent" in word for word in _words(each))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@dataclass(frozen=True)
class Attempt:
    """What a callable wrote down."""

    ticket: str
    pid: int
    began: float
    ended: float | None


def attempts_of_callables(home: Home) -> dict[str, Attempt]:
    found: dict[str, Attempt] = {}
    for line in (home.folder / "callables").read_text().splitlines():
        what, ticket, attempt, pid, at = line.split()
        if what == "start":
            assert attempt not in found, f"attempt {attempt} was handed over twice"
            found[attempt] = Attempt(ticket, int(pid), float(at), None)
        else:
            begun = found[attempt]
            found[attempt] = Attempt(ticket, int(pid), begun.began, float(at))
    return found


def assert_each_done_once(fleet: Fleet, measure: Measure) -> None:
    """As the board says it, as the log says it, and as the ledger says it."""
    assert fleet.ask("SELECT sea_status, count(*) FROM kora.tickets GROUP BY 1") == [("completed", measure.tickets)]
    twice = "SELECT ticket_no, count(*) FROM kora.events WHERE event_type = 'kora.sea_ticket.resolved'"
    twice += " AND payload::json ->> 'resolution' = 'completed' GROUP BY 1 HAVING count(*) <> 1"
    assert fleet.ask(twice) == []
    # Every claim ended in one way, and one of each ticket's in its completion.
    assert (
        fleet.ask(
            "SELECT t.ticket_no FROM kora.tickets AS t JOIN kora.events AS e USING (ticket_no) GROUP BY t.ticket_no"
            " HAVING t.claim_count <> count(*) FILTER (WHERE event_type = 'sea_ticket.claimed_for_edit')"
            " OR t.claim_count <> count(*) FILTER (WHERE event_type IN ('kora.sea_ticket.resolved',"
            "                                                          'sea_ticket.claim_expired'))"
        )
        == []
    )
    rows = "SELECT count(*), count(DISTINCT ticket_no), count(*) FILTER (WHERE state NOT IN ('committed', 'abandoned'))"
    ((_, tickets, still_open),) = fleet.ask(f"{rows} FROM kora.operations WHERE sequence_within_attempt = 0")
    assert (tickets, still_open) == (measure.tickets, 0)
    with fleet.home.reading() as reader:
        assert reader.verify().fault is None


def assert_none_worked_at_once(fleet: Fleet, frozen_pid: int) -> None:
    """No two agents were at one ticket at a time: programs as they say themselves, callables by their times.

    A callable in the frozen process stood still with it, and ends as soon as it learns what happened.
    """
    for ticket, marks in fleet.home.marks().items():
        assert [mark for mark in marks if mark.what == "overlap"] == [], ticket
    by_ticket: dict[str, list[Attempt]] = {}
    for attempt in attempts_of_callables(fleet.home).values():
        if attempt.ended is not None and attempt.pid != frozen_pid:
            by_ticket.setdefault(attempt.ticket, []).append(attempt)
    for some in by_ticket.values():
        some.sort(key=lambda attempt: attempt.began)
        for earlier, later in pairwise(some):
            assert earlier.ended <= later.began, (earlier, later)


@pytest.mark.parametrize(
    "measure", [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.prove)]
)
def test_a_fleet_works_each_ticket_once_whatever_is_done_to_it_and_its_server(home, make_fleet, measure):
    fleet = make_fleet(measure)
    add(home, measure)
    began = time.monotonic()
    for number in range(RUNTIMES):
        fleet.start(number)
    fleet.wait_until(lambda: fleet.completed() >= measure.tickets // 20)
    calm_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    trouble = Trouble(fleet, measure)
    trouble.make()
    at_last_fault = fleet.completed()
    fleet.wait_until(lambda: fleet.completed() == measure.tickets)
    lasted = time.monotonic() - began
    frozen = trouble.frozen
    # By whichever of its actors comes to know of it first.
    heard = re.compile(r"the lease is lost, nothing is written|its claim was another's by then")
    fleet.wait_until(lambda: heard.search(fleet.log(frozen)) is not None)
    for process in fleet.running:
        process.terminate()
    for process in fleet.running:
        assert process.wait(PATIENCE_SECONDS) == 0, fleet.log(process)
    assert_each_done_once(fleet, measure)
    assert_none_worked_at_once(fleet, frozen.pid)
    for number in range(len(home.processes)):
        assert "Traceback" not in home.log(number)
    assert home.left_over() == []
    begun = attempts_of_callables(home)
    again = len(begun) - len({attempt.ticket for attempt in begun.values()})
    print(f"{measure.tickets} tickets in {lasted:.0f} s, {at_last_fault} at the last fault; {again} begun again")
    ends = sorted(attempt.ended for attempt in begun.values() if attempt.ended is not None)
    print_rates(ends, calm_at, trouble.last_fault, recovers=measure is FULL)
    # Whatever happened to the server, no actor was restarted for it; but whoever stood still itself looks hung.
    restarted = "SELECT payload FROM kora.events JOIN kora.runtimes ON runtime_id = chain_id"
    restarted += f" WHERE event_type = 'kora.supervisor.restarted' AND pid <> {frozen.pid}"
    assert fleet.ask(restarted) == []


WINDOW_SECONDS = 5.0
RECOVERY_SECONDS = 30.0


def print_rates(ends: list[float], calm_at: float, last_fault: float, *, recovers: bool) -> None:
    """Tickets a second before the first fault and after the last; that it is at nine tenths again."""

    def rate(begin: float, end: float) -> float:
        return sum(begin <= at < end for at in ends) / (end - begin)

    before = rate(max(ends[0], calm_at - WINDOW_SECONDS), calm_at)
    after = [rate(last_fault + at, last_fault + at + WINDOW_SECONDS) for at in range(int(RECOVERY_SECONDS))]
    print(f"{before:.0f} tickets/s before the first fault, then after the last:", *(f"{each:.0f}" for each in after))
    assert not recovers or max(after) >= 0.9 * before


@pytest.mark.prove
def test_a_server_that_stands_still_for_longer_than_an_answer_is_waited_for_costs_no_restart(home, make_fleet):
    measure = Measure(400, 20, 4, 0.1, 4.0, 0.0, 0)
    fleet = make_fleet(measure)
    add(home, measure)
    process = fleet.start(0)
    fleet.wait_until(lambda: fleet.completed() >= measure.tickets // 20)
    fleet.server.freeze()
    try:
        _never.wait(2 * ANSWER_SECONDS)
        told = fleet.log(process)
    finally:
        fleet.server.thaw()
    assert "is out of reach" in told
    fleet.wait_until(lambda: fleet.completed() == measure.tickets)
    assert "the store answers again" in fleet.log(process)
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, fleet.log(process)
    assert_each_done_once(fleet, measure)
    assert fleet.ask("SELECT payload FROM kora.events WHERE event_type = 'kora.supervisor.restarted'") == []
    assert "Traceback" not in fleet.log(process)
    for marks in home.marks().values():
        assert [mark for mark in marks if mark.what == "overlap"] == []
