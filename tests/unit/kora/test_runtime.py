"""How a runtime ends: what it waits for, whom it ends, and that nothing is begun any more."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from loguru import logger

from actors import tree
from actors.names import LEDGER
from actors.supervision import CommandTimeoutError
from kora.agents.port import Lease
from kora.app import Runtime
from kora.config import load
from kora.domain.ids import new_id
from kora.domain.resolution import Outcome
from kora.domain.ticket import NewTicket, Status
from kora.state_dir import StateDir
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from tests.claims import a_claim
from tests.contract.conftest import settlement
from tests.stores import open_new

# Its own first sink prints every line.
logger.remove()

TERM_PROOF = '["/bin/sh", "-c", "trap \'\' TERM; echo deaf; sleep 600 & wait; wait"]'


@pytest.fixture
def settings(tmp_path):
    def configured(text: str = "", agent: str = 'command = ["true"]'):
        path = tmp_path / "supervisor.toml"
        common = '[runtime]\nstate_dir = "state"\ntick_seconds = 0.1\n[workers]\ncount = 1\n'
        path.write_text(f"{common}[agent]\n{agent}\n{text}")
        return load(path, {})

    return configured


def board(settings):
    runtime = settings.runtime
    return open_new(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)


class Attempt:
    """A running agent that ends when it is killed, and says so at once."""

    outcome = None

    def __init__(self, on_end):
        self._on_end = on_end

    def kill(self, reason):
        self.outcome = Outcome(signal=9, stop_reason=reason)
        self._on_end()


def test_at_its_end_no_agent_is_begun_behind_those_that_are_ended(settings, monkeypatch):
    monkeypatch.setattr("kora.app.ending._FLUSH_SECONDS", 0.01)
    begun = []

    def start(claim, _lease, on_end):
        begun.append(claim)
        return Attempt(on_end)

    claims = [a_claim() for _ in range(3)]
    with Runtime(settings()) as runtime:
        [post] = runtime._posts.values()
        post.man(1, start, lambda: None, lambda: 0.0)
        post.queue(1, claims, Lease(600.0, 600.0))
        post.advance(1)
    assert begun == claims[:1]
    assert post.advance(1)[0].agent.outcome is not None
    assert begun == claims[:1]


def running(settings, runtime):
    """Start, and wait until the one ticket's agent has said its first word."""
    with board(settings) as store, closing(store.board()) as handle:
        [ticket_id] = handle.add([NewTicket(ticket_title="t", agent="slow")], who="test")
    runtime.start()
    for _ in range(1_200):
        assert not runtime.wait(0.05)
        [post] = runtime._posts.values()
        if post.agent is not None and post.agent.progress_at is not None:
            return ticket_id
    raise AssertionError("its agent never began")


def status(settings, ticket_id):
    with board(settings) as store, closing(store.reader()) as reader:
        return reader.ticket(ticket_id).sea_status


def test_the_longest_grace_of_all_agents_is_waited_for(settings, monkeypatch):
    monkeypatch.setattr("kora.app.runtime.ABORT_SECONDS", 0.5)
    said = []
    configured = settings(
        f"[agents.slow]\ncommand = {TERM_PROOF}\ngrace_seconds = 1.5\n[control]\ndrain_seconds = 0.1",
        agent='command = ["true"]\ngrace_seconds = 0.1',
    )
    sink = logger.add(said.append, level="WARNING", format="{message}")
    try:
        with Runtime(configured) as runtime:
            ticket_id = running(configured, runtime)
            assert runtime.drain()
    finally:
        logger.remove(sink)
    assert said == []
    assert status(configured, ticket_id) == Status.RELEASED


class Deaf(tree.Worker):
    """A Worker that forgets to end what has overrun its time, and hears only the order to end it at once."""

    def _enforce_limits(self, *_):
        pass


def test_what_is_left_when_every_grace_is_over_is_killed_and_its_end_written(settings, monkeypatch):
    monkeypatch.setattr("kora.app.runtime.ABORT_SECONDS", 2.0)
    monkeypatch.setattr(tree, "Worker", Deaf)
    said = []
    configured = settings(
        f"[agents.slow]\ncommand = {TERM_PROOF}\ngrace_seconds = 0\n[control]\ndrain_seconds = 0.1",
        agent='command = ["true"]\ngrace_seconds = 0',
    )
    sink = logger.add(said.append, level="WARNING", format="{message}")
    try:
        with Runtime(configured) as runtime:
            ticket_id = running(configured, runtime)
            assert runtime.drain()
    finally:
        logger.remove(sink)
    assert [line for line in said if "every grace is over" in line] == said
    assert status(configured, ticket_id) == Status.RELEASED


def test_whatever_befalls_the_flush_all_are_stopped(settings, monkeypatch):
    with Runtime(settings()) as runtime:
        runtime.start()

        def fail(*_):
            raise ValueError("no")

        monkeypatch.setattr(runtime._directory, "ask", fail)
    assert not runtime._directory.is_served(LEDGER)


def test_an_interruption_of_the_flush_is_passed_on_when_all_are_stopped(settings, monkeypatch):
    runtime = Runtime(settings())
    runtime.start()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime._directory, "ask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runtime.close()
    assert not runtime._directory.is_served(LEDGER)


def test_actors_that_would_not_stop_are_told_of_and_everything_else_is_undone(settings, monkeypatch):
    monkeypatch.setattr("kora.app.ending._FLUSH_SECONDS", 0.01)
    said, undone = [], threading.Event()
    sink = logger.add(said.append, level="WARNING", format="{message}")
    runtime = Runtime(settings())
    runtime._opened.callback(undone.set)

    def overrun(_seconds):
        raise CommandTimeoutError("kora: no answer")

    monkeypatch.setattr(runtime._supervisor, "stop", overrun)
    try:
        runtime.close()
    finally:
        logger.remove(sink)
    assert undone.is_set()
    assert len(said) == 1
    assert "left behind" in said[0]


def test_a_runtime_that_has_yet_to_free_what_an_earlier_month_has_deferred_is_not_idle(settings):
    configured = settings()
    with board(configured) as store, closing(store.board()) as handle:
        (ticket_id,) = handle.add([NewTicket(ticket_title="deferred")], who="ada")
        with closing(store.writer(RuntimeRecord("before", "here", 1, "1"))) as writer:
            incarnation = writer.next_incarnation()
            (claim,) = writer.turn(incarnation, Turn(claim=ClaimOrder(1, 60.0))).claims
            writer.turn(incarnation, Turn(settle=[settlement(claim, Status.DEFERRED_COST_LIMIT)]))
    with Runtime(configured) as runtime:
        assert not runtime.is_idle()
        runtime.start()
        until_idle(runtime)
    assert status(configured, ticket_id) == Status.COMPLETED


def test_a_runtime_that_has_yet_to_see_to_those_before_it_is_not_idle(settings):
    configured = settings()
    killed = StateDir(configured.runtime.state_dir)
    killed.register(new_id())
    killed.close()
    with Runtime(configured) as runtime:
        assert not runtime.is_idle()
        runtime.start()
        until_idle(runtime)


def until_idle(runtime):
    give_up_at = time.monotonic() + 60
    while not runtime.is_idle():
        assert time.monotonic() < give_up_at
        runtime.wait(0.02)
