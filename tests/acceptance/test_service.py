"""The programs as services: what a service manager hears of them from their start to their end."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing

import pytest

from tests.acceptance.home import PATIENCE_SECONDS


@pytest.fixture
def manager(monkeypatch):
    """A service manager's socket, in the abstract namespace; whatever is started is to tell it."""
    name = f"kora-service-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.bind(f"\0{name}")
        heard.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        yield heard


def heard_until(manager, wanted):
    """What is said up to and with the first that begins so."""
    words = []
    for _ in range(1_000):
        words.append(manager.recv(4_096).decode())
        if words[-1].startswith(wanted):
            return words
    raise AssertionError(words[-10:])


def test_a_runtime_says_that_it_boots_is_up_lives_and_ends(home, manager):
    runtime = home.start("run")
    assert heard_until(manager, "READY=1")[0] == "STATUS=booting"
    assert any("STATUS=ready" in word for word in heard_until(manager, "STATUS=ready"))
    heard_until(manager, "WATCHDOG=1")
    runtime.send_signal(signal.SIGTERM)
    heard_until(manager, "STOPPING=1")
    assert runtime.wait(PATIENCE_SECONDS) == 0, home.log()


def test_a_watcher_says_that_it_is_ready_before_it_has_its_store_and_beats_while_that_is_away(home, manager):
    home.configure(runtime={"store": "postgresql://kora@127.0.0.1:1/kora"})
    watcher = home.start("watch")
    assert heard_until(manager, "READY=1") == ["READY=1\nSTATUS=watching"]
    assert "STATUS=the store is out of reach" in heard_until(manager, "WATCHDOG=1")
    assert "STATUS=the store is out of reach" not in heard_until(manager, "WATCHDOG=1")
    watcher.send_signal(signal.SIGTERM)
    heard_until(manager, "STOPPING=1")
    assert watcher.wait(PATIENCE_SECONDS) == 0
    assert home.log().count("trying on") == 1
