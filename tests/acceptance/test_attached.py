"""An operator at a running runtime: it is seen whoever hangs, and whoever is restarted loses nothing."""

from __future__ import annotations

import threading
from itertools import cycle

import pytest

from actors.actor import KoraActor
from actors.names import ADMIN, CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, STATE_HOLDER, worker_names
from kora.admin.client import Client
from kora.errors import AdminError, NoRuntimeError
from tests.acceptance.home import PATIENCE_SECONDS, assert_each_completed_once, assert_sound, wait_until
from tests.acceptance.in_process import work_the_board

WORKERS = 2
ACTORS = (ADMIN, CLOCK, LEDGER, STATE_HOLDER, HEARTBEAT, CONTROL, *worker_names(WORKERS), POLLER)


def client_of(home):
    return Client(home.folder / ".kora")


def answers(home):
    try:
        return client_of(home).get("/status")["boot"] is None
    except NoRuntimeError:
        return False


class Hold:
    """A message that is not done before the test says so."""


@pytest.fixture
def held(monkeypatch):
    """Two events: somebody has begun with a `Hold`, and may end it."""
    begun, may_end = threading.Event(), threading.Event()
    on_receive = KoraActor.on_receive

    def holding(self, message):
        if isinstance(message, Hold):
            begun.set()
            return may_end.wait(PATIENCE_SECONDS)
        return on_receive(self, message)

    monkeypatch.setattr(KoraActor, "on_receive", holding)
    yield begun, may_end
    may_end.set()


@pytest.mark.parametrize("name", [name for name in ACTORS if name != "worker-2"])
def test_all_that_is_seen_is_seen_while_an_actor_hangs(home, held, name):
    begun, may_end = held
    home.add(2)
    seen = {}

    def look(runtime):
        if seen:
            return
        runtime.tell(name, Hold())
        assert begun.wait(PATIENCE_SECONDS)
        client = client_of(home)
        for path in ("/status", "/tree", "/stack", f"/actors/{name}", f"/actors/{name}/mailbox", "/stats", "/claims"):
            seen[path] = client.get(path)
        may_end.set()

    work_the_board(home, between=look, until=lambda runtime: bool(seen) and runtime.is_idle())
    (actor,) = [actor for actor in seen["/status"]["actors"] if actor["name"] == name]
    assert actor["state"] == "busy"
    (stack,) = [stack for stack in seen["/stack"] if stack["actor"] == name]
    assert any("holding" in line for line in stack["lines"])
    assert [each["kind"] for each in seen[f"/actors/{name}/mailbox"]["messages"] if each["lane"] == "in_hand"] != []
    assert_each_completed_once(home)


@pytest.mark.parametrize("count", [60, pytest.param(2_000, marks=pytest.mark.prove)])
def test_each_actor_restarted_in_turn_as_fast_as_the_socket_answers_and_each_ticket_is_completed_once(home, count):
    home.configure(
        workers={"count": WORKERS},
        control={"max_attempts": 100_000, "drain_seconds": 30},
        runtime={"log_level": "INFO"},
        **{"agents.last": {"command": home.journal_command(0.02, gated=True)}},
    )
    home.add(count - 1)
    home.add(1, agent="last")
    client, restarted = client_of(home), []
    with home.shut() as open_the_gate:
        process = home.start("run", "--until-idle")
        wait_until(home, lambda: answers(home), process)
        for name in cycle(ACTORS):
            try:
                restarted.append(client.restart(name)["name"])
            except AdminError:
                # It has come to its end, or is just coming to it: the API is the last that stops.
                break
            if len(restarted) == len(ACTORS):
                open_the_gate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert set(restarted) == set(ACTORS)
    assert_each_completed_once(home)
    assert_sound(home)
    acted = [event["payload"] for event in home.events() if event["event_type"] == "kora.operator.acted"]
    on_record = [payload["target"] for payload in acted if payload["verb"] == "restart"]
    assert on_record[: len(restarted)] == restarted
    failures = [event for event in home.events() if event["event_type"] == "kora.supervisor.restarted"]
    assert failures == [], "a commanded restart is no failure"


def test_its_doors_are_shut_and_its_status_is_in_the_shape_that_programs_rely_on(home):
    process = home.start("run")
    wait_until(home, lambda: answers(home), process)
    state_dir = home.folder / ".kora"
    path = state_dir / "admin.sock"
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    status = client_of(home).get("/status")
    assert status["runtime"]["pid"] == process.pid
    assert status["actors"][0].keys() == {"name", "state", "restarts", "mailbox", "busy_seconds", "ticket_id"}
