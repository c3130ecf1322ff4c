"""What the bottom line knows: how the runtime stands, within a second, whether it is there or not."""

import threading

import pytest

from kora.admin.client import Client
from kora.cli.repl import live
from kora.cli.repl.live import Live, bottom_line


def words(status):
    return "".join(text for _, text in bottom_line(status))


def test_the_line_says_how_the_runtime_stands(runtime):
    status = runtime.client.get("/status")

    assert words(status) == " ready  0 claims held · 0 restarts · may claim: normal"


def test_what_is_wrong_is_on_the_line_and_is_not_obeyed(runtime):
    status = runtime.client.get("/status")
    status["operational_state"]["degradation_reasons"] = ["operator", "\x1b[2J"]
    status["actors"][4] |= {"state": "hung", "restarts": 2}

    assert words(status) == (
        " ready  0 claims held · 2 restarts · may claim: normal · degraded: operator, \\u001b[2J · ledger hung"
    )


def test_that_nobody_is_there_is_on_the_line():
    assert words(None).strip().startswith("no runtime")


@pytest.fixture
def looking(away, monkeypatch):
    """Looks, as often as it can; tells what it sees at each change."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    known = Live(Client(away.state_dir))
    changes = threading.Semaphore(0)
    known.start(changes.release)

    def change():
        assert changes.acquire(timeout=30)
        return known.status

    yield change
    known.close()


def test_the_runtime_that_comes_and_goes_is_seen(away, looking):
    away.start()
    assert looking()["runtime"]["pid"] == 4711
    away.stop()
    assert looking() is None
    away.start()
    assert looking() is not None
