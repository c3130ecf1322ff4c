"""The real supervisor beside the model: both go through the same schedule, and must never differ."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from pykka import ActorRegistry

from actors.supervision import (
    ChildSpec,
    CommandTimeoutError,
    Directory,
    Rehearsal,
    Report,
    Retired,
    Scheduler,
    Seat,
    Started,
    Stopped,
    SupervisedActor,
    SupervisionError,
    Supervisor,
    SupervisorSpec,
    Task,
    Threads,
)
from actors.supervision.scheduler import _Thread
from actors.supervision.watch import Event, GaveUp
from tests.unit.actors.supervision.model import TOLD, DisagreementError, Model
from tests.unit.actors.supervision.model_parts import Entry, Script
from tests.unit.actors.supervision.schedules import Case

WAIT = 20.0


class Player(SupervisedActor):
    """Does wrong what its name's script says, and says what it is at."""

    def __init__(self, seat: Seat, stage: Stage) -> None:
        self._stage = stage
        stage.players.append(self)
        self._since: float | None = None
        self._was_busy = False
        super().__init__(seat)

    @property
    def busy_since(self) -> float | None:  # seen by whoever waits for it to come back
        return self._since

    @busy_since.setter
    def busy_since(self, since: float | None) -> None:
        self._since = since
        if since is None and self._was_busy:
            self._was_busy = False
            self._say("back")

    def on_start(self) -> None:
        self._say("begins")
        script = self._stage.script(self.seat.name)
        if script.failing_starts:
            script.failing_starts -= 1
            raise ValueError("it does not start")
        seconds, script.slow_start = script.slow_start, 0.0
        self._stage.pause(seconds)

    def on_receive(self, message: tuple[Any, ...]) -> None:
        self._say("takes")
        match message:
            case ("crash",):
                raise ValueError("it crashes")
            case ("end",):
                self.stop()
            case ("busy", seconds):
                self._was_busy = True
                self._stage.pause(seconds)

    def on_stop(self) -> None:
        self._say("ends")
        script = self._stage.script(self.seat.name)
        seconds, script.slow_stop = script.slow_stop, 0.0
        if script.failing_stop:
            script.failing_stop = False
            raise ValueError("it does not stop")
        self._stage.pause(seconds)

    def _say(self, kind: str) -> None:
        if self.seat.is_current:
            self._stage.see((kind, self.seat.name, self.seat.generation))


class Stage:
    """A supervisor whose answers nobody waits for, and everything that was seen of it."""

    def __init__(self, case: Case, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.seen: queue.SimpleQueue[tuple[float, Entry]] = queue.SimpleQueue()
        self.asked: list[Future[Any]] = []
        self.players: list[Player] = []
        self.scripts: dict[str, Script] = {}
        self.directory = Directory()
        self.spec = SupervisorSpec.model_validate(self._whole(case.tree))
        self.supervisor = Supervisor(
            self.spec, self.directory, self._hear_report, max_retired=1_000_000, scheduler=scheduler
        )
        self.supervisor.watch(self._hear)

    def child(self, options: dict[str, Any]) -> ChildSpec:
        return ChildSpec.model_validate(self._whole(options))

    def script(self, name: str) -> Script:
        return self.scripts.setdefault(name, Script())

    def see(self, entry: Entry) -> None:
        self.seen.put((self.scheduler.now(), entry))

    def pause(self, seconds: float) -> None:
        raise NotImplementedError

    def settle(self, model: Model) -> None:
        """All that can happen at once has happened; both saw the same."""
        raise NotImplementedError

    def pass_time(self, model: Model, seconds: float) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Pykka knows none of its actors, not even those that never end."""
        for player in self.players:
            ActorRegistry.unregister(player.actor_ref)

    def ask(self, question: Callable[[], Any]) -> Future[Any]:
        """What is asked for, without waiting: the schedulers here only note who would."""
        future: Future[Any] = Future()
        before = len(self.asked)
        try:
            future.set_result(question())
        except CommandTimeoutError:
            return self.asked[before]
        except SupervisionError as error:
            future.set_exception(error)
        return future

    def statuses(self) -> list[tuple[str, str, str, int, int]]:
        return [
            (child.name, child.supervisor, child.state, child.generation, child.restarts)
            for child in self.supervisor.children()
        ]

    def _whole(self, options: dict[str, Any]) -> dict[str, Any]:
        if "children" in options:
            return options | {"children": [self._whole(child) for child in options["children"]]}
        return options | {"actor": lambda seat: Player(seat, self)}

    def _hear(self, event: Event) -> None:
        if isinstance(event, GaveUp):
            self.see(("gives up", event.name, 0))
        else:
            kind = {Started: "started", Stopped: "stopped", Retired: "retired"}.get(type(event), "died")
            self.see((kind, event.name, event.generation))

    def _hear_report(self, report: Report) -> None:
        self.see((report.context, f"{report.supervisor}/{report.offender}", report.restarts))


class _Unwaiting(Rehearsal):
    asked: list[Future[Any]]

    def wait(self, future: Future[Any], timeout: float | None) -> None:
        self.asked.append(future)


class RehearsedStage(Stage):
    """Without threads: virtual time passes by itself."""

    def __init__(self, case: Case) -> None:
        self.rehearsal = _Unwaiting(case.seed)
        super().__init__(case, self.rehearsal)
        self.rehearsal.asked = self.asked

    def pause(self, seconds: float) -> None:
        if seconds:
            self.rehearsal.take_time(seconds)

    def settle(self, model: Model) -> None:
        self.pass_time(model, 0.0)

    def pass_time(self, model: Model, seconds: float) -> None:
        self.rehearsal.run(seconds)
        for at, entry in drained(self.seen):
            go_on_to(model, at)
            accept(model, at, entry)
        go_on_to(model, self.rehearsal.now())
        be_quiet(model)
        model.now = self.rehearsal.now()


class ThreadedStage(Stage):
    """With threads, and a clock that is moved by hand: nothing depends on how long anything takes."""

    def __init__(self, case: Case) -> None:
        self._now = 0.0
        self._moved = threading.Condition()
        self._is_over = False
        threads = _UnwaitingThreads(lambda: self._now)
        super().__init__(case, threads)
        self.threads = threads
        threads.asked = self.asked

    def pause(self, seconds: float) -> None:
        until = self._now + seconds
        with self._moved:
            assert self._moved.wait_for(lambda: self._is_over or self._now >= until, WAIT)

    def settle(self, model: Model) -> None:
        self._poke(model)
        while model.expected or model.offers():
            try:
                at, entry = self.seen.get(timeout=WAIT)
            except queue.Empty:
                be_quiet(model)
            else:
                accept(model, at, entry)
        # A second time: the first answer may have come in the turn in which the last thing was seen.
        self._poke(model)
        self._poke(model)
        for at, entry in drained(self.seen):
            accept(model, at, entry)
        if model.root.mode == "ended":
            self.threads.join(self.supervisor.name)

    def pass_time(self, model: Model, seconds: float) -> None:
        horizon = self._now + seconds
        while (at := model.next_moment()) <= horizon:
            self._set_clock(at)
            model.go_to(at)
            self.settle(model)
        self._set_clock(horizon)
        model.now = horizon
        self.settle(model)

    def end(self) -> None:
        with self._moved:
            self._is_over = True
            self._moved.notify_all()
        self.ask(lambda: self.supervisor.stop(0))
        self.threads.join()
        super().end()

    def _set_clock(self, at: float) -> None:
        with self._moved:
            self._now = at
            self._moved.notify_all()

    def _poke(self, model: Model) -> None:
        """The supervisor looks at its clock."""
        if model.root.mode not in {"new", "ended"}:
            self.ask(lambda: self.supervisor.reread(self.spec, 0)).exception(WAIT)


class _UnwaitingThreads(Threads):
    asked: list[Future[Any]]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, pause_seconds=0)
        self._begun: list[tuple[str, threading.Thread]] = []

    def begin(self, name: str, task: Task) -> _Thread:
        handle = super().begin(name, task)
        self._begun.append((name, handle._thread))
        return handle

    def wait(self, future: Future[Any], timeout: float | None) -> None:
        self.asked.append(future)

    def join(self, supervisor: str | None = None) -> None:
        """Wait for all threads, or the supervisor's alone."""
        for name, thread in self._begun:
            if supervisor is None or name == f"supervisor-{supervisor}":
                thread.join(WAIT)
                assert not thread.is_alive(), name


def accept(model: Model, at: float, entry: Entry) -> None:
    """The model goes along with what was seen; first the supervisor does all that follows from the last thing."""
    if model.now != at:
        raise DisagreementError(f"{entry} at {at}: it is {model.now}")
    if entry[0] in TOLD or not model.expected:
        if entry not in model.offers():
            raise DisagreementError(f"{entry} at {at}: there may be {model.offers()}, {list(model.expected)}")
        model.take(entry)
    elif model.expected.popleft() != entry:
        raise DisagreementError(f"{entry} at {at}: something else was due, then {list(model.expected)}")


def go_on_to(model: Model, horizon: float) -> None:
    """The model's clock goes on as long as nothing is to be seen."""
    while (at := model.next_moment()) <= horizon and not model.expected and not model.offers():
        model.go_to(at)


def be_quiet(model: Model) -> None:
    if model.expected or model.offers():
        raise DisagreementError(f"at {model.now} there was no {list(model.expected)}, {model.offers()}")


def drained(seen: queue.SimpleQueue[tuple[float, Entry]]) -> Iterator[tuple[float, Entry]]:
    while not seen.empty():
        yield seen.get_nowait()
