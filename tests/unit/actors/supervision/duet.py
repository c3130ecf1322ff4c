"""A schedule that the real supervisor and the model play side by side, compared at every rest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tests.unit.actors.supervision.model import DisagreementError, Model
from tests.unit.actors.supervision.model_parts import Reply, Script
from tests.unit.actors.supervision.schedules import Case, Step
from tests.unit.actors.supervision.stage import RehearsedStage, Stage, ThreadedStage

A_LONG_TIME = 20.0


class Duet:
    """A schedule's steps, done to both."""

    def __init__(self, case: Case, stage: Stage) -> None:
        self.case = case
        self.stage = stage
        self.model = Model(stage.spec)
        self.replies: list[tuple[Step, Reply, Future[Any]]] = []
        self.slow = 0

    def play(self) -> None:
        try:
            for step in self.case.before:
                self.do(step)
            self.both(("start all",), self.model.start, lambda: self.stage.supervisor.start(0))
            self.compare()
            for step in self.case.steps:
                self.do(step)
                self.compare()
            self.both(("stop all",), self.model.stop, lambda: self.stage.supervisor.stop(0))
            self.compare()
            self.do(("pass", A_LONG_TIME))
            self.compare()
            self.do(("restart", "a"))
            self.compare()
        finally:
            self.stage.end()

    def do(self, step: Step) -> None:
        model, supervisor = self.model, self.stage.supervisor
        match step:
            case ("crash", names):
                for name in names:
                    self.tell(name, ("crash",))
            case ("end", name):
                self.tell(name, ("end",))
            case ("busy", name, seconds):
                self.tell(name, ("busy", self.unlike_any(seconds)))
            case ("pass", seconds):
                self.stage.pass_time(model, seconds)
            case ("add", under, options):
                spec = self.stage.child(options)
                self.both(step, lambda: model.add(spec, under), lambda: supervisor.add_child(spec, under, 0))
            case ("start" | "stop" | "restart" | "remove" as verb, name):
                real = getattr(supervisor, f"{verb}_child")
                self.both(step, lambda: model.command(verb, name), lambda: real(name, 0))
            case _:
                self.spoil(step)

    def spoil(self, step: Step) -> None:
        kind, name, *rest = step
        seconds = self.unlike_any(rest[0]) if rest else 0.0
        for script in (self.stage.script(name), self.model.scripts.setdefault(name, Script())):
            match kind:
                case "fail starts":
                    script.failing_starts = rest[0]
                case "slow start":
                    script.slow_start = seconds
                case "slow stop":
                    script.slow_stop = seconds
                case "fail stop":
                    script.failing_stop = True

    def unlike_any(self, seconds: float) -> float:
        """So that nobody comes back at the very moment when patience is over."""
        self.slow += 1
        return seconds + self.slow / 2**30

    def tell(self, name: str, message: tuple[Any, ...]) -> None:
        if self.model.may_tell(name):
            self.model.tell(name, message)
            self.stage.directory.tell(name, message)

    def both(self, step: Step, imagine: Callable[[], Reply], act: Callable[[], Any]) -> None:
        self.replies.append((step, imagine(), self.stage.ask(act)))

    def compare(self) -> None:
        self.stage.settle(self.model)
        if self.stage.statuses() != self.model.statuses():
            raise DisagreementError(f"they stand\n{self.stage.statuses()}, not\n{self.model.statuses()}")
        for step, imagined, real in self.replies:
            if outcome(real) != (imagined.value if imagined.is_given else "nothing yet"):
                raise DisagreementError(f"{step} was answered {outcome(real)}, not {imagined}")


def outcome(future: Future[Any]) -> object:
    if not future.done():
        return "nothing yet"
    error = future.exception()
    return future.result() if error is None else type(error).__name__


def play_rehearsed(case: Case) -> None:
    """Both agree, or `DisagreementError` says where they do not."""
    Duet(case, RehearsedStage(case)).play()


def play_threaded(case: Case) -> None:
    """The same with threads."""
    Duet(case, ThreadedStage(case)).play()
