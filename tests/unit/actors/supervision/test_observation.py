"""What can be seen of a tree while anything in it hangs."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.supervision import (
    ChildStatus,
    Depths,
    Directory,
    Rehearsal,
    SupervisedActor,
    Supervisor,
    SupervisorStatus,
    UnknownChildError,
)

WAIT = 10.0
BOOM = ValueError("boom")


class Plain(SupervisedActor):
    """Says nothing, and dies of an exception that it is told."""

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message


def shape(status: SupervisorStatus | ChildStatus) -> object:
    if isinstance(status, ChildStatus):
        return status.name, status.state, status.generation, status.restarts
    return status.name, status.state, [shape(child) for child in status.children]


class Gates:
    """Actors that wait in a message until their gate is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered: queue.Queue[int] = queue.Queue()

    def __call__(self, _: object) -> None:
        self.entered.put(threading.get_ident())
        assert self.open.wait(WAIT)

    def ident(self) -> int:
        return self.entered.get(timeout=WAIT)


@pytest.fixture
def gates():
    made = Gates()
    yield made
    made.open.set()


def rehearsed(house, *children, **options) -> tuple[Supervisor, Rehearsal]:
    rehearsal = Rehearsal()
    house.directory = Directory()
    return Supervisor(house.spec(*children, **options), house.directory, print, scheduler=rehearsal), rehearsal


def test_the_tree_shows_every_supervisor_and_actor_in_the_order_of_their_start(house) -> None:
    inner = house.spec(house.child("b", restart="temporary"), name="inner", strategy="one_for_all", max_restarts=4)
    supervisor = house.supervise(house.child("a"), inner, house.child("c"), max_retired=3)
    assert shape(supervisor.tree()) == (
        "house",
        "stopped",
        [("a", "stopped", 0, 0), ("inner", "stopped", [("b", "stopped", 0, 0)]), ("c", "stopped", 0, 0)],
    )
    supervisor.start()
    tree = supervisor.tree()
    assert shape(tree) == (
        "house",
        "running",
        [("a", "running", 1, 0), ("inner", "running", [("b", "running", 1, 0)]), ("c", "running", 1, 0)],
    )
    below = tree.children[1]
    assert (tree.strategy, tree.max_restarts, tree.within_seconds) == ("one_for_one", 10, 60)
    assert (below.strategy, below.max_restarts, below.restart, below.generation) == ("one_for_all", 4, "permanent", 1)
    assert (tree.max_retired, tree.retired, below.retired) == (3, 0, 0)
    assert [child.restart for child in (tree.children[0], *below.children)] == ["permanent", "temporary"]
    assert below.children[0].supervisor == "inner"
    supervisor.stop()
    assert shape(supervisor.tree())[1] == "stopped"


def test_the_restarts_used_are_those_that_still_count_at_this_moment(house) -> None:
    supervisor, rehearsal = rehearsed(house, house.child("a", Plain, poison_after=0), max_restarts=5, within_seconds=10)
    supervisor.start()
    used = []
    for pause in (6.0, 6.0, 20.0):
        house.directory.tell("a", BOOM)
        rehearsal.run()
        used.append(supervisor.tree().restarts_used)
        rehearsal.run(pause)
        used.append(supervisor.tree().restarts_used)
    assert used == [1, 1, 2, 1, 2, 0]
    assert shape(supervisor.tree()) == ("house", "running", [("a", "running", 4, 3)])
    supervisor.stop()


def test_a_supervisor_below_counts_its_own_restarts_and_the_root_that_gave_up_has_failed(house) -> None:
    inner = house.spec(house.child("a", Plain, poison_after=0), name="inner", max_restarts=0)
    supervisor, rehearsal = rehearsed(house, inner, max_restarts=1)
    supervisor.start()
    house.directory.tell("a", BOOM)
    rehearsal.run()
    (below,) = supervisor.tree().children
    assert (below.restarts, below.generation, below.restarts_used) == (1, 2, 0)
    house.directory.tell("a", BOOM)
    rehearsal.run()
    assert shape(supervisor.tree())[:2] == ("house", "failed")


def test_all_of_it_is_seen_while_the_supervisors_own_thread_and_an_actor_hang(house, gates) -> None:
    supervisor = house.supervise(house.child("a"), house.child("b"))
    supervisor.start()
    house.directory.tell("a", gates)
    actor_ident = gates.ident()
    house.directory.tell("a", "waits", sender="b")
    supervisor.watch(gates)
    house.directory.tell("b", BOOM)
    supervisor_ident = gates.ident()

    def look() -> None:
        assert supervisor.tree().name == "house"
        seen = supervisor.describe("a")
        assert (seen.depths, seen.status.state) == (Depths(control=0, work=1, suspects=0, in_hand=1), "running")
        assert [each.message for each in house.directory.waiting("a").messages] == [gates, "waits"]
        assert any("in __call__" in line for line in supervisor.stack("a"))
        assert any("in __call__" in line for line in supervisor.stack("house"))
        threads = supervisor.threads()
        assert (threads[actor_ident], threads[supervisor_ident]) == ("a", "house")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(look).result(WAIT)
    gates.open.set()


def test_a_child_is_described_without_asking_it(house) -> None:
    child = house.child("a", Plain, hang_seconds=7, inbox_bound=5, poison_after=3, backoff_jitter=0.5)
    inner = house.spec(child, house.child("b"), name="inner", strategy="rest_for_one")
    supervisor = house.supervise(inner)
    before = supervisor.describe("a")
    assert (before.actor, before.actor_class, before.status.state) == (None, Plain, "stopped")
    assert supervisor.describe("b").actor_class is None
    supervisor.start()
    seen = supervisor.describe("a")
    assert type(seen.actor) is seen.actor_class is Plain
    assert type(supervisor.describe("b").actor) is supervisor.describe("b").actor_class
    assert seen.status == supervisor.tree().children[0].children[0]
    assert dict(seen.policy) == {
        "restart": "permanent",
        "start_seconds": 10.0,
        "shutdown_seconds": 5.0,
        "backoff_initial_seconds": 0.001,
        "backoff_factor": 2.0,
        "backoff_cap_seconds": 5.0,
        "backoff_jitter": 0.5,
        "hang_seconds": 7.0,
        "inbox_bound": 5,
        "poison_after": 3,
    }
    above = supervisor.describe("inner")
    assert (above.actor, above.actor_class, above.depths) == (None, None, (0, 0, 0, 0))
    assert (above.status.supervisor, above.policy["strategy"]) == ("house", "rest_for_one")
    assert "children" not in above.policy
    supervisor.stop_child("a")
    assert (supervisor.describe("a").actor, supervisor.stack("a")) == (None, None)
    assert supervisor.describe("a").status.state == "stopped"


def test_an_actor_that_has_ended_is_not_shown_while_its_successor_waits_for_the_backoff(house) -> None:
    class Failing(Plain):
        def on_start(self):
            if self.seat.generation > 1:
                raise OSError("not yet")

    child = house.child("a", Failing, poison_after=0, backoff_initial_seconds=5)
    supervisor, rehearsal = rehearsed(house, child)
    supervisor.start()
    assert supervisor.describe("a").actor is not None
    house.directory.tell("a", BOOM)
    rehearsal.run()
    seen = supervisor.describe("a")
    assert (seen.status.state, seen.actor, seen.actor_class) == ("restarting", None, Failing)
    supervisor.stop()


def test_only_those_who_serve_a_name_have_a_stack_and_a_thread(house, gates) -> None:
    inner = house.spec(house.child("a", shutdown_seconds=0.01), name="inner")
    supervisor = house.supervise(inner, house.child("b"))
    assert (supervisor.stack("house"), supervisor.threads()) == (None, {})
    supervisor.start()
    assert sorted(supervisor.threads().values()) == ["a", "b", "house"]
    assert any("in _serve" in line for line in supervisor.stack("b"))
    assert supervisor.stack("inner") is None
    house.directory.tell("a", gates)
    left_behind = gates.ident()
    supervisor.restart_child("a")
    again = gates.ident()
    threads = supervisor.threads()
    assert (left_behind in threads, threads[again]) == (False, "a")
    assert (supervisor.tree().retired, supervisor.tree().children[0].retired) == (1, 0)
    serving = [thread for thread in threading.enumerate() if thread.ident in threads]
    gates.open.set()
    supervisor.stop()
    for thread in serving:
        thread.join(WAIT)
    assert (supervisor.threads(), supervisor.stack("house")) == ({}, None)


def test_a_name_that_nobody_has_is_refused(house) -> None:
    supervisor = house.supervise(house.child("a"))
    for look in (supervisor.describe, supervisor.stack):
        with pytest.raises(UnknownChildError, match="house has no child 'nobody'"):
            look("nobody")


def test_in_a_rehearsal_there_are_stacks_but_no_threads(house) -> None:
    supervisor, _ = rehearsed(house, house.child("a", Plain))
    supervisor.start()
    assert supervisor.threads() == {}
    assert supervisor.stack("a") == ("busy until -inf, in a rehearsal",)
    supervisor.stop()
