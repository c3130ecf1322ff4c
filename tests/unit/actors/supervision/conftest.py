from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pykka
import pytest

from actors.supervision import (
    ChildSpec,
    DeadLetter,
    Directory,
    Report,
    Seat,
    SupervisedActor,
    Supervisor,
    SupervisorSpec,
)

WAIT = 10.0


@dataclass
class House:
    """A directory, the supervisors made in a test, and what they and their actors said, in order."""

    directory: Directory = field(init=False)
    reports: queue.Queue[Report] = field(default_factory=queue.Queue)
    said: queue.Queue[Any] = field(default_factory=queue.Queue)
    dead: queue.Queue[DeadLetter] = field(default_factory=queue.Queue)
    stopped: list[str] = field(default_factory=list)
    supervisors: list[Supervisor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory = Directory(self.dead.put)

    def spec(self, *children: ChildSpec | SupervisorSpec, name: str = "house", **options: Any) -> SupervisorSpec:
        options = {"max_restarts": 10, "within_seconds": 60, "backoff_initial_seconds": 0.001, **options}
        return SupervisorSpec(name=name, children=children, **options)

    def supervise(self, *children: ChildSpec | SupervisorSpec, **options: Any) -> Supervisor:
        of_spec = {name: options.pop(name) for name in SupervisorSpec.model_fields.keys() & options.keys()}
        spec = self.spec(*children, **of_spec)
        supervisor = Supervisor(spec, self.directory, self.reports.put, **options)
        self.supervisors.append(supervisor)
        return supervisor

    def child(
        self, name: str = "it", factory: Callable[[Seat], SupervisedActor] | None = None, **options: Any
    ) -> ChildSpec:
        options.setdefault("backoff_initial_seconds", 0.001)
        return ChildSpec(name=name, actor=factory or self.scripted, **options)

    def batching(self, seat: Seat) -> SupervisedActor:
        return Batching(seat, self)

    def scripted(self, seat: Seat) -> Scripted:
        return Scripted(seat, self)

    def hear(self, count: int = 1) -> list[Any]:
        return [self.said.get(timeout=WAIT) for _ in range(count)]

    def report(self, context: str) -> Report:
        while True:
            report = self.reports.get(timeout=WAIT)
            if report.context == context:
                return report


class Scripted(SupervisedActor):
    """Says what it handles; an exception that it is told is raised, a callable is called."""

    def __init__(self, seat: Seat, house: House) -> None:
        super().__init__(seat)
        self.house = house

    def on_stop(self) -> None:
        self.house.stopped.append(self.seat.name)

    def on_receive(self, message):
        self.house.said.put(message)
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


class Batching(Scripted):
    """The same, with a batch as its unit."""

    def on_batch(self, batch):
        for message in batch:
            self.on_receive(message)


def actor_of(supervisor: Supervisor, name: str = "it") -> Any:
    """The actor that serves the name."""
    return supervisor._common.owners[name][1].body._tenure.actor


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    for supervisor in made.supervisors:
        supervisor.stop(WAIT)
    left = [str(ref) for ref in pykka.ActorRegistry.get_all()]
    assert left == []
