"""What holds once a specification has been changed while its children run, or a part of them has started anew."""

from __future__ import annotations

import math

import pytest

from actors.supervision import (
    ChildSpec,
    Directory,
    Rehearsal,
    Report,
    SupervisedActor,
    Supervisor,
    SupervisorSpec,
)


class Actor(SupervisedActor):
    def on_receive(self, message) -> None:
        if isinstance(message, Exception):
            raise message
        if self.seat.generation == 1:
            message.take_time(math.inf)


def house(*children, **options) -> SupervisorSpec:
    return SupervisorSpec(name="house", children=children, **options)


def child(name: str, **options) -> ChildSpec:
    return ChildSpec(name=name, actor=Actor, **options)


class Stage:
    def __init__(self, spec: SupervisorSpec) -> None:
        self.rehearsal, self.directory = Rehearsal(), Directory()
        self.reports: list[tuple[float, Report]] = []
        self.supervisor = Supervisor(spec, self.directory, self.note, scheduler=self.rehearsal)
        self.supervisor.start()

    def note(self, report: Report) -> None:
        self.reports.append((self.rehearsal.now(), report))

    def tell(self, name: str, message: object) -> None:
        self.directory.tell(name, message)
        self.rehearsal.run()

    def states(self) -> dict[str, str]:
        return {child.name: child.state for child in self.supervisor.children()}


@pytest.mark.parametrize("before", [None, 3_600])
@pytest.mark.parametrize("is_at_it", [True, False])
def test_a_hang_time_that_is_changed_holds_for_the_actor_that_runs(before, is_at_it) -> None:
    stage = Stage(house(child("it", hang_seconds=before)))
    if is_at_it:
        stage.tell("it", stage.rehearsal)
    assert [change.line() for change in stage.supervisor.update(house(child("it", hang_seconds=5)))] == [
        "it: changed (hang_seconds)"
    ]
    if not is_at_it:
        stage.tell("it", stage.rehearsal)
    stage.rehearsal.run(seconds=20)
    assert [(at, report.context) for at, report in stage.reports] == [(5, "hung"), (5, "restarted")]


def test_what_is_changed_of_how_a_supervisor_itself_is_restarted_holds_at_once() -> None:
    floor = SupervisorSpec(name="floor", children=(child("it"),), max_restarts=0)
    stage = Stage(house(floor))
    stage.supervisor.update(house(floor.model_copy(update={"restart": "temporary"})))
    stage.tell("it", ValueError("boom"))
    assert stage.states() == {"floor": "failed", "it": "failed"}


def test_the_names_below_a_supervisor_that_was_removed_are_free_as_it_stood_at_the_end() -> None:
    stage = Stage(house(SupervisorSpec(name="floor", children=(child("moves"), child("stays")))))
    stage.supervisor.add_child(child("added"), under="floor")
    stage.supervisor.remove_child("moves")
    stage.supervisor.add_child(child("moves"))
    stage.supervisor.remove_child("floor")
    stage.supervisor.restart_child("moves")
    for name in ("stays", "added"):
        stage.supervisor.add_child(child(name))
    assert stage.states() == dict.fromkeys(("moves", "stays", "added"), "running")


def test_who_overran_when_a_supervisor_below_gave_up_and_runs_again_is_not_named_when_all_are_stopped() -> None:
    children = (child("it"), child("stuck", shutdown_seconds=1))
    stage = Stage(house(SupervisorSpec(name="floor", children=children, max_restarts=0)))
    stage.tell("stuck", stage.rehearsal)
    stage.tell("it", ValueError("boom"))
    stage.rehearsal.run(seconds=2)
    assert "shutdown_overrun" in [report.context for _, report in stage.reports]
    assert stage.states() == dict.fromkeys(("floor", "it", "stuck"), "running")
    assert stage.supervisor.stop() == []
