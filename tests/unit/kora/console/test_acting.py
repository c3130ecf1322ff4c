"""What an operator does to a running runtime: what comes of it, and what is on record."""

from __future__ import annotations

import functools
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from loguru import logger

from actors.messages import Describe
from actors.names import LEDGER, POLLER, STATE_HOLDER
from actors.poller import Poller
from actors.supervision import ChildStartError
from kora.app.console import acting
from kora.config import load
from kora.domain.control import StopLevel
from kora.domain.cost import Ramp
from kora.domain.health import held_up_by
from kora.domain.ticket import Status
from kora.errors import AdminError, BadMessageError, NoAnswerError, RefusedError, UnknownNameError
from kora.signals import Signals
from tests.unit.kora.console.conftest import PATIENCE_SECONDS

WHO = "ann"


def refuse_to_write(*_arguments):
    raise OSError(28, "No space left on device")


def statuses(place):
    return [ticket.sea_status for ticket in place.tickets().values()]


def test_paused_nothing_is_claimed_until_it_is_resumed_and_the_state_says_so(place, eventually):
    console = place.begin()
    console.pause(who=WHO)
    eventually(lambda: console.status().operational_state.primary_state == "paused")
    place.add(3)
    console.tell(POLLER, {"kind": "Poll"}, who=WHO)
    assert console.ask(LEDGER, {"kind": "Flush"}, 10, who=WHO)
    assert not place.begun.acquire(timeout=0.5)
    assert console.control()["paused"]["who"] == WHO
    assert list(console.status().operational_state.degradation_reasons) == ["operator"]
    assert not place.runtime.is_idle()
    console.resume(who="bob")
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    place.going.set()
    eventually(lambda: set(statuses(place)) == {Status.COMPLETED})
    place.end()
    transitions = [event.payload for event in place.events("kora.operational_state.transitioned")]
    steps = [(each["from_primary_state"], each["to_primary_state"], each["trigger"]) for each in transitions]
    assert ("ready", "paused", "operator paused") in steps
    assert ("paused", "ready", "operator clears by reset") in steps
    assert [(each["who"], each["verb"]) for each in place.acted()] == [(WHO, "pause"), (WHO, "tell"), ("bob", "resume")]


def test_a_resume_leaves_to_be_seen_what_else_holds_claims_up(place, eventually):
    place.configure("[cost]\npool_usd = 1.0\n")
    console = place.begin()
    console.pause(who=WHO)
    with place.open_store() as store, closing(store.board()) as board:
        board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="enough", enforce_seconds=60, who=WHO)
        board.reconcile(1_000_000, who=WHO)
    console.resume(who=WHO)
    assert held_up_by(console.vitals()) == [
        "a STOP command of level 1 (block_new_intake)",
        "the credit pool is used up",
    ]
    with place.open_store() as store, closing(store.board()) as board:
        board.reset(reason="seen to", who=WHO)
        board.refresh_credit(Ramp(0.0, 30.0), who=WHO)
    console.pause(who=WHO)
    console.resume(who=WHO)
    assert held_up_by(console.vitals()) == []


def test_a_pool_that_is_made_larger_frees_what_was_deferred_though_it_was_refreshed_in_this_month(place, eventually):
    place.configure("[cost]\npool_usd = 1.0\nramp_seconds = 0\n")
    place.add(1)
    with place.open_store() as store, closing(store.board()) as board:
        board.refresh_credit(Ramp(0.0, 30.0), who=WHO)
        console = place.begin()
        assert place.begun.acquire(timeout=10)
        board.reconcile(1_500_000, who=WHO)
    eventually(lambda: console.status().operational_state.primary_state == "paused")
    assert statuses(place) == [Status.DEFERRED_COST_LIMIT]
    place.configure("[cost]\npool_usd = 2.0\nramp_seconds = 0\n")
    place.going.set()
    console.update(who=WHO)
    eventually(lambda: set(statuses(place)) == {Status.COMPLETED})


def test_of_many_who_pause_and_resume_at_once_none_is_refused_and_the_last_on_record_is_what_holds(place, eventually):
    console = place.begin()
    every = [
        functools.partial(console.pause, who=WHO),
        functools.partial(console.drain, 0, who=WHO),
        functools.partial(console.resume, who=WHO),
    ]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            for each in [pool.submit(act) for act in every * 10]:
                each.result()
            eventually(lambda: console.stats()["records_waiting"] == 0)
            control, verbs = console.control(), [each["verb"] for each in place.acted()]
            assert (control["paused"] is not None) == (verbs[-1] != "resume")
            assert control["draining"] == ([verb for verb in verbs if verb != "pause"][-1] == "drain")
    console.resume(who=WHO)


def test_a_pause_outlives_the_runtime_and_the_next_one_says_so(place, eventually):
    console = place.begin()
    console.pause(who=WHO)
    place.end()
    place.add(1)
    said = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    try:
        place.going.clear()
        console = place.begin()
    finally:
        logger.remove(sink)
    assert [line for line in said if line.startswith(f"paused by {WHO} since")]
    eventually(lambda: console.status().operational_state.primary_state == "paused")
    assert not place.begun.acquire(timeout=0.5)
    assert console.control()["claim_permission"] == "none"
    console.resume(who=WHO)
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)


def test_a_pause_lets_go_on_what_runs_and_a_drain_releases_it_when_its_time_is_over(place, eventually):
    place.add(2)
    console = place.begin()
    for _ in range(2):
        assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    console.pause(who=WHO)
    eventually(lambda: console.status().operational_state.primary_state == "paused")
    assert console.status().claims_held == 2
    assert console.drain(0.2, who=WHO) == 2
    eventually(lambda: console.status().claims_held == 0)
    eventually(lambda: set(statuses(place)) == {Status.RELEASED})
    assert {ticket.last_summary for ticket in place.tickets().values()} == {"the runtime was drained"}
    assert console.control()["draining"]
    console.resume(who=WHO)
    place.going.set()
    eventually(lambda: set(statuses(place)) == {Status.COMPLETED})
    place.end()
    assert [each["verb"] for each in place.acted()] == ["pause", "drain", "resume"]


def test_a_worker_that_is_restarted_while_all_drain_is_told_again(place, eventually):
    place.add(1)
    console = place.begin()
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    console.drain(3600, who=WHO)
    console.restart_actor("worker-1", who=WHO)
    eventually(lambda: console.info("worker-1").facts["draining"])


def test_what_is_released_while_it_runs_goes_back_to_the_board_and_is_claimed_again(place, eventually):
    [ticket_id] = place.add(1)
    console = place.begin()
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    console.release(ticket_id, who=WHO)
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    place.going.set()
    eventually(lambda: statuses(place) == [Status.COMPLETED])
    ticket = place.tickets()[ticket_id]
    assert (ticket.work_attempt_count, ticket.failure_count_by_reason) == (2, {})
    with pytest.raises(RefusedError, match="completed"):
        console.release(ticket_id, who=WHO)
    with pytest.raises(UnknownNameError, match="there is no ticket"):
        console.release("0190a000-0000-7000-8000-00000000000f", who=WHO)
    place.end()
    resolved = [event.payload["resolution_summary"] for event in place.events("kora.sea_ticket.resolved")]
    assert resolved[0] == "released by an operator"
    [record] = place.acted()
    assert (record["verb"], record["target"]) == ("release", ticket_id)
    assert record["before"]["worker"].startswith("worker-")


def test_what_a_worker_that_is_down_holds_is_not_released_as_nobody_would_do_it(place, eventually):
    [ticket_id] = place.add(1)
    console = place.begin()
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    [worker] = [actor.name for actor in console.status().actors if actor.ticket_id == ticket_id]
    console.stop_actor(worker, who=WHO)
    with pytest.raises(RefusedError, match=f"start {worker}"):
        console.release(ticket_id, who=WHO)
    console.start_actor(worker, who=WHO)
    place.going.set()
    eventually(lambda: statuses(place) == [Status.COMPLETED])
    place.end()
    assert [each["verb"] for each in place.acted()] == ["stop", "start"]


def test_restart_of_every_actor_while_tickets_are_worked_loses_nothing(place, eventually):
    place.going.set()
    place.add(60)
    console = place.begin()
    names = [actor.name for actor in console.status().actors]
    assert names == [
        "admin",
        "clock",
        "ledger",
        "state_holder",
        "heartbeat",
        "control",
        "worker-1",
        "worker-2",
        "poller",
    ]
    for _ in range(3):
        for name in names:
            before = console.info(name).generation
            restarted = console.restart_actor(name, who=WHO)
            assert restarted.generation > before
            if name != "admin":
                assert console.info(name).generation == restarted.generation
    eventually(lambda: set(statuses(place)) == {Status.COMPLETED})
    # Commanded restarts are no failures.
    assert {actor.restarts for actor in console.status().actors} == {0}
    place.end()
    attempts = [event.payload["work_attempt_id"] for event in place.events("sea_ticket.claimed_for_edit")]
    assert len(attempts) == len(set(attempts))
    completed = [
        event.ticket_id
        for event in place.events("kora.sea_ticket.resolved")
        if event.payload["resolution"] == "completed"
    ]
    assert len(completed) == len(set(completed)) == 60
    assert [each["verb"] for each in place.acted()] == ["restart"] * 27


def test_an_actor_is_stopped_and_started_and_admin_is_not_to_be_stopped(place):
    console = place.begin()
    console.stop_actor(STATE_HOLDER, who=WHO)
    assert console.info(STATE_HOLDER).state == "stopped"
    with pytest.raises(RefusedError, match="start state_holder"):
        console.tell(STATE_HOLDER, {"kind": "Transition", "target": "paused", "trigger": "x"}, who=WHO)
    console.start_actor(STATE_HOLDER, who=WHO)
    assert console.ask(STATE_HOLDER, {"kind": "Describe"}, 10, who=WHO)["primary_state"] in {"booting", "ready"}
    with pytest.raises(RefusedError, match="restart admin"):
        console.stop_actor("admin", who=WHO)
    for call in (console.stop_actor, console.start_actor, console.restart_actor):
        with pytest.raises(UnknownNameError, match="worker-2"):
            call("nobody", who=WHO)
    place.end()
    assert [(each["verb"], each["target"]) for each in place.acted()] == [
        ("stop", STATE_HOLDER),
        ("start", STATE_HOLDER),
    ]


def test_a_message_that_may_not_be_sent_is_answered_with_what_may_and_nothing_is_on_record(place):
    console = place.begin()
    with pytest.raises(BadMessageError) as caught:
        console.tell(POLLER, {"kind": "Held"}, who=WHO)
    assert {kind["kind"] for kind in caught.value.kinds} == {"Poll", "Describe"}
    with pytest.raises(BadMessageError, match="asked"):
        console.tell(POLLER, {"kind": "Describe"}, who=WHO)
    with pytest.raises(UnknownNameError, match="poller"):
        console.ask("nobody", {"kind": "Describe"}, 1, who=WHO)
    assert console.ask(POLLER, {"kind": "Describe"}, 10, who=WHO)["want"] == 2
    place.end()
    assert place.acted() == []


def test_what_is_asked_of_an_actor_that_does_not_answer_in_time_says_so(place, monkeypatch):
    monkeypatch.setattr("actors.poller.Poller.facts", lambda _: place.going.wait())
    console = place.begin()
    with pytest.raises(NoAnswerError, match=r"poller has not answered Describe within 0\.1 s"):
        console.ask(POLLER, {"kind": "Describe"}, 0.1, who=WHO)
    place.going.set()


def test_what_an_actor_raises_is_said_without_its_secrets(place, monkeypatch):
    def fail(_):
        raise ValueError("password=hunter2hunter2")

    console = place.begin()
    monkeypatch.setattr("actors.poller.Poller.facts", fail)
    with pytest.raises(Exception, match=r"poller failed at Describe: ValueError: password=\*\*\*"):
        console.ask(POLLER, {"kind": "Describe"}, 10, who=WHO)


def test_the_configuration_is_reread_and_followed_by_the_thread_that_drives_the_runtime(place, eventually):
    console = place.begin()
    assert console.reread() == ()
    place.configure(workers=3)
    assert [line for line in console.reread() if "worker-3" in line]
    assert len(console.status().actors) == 9
    assert [line for line in console.update(who=WHO) if "worker-3" in line]
    assert [actor.name for actor in console.status().actors][-2:] == ["worker-3", "poller"]
    place.path.write_text("broken")
    with pytest.raises(Exception, match="broken TOML"):
        console.update(who=WHO)
    place.configure()
    console.update(who=WHO)
    assert len(console.status().actors) == 9
    place.end()
    assert [each["verb"] for each in place.acted()] == ["update", "update"]


def test_an_update_that_is_asked_for_during_another_comes_after_it(place, eventually):
    place.add(2)
    console = place.begin()
    for _ in range(2):
        assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    runtime, done = place.stop_driving(), []
    update = runtime.update

    def watched(settings):
        done.append(f"begin {settings.workers.count}")
        update(settings)
        done.append(f"end {settings.workers.count}")

    runtime.update = watched
    place.configure(workers=1)
    settings = load(place.path, {})
    # The agent of the Worker that goes does not end at once, and the main thread waits for it.
    place.keeps.clear()
    place.configure(workers=3)
    asker = threading.Thread(target=console.update, kwargs={"who": WHO})
    asker.start()
    eventually(lambda: not runtime._operators.main._asked.empty())
    runtime.update(settings)
    place.keeps.set()
    while asker.is_alive():
        runtime.wait(0.02)
    assert done == ["begin 1", "end 1", "begin 3", "end 3"]
    eventually(lambda: [actor.name for actor in console.status().actors][-2:] == ["worker-3", "poller"])


def test_a_runtime_that_is_ending_is_changed_no_more(place):
    console = place.begin()
    place.end()
    with pytest.raises(RefusedError, match="ending"):
        console.reread()
    with pytest.raises(RefusedError, match="ending"):
        console.drain(1, who=WHO)
    console = place.begin()
    assert console.control()["paused"] is None, "what was refused has changed nothing, for the next one either"
    assert place.acted() == []


def test_a_drain_that_is_refused_since_the_runtime_ends_leaves_no_pause_for_the_next_one(place):
    console = place.begin()
    place.stop_driving()
    place.going.set()
    assert place.runtime.drain()
    with pytest.raises(RefusedError, match="drains already"):
        console.drain(1, who=WHO)
    assert console.control()["paused"] is None


def test_a_drain_whose_pause_cannot_be_written_changes_nothing(place, monkeypatch):
    console = place.begin()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse_to_write)
        patch.setattr(Path, "replace", refuse_to_write)
        with pytest.raises(RefusedError, match="No space left"):
            console.drain(1, who=WHO)
    assert (console.control()["paused"], console.control()["draining"]) == (None, False)
    place.end()
    assert place.acted() == []


def test_what_waits_to_be_changed_is_refused_before_a_runtime_that_ends_without_a_drain_stops_its_actors(
    place, eventually, monkeypatch
):
    console, said, stopped = place.begin(), [], []
    runtime = place.stop_driving()

    def ask():
        with pytest.raises(RefusedError, match="ending"):
            console.update(who=WHO)
        said.append("refused")

    asker, stop = threading.Thread(target=ask), runtime._stop
    asker.start()
    eventually(lambda: not runtime._operators.main._asked.empty())

    def note():
        asker.join(10)
        stopped.extend(said)
        stop()

    monkeypatch.setattr(runtime, "_stop", note)
    place.end(drain=False)
    assert stopped == ["refused"]


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_what_is_not_done_in_time_goes_on_and_is_on_record(place, monkeypatch, verb):
    console = place.begin()
    if verb == "start":
        console.stop_actor(POLLER, who=WHO)
    for hook in ("on_start", "on_stop"):
        monkeypatch.setattr(Poller, hook, lambda _: place.going.wait())
    monkeypatch.setattr(acting, "COMMAND_SECONDS", 0.0)
    with pytest.raises(NoAnswerError, match="it goes on"):
        getattr(console, f"{verb}_actor")(POLLER, who=WHO)
    place.going.set()
    place.end(drain=False)
    assert place.acted()[-1]["verb"] == verb
    assert place.acted()[-1]["before"]["generation"] == 1
    assert place.acted()[-1]["after"]["failed"].endswith("it goes on")


def test_an_update_that_is_done_in_part_is_on_record(place, monkeypatch):
    console = place.begin()
    place.configure(workers=3)

    def fail(*_):
        raise ChildStartError("could not be started: worker-3")

    monkeypatch.setattr(place.runtime._supervisor, "update", fail)
    with pytest.raises(AdminError, match="could not be started: worker-3"):
        console.update(who=WHO)
    place.end()
    [record] = place.acted()
    assert (record["verb"], record["after"]) == ("update", {"failed": "could not be started: worker-3"})


def test_shutdown_is_as_sigterm_and_at_once_as_a_second_one(place):
    signals = Signals()
    console = place.begin(signals=signals)
    for at_once, count in [(False, 1), (False, 1), (True, 2), (False, 2)]:
        console.shutdown(at_once=at_once, who=WHO)
        assert signals.count == count
    place.end()
    console = place.begin()
    with pytest.raises(RefusedError, match="program of its own"):
        console.shutdown(at_once=False, who=WHO)


def test_dead_letters_are_resent_and_dropped(place, eventually):
    console = place.begin()
    console.stop_actor(POLLER, who=WHO)
    for _ in range(3):
        place.runtime.tell(POLLER, Describe())
    # The Ledger may have told the Poller something of its own meanwhile, but not this.
    numbers = [letter.number for letter in console.dead_letters().letters if letter.kind == "Describe"]
    assert len(numbers) == 3
    with pytest.raises(RefusedError):
        console.resend(numbers[0], who=WHO)
    console.start_actor(POLLER, who=WHO)
    console.resend(numbers[0], who=WHO)
    assert console.drop(numbers[1], who=WHO) == 1
    for call in (console.resend, console.drop):
        with pytest.raises(UnknownNameError):
            call(numbers[1], who=WHO)
    assert console.drop(None, who=WHO) >= 1
    assert console.dead_letters().letters == []
    assert console.dead_letters().total >= 3
    place.end()
    assert [each["verb"] for each in place.acted()] == ["stop", "start", "resend", "drop", "drop"]


def test_what_is_done_while_the_store_is_locked_is_done_at_once_and_on_record_later(place, eventually):
    console = place.begin()
    with closing(sqlite3.connect(place.folder / "kora.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        console.pause(who=WHO)
        console.restart_actor(POLLER, who=WHO)
        eventually(lambda: console.status().operational_state.primary_state == "paused")
        assert console.stats()["records_waiting"] == 2
        other.execute("ROLLBACK")
    eventually(lambda: console.stats()["records_waiting"] == 0)
    assert [each["verb"] for each in place.acted()] == ["pause", "restart"]
