"""What is seen of a running runtime, whatever its actors are at."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from actors.ledger import Ledger
from actors.messages import Tick
from actors.names import LEDGER, POLLER
from actors.poller import Poller
from kora.config import load
from kora.errors import UnknownNameError
from tests.unit.kora.console.conftest import PATIENCE_SECONDS

WHO = "ann"


@pytest.fixture
def hung():
    """Names of actors that hang by now."""
    return set()


@pytest.fixture
def hanging(monkeypatch, hung):
    """Names of actors that hang in their next tick, until the test is over."""
    over, hangs = threading.Event(), set()

    def hang(self, message):
        if self.seat.name in hangs and isinstance(message, Tick):
            hung.add(self.seat.name)
            over.wait()
        return self._dispatch[type(message)](message)

    for actor in (Poller, Ledger):
        monkeypatch.setattr(actor, "on_receive", hang)
    yield hangs
    over.set()


def test_while_actors_hang_all_that_is_seen_is_there(place, eventually, hanging, hung):
    [ticket_id] = place.add(1)
    console = place.begin()
    assert place.begun.acquire(timeout=PATIENCE_SECONDS)
    hanging |= {POLLER, LEDGER}
    eventually(lambda: hung == hanging)
    status = console.status()
    by_name = {actor.name: actor for actor in status.actors}
    assert (by_name[POLLER].state, by_name[LEDGER].state) == ("busy", "busy")
    assert {actor.ticket_id for actor in status.actors} == {None, ticket_id}
    assert status.claims_held == 1
    assert status.runtime.runtime_id == place.runtime.runtime_id
    tree = console.tree()
    assert [child.name for child in tree.children] == [
        *("faces", "clock", "ledger", "mirror", "heartbeat", "control", "workers", "poller")
    ]
    assert [child.name for child in tree.children[0].children] == ["admin"]
    for name in hanging:
        [stack] = console.stacks(name)
        assert any("over.wait()" in line for line in stack.lines)
        assert console.info(name).facts
        eventually(lambda name=name: console.mailbox(name, 100).waiting)
    eventually(lambda: [each.lane for each in console.mailbox(POLLER, 2).messages] == ["in_hand", "control"])
    mailbox = console.mailbox(POLLER, 2)
    assert (mailbox.messages[0].kind, mailbox.messages[0].sender) == ("Tick", "clock")
    stacks = console.stacks()
    assert {POLLER, LEDGER, "worker-1", "kora", None} <= {stack.actor for stack in stacks}
    assert console.stats()["threads"] == pytest.approx(len(stacks), abs=3)


def test_an_actor_at_one_thing_for_as_long_as_it_may_is_hung_and_then_replaced(place, eventually, hanging):
    place.configure(hang_seconds=0.5)
    console = place.begin()
    hanging.add(POLLER)
    eventually(lambda: console.tree().retired >= 1)
    hanging.clear()
    eventually(lambda: console.info(POLLER).state in {"idle", "busy"})
    assert console.info(POLLER).restarts >= 1


@pytest.mark.parametrize(
    ("state", "busy_seconds", "shown"),
    [
        ("running", None, "idle"),
        ("running", 59.9, "busy"),
        ("running", 60.0, "hung"),
        ("restarting", 60.0, "restarting"),
        ("stopping", 60.0, "busy"),
        ("failed", None, "failed"),
    ],
)
def test_an_actor_is_shown_as_hung_from_when_it_may_be_replaced_for_that(place, state, busy_seconds, shown):
    console = place.begin()
    [poller] = [status for status in console._inside.actors() if status.name == POLLER]
    assert console._state_of(replace(poller, state=state, busy_seconds=busy_seconds)) == shown


def test_an_actor_that_has_just_gone_keeps_nobody_from_seeing_the_others(place, monkeypatch):
    console = place.begin()
    runtime = place.stop_driving()
    supervisor, tree = runtime._supervisor, runtime._supervisor.tree
    place.configure(workers=1)

    def and_then_it_goes():
        monkeypatch.setattr(supervisor, "tree", tree)
        seen = tree()
        runtime.update(load(place.path, {}))
        return seen

    monkeypatch.setattr(supervisor, "tree", and_then_it_goes)
    assert [child.name for child in console.tree().children[-2].children] == ["worker-1", "worker-2"]
    assert [child.name for child in console.tree().children[-2].children] == ["worker-1"]


def test_all_that_is_known_of_an_actor_is_told_without_asking_it(place, eventually):
    console = place.begin()
    info = console.info(LEDGER)
    assert (info.actor, info.supervisor, info.generation) == ("Ledger", "kora", 1)
    assert "Sends: `Work`" in info.description
    assert info.policy["hang_seconds"] == 60
    assert info.kinds[:2] == ["Describe", "Flush"]
    eventually(lambda: console.info(LEDGER).facts["incarnation"] == 1)
    assert console.info("workers").actor == "supervisor"
    assert [kind.kind for kind in console.kinds(POLLER) if kind.may_be_told] == ["Describe", "Poll"]
    for look in (console.info, console.kinds, console.stacks, lambda name: console.mailbox(name, 1)):
        with pytest.raises(UnknownNameError, match="there are admin, clock"):
            look("nobody")


def test_a_trace_has_what_an_actor_is_sent_and_sends_with_its_senders(place, eventually):
    console = place.begin()
    with console.trace(POLLER) as feed:
        console.tell(POLLER, {"kind": "Poll"}, who=WHO)
        place.add(1)
        eventually(lambda: {"Order", "Permission"} <= {each.kind for each in feed.since(0, 2_000).items})
        seen = feed.since(0, 2_000).items
    assert (None, POLLER, "Poll") in {(each.sender, each.receiver, each.kind) for each in seen}
    assert (POLLER, LEDGER, "Order") in {(each.sender, each.receiver, each.kind) for each in seen}
    assert ("control", POLLER, "Permission") in {(each.sender, each.receiver, each.kind) for each in seen}
    assert all(POLLER in {each.sender, each.receiver} for each in seen)
    [order] = [each.preview for each in seen if each.kind == "Order"][:1]
    assert order.startswith("Order(want=2, permitted_until=")


def test_what_was_done_and_what_it_takes_is_counted(place, eventually):
    place.going.set()
    place.add(5)
    console = place.begin()
    eventually(lambda: console.stats()["attempts_ended"] == {"completed": 5})
    console.restart_actor(LEDGER, who=WHO)
    # The mirror is told of the ends, as they are counted: it may follow later.
    eventually(lambda: console.stats()["transitions"] >= 3)
    stats = console.stats()
    assert stats["attempts_ended"] == {"completed": 5}
    assert stats["memory_bytes"] > 1_000_000
    assert stats["uptime_seconds"] > 0
    states = [change.state.primary_state for change in console.transitions.since(0, 10).items]
    assert states[:3] == ["ready", "active", "ready"]


def test_the_board_is_read_by_a_handle_of_its_own(place):
    [ticket_id] = place.add(1)
    console = place.begin()
    with console.reader() as reader:
        assert reader.ticket(ticket_id).ticket_id == ticket_id
