"""The decisions without threads: a virtual clock, and actors that do what they are told to."""

from __future__ import annotations

import math

import pytest

from actors.supervision import (
    ChildSpec,
    ChildStartError,
    CommandTimeoutError,
    Died,
    Directory,
    GaveUp,
    NameTakenError,
    Rehearsal,
    Retired,
    Seat,
    Started,
    Stopped,
    SupervisedActor,
    Supervisor,
    SupervisorSpec,
    UnknownChildError,
    difference,
)

SHORT = {Started: "+", Stopped: "-", Died: "!", Retired: "~", GaveUp: "gave up "}


class Player(SupervisedActor):
    """Does what it is told to: a number is how long it takes, an exception is raised."""

    def __init__(self, seat, stage, part=""):
        super().__init__(seat)
        self.stage = stage
        self.part = part

    def on_start(self):
        self.do(self.stage.at_start.get(self.seat.name))

    def on_stop(self):
        self.do(self.stage.at_stop.get(self.seat.name))

    def on_receive(self, message):
        self.stage.heard.append((self.seat.name, message))
        self.do(message)

    def do(self, what):
        if isinstance(what, BaseException):
            raise what
        if isinstance(what, float):
            self.stage.play.take_time(what)


class Stage:
    """A supervisor in a rehearsal, and what it said in short: ``+a`` started, ``-a`` stopped, ``!a`` died."""

    def __init__(self, *children, seed=1, **options):
        self.play = Rehearsal(seed)
        self.directory = Directory()
        self.reports = []
        self.heard = []
        self.said = []
        self.at_start, self.at_stop = {}, {}
        self.made = self.spec(*children, name="root", **options)
        self.supervisor = Supervisor(self.made, self.directory, self.reports.append, scheduler=self.play)
        self.supervisor.watch(lambda event: self.said.append(SHORT[type(event)] + event.name))

    def child(self, name, **options):
        arguments = {"stage": self, **options.pop("arguments", {})}
        return ChildSpec(
            **{"name": name, "actor": Player, "arguments": arguments, "poison_after": 0, "backoff_initial_seconds": 1}
            | options
        )

    def spec(self, *children, name, **options):
        made = tuple(self.child(child) if isinstance(child, str) else child(self) for child in children)
        return SupervisorSpec(**{"name": name, "children": made, "max_restarts": 10, "within_seconds": 60} | options)

    def start(self):
        self.supervisor.start()
        self.said.clear()
        return self

    def tell(self, name, message, seconds=0.0):
        self.directory.tell(name, message)
        self.play.run(seconds)
        return self.words()

    def words(self):
        words = " ".join(self.said)
        self.said.clear()
        return words

    @property
    def states(self):
        return " ".join(f"{child.name}:{child.state}" for child in self.supervisor.children())


def actor(name, **options):
    return lambda stage: stage.child(name, **options)


def group(name, *children, **options):
    return lambda stage: stage.spec(*children, name=name, **options)


BOOM = ValueError("boom")


def test_one_for_one_restarts_it_alone():
    assert Stage("a", "b", "c").start().tell("b", BOOM) == "!b +b"


def test_rest_for_one_restarts_it_and_those_after_it_which_stop_in_reverse():
    stage = Stage("a", "b", "c", "d", strategy="rest_for_one").start()
    assert stage.tell("b", BOOM) == "!b -d -c +b +c +d"


def test_one_for_all_restarts_all():
    assert Stage("a", "b", "c", strategy="one_for_all").start().tell("b", BOOM) == "!b -c -a +a +b +c"


def test_what_waits_for_those_that_are_stopped_beside_the_fallen_is_handled_by_their_successors():
    stage = Stage("a", "b", strategy="one_for_all").start()
    stage.directory.tell("a", BOOM)
    stage.directory.tell("a", "first")
    stage.directory.tell("b", 1.0)
    stage.directory.tell("b", "second")
    stage.play.run(2)
    assert stage.heard.count(("a", "first")) == stage.heard.count(("b", "second")) == 1
    assert [letter.message for letter in stage.directory.dead_letters] == [BOOM]


def test_a_temporary_neighbour_that_was_stopped_is_not_started_again_and_one_stopped_by_hand_stays_so():
    stage = Stage("a", actor("b", restart="temporary"), "c", strategy="one_for_all").start()
    stage.supervisor.stop_child("c")
    stage.words()
    assert stage.tell("a", BOOM) == "!a -b +a"
    assert stage.states == "a:running b:stopped c:stopped"


def test_two_that_fall_at_once_are_two_restarts_and_one_start_of_each():
    stage = Stage("a", "b", "c", strategy="one_for_all").start()
    stage.directory.tell("a", BOOM)
    stage.directory.tell("c", BOOM)
    words = stage.tell("b", "calm").split()
    assert [word for word in words if word.startswith("+")] == ["+a", "+b", "+c"]
    assert sorted(report.offender for report in stage.reports if report.context == "child_terminated") == ["a", "c"]


def test_while_a_neighbour_waits_for_the_backoff_nobody_is_started():
    stage = Stage("a", "b", strategy="rest_for_one").start()
    stage.at_start["a"] = OSError("not yet")
    assert stage.tell("a", BOOM) == "!a -b !a"
    assert stage.states == "a:restarting b:restarting"
    stage.at_start.clear()
    stage.play.run(0.9)
    assert stage.words() == ""
    stage.play.run(0.2)
    assert stage.words() == "+a +b"


def test_failed_restarts_wait_longer_and_longer():
    stage = Stage("a", max_restarts=99, within_seconds=1).start()
    stage.at_start["a"] = OSError("never")
    tries = []
    stage.supervisor.watch(lambda _: tries.append(stage.play.now()))
    stage.tell("a", BOOM, seconds=20)
    assert tries[1:] == [0, 1, 3, 7, 12, 17]


def test_a_crash_of_one_that_had_started_is_restarted_at_once_whatever_its_starts_took():
    stage = Stage("a").start()
    stage.at_start["a"] = OSError("not yet")
    stage.tell("a", BOOM)
    stage.at_start.clear()
    stage.play.run(1)
    stage.words()
    assert stage.tell("a", BOOM) == "!a +a"


def test_one_that_is_at_a_message_for_too_long_is_retired_and_the_message_tried_again_or_a_dead_letter():
    stage = Stage(actor("a", hang_seconds=5, poison_after=1)).start()
    stage.directory.tell("a", math.inf)
    stage.directory.tell("a", "after")
    stage.play.run(4.9)
    assert stage.words() == ""
    stage.play.run(0.1)
    assert stage.words() == "~a +a"
    stage.play.run(5)
    assert stage.words() == "~a +a"
    assert stage.heard == [("a", math.inf), ("a", math.inf), ("a", "after")]
    assert [(letter.message, letter.reason) for letter in stage.directory.dead_letters] == [(math.inf, "poison")]
    (report, _) = [report for report in stage.reports if report.context == "hung"]
    assert (report.offender, report.reason) == ("a", "it was at one thing for 5 s")
    assert "in a rehearsal" in report.detail


def test_many_short_messages_are_no_hang_nor_is_a_long_one_with_a_pulse():
    class Patient(Player):
        def on_wake(self):
            self.pulse()

    stage = Stage(lambda stage: stage.child("a", actor=Patient, hang_seconds=5)).start()
    for _ in range(10):
        assert stage.tell("a", 3.0, seconds=3) == ""
    assert stage.states == "a:running"


def test_more_threads_left_behind_than_permitted_make_the_root_give_up():
    stage = Stage("z", group("mid", actor("a", hang_seconds=1, poison_after=9)))
    stage.supervisor._common.max_retired = 2
    stage.start()
    assert stage.tell("a", math.inf, seconds=9) == "~a +a ~a +a ~a gave up root -mid -z"
    failure = stage.supervisor.wait_failed(0)
    assert failure is not None
    assert (failure.offender, failure.reason) == ("a", "more than 2 threads were left behind, the last of a")


def test_a_thread_that_was_left_behind_and_came_back_counts_no_more():
    stage = Stage(actor("a", hang_seconds=1, poison_after=0))
    stage.supervisor._common.max_retired = 1
    stage.start()
    for _ in range(5):
        stage.tell("a", 3.0, seconds=4)
    assert stage.states == "a:running"


def test_once_it_has_given_up_nothing_more_is_launched_in_the_same_turn():
    stage = Stage("a", "b", max_restarts=3).start()
    stage.at_start |= {"a": OSError("never"), "b": OSError("never")}
    stage.directory.tell("a", BOOM)
    stage.directory.tell("b", BOOM)
    stage.play.run(1)
    failed = [word for word in stage.said if word.startswith("!")]
    assert len(failed) == 4
    assert "gave up root" in stage.said
    assert sorted(child.state for child in stage.supervisor.children()) == ["failed", "stopped"]


def test_a_child_that_dies_while_all_are_being_stopped_is_not_restarted():
    stage = Stage("a", "b").start()
    stage.at_stop |= {"b": 3.0, "a": BOOM}
    assert stage.supervisor.stop() == []
    assert stage.words() == "-b !a"


def test_each_stop_has_its_own_deadline_and_brutal_none_and_infinity_no_end():
    stage = Stage("a", "b", actor("c", shutdown_seconds="brutal"), actor("d", shutdown_seconds="infinity")).start()
    stage.at_stop |= {"a": 4.0, "b": 6.0, "c": 9.0, "d": 30.0}
    assert stage.supervisor.stop() == ["b"]
    assert stage.words() == "-d ~c ~b -a"
    assert stage.play.now() == 30 + 5 + 4


def test_a_start_beyond_its_time_is_a_failed_one():
    stage = Stage("a", actor("b", start_seconds=2)).start()
    stage.at_start["b"] = 3.0
    assert stage.tell("b", BOOM, seconds=2) == "!b ~b"
    stage.at_start.clear()
    stage.play.run(1)
    assert stage.words() == "+b"


def test_a_supervisor_below_that_gives_up_is_restarted_by_the_one_above_with_all_its_children():
    stage = Stage("a", group("mid", "b", "c", max_restarts=0), "d").start()
    stage.directory.tell("c", "kept")
    assert stage.tell("b", BOOM) == "!b gave up mid -c !mid +b +c +mid"
    assert stage.states == "a:running mid:running b:running c:running d:running"
    reason = next(report.reason for report in stage.reports if report.offender == "mid")
    assert reason.startswith("it gave up: more than 0 restarts within 60 s, the last for: ValueError: boom")


def test_what_gives_up_fails_upwards_to_the_root():
    stage = Stage("a", group("mid", group("low", "b", max_restarts=0), max_restarts=0), max_restarts=0).start()
    assert stage.tell("b", BOOM) == "!b gave up low !low gave up mid !mid gave up root -a"
    failure = stage.supervisor.wait_failed(0)
    assert failure is not None
    assert failure.offender == "mid"


def test_a_temporary_supervisor_of_an_observer_is_left_out_and_the_others_go_on():
    stage = Stage(group("mirror", "observer", max_restarts=2, restart="temporary"), "it").start()
    for _ in range(3):
        stage.tell("observer", BOOM)
    assert stage.words() == ""
    assert stage.states == "mirror:failed observer:failed it:running"
    assert not stage.directory.is_served("observer")
    stage.tell("observer", "anyone?")
    assert [letter.reason for letter in stage.directory.dead_letters][-1] == "withdrawn"
    assert stage.supervisor.wait_failed(0) is None


def test_a_supervisor_below_stops_within_its_time_or_all_below_it_are_left_behind():
    stage = Stage("a", group("mid", "b", actor("c", shutdown_seconds="infinity"), shutdown_seconds=3)).start()
    stage.at_stop["c"] = math.inf
    assert stage.supervisor.stop() == ["mid"]
    assert stage.words() == "~b ~c ~mid -a"


def test_children_are_added_and_removed_while_it_runs():
    stage = Stage("a", group("workers", "worker-1")).start()
    stage.supervisor.add_child(stage.child("worker-2"), "workers")
    assert stage.words() == "+worker-2"
    with pytest.raises(NameTakenError):
        stage.supervisor.add_child(stage.child("a"), "workers")
    with pytest.raises(UnknownChildError):
        stage.supervisor.add_child(stage.child("b"), "a")
    stage.at_start["worker-3"] = BOOM
    with pytest.raises(ChildStartError, match="boom"):
        stage.supervisor.add_child(stage.child("worker-3"), "workers")
    assert stage.supervisor.remove_child("worker-1") is True
    assert stage.states == "a:running workers:running worker-2:running"
    with pytest.raises(UnknownChildError):
        stage.supervisor.start_child("worker-1")
    stage.supervisor.add_child(stage.child("worker-1"))
    assert stage.states == "a:running workers:running worker-2:running worker-1:running"


def test_added_children_outlive_their_supervisors_restart():
    stage = Stage(group("workers", "worker-1", max_restarts=0)).start()
    stage.supervisor.add_child(stage.child("worker-2"), "workers")
    stage.tell("worker-1", BOOM)
    assert stage.states == "workers:running worker-1:running worker-2:running"


def test_an_update_does_the_least_that_makes_the_tree_what_the_specification_says():
    stage = Stage("a", group("mid", "b", "c"), "d", "e").start()
    new = stage.spec(
        "d",
        actor("a", arguments={"part": "another"}),
        group("mid", actor("c", shutdown_seconds=1), "f", max_restarts=3),
        name="root",
    )
    lines = [change.line() for change in stage.supervisor.reread(new)]
    assert lines == [
        "e: removed",
        "b: removed",
        "a: restarted (arguments.part)",
        "mid: changed (max_restarts)",
        "c: changed (shutdown_seconds)",
        "f: added",
    ]
    assert stage.words() == ""
    assert [change.line() for change in stage.supervisor.update(new)] == lines
    assert sorted(stage.words().split()) == ["+a", "+f", "-a", "-b", "-e"]
    assert stage.states == "d:running a:running mid:running c:running f:running"
    assert stage.supervisor.reread(new) == ()
    assert stage.supervisor.update(new) == ()


def test_what_an_update_adds_and_cannot_start_is_said_and_the_rest_is_done():
    stage = Stage("a").start()
    stage.at_start["b"] = BOOM
    with pytest.raises(ChildStartError, match="could not be started: b"):
        stage.supervisor.update(stage.spec("a", "b", "c", name="root"))
    assert stage.states == "a:running c:running"


def test_a_name_that_moves_to_another_supervisor_is_removed_there_and_added_here():
    stage = Stage("a", group("mid", "b")).start()
    new = stage.spec("a", "b", group("mid"), name="root")
    assert [change.line() for change in difference(stage.made, new)] == ["b: removed", "b: added"]
    stage.supervisor.update(new)
    assert stage.states == "a:running b:running mid:running"


def test_the_same_seed_gives_the_same_trace_and_another_seed_another_order():
    def trace(seed):
        stage = Stage("a", "b", "c", seed=seed).start()
        for name in "abcabc":
            stage.directory.tell(name, BOOM)
        stage.play.run(5)
        return stage.play.trace

    assert trace(1) == trace(1)
    assert len({tuple(trace(seed)) for seed in range(5)}) > 1


def test_who_waits_in_a_rehearsal_waits_virtual_seconds():
    stage = Stage("a", "b").start()
    stage.at_stop["b"] = 4.0
    with pytest.raises(CommandTimeoutError):
        stage.supervisor.stop_child("b", timeout=1)
    assert stage.play.now() == 1
    assert stage.supervisor.stop_child("b", timeout=5) is True
    assert stage.play.now() == 4


def test_the_backoffs_jitter_takes_off_at_most_its_part():
    waits = set()
    for seed in range(5):
        stage = Stage(actor("a", backoff_jitter=0.5), seed=seed).start()
        stage.at_start["a"] = OSError("never")
        tries = []
        stage.supervisor.watch(lambda _, stage=stage, tries=tries: tries.append(stage.play.now()))
        stage.tell("a", BOOM, seconds=1)
        waits.add(tries[2] - tries[1])
    assert len(waits) > 1
    assert all(0.5 <= wait <= 1 for wait in waits)


@pytest.mark.parametrize("overtaken", [True, False])
def test_an_actor_whose_name_was_given_away_while_it_started_is_not_said_to_have_started(overtaken):
    events = []
    directory = Directory()
    inbox = directory.declare("a")

    class Late(SupervisedActor):
        def on_start(self) -> None:
            if overtaken:
                inbox.attach()
            self.stop()

    Late(Seat("a", inbox, inbox.attach(), directory, events.append))._actor_loop()
    assert [type(event) for event in events] == ([Died] if overtaken else [Started, Stopped])


@pytest.mark.parametrize("verb", ["start_child", "restart_child"])
def test_a_child_that_is_down_for_whatever_reason_runs_after_a_start_or_a_restart_by_command(verb):
    stage = Stage("stopped", actor("failed", restart="temporary"), actor("restarting", backoff_initial_seconds=50))
    stage.start().supervisor.stop_child("stopped")
    stage.at_start["restarting"] = OSError("not yet")
    stage.tell("restarting", BOOM)
    stage.tell("failed", BOOM)
    stage.at_start.clear()
    assert stage.states == "stopped:stopped failed:failed restarting:restarting"
    for name in ("stopped", "failed", "restarting"):
        getattr(stage.supervisor, verb)(name)
        stage.tell(name, "there")
    assert stage.states == "stopped:running failed:running restarting:running"
    assert stage.play.now() < 1, "nobody waited for the backoff"
    assert [heard for heard in stage.heard if heard[1] == "there"] == [
        ("stopped", "there"),
        ("failed", "there"),
        ("restarting", "there"),
    ]
    assert [child.restarts for child in stage.supervisor.children()] == [0, 0, 2]
    stage.play.run(100)
    assert [child.generation for child in stage.supervisor.children()] == [2, 2, 3]


def test_one_that_waits_for_its_backoff_can_be_stopped_and_does_not_come_back():
    stage = Stage("a").start()
    stage.at_start["a"] = OSError("not yet")
    stage.tell("a", BOOM)
    assert stage.supervisor.stop_child("a") is True
    stage.play.run(100)
    assert stage.states == "a:stopped"


@pytest.mark.parametrize("hang_seconds", [None, 60])
def test_one_that_hangs_is_retired_and_replaced_within_the_time_it_has_to_stop_when_it_is_restarted(hang_seconds):
    stage = Stage(actor("a", shutdown_seconds=2, hang_seconds=hang_seconds, poison_after=0)).start()
    stage.tell("a", math.inf)
    stage.tell("a", "waits")
    stage.supervisor.restart_child("a")
    assert stage.play.now() == 2
    assert stage.words() == "~a +a"
    stage.play.run()
    assert stage.heard == [("a", math.inf), ("a", "waits")]
    assert [(letter.message, letter.reason) for letter in stage.directory.dead_letters] == [(math.inf, "poison")]
    assert [child.restarts for child in stage.supervisor.children()] == [0]


@pytest.mark.parametrize("hang_seconds", [None, 60])
def test_one_that_hangs_is_retired_within_the_time_it_has_to_stop_and_stays_down_when_it_is_stopped(hang_seconds):
    stage = Stage(actor("a", shutdown_seconds=2, hang_seconds=hang_seconds, poison_after=3)).start()
    stage.tell("a", math.inf)
    stage.tell("a", "waits")
    assert stage.supervisor.stop_child("a") is False
    assert stage.play.now() == 2
    assert (stage.words(), stage.states) == ("~a", "a:stopped")
    assert [letter.message for letter in stage.directory.dead_letters] == [math.inf, "waits"]
    stage.play.run(100)
    assert stage.states == "a:stopped"
    stage.supervisor.start_child("a")
    assert stage.tell("a", "there") == "+a"
    assert stage.heard[-1] == ("a", "there")


def test_one_that_hangs_in_its_start_is_replaced_when_it_is_restarted():
    stage = Stage(actor("a", start_seconds=None, shutdown_seconds=2)).start()
    stage.at_start["a"] = math.inf
    stage.tell("a", BOOM)
    assert stage.states == "a:starting"
    stage.at_start.clear()
    stage.supervisor.restart_child("a")
    assert stage.states == "a:running"
    assert stage.play.now() == 2
