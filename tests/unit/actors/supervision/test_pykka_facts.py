"""Each thing that Pykka 4.5 does and that supervision absorbs: first as Pykka does it, then as the kit does."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

import pykka
import pytest

from actors.supervision import InboxFullError, SupersededError
from tests.unit.actors.supervision.conftest import actor_of

WAIT = 10.0


class Bare(pykka.ThreadingActor):
    use_daemon_thread = True

    def __init__(self, said: queue.Queue[Any]) -> None:
        super().__init__()
        self.said = said

    def on_failure(self, exception_type, exception_value, traceback) -> None:
        registered = self.actor_ref in pykka.ActorRegistry.get_all()
        self.said.put(("on_failure", self.actor_ref.is_alive(), registered))

    def on_stop(self) -> None:
        self.said.put(("on_stop", self.actor_ref.is_alive()))

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


@pytest.fixture
def said() -> queue.Queue[Any]:
    return queue.Queue()


def test_pykka_an_exception_under_ask_goes_to_the_asker_and_the_actor_lives(said) -> None:
    ref = Bare.start(said)
    with pytest.raises(ValueError, match="asked"):
        ref.ask(ValueError("asked"), timeout=WAIT)
    assert ref.ask("alive", timeout=WAIT) == "alive"
    ref.stop()


def test_an_exception_under_ask_goes_to_the_asker_and_the_supervised_actor_lives(house) -> None:
    supervisor = house.supervise(house.child(), house.child("batching", house.batching))
    supervisor.start()
    for name in ("it", "batching"):
        with pytest.raises(ValueError, match="asked"):
            house.directory.ask(name, ValueError("asked"), timeout=WAIT)
        assert house.directory.ask(name, "alive", timeout=WAIT) == "alive"
    assert [child.restarts for child in supervisor.children()] == [0, 0]


def test_pykka_an_actor_that_dies_under_tell_is_stopped_and_unregistered_when_on_failure_runs(said) -> None:
    Bare.start(said).tell(ValueError("told"))
    assert said.get(timeout=WAIT) == ("on_failure", False, False)


def test_a_supervised_actor_that_dies_under_tell_still_holds_its_name_when_on_failure_runs(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)

        def on_failure(*_) -> None:
            registered = actor.actor_ref in pykka.ActorRegistry.get_all()
            house.said.put(("on_failure", actor.actor_ref.is_alive(), registered, seat.is_current))
            raise RuntimeError("in on_failure itself")

        actor.on_failure = on_failure
        return actor

    house.supervise(house.child("it", factory, poison_after=0)).start()
    house.directory.tell("it", ValueError("told"))
    assert house.hear(2)[1] == ("on_failure", True, True, True)
    assert house.report("child_terminated").reason == "ValueError: told"


def test_pykka_a_raising_on_start_calls_no_hook_and_start_returns_a_dead_reference(said) -> None:
    class Stillborn(Bare):
        def on_start(self) -> None:
            raise ValueError("stillborn")

    ref = Stillborn.start(said)
    assert ref.actor_stopped.wait(WAIT)
    assert not ref.is_alive()
    assert said.empty()


def test_a_raising_on_start_of_a_supervised_actor_calls_on_failure_and_fails_the_start(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)
        actor.on_start = lambda: 1 / 0
        actor.on_failure = lambda *_: house.said.put("on_failure")
        return actor

    supervisor = house.supervise(house.child("it", factory), max_restarts=0)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        supervisor.start()
    assert house.hear() == ["on_failure"]


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt])
def test_pykka_system_exit_in_one_actor_stops_every_actor(said, death) -> None:
    innocent, culprit = Bare.start(said), Bare.start(said)
    culprit.tell(death())
    assert innocent.actor_stopped.wait(WAIT)


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt])
def test_system_exit_in_a_supervised_actor_stops_no_other(house, said, death) -> None:
    bare = Bare.start(said)
    supervisor = house.supervise(house.child("it", poison_after=0), house.child("other"))
    supervisor.start()
    actor_of(supervisor).on_failure = lambda kind, *_: house.said.put(kind)
    house.directory.tell("it", death())
    assert house.hear(2)[1] is death
    assert house.report("child_terminated").reason.startswith(death.__name__)
    house.report("restarted")
    assert house.directory.ask("other", "alive", timeout=WAIT) == "alive"
    assert bare.ask("alive", timeout=WAIT) == "alive"
    bare.stop()


def test_system_exit_under_ask_becomes_an_answer_too(house) -> None:
    house.supervise(house.child("it", poison_after=0)).start()
    with pytest.raises(pykka.ActorDeadError):
        house.directory.ask("it", SystemExit(), timeout=WAIT)


def test_system_exit_in_a_bare_actor_leaves_supervised_ones_running_again(house, said) -> None:
    house.supervise(house.child()).start()
    Bare.start(said).tell(SystemExit())
    house.report("restarted")
    assert house.directory.ask("it", "alive", timeout=WAIT) == "alive"


def test_pykka_an_actor_is_no_longer_alive_while_on_stop_runs(said) -> None:
    Bare.start(said).stop()
    assert said.get(timeout=WAIT) == ("on_stop", False)


def test_a_supervised_actor_is_alive_until_on_stop_has_returned(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)
        actor.on_stop = lambda: house.said.put(actor.actor_ref.is_alive())
        return actor

    supervisor = house.supervise(house.child("it", factory))
    supervisor.start()
    ref = actor_of(supervisor).actor_ref
    supervisor.stop()
    assert house.hear() == [True]
    assert not ref.is_alive()


def test_pykka_a_reference_to_a_dead_actor_stays_dead(said) -> None:
    ref = Bare.start(said)
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("anyone?")


def test_a_name_is_served_again_by_the_successor(house) -> None:
    house.supervise(house.child("it", poison_after=0)).start()
    house.directory.tell("it", ValueError("boom"))
    assert house.directory.ask("it", "anyone?", timeout=WAIT) == "anyone?"


def test_pykka_a_stop_that_times_out_raises_and_leaves_the_thread_running(said) -> None:
    gate, entered = threading.Event(), threading.Event()
    ref = Bare.start(said)
    ref.tell(lambda _: (entered.set(), gate.wait(WAIT)))
    assert entered.wait(WAIT)
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0.01)
    assert ref.is_alive()
    gate.set()
    assert ref.actor_stopped.wait(WAIT)


def test_a_supervised_actor_that_will_not_stop_is_forgotten_by_pykka_and_may_not_send(house) -> None:
    gate = threading.Event()
    refused: queue.Queue[BaseException] = queue.Queue()

    def stuck(actor) -> None:
        gate.wait(WAIT)
        try:
            actor.tell("it", "from beyond")
        except SupersededError as error:
            refused.put(error)

    supervisor = house.supervise(house.child("it", shutdown_seconds=0.01))
    supervisor.start()
    house.directory.tell("it", stuck)
    house.hear()
    actor = actor_of(supervisor)
    assert supervisor.stop() == ["it"]
    assert actor.actor_ref not in pykka.ActorRegistry.get_all()
    assert not actor.actor_ref.is_alive()
    gate.set()
    assert isinstance(refused.get(timeout=WAIT), SupersededError)


def test_pykka_a_bounded_inbox_blocks_the_asker_beyond_its_timeout(said) -> None:
    class Bounded(Bare):
        @staticmethod
        def _create_actor_inbox():
            return queue.Queue(maxsize=1)

    gate, entered, answered = threading.Event(), threading.Event(), threading.Event()
    ref = Bounded.start(said)
    ref.tell(lambda _: (entered.set(), gate.wait(WAIT)))
    assert entered.wait(WAIT)
    ref.tell("fills it")

    def ask() -> None:
        with contextlib.suppress(pykka.Timeout):
            ref.ask("question", timeout=0.001)
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    assert not answered.wait(0.2)
    gate.set()
    assert answered.wait(WAIT)
    ref.stop()


def test_asking_a_full_supervised_inbox_obeys_its_timeout(house) -> None:
    gate = threading.Event()
    supervisor = house.supervise(house.child("it", inbox_bound=1))
    supervisor.start()
    house.directory.tell("it", lambda _: gate.wait(WAIT))
    house.hear()
    house.directory.tell("it", "fills it")
    with pytest.raises(InboxFullError):
        house.directory.ask("it", "question", timeout=0.001)
    with pytest.raises(pykka.Timeout):
        actor_of(supervisor).actor_ref.ask("question", timeout=0.001)
    gate.set()


def test_pykka_a_put_that_races_the_teardown_is_never_answered(said) -> None:
    ref = Bare.start(said)
    inbox = ref.actor_inbox
    ref.stop()
    future: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()
    inbox.put(pykka._envelope.Envelope("late", reply_to=future))
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.05)


def test_a_put_that_races_the_end_of_a_supervised_actor_is_answered(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    inbox = actor_of(supervisor).actor_ref.actor_inbox
    supervisor.stop()
    future: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()
    inbox.put(pykka._envelope.Envelope("late", reply_to=future))
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=0)


def test_pykka_the_teardown_empties_the_inbox(said) -> None:
    gate, entered = threading.Event(), threading.Event()
    ref = Bare.start(said)
    ref.tell(lambda _: (entered.set(), gate.wait(WAIT)))
    assert entered.wait(WAIT)
    ref.tell(ValueError("dies"))
    answer = ref.ask("behind it", block=False)
    gate.set()
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=WAIT)


def test_what_waits_behind_the_death_of_a_supervised_actor_is_answered_by_its_successor(house) -> None:
    gate = threading.Event()
    supervisor = house.supervise(house.child("it", poison_after=0))
    supervisor.start()
    ref = actor_of(supervisor).actor_ref
    ref.tell(lambda _: gate.wait(WAIT))
    ref.tell(ValueError("dies"))
    answer = ref.ask("behind it", block=False)
    gate.set()
    assert answer.get(timeout=WAIT) == "behind it"


def test_pykkas_own_stop_ends_the_actor_that_it_was_meant_for_and_no_successor(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    ref = actor_of(supervisor).actor_ref
    inbox = ref.actor_inbox
    assert ref.stop(timeout=WAIT) is True
    house.report("restarted")
    stale: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()
    inbox.put(pykka._envelope.Envelope(pykka.messages._ActorStop(), reply_to=stale))
    with pytest.raises(pykka.ActorDeadError):
        stale.get(timeout=WAIT)
    assert [child.generation for child in supervisor.children()] == [2]


def test_proxies_work_as_in_pykka(house) -> None:
    supervisor = house.supervise(house.child(), house.child("batching", house.batching))
    supervisor.start()
    for name in ("it", "batching"):
        proxy = actor_of(supervisor, name).actor_ref.proxy()
        assert proxy.on_receive("called").get(timeout=WAIT) == "called"
        proxy.batch_limit = 7
        assert proxy.batch_limit.get(timeout=WAIT) == 7
        proxy.on_receive.defer("deferred")
    assert sorted(house.hear(4)) == ["called", "called", "deferred", "deferred"]
