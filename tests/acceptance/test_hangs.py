"""An actor that hangs is replaced, and its successor does the work; a store that is away is no hang and no death."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

from actors.heartbeat import Heartbeat
from actors.names import HEARTBEAT
from kora.store.sqlite.write import SqliteWriter
from tests.acceptance.home import PATIENCE_SECONDS, assert_each_completed_once, assert_sound, wait_until
from tests.acceptance.in_process import work_the_board

ENDLESS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers"


def reports(home, context):
    events = [event["payload"] for event in home.events() if event["event_type"].startswith("kora.supervisor.")]
    return [event["offender"] for event in events if event["context"] == context]


def test_a_ledger_that_hangs_in_a_query_is_retired_its_query_interrupted_and_nothing_done_twice(home, monkeypatch):
    home.configure(**{"supervisor.children.ledger": {"hang_seconds": 2}})
    home.add(30)
    turn, interrupted, turns = SqliteWriter.turn, threading.Event(), []

    def hanging(self, incarnation, what):
        turns.append(incarnation)
        if len(turns) == 5:
            try:
                self._connection.execute(ENDLESS).fetchall()
            except sqlite3.OperationalError:
                interrupted.set()
                raise
        return turn(self, incarnation, what)

    monkeypatch.setattr(SqliteWriter, "turn", hanging)
    work_the_board(home)
    assert interrupted.wait(PATIENCE_SECONDS)
    assert reports(home, "restarted") == ["ledger"]
    assert_each_completed_once(home)
    assert_sound(home)


def test_an_actor_that_never_comes_back_is_left_behind_and_the_work_goes_on(home, monkeypatch):
    home.configure(**{"supervisor.children.heartbeat": {"hang_seconds": 2}})
    home.add(10)
    gate, hung = threading.Event(), threading.Event()
    on_receive = Heartbeat.on_receive

    def stuck(self, message):
        if self.seat.name == HEARTBEAT and not hung.is_set():
            hung.set()
            gate.wait(PATIENCE_SECONDS)
        return on_receive(self, message)

    monkeypatch.setattr(Heartbeat, "on_receive", stuck)
    work_the_board(home, until=lambda runtime: runtime.is_idle() and reports(home, "restarted") != [])
    gate.set()
    assert reports(home, "restarted") == ["heartbeat"]
    assert_each_completed_once(home)
    assert_sound(home)


def test_a_store_that_is_away_costs_no_restart(home):
    home.configure(
        agent={"command": home.journal_command(0.02, gated=True)}, **{"supervisor.children.ledger": {"hang_seconds": 3}}
    )
    home.add(12)
    with home.shut() as open_the_gate, closing(sqlite3.connect(home.folder / "kora.db", isolation_level=None)) as lock:
        process = home.start("run", "--until-idle")
        wait_until(home, lambda: home.runs() == 2, process)
        lock.execute("BEGIN IMMEDIATE")
        open_the_gate()
        wait_until(home, lambda: "the store cannot be written, trying on" in home.log(), process)
        lock.execute("ROLLBACK")
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert "the store answers again" in home.log()
    assert reports(home, "restarted") == []
    assert_each_completed_once(home)
    assert_sound(home)
