"""What the model and the supervisor once disagreed about, each by itself."""

from __future__ import annotations

import logging
import math

import pytest

from actors.supervision import Directory, Rehearsal, Seat, Started, SupervisedActor
from tests.unit.actors.supervision.duet import play_rehearsed
from tests.unit.actors.supervision.schedules import Case


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def actor(name, **options):
    return {"name": name, "start_seconds": None, "poison_after": 0, "backoff_initial_seconds": 0.5, **options}


def group(name, *children, strategy="one_for_one", **options):
    return {"name": name, "children": list(children), "strategy": strategy, "max_restarts": 10, **options}


def agree(tree, *steps, before=()):
    play_rehearsed(Case(tree=tree, before=before, steps=steps, seed=0))


def test_a_start_asked_for_during_the_backoff_leaves_no_deadline_behind():
    # It was taken for that of the start, of which there is none.
    steps = ("fail starts", "a", 1), ("crash", ("a",)), ("slow start", "a", 4.0), ("start", "a"), ("pass", 2.0)
    agree(group("root", actor("a")), *steps)


def test_one_that_is_to_be_restarted_in_its_turn_does_not_start_before():
    # It was started at once, before those before it had stopped.
    tree = group("root", actor("a"), actor("b"), strategy="one_for_all")
    agree(tree, ("slow stop", "b", 2.0), ("restart", "b"), ("crash", ("a",)), ("pass", 4.0))


def test_a_child_that_was_stopped_before_it_ever_started_and_then_fails_to_start_remains_a_child():
    tree = group("root", actor("a"), actor("b"))
    steps = ("stop", "b"), ("pass", 2.0), ("fail starts", "b", 1), ("start", "b"), ("pass", 2.0)
    agree(tree, *steps, before=(("slow start", "a", 1.0),))


def test_a_supervisor_that_was_left_behind_in_a_backoff_does_not_wait_for_that_when_it_is_started_again():
    inner = group("inner", actor("a", backoff_initial_seconds=3.0), strategy="one_for_all", shutdown_seconds="brutal")
    agree(group("root", inner), ("fail starts", "a", 1), ("crash", ("a",)), ("restart", "inner"), ("pass", 1.0))


def test_a_start_that_was_asked_for_of_one_left_behind_is_forgotten():
    # It came again with its neighbours, having been stopped.
    inner = group(
        "inner", actor("a"), actor("b", restart="transient"), strategy="one_for_all", shutdown_seconds="brutal"
    )
    agree(
        group("root", inner),
        ("slow stop", "b", math.inf),
        ("restart", "b"),
        ("restart", "inner"),
        ("end", "b"),
        ("crash", ("a",)),
        ("pass", 1.0),
    )


def test_one_that_is_being_removed_cannot_be_started():
    agree(group("root", actor("a")), ("slow stop", "a", 1.0), ("remove", "a"), ("start", "a"), ("pass", 2.0))


def test_whoever_was_started_again_is_not_among_those_left_behind_at_the_stop():
    inner = group("inner", actor("a", shutdown_seconds=1.0), actor("b"), max_restarts=0)
    agree(group("root", inner), ("slow stop", "a", math.inf), ("crash", ("b",)), ("pass", 2.0))


def test_having_given_up_a_supervisor_says_how_often_the_offender_was_restarted_before():
    inner = group("inner", actor("a"), actor("b"), max_restarts=1)
    agree(group("root", inner), ("crash", ("a",)), ("fail starts", "a", 2), ("crash", ("b",)), ("pass", 2.0))


class Told(SupervisedActor):
    def __init__(self, seat, heard):
        super().__init__(seat)
        self._heard = heard

    def on_receive(self, message):
        if isinstance(message, Exception):
            raise message
        self._heard.append(message)


def rehearsed(house, *children, **options):
    rehearsal = Rehearsal()
    supervisor = house.supervise(*children, scheduler=rehearsal, **options)
    supervisor.start()
    return rehearsal, supervisor


def test_a_child_that_is_not_waited_for_keeps_its_messages_when_it_is_restarted(house):
    heard = []
    _, supervisor = rehearsed(house, house.child("a", lambda seat: Told(seat, heard), shutdown_seconds="brutal"))
    house.directory.tell("a", "kept")
    supervisor._do(_asked(supervisor, "restart", "a"))
    supervisor._scheduler.run()
    assert heard == ["kept"]


def _asked(supervisor, verb, name):
    """The request as it is handled before the actor, which has a message already, goes on."""
    from actors.supervision.supervisor import _Request  # noqa: PLC0415  # only here

    return _Request(lambda reply: supervisor._tree.command(verb, name, reply))


def test_what_waits_for_the_child_that_made_its_supervisor_give_up_is_kept_for_the_next(house):
    heard = []
    child = house.child("a", lambda seat: Told(seat, heard), poison_after=0)
    rehearsal, _ = rehearsed(house, house.spec(child, name="inner", max_restarts=0))
    for message in (ValueError("it crashes"), "kept"):
        house.directory.tell("a", message)
    rehearsal.run()
    assert heard == ["kept"]


def test_an_actor_that_has_started_is_at_nothing_when_its_supervisor_hears_of_it():
    # Otherwise one whose start took longer than a hang may was taken to hang.
    directory = Directory()
    inbox = directory.declare("a")
    since = []

    def watcher(event):
        if isinstance(event, Started):
            since.append(made.busy_since)
            made.stop()

    made = SupervisedActor(Seat("a", inbox, inbox.attach(), directory, watcher))
    made._actor_loop()
    assert since == [None]


def test_all_have_started_although_one_dies_in_the_same_moment():
    # Whoever had asked for the start was told that the supervisor gave up, if the death stood before it in the queue.
    tree = group("root", actor("a"), max_restarts=0)
    for seed in range(10):
        case = Case(tree=tree, before=(("slow start", "a", 1.0),), steps=(("crash", ("a",)), ("pass", 2.0)), seed=seed)
        play_rehearsed(case)
