"""The whole tree on real threads, with agents that end as soon as they are started."""

from __future__ import annotations

import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from loguru import logger

from actors import tree
from actors.names import CONTROL, LEDGER, RUNTIME, worker_names
from actors.remembered import Remembered
from actors.steering import Booted
from actors.supervision import Directory, Supervisor
from kora.clock import SystemTime
from kora.domain.cost import NO_CAPS
from kora.domain.operation import OperationRequest, Step, Verdict
from kora.domain.resolution import Outcome
from tests.unit.actors.cast import TERMS
from tests.unit.actors.shelf import Shelf
from tests.unit.actors.steered import Steered

TICKETS = 1_500
WORKERS = 3
PATIENCE_SECONDS = 60.0


class Served:
    """An API that nobody asks."""

    def check(self):
        """All is well."""

    close = check


class Attempt:
    """Asks for one operation, and ends when that is answered: in whichever thread that happens to be."""

    timeout_seconds = stall_seconds = 0.0
    tool_since = progress_at = None

    def __init__(self, claim, on_end, started_at):
        self.claim, self.on_end, self.started_at = claim, on_end, started_at
        self.outcome = None
        self.answers = []

    def extend(self, lease):
        pass

    def stop(self, reason):
        """It ends too soon for that."""

    kill = stop


class Everything:
    """The store, the agents, and all else that the tree is made of."""

    def __init__(self, *, asks):
        self.asks = asks
        self.time = SystemTime()
        # What the shelf checks of agents takes too long for so many.
        self.shelf = Shelf(
            SimpleNamespace(time=self, agents=(), runs=lambda _: False, is_guarded=False, held=tuple), TICKETS
        )
        self.attempts = []
        self.done = threading.Event()
        self.broken = []
        self.ended_by_resolution = Counter()

    @property
    def seconds(self):
        return self.time.boot_seconds()

    def open_writer(self):
        writer = self.shelf.open()
        turn = writer.turn

        def told(incarnation, asked):
            result = turn(incarnation, asked)
            if all(row.over for row in self.shelf.rows.values()):
                self.done.set()
            return result

        writer.turn = told
        return writer

    def start(self, claim, _lease, on_end, operations):
        attempt = Attempt(claim, on_end, self.time.boot_seconds())
        self.attempts.append(attempt)
        if self.asks:
            request = OperationRequest(claim.key, Step.BEGIN, 1, "tool", "key")
            operations.submit(request, lambda answer: self._end(attempt, answer))
        else:
            threading.Thread(target=self._end, args=(attempt,), daemon=True).start()
        return attempt

    def _end(self, attempt, answer=None):
        attempt.answers.append(answer)
        attempt.outcome = Outcome(exit_code=0)
        attempt.on_end()

    def is_paused(self):
        return False

    def lingering(self):
        return frozenset()

    def ended(self):
        return ()

    def charges(self, runtimes):
        return ()

    caps = NO_CAPS

    def settled(self, attempts):
        pass

    def forget(self, runtimes):
        pass


@pytest.fixture
def quiet():
    logger.disable("actors")
    yield
    logger.enable("actors")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("asks", [False, True])
def test_every_ticket_is_worked_to_its_end_once_though_workers_and_ledger_are_restarted_meanwhile(asks):
    everything = Everything(asks=asks)
    parts = tree.Parts(
        agent=everything,
        open_writer=everything.open_writer,
        open_reader=Steered(SimpleNamespace(seconds=0.0)).reader,
        predecessors=everything,
        gate=everything,
        serve=Served,
        on_transition=lambda *_: None,
        show_state=lambda _: None,
        ended=everything.ended_by_resolution,
        time_source=everything.time,
        lingering=everything.lingering,
        lease_seconds=600.0,
        poll_interval_seconds=0.05,
        heartbeat_seconds=60.0,
        tool_seconds=1_800.0,
        tick_seconds=0.05,
        max_attempts=1_000,
        holder="runtime-1",
        remembered=Remembered(),
        terms=TERMS,
    )
    directory = Directory()
    directory.declare(RUNTIME)
    supervisor = Supervisor(tree.supervision(parts, tree.posts(WORKERS)), directory, everything.broken.append)
    directory.tell(CONTROL, Booted())
    supervisor.start(PATIENCE_SECONDS)
    restarts = 0
    while not everything.done.wait(0.02) and restarts < 50:
        supervisor.restart_child((*worker_names(WORKERS), LEDGER)[restarts % (WORKERS + 1)], PATIENCE_SECONDS)
        restarts += 1
    assert everything.done.wait(PATIENCE_SECONDS)
    assert supervisor.stop(PATIENCE_SECONDS) == []
    assert everything.broken == []
    assert sum(everything.ended_by_resolution.values()) >= TICKETS
    assert all(len(attempt.answers) == 1 for attempt in everything.attempts)
    if asks:
        verdicts = {attempt.answers[0].verdict for attempt in everything.attempts}
        assert Verdict.DISPATCHED in verdicts
    assert len({attempt.claim.key for attempt in everything.attempts}) == len(everything.attempts)
