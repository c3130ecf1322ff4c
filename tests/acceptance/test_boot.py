"""Starting: what the gates find, with the real program; a store that was restored, that is locked, that is away."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing, suppress

import pytest

from kora.admin.client import Client
from kora.errors import AdminError, RefusedError
from kora.store.open import migrate
from tests.acceptance.home import PATIENCE_SECONDS, assert_sound, wait_until
from tests.acceptance.in_process import work_the_board
from tests.postgres import Server

RETRIES = {"retry_seconds": 0.05, "retry_cap_seconds": 0.2}


def seen(home, process, holds):
    """What `/status` says, once that is so; the process must not end before."""
    found = []

    def look():
        with suppress(AdminError):
            found.append(Client(home.folder / ".kora").get("/status"))
        return bool(found) and holds(found[-1])

    wait_until(home, look, process)
    return found[-1]


def is_in(state, *reasons):
    def holds(status):
        now = status["operational_state"]
        return now["primary_state"] == state and set(now["degradation_reasons"]) == set(reasons)

    return holds


def events_of(home, event_type):
    return [event for event in home.events() if event["event_type"] == event_type]


def back_up(home):
    with (
        closing(sqlite3.connect(home.folder / "kora.db")) as store,
        closing(sqlite3.connect(home.folder / "backup.db")) as backup,
    ):
        store.backup(backup)


def restore(home):
    for name in ("kora.db", "kora.db-wal", "kora.db-shm"):
        (home.folder / name).unlink(missing_ok=True)
    shutil.copy(home.folder / "backup.db", home.folder / "kora.db")


def act(home, action):
    with home.store() as store, closing(store.board()) as board:
        return action(board)


@pytest.mark.parametrize("bumped", [True, False], ids=["bumped", "not bumped"])
def test_a_restored_store_is_met_paused_with_the_reason_and_the_way_on(home, bumped):
    home.add(2)
    work_the_board(home)
    back_up(home)
    home.add(2)
    work_the_board(home)
    assert len(home.tickets()) == 4
    restore(home)
    if bumped:
        assert act(home, lambda board: board.bump_epoch(reason="restored from last night's", who="ada")) == 2
    home.add(1)

    process = home.start("run")
    seen(home, process, is_in("paused", "substrate"))
    # The log is written by a thread of its own.
    wait_until(home, lambda: "paused at boot" in home.log(), process)
    [line] = [line for line in home.log().splitlines() if "paused at boot" in line]
    found = "the store is of epoch 2, and this machine last knew 1" if bumped else "and this machine has known event"
    assert found in line
    assert "what was done since may be done again" in line
    assert "`kora-actors control reset` goes on" in line
    # What `/status` shows is told by another actor than the one that writes it down.
    wait_until(home, lambda: events_of(home, "kora.dr.observed"), process)
    [observed] = events_of(home, "kora.dr.observed")
    assert (observed["payload"]["observed_epoch"], observed["payload"]["known_epoch"]) == (2 if bumped else 1, 1)
    assert [ticket["sea_status"] for ticket in home.tickets()] == ["completed"] * 2 + ["assigned"]

    act(home, lambda board: board.reset(reason="looked at", who="ada"))
    wait_until(home, lambda: {ticket["sea_status"] for ticket in home.tickets()} == {"completed"}, process)
    seen(home, process, is_in("ready"))
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    transitions = [
        (event["payload"]["from_primary_state"], event["payload"]["to_primary_state"])
        for event in events_of(home, "kora.operational_state.transitioned")
        if event["chain_id"] == observed["chain_id"]
    ]
    assert transitions[0] == ("booting", "paused")
    assert ("paused", "ready") in transitions

    # It is known as it is now: the next boot meets nothing strange.
    home.add(1)
    work_the_board(home)
    assert len(events_of(home, "kora.dr.observed")) == 1
    assert_sound(home)


def test_a_file_that_is_locked_is_waited_for_in_place_and_status_says_so(home):
    home.configure(boot={**RETRIES, "tries": 1_000})
    home.add(1)
    with closing(sqlite3.connect(home.folder / "kora.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = home.start("run")
        status = seen(home, process, is_in("booting", "substrate"))
        assert status["boot"]["gate"] == "claim_smoke"
        assert "is being written by another process" in status["boot"]["detail"]
        with pytest.raises(RefusedError, match="is booting, at the gate `claim_smoke`"):
            Client(home.folder / ".kora").get("/tree")
        shown = home.kora("status").stdout
        assert "booting" in shown
        assert "claim_smoke, failed" in shown
        other.execute("ROLLBACK")
    seen(home, process, is_in("ready"))
    wait_until(home, lambda: home.tickets()[0]["sea_status"] == "completed", process)
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    [ready] = events_of(home, "kora.boot.ready")
    assert {gate["outcome"] for gate in ready["payload"]["gates"]} == {"passed"}
    assert ready["payload"]["gates"][-1]["attempts"] > 1
    degraded, recovered, *_ = events_of(home, "kora.operational_state.transitioned")
    assert degraded["payload"]["degradation_reasons"] == ["substrate"]
    assert recovered["payload"]["degradation_reasons"] == []
    assert events_of(home, "kora.supervisor.restarted") == []


def test_a_runtime_that_waits_at_a_gate_ends_at_once_when_told_by_signal_or_by_shutdown(home):
    home.configure(boot={"tries": 5, "retry_seconds": 3_600, "retry_cap_seconds": 3_600, "credentials": ["token"]})
    second = home.configure("second.toml", runtime={"state_dir": ".kora-2"}, boot={"credentials": ["token"]})
    told, asked = home.start("run"), home.start("run", config=second)
    wait_until(home, lambda: "boot gate credentials" in home.log(0), told)
    told.send_signal(signal.SIGTERM)
    wait_until(home, lambda: "boot gate credentials" in home.log(1), asked)
    Client(home.folder / ".kora-2").post("/shutdown", {})
    for number, process in enumerate((told, asked)):
        assert process.wait(PATIENCE_SECONDS) == 0
        assert "told to end before it began" in home.log(number)


# --- a server that is away ---


@pytest.fixture
def server():
    with Server() as server:
        yield server


def test_a_server_that_is_away_at_boot_mid_run_and_at_release_costs_no_restart_and_no_ticket(home, server):
    url = server.url(server.database())
    migrate(url, workspace_id="default")
    home.configure(
        runtime={"store": url, "tick_seconds": 0.1}, boot=RETRIES, agent={"command": home.journal_command(1.0)}
    )
    home.add(1)
    server.stop()
    process = home.start("run")
    status = seen(home, process, is_in("booting", "substrate"))
    assert status["boot"]["gate"] == "store"
    server.start()
    wait_until(home, lambda: home.runs() == 1, process)
    # Its agent runs, and ends while nothing can be written.
    server.stop()
    seen(home, process, lambda status: "substrate" in status["operational_state"]["degradation_reasons"])
    wait_until(home, lambda: [mark.what for marks in home.marks().values() for mark in marks][-1] == "end", process)
    server.start()
    seen(home, process, is_in("ready"))
    assert [ticket["sea_status"] for ticket in home.tickets()] == ["completed"]
    status = seen(home, process, is_in("ready"))
    assert {actor["restarts"] for actor in status["actors"]} == {0}
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert home.runs() == 1
    assert "Traceback" not in home.log()
    [ready] = events_of(home, "kora.boot.ready")
    assert ready["payload"]["gates"][1]["attempts"] > 1
    assert events_of(home, "kora.supervisor.restarted") == []
