"""Who answers on the admin socket while the gates are tried, and how it is handed over."""

from __future__ import annotations

import inspect
import os
import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import pytest

from kora.admin.client import Client
from kora.admin.port import AdminSettings, Console
from kora.admin.server import bind, serve
from kora.admin.views import RuntimeIdentity
from kora.app.boot.console import BootConsole
from kora.app.boot.sequence import Progress
from kora.app.console.feeds import LogShown, StateShown
from kora.app.console.recorder import Recorder
from kora.app.operators import Operators
from kora.config import load
from kora.domain import gates
from kora.domain.control import ClaimPermission
from kora.domain.gates import GateOutcome, GateResult
from kora.domain.state import DegradationReason, OperationalState, PrimaryState
from kora.errors import RefusedError
from kora.signals import Signals
from kora.state_dir import StateDir
from kora.store.port import RuntimeRecord

WHO = "019b0000-0000-7000-8000-000000000001"
THEN = datetime(2026, 7, 4, 3, 0, tzinfo=UTC)
PASSED = GateResult("configuration", gates.GateClass.INVARIANT, GateOutcome.PASSED, 1, 0, "supervisor.toml")
TRIED = Progress((PASSED,), gates.STORE, 3, THEN, "no server answers there")
RECORD = RuntimeRecord(WHO, "ship", os.getpid(), "0.1.0")


def unused():
    raise AssertionError("no board is opened while the gates are tried")


@pytest.fixture
def signals():
    return Signals()


@pytest.fixture
def console(signals):
    state = StateShown()
    degraded = frozenset({DegradationReason.SUBSTRATE})
    state.show(OperationalState(PrimaryState.BOOTING, ClaimPermission.NONE, degraded))
    identity = RuntimeIdentity(4711, WHO, THEN, "0.1.0")
    return BootConsole(identity, lambda: TRIED, state=state, log=LogShown(), recorder=Recorder(unused), signals=signals)


@pytest.fixture
def client(tmp_path, console):
    with ExitStack() as stack:
        listening = stack.enter_context(closing(bind(tmp_path / "state")))
        stack.enter_context(closing(serve(listening, console, AdminSettings())))
        yield Client(tmp_path / "state")


def test_status_says_that_it_boots_at_which_gate_how_often_that_failed_since_when_and_why(client):
    said = client.get("/status")
    assert said["operational_state"] == {
        "primary_state": "booting",
        "claim_permission": "none",
        "degradation_reasons": ["substrate"],
    }
    assert said["runtime"]["runtime_id"] == WHO
    assert (said["actors"], said["claims_held"]) == ([], 0)
    assert said["boot"] == {
        "gate": "store",
        "failures": 3,
        "since": "2026-07-04T03:00:00Z",
        "detail": "no server answers there",
        "results": [PASSED.document()],
    }


def test_ping_version_and_log_are_answered(client):
    assert client.get("/ping") == {"runtime_id": WHO, "pid": 4711}
    assert client.get("/version") == {"version": "0.1.0"}
    assert client.get("/log") == []


def test_it_is_live_and_not_ready_and_says_what_it_waits_for(client):
    found = client.get("/health")
    assert (found["status"], found["is_live"]) == ("degraded", True)
    assert found["not_ready"] == "booting: at the gate store, tried 3 times so far: no server answers there"
    assert client.get("/healthz")["is_live"]


def test_shutdown_ends_it(client, signals):
    client.post("/shutdown", {"at_once": False})
    assert signals.count == 1


def test_whatever_else_is_asked_or_to_be_done_is_refused_with_the_gate_and_where_to_look(client):
    said = r"is booting, at the gate `store`: nothing of it runs yet. `.* status`"
    for path in ("/tree", "/stats", "/control", "/claims", "/tickets", "/events", "/stack", "/cost"):
        with pytest.raises(RefusedError, match=said):
            client.get(path)
    for path in ("/pause", "/resume", "/drain", "/update", "/actors/ledger/restart"):
        with pytest.raises(RefusedError, match=said):
            client.post(path)


def test_it_has_all_that_a_console_has(console):
    public = {name for name in vars(Console) if not name.startswith("_")}
    assert public <= {name for name, _ in inspect.getmembers(BootConsole)}
    arguments = {"name": "ledger", "who": "ada", "limit": 1, "message": {}, "timeout_seconds": 1.0, "seconds": None}
    arguments |= {"ticket_id": "t", "number": 1}
    for name in public - {"status", "vitals", "log", "transitions", "shutdown"}:
        method = getattr(console, name)
        taken = {key: arguments[key] for key in inspect.signature(method).parameters}
        with pytest.raises(RefusedError):
            method(**taken)


@pytest.fixture
def operators(tmp_path, monkeypatch):
    monkeypatch.setattr("kora.app.operators._MOMENT_SECONDS", 0.01)
    path = tmp_path / "supervisor.toml"
    path.write_text('[agent]\ncommand = ["true"]\n')
    with ExitStack() as stack:
        state_dir = stack.enter_context(closing(StateDir(tmp_path / "state")))
        yield stack.enter_context(closing(Operators(load(path, {}), state_dir, RECORD)))


def test_a_boot_that_is_over_in_a_moment_is_answered_by_whoever_comes_after_it(
    operators, console, tmp_path, monkeypatch
):
    monkeypatch.setattr("kora.app.operators._MOMENT_SECONDS", 3_600.0)
    with operators.booting(console):
        pass
    # Whoever has connected meanwhile waits in the backlog.
    answers = []
    asking = threading.Thread(target=lambda: answers.append(Client(tmp_path / "state").get("/ping")))
    asking.start()
    operators._console = console
    with closing(operators.serve()):
        asking.join(30)
    assert answers == [{"runtime_id": WHO, "pid": 4711}]


def test_a_boot_that_hangs_in_a_try_is_answered_for_after_a_moment(operators, console, tmp_path):
    with operators.booting(console):
        assert Client(tmp_path / "state").get("/status")["boot"]["gate"] == "store"


def test_the_socket_is_handed_over_and_nobody_who_asks_meanwhile_is_turned_away(operators, console, tmp_path):
    client = Client(tmp_path / "state")
    ended, answers, failures = threading.Event(), [], []

    def ask():
        while not ended.is_set():
            try:
                answers.append(client.get("/version")["version"])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what must not be
                failures.append(error)

    with operators.booting(console):
        assert client.get("/version") == {"version": "0.1.0"}
        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
    before = len(answers)
    operators._console = console
    with closing(operators.serve()):
        for _ in range(20):
            assert client.get("/version") == {"version": "0.1.0"}
        ended.set()
        for thread in asking:
            thread.join(30)
    assert failures == []
    assert len(answers) > before


def test_what_is_served_while_booting_ends_with_the_runtime(tmp_path, operators, console):
    with operators.booting(console):
        assert Client(tmp_path / "state").get("/ping")["pid"] == 4711
    operators.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "admin-server"]
    assert not (tmp_path / "state" / "admin.sock").exists()
