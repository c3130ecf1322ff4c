"""What a real runtime says of its own health, and that its worst actors keep nobody from hearing it."""

from __future__ import annotations

from actors.control import Control
from actors.heartbeat import Heartbeat
from actors.ledger import Ledger
from kora.domain.control import PERMISSION_SECONDS
from kora.domain.health import Grade, health
from tests.unit.kora.console.conftest import PATIENCE_SECONDS


def grades(console):
    return {each.part: each.grade for each in health(console.vitals()).parts}


def test_a_runtime_that_works_is_live_and_ready_and_tells_what_it_holds(place, eventually):
    place.add(1)
    console = place.begin()
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    # The mirror is told of the claim when its agent may have begun already.
    eventually(lambda: health(console.vitals()).not_ready is None and console.vitals().primary_state == "active")
    vitals = console.vitals()
    found = health(vitals)
    assert found.is_live
    assert (vitals.claims_held, vitals.workers, vitals.primary_state) == (1, 2, "active")
    assert {part for part, grade in grades(console).items() if grade is not Grade.OK} == {"watcher"}
    assert vitals.ledger.written_seconds < 5
    assert {each.name for each in vitals.supervisors} == {"kora", "faces", "mirror", "workers"}
    assert {each.name for each in vitals.actors if not each.is_needed} == {"admin", "state_holder"}
    assert not console.status().watcher.is_alive


def test_an_operators_pause_and_drain_are_on_purpose_and_their_end_is_seen(place, eventually):
    console = place.begin()
    console.pause(who="ann")
    assert health(console.vitals()).stopped_on_purpose.startswith("paused by ann")
    console.drain(5, who="ann")
    assert health(console.vitals()).stopped_on_purpose == "it is drained"
    console.resume(who="ann")
    eventually(lambda: health(console.vitals()).not_ready is None)
    assert health(console.vitals()).stopped_on_purpose is None


def test_without_the_poller_it_is_not_ready(place, eventually):
    console = place.begin()
    eventually(lambda: health(console.vitals()).not_ready is None)
    console.stop_actor("poller", who="ann")
    assert health(console.vitals()).not_ready == "there is no poller"


def test_what_control_has_not_said_again_for_longer_than_its_word_is_good_is_no_permission(
    place, eventually, monkeypatch
):
    console = place.begin()
    eventually(lambda: health(console.vitals()).not_ready is None)
    facts = Control.facts
    monkeypatch.setattr(
        Control, "facts", lambda self: {**facts(self), "told_at": self._told_at - PERMISSION_SECONDS - 5}
    )
    assert health(console.vitals()).not_ready == "nothing may be claimed"


def test_an_actor_that_cannot_say_how_it_is_keeps_nobody_from_hearing_of_the_others(place, monkeypatch):
    console = place.begin()
    monkeypatch.setattr(Heartbeat, "facts", lambda _: 1 // 0)
    assert grades(console)["heartbeat"] is Grade.DEGRADED
    assert grades(console)["ledger"] is Grade.OK


def test_a_ledger_that_stands_still_is_seen(place, monkeypatch):
    console = place.begin()
    facts = Ledger.facts
    monkeypatch.setattr(Ledger, "facts", lambda self: {**facts(self), "turned_at": 0.0})
    found = health(console.vitals())
    assert (found.status, found.is_live) == (Grade.BROKEN, False)
