"""One actor on a stage of its own: no thread, a hand-held clock, and everything it says written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from loguru import logger

import actors.ahead
from actors.names import CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, RUNTIME, STATE_HOLDER, worker_names
from actors.supervision import Directory, Seat, SupervisedActor
from kora.domain.claim import Claim
from tests.claims import a_claim
from tests.unit.actors.office import Office

_Actor = TypeVar("_Actor", bound=SupervisedActor)


class HandHeldTime:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_us(self) -> int:
        return int(self.seconds * 1_000_000)

    def boot_seconds(self) -> float:
        return self.seconds

    def boot_id(self) -> str:
        return "the only one"


class Stage:
    """Declared names, and what was told to each."""

    def __init__(self) -> None:
        self.time = HandHeldTime()
        self.directory = Directory()
        self.names = (POLLER, LEDGER, HEARTBEAT, STATE_HOLDER, CONTROL, CLOCK, RUNTIME, *worker_names(3))
        self._generations = {name: self.directory.declare(name).attach() for name in self.names}

    def seat(self, name: str) -> Seat:
        """The seat of the next generation."""
        inbox = self.directory.declare(name)
        self._generations[name] = inbox.attach()
        return Seat(name, inbox, self._generations[name], self.directory, lambda _event: None)

    def put(self, name: str, make: Callable[[Seat], _Actor]) -> _Actor:
        """An actor in its seat, started, with nothing yet said."""
        actor = make(self.seat(name))
        actor.on_start()
        return actor

    def said(self, name: str) -> list[object]:
        """What was told to the name since the last look."""
        inbox, generation = self.directory.declare(name), self._generations[name]
        messages = inbox.take(generation, 1_000, 0.0)
        inbox.done(generation)
        return messages


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def make_claim() -> Callable[..., Claim]:
    return a_claim


@pytest.fixture
def office(stage, tmp_path):
    """A Ledger with a board of its own, whose clock ticks every second."""
    office = Office(stage, tmp_path / "kora.db", tick_seconds=1.0)
    office.sit()
    yield office
    office.close()


@pytest.fixture
def quick(monkeypatch):
    """Look-ahead opens after two short attempts."""
    monkeypatch.setattr(actors.ahead, "ENOUGH", 2)
    monkeypatch.setattr(actors.ahead, "AHEAD_MAX", 4)
    logger.disable("actors")
    yield
    logger.enable("actors")
