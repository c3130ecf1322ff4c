"""The decisions without threads: a clock that is moved by hand, and events as they might come."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from actors.supervision import (
    ChildSpec,
    Died,
    Directory,
    Report,
    Seat,
    Started,
    Stopped,
    SupervisedActor,
    SupervisorSpec,
)
from actors.supervision.lifecycle import Lifecycle
from actors.supervision.tree import Tree


class Stage:
    def __init__(self, monkeypatch, *names: str, max_restarts: int = 10) -> None:
        stage = self
        self.now = 0.0
        self.launched: list[str] = []
        self.no_threads_left = False
        self.reports: list[Report] = []

        class Tenure:
            actor = None

            def __init__(self, seat, factory) -> None:
                self.seat = seat

            def begin(self) -> None:
                stage.launched.append(self.seat.name)
                if stage.no_threads_left:
                    raise RuntimeError("can't start new thread")

            def abandon(self) -> None:
                pass

        monkeypatch.setattr("actors.supervision.lifecycle.Tenure", Tenure)
        children = tuple(
            ChildSpec(name=name, factory=SupervisedActor, backoff_initial_seconds=1, shutdown_seconds=5)
            for name in names
        )
        spec = SupervisorSpec(name="stage", children=children, max_restarts=max_restarts, within_seconds=60)
        self.lifecycle = Lifecycle(
            spec, Directory(), watcher=lambda _: None, on_report=self.reports.append, clock=lambda: self.now
        )
        self.tree = Tree(spec, self.lifecycle)
        self.started: Future[None] = Future()
        self.stopped: Future[list[str]] = Future()

    def start(self, *running: str) -> None:
        self.tree.start(self.started)
        self.tree.advance()
        for name in running:
            self.event(Started, name)

    def event(self, kind, name: str) -> None:
        self.lifecycle.handle(kind(name, self.lifecycle.children[name].generation))
        self.tree.advance()

    def death(self, name: str) -> None:
        died = Died(name, self.lifecycle.children[name].generation, ValueError("boom"), "boom", "on_receive")
        self.lifecycle.handle(died)
        self.tree.advance()

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        self.lifecycle.tick()
        self.tree.advance()

    @property
    def states(self) -> str:
        return " ".join(child.state for child in self.lifecycle.children.values())


def test_each_start_waits_for_the_one_before(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a", "b")
    stage.start()
    assert stage.launched == ["a"]
    stage.event(Started, "a")
    assert stage.launched == ["a", "b"]
    assert not stage.started.done()
    stage.event(Started, "b")
    assert stage.started.result(0) is None


def test_failed_starts_wait_longer_and_longer(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a")
    stage.start()
    for delay in (1, 2, 4, 5, 5):
        stage.death("a")
        count = len(stage.launched)
        stage.pass_seconds(delay - 0.5)
        assert len(stage.launched) == count
        stage.pass_seconds(0.5)
        assert len(stage.launched) == count + 1


def test_a_crash_of_one_that_had_started_is_restarted_at_once_whatever_its_starts_took(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a")
    stage.start()
    stage.death("a")
    stage.pass_seconds(1)
    stage.event(Started, "a")
    stage.death("a")
    assert stage.launched == ["a"] * 3


def test_once_it_has_given_up_nothing_more_is_launched_in_the_same_turn(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a", "b", max_restarts=4)
    stage.start("a", "b")
    for name in ("a", "b"):
        stage.death(name)
        stage.death(name)
    assert stage.states == "restarting restarting"
    stage.launched.clear()
    stage.no_threads_left = True
    stage.pass_seconds(1)
    assert stage.launched == ["a"]
    assert stage.states == "failed stopped"
    assert stage.tree.mode == "ended"


def test_a_child_that_dies_while_all_are_being_stopped_is_not_restarted(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a", "b")
    stage.start("a", "b")
    stage.tree.stop(stage.stopped)
    stage.tree.advance()
    stage.launched.clear()
    stage.death("a")
    assert stage.launched == []
    assert stage.states == "failed stopping"
    stage.event(Stopped, "b")
    assert stage.stopped.result(0) == []


def test_a_child_that_waits_for_its_backoff_is_not_started_while_all_are_being_stopped(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a", "b")
    stage.start("a", "b")
    stage.death("a")
    stage.death("a")
    stage.tree.stop(stage.stopped)
    stage.tree.advance()
    stage.launched.clear()
    assert stage.states == "stopped stopping"
    stage.pass_seconds(1)
    assert stage.launched == []


def test_each_stop_has_its_own_deadline(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a", "b", "c")
    stage.start("a", "b", "c")
    stage.tree.stop(stage.stopped)
    stage.tree.advance()
    stage.pass_seconds(4)
    assert stage.states == "running running stopping"
    stage.event(Stopped, "c")
    stage.pass_seconds(4)
    assert stage.states == "running stopping stopped"
    stage.pass_seconds(1)
    stage.event(Stopped, "a")
    assert stage.stopped.result(0) == ["b"]


def test_events_of_an_actor_that_was_superseded_mean_nothing(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a")
    stage.start("a")
    stage.lifecycle.handle(Died("a", 0, ValueError("old"), "old", "on_receive"))
    assert stage.states == "running"


def test_a_restart_that_was_asked_for_is_dropped_when_all_are_stopped(monkeypatch) -> None:
    stage = Stage(monkeypatch, "a")
    stage.start("a")
    reply: Future[None] = Future()
    stage.tree.command("restart", stage.lifecycle.children["a"], reply)
    stage.tree.stop(stage.stopped)
    stage.tree.advance()
    stage.event(Stopped, "a")
    assert stage.launched == ["a"]
    assert stage.stopped.result(0) == []
    assert reply.exception(0) is not None


@pytest.mark.parametrize("overtaken", [True, False])
def test_an_actor_whose_name_was_given_away_while_it_started_is_not_said_to_have_started(overtaken) -> None:
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
