"""A real runtime as a service: its watchdog hears a beat only while the Ledger turns."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress

import pytest

from actors.ledger import Ledger
from actors.messages import Tick
from kora.app.service import Service
from kora.domain import health
from kora.systemd import ServiceManager

PATIENCE_SECONDS = 30.0


@pytest.fixture
def manager_socket(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE_SECONDS)
        yield heard


@pytest.fixture
def frozen(monkeypatch):
    """While it is set, the Ledger stands still in its next tick."""
    is_frozen, thaw = threading.Event(), threading.Event()
    on_receive = Ledger.on_receive

    def freeze(self, message):
        if isinstance(message, Tick) and is_frozen.is_set():
            thaw.wait(PATIENCE_SECONDS)
        return on_receive(self, message)

    monkeypatch.setattr(Ledger, "on_receive", freeze)
    yield is_frozen, thaw
    thaw.set()


def test_the_beats_stop_when_the_ledger_is_frozen_and_come_again_when_it_turns(
    place, manager_socket, frozen, monkeypatch, tmp_path
):
    monkeypatch.setattr(health, "STILL_SECONDS", 1.0)
    is_frozen, thaw = frozen
    console = place.begin()
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000"}
    looks = threading.Semaphore(0)

    def vitals():
        looks.release()
        return console.vitals()

    def heard_until(word):
        heard = (manager_socket.recv(4_096).decode() for _ in range(1_000))
        return next(said for said in heard if said.startswith(word))

    with closing(Service(ServiceManager(environ), vitals)) as service:
        service.start()
        assert heard_until("READY=1")
        assert heard_until("WATCHDOG=1")
        is_frozen.set()
        # Once it has said so, no beat follows, however often it looks.
        assert "ledger: turned" in heard_until("STATUS=ready, broken")
        while looks.acquire(blocking=False):
            pass
        for _ in range(5):
            assert looks.acquire(timeout=PATIENCE_SECONDS)
        manager_socket.settimeout(0.0)
        with suppress(BlockingIOError):
            while said := manager_socket.recv(4_096):
                assert not said.startswith(b"WATCHDOG")
        manager_socket.settimeout(PATIENCE_SECONDS)
        is_frozen.clear()
        thaw.set()
        assert heard_until("WATCHDOG=1")
        service.begin_to_end()
        assert heard_until("STOPPING=1")
