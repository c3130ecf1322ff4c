"""One supervisor's children as a whole: started in order, stopped in reverse, restarted by a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Literal

from actors.supervision import plan
from actors.supervision.agenda import Agenda
from actors.supervision.child import Child, ChildStatus
from actors.supervision.common import Common
from actors.supervision.errors import GaveUpError, NameTakenError, NotRunningError, UnknownChildError
from actors.supervision.intensity import add_restart
from actors.supervision.late import Text
from actors.supervision.lifecycle import Lifecycle
from actors.supervision.report import Report
from actors.supervision.spec import AnySpec, SupervisorSpec
from actors.supervision.timers import Timer
from actors.supervision.watch import Died, Started, Stopped

Mode = Literal["new", "starting", "running", "stopping", "ended"]
Verb = Literal["start", "stop", "restart", "remove"]


class Group:
    """A supervisor without a thread: decides whom to start and whom to stop, and when to give up.

    Some children have to stop, and some have to start: ``advance``, called after whatever may have changed a child,
    does the next thing that this asks for. First those that have to stop, the last of them first, one after the other;
    then, once a backoff is over, those that have to start, in order. What happens meanwhile only changes who they are.

    To the supervisor above it is a child's ``Body``: it posts its start and its end as an actor does.
    """

    busy_since: float | None = None
    mailbox = 0

    def __init__(self, spec: SupervisorSpec, common: Common) -> None:
        self.mode: Mode = "new"
        self.failure: Report | None = None
        self.children: dict[str, Child] = {}
        self.settings = spec
        self._common = common
        self.lifecycle = Lifecycle(spec.name, common, self, spec.plain_errors)
        self._groups: dict[str, Group] = {}
        self._generation, self.restart_times = 0, list[float]()
        self._to_stop, self._to_start = Agenda(plan.stop_order), Agenda(plan.start_order)
        self._awaited: Child | None = None
        self._backoff = Timer(lambda: None)
        self._when_settled: list[Callable[[], None]] = []
        for child in spec.children:
            self._take_in(child)

    def attach(self) -> int:
        """The number of its next life."""
        self._generation += 1
        return self._generation

    def begin(self) -> None:
        """The children are started in order."""
        self.mode, self.failure, self.restart_times = "starting", None, []
        self.lifecycle.is_closing = False
        self._to_start.add(self.children, self.children)
        for child in self.children.values():
            child.is_new = True

    def ask_to_stop(self) -> None:
        """The children are stopped in reverse; none is started any more."""
        if self.mode in {"stopping", "ended"}:
            return
        self.mode = "stopping"
        self.lifecycle.is_closing = True
        self._backoff.at = None
        self._to_start.clear()
        self._to_stop.add(self.children, self.children)
        for child in list(self.children.values()):
            child.start_again = False
            if child.state == "restarting":
                self.lifecycle.rest(child, "stopped")

    def retire(self) -> tuple[int, str]:
        """Every actor below is left behind."""
        self.lifecycle.is_closing = True
        self.lifecycle.leave_behind(list(self.children.values()))
        self._to_start.clear()
        self._to_stop.clear()
        self._backoff.at = None
        self._generation += 1
        self.mode = "ended"
        self._tell_settled()
        return self._generation, ""

    def recover(self, detail: Text) -> None:
        """The children's inboxes have kept what there is to keep."""

    def withdraw(self) -> None:
        """What waits for the children are dead letters."""
        for child in self.children.values():
            child.body.withdraw()

    def adopt(self, spec: SupervisorSpec) -> None:
        """Its own settings are as this says; its children are left as they are."""
        self.settings = spec
        self.lifecycle.plain_errors = spec.plain_errors

    # --- from the outside ---

    def command(self, verb: Verb, child: Child, reply: Future[Any]) -> None:
        """One child is started, stopped, restarted or removed; refused once everything is being stopped."""
        if self.mode not in {"starting", "running"}:
            reply.set_exception(NotRunningError(f"{self.settings.name} is not running"))
        elif verb in {"start", "restart"} and child.is_leaving:
            reply.set_exception(UnknownChildError(f"{child.name!r} is being removed"))
        elif verb == "start":
            self.lifecycle.start(child, reply)
        elif verb == "restart":
            self.lifecycle.restart(child, reply)
        else:
            child.is_leaving |= verb == "remove"
            self._to_start.discard(child.name)
            self.lifecycle.stop(child, reply)

    def add(self, spec: AnySpec, reply: Future[Any]) -> None:
        """A further child, after all that there are, is started; if that fails it is none."""
        taken = [name for name in spec.names() if name in self._common.owners]
        if self.mode != "running":
            reply.set_exception(NotRunningError(f"{self.settings.name} is not running"))
        elif taken:
            reply.set_exception(NameTakenError(f"there is a child {taken[0]!r} already"))
        else:
            self.lifecycle.start(self._take_in(spec), reply)

    def leave(self, name: str) -> None:
        """The child is stopped, after those that start after it, and is none any more."""
        self.children[name].is_leaving = True
        self._to_start.discard(name)
        self._to_stop.add([name], self.children)

    def renew(self, name: str, spec: AnySpec, *, restarted: bool) -> None:
        """The child is as this says: at once what can be, all of it from its next start, which may be asked for now."""
        child = self.children[name]
        child.spec = spec
        child.body.adopt(spec)
        if child.state == "running":
            self._common.timers.set(child.timer, 0)  # how long a hang is may have changed
        if restarted and child.state not in {"stopped", "failed"}:
            self._to_stop.add([name], self.children)
            self._to_start.add([name], self.children)

    def welcome(self, spec: AnySpec) -> None:
        """A further child is started after those that have to start before it."""
        self._take_in(spec)
        self._to_start.add([spec.name], self.children)

    def when_settled(self, callback: Callable[[], None]) -> None:
        """Called once, when nobody has to stop or to start any more."""
        self._when_settled.append(callback)

    def spec(self) -> SupervisorSpec:
        """The specification as it stands, with the children that there are."""
        children = self.children.values()
        specs = tuple(each.body.spec() if isinstance(each.body, Group) else each.spec for each in children)
        return self.settings.model_copy(update={"children": specs})

    def statuses(self) -> Iterator[ChildStatus]:
        """How each child stands, and each of theirs; from any thread."""
        for child in list(self.children.values()):
            yield child.status(self.settings.name, self._common.clock())
            if isinstance(child.body, Group):
                yield from child.body.statuses()

    # --- for its lifecycle ---

    def fell(self, child: Child, reason: Text, detail: Text, *, abnormal: bool) -> None:
        """It, and by the strategy others, are restarted; or it rests; or the supervisor gives up."""
        if child.is_new and abnormal:
            self._did_not_start(child, reason, detail)
        elif self._common.has_too_many_left_behind():
            # The root gives up for it in this very turn.
            self.lifecycle.rest(child, "failed")
        elif not plan.is_restarted(child.spec.restart, abnormal=abnormal):
            self.lifecycle.rest(child, "failed" if abnormal else "stopped")
        elif self._is_too_much():
            most, within = self.settings.max_restarts, self.settings.within_seconds
            why = f"more than {most} restarts within {within:g} s, the last for: {reason}"
            self._give_up(child, why, detail)
        else:
            self._restart(child)

    def is_wanted(self, child: Child) -> bool:
        """Whether it is only down until its turn to start comes."""
        return child.name in self._to_start

    def rested(self, child: Child) -> None:
        """It has neither to start nor to stop any more."""
        self._to_start.discard(child.name)
        self._to_stop.discard(child.name)
        if child.is_leaving:
            child.body.withdraw()
            del self.children[child.name]
            group = self._groups.pop(child.name, None)
            for name in (child.spec if group is None else group.spec()).names():
                self._common.owners.pop(name, None)

    def fail(self, offender: str, reason: Text, detail: Text, restarts: int = 0) -> None:
        """It gives up: everything is stopped."""
        if self.failure is None:
            self.failure = self._common.give_up(
                self.settings.name, offender, reason=reason, detail=detail, restarts=restarts
            )
        self.ask_to_stop()

    def advance(self) -> None:
        """Whoever has to stop or to start next does so, once the one before has got there."""
        self._go_on()
        # Only now: what has just been started or stopped may be one of them.
        for group in list(self._groups.values()):
            group.advance()

    def _go_on(self) -> None:
        while self._awaited is None or self._awaited.state not in {"starting", "stopping"}:
            if (name := self._to_stop.first()) is not None:
                self._stop_next(self.children[name])
            elif self._backoff.at is not None:
                return
            elif self.mode in {"starting", "running"} and (name := self._to_start.first()) is not None:
                self._start_next(self.children[name])
            else:
                self._settle()
                return

    def _take_in(self, spec: AnySpec) -> Child:
        group = Group(spec, self._common) if isinstance(spec, SupervisorSpec) else None
        child = self.children[spec.name] = self.lifecycle.take_in(spec, group)
        self._common.owners[spec.name] = self, child
        if group is not None:
            self._groups[spec.name] = group
        return child

    def _did_not_start(self, child: Child, reason: Text, detail: Text) -> None:
        if self.mode == "starting":
            self._give_up(child, f"{child.name} could not be started: {reason}", detail)
        else:
            # One that was added, and is none now.
            child.is_leaving = True
            self.lifecycle.rest(child, "failed")

    def _give_up(self, child: Child, why: str, detail: Text) -> None:
        # First, since from then on what is told to the child waits for what will become of the whole.
        self.fail(child.name, why, detail, child.restarts)
        self.lifecycle.rest(child, "failed")

    def _is_too_much(self) -> bool:
        self.restart_times, too_many = add_restart(
            self.restart_times,
            self._common.clock(),
            max_restarts=self.settings.max_restarts,
            within_seconds=self.settings.within_seconds,
        )
        return too_many

    def _restart(self, fallen: Child) -> None:
        names = plan.affected(self.settings.strategy, plan.start_order(list(self.children)), fallen.name)
        again = [name for name in names if name == fallen.name or self._comes_again(self.children[name])]
        for name in again:
            self.children[name].restarts += 1
            self.children[name].is_restart = True
        if self.settings.strategy == "one_for_one":
            self.lifecycle.launch_after_backoff(fallen)
            return
        fallen.state = "restarting"
        if fallen.failed_starts:
            self._common.timers.set(self._backoff, self.lifecycle.backoff(fallen))
        self._to_start.add(again, self.children)
        self._to_stop.add([name for name in names if self.children[name].is_live], self.children)

    def _comes_again(self, child: Child) -> bool:
        """Whether one that is stopped because another fell is started again: not if it was to be down anyway."""
        if child.spec.restart == "temporary" or child.name in self._to_start:
            return False
        return child.state in {"starting", "running"} or child.start_again

    def _stop_next(self, child: Child) -> None:
        self._to_stop.discard(child.name)
        self._awaited = child
        if child.state in {"starting", "running"}:
            self.lifecycle.ask_to_stop(child)
        elif child.state == "restarting" and self.is_wanted(child):
            # Its turn to start takes the place of its own backoff.
            child.timer.at = None
        elif child.state != "stopping" and (child.state == "restarting" or child.is_leaving):
            self.lifecycle.rest(child, "stopped")

    def _start_next(self, child: Child) -> None:
        self._awaited = child
        if child.state == "stopping":
            return
        self._to_start.discard(child.name)
        if child.state not in {"starting", "running"}:
            self.lifecycle.launch(child)

    def _settle(self) -> None:
        self._awaited = None
        failure, name, generation = self.failure, self.settings.name, self._generation
        if self.mode == "starting":
            self.mode = "running"
            self._common.post(Started(name, generation))
        elif self.mode == "stopping":
            self.mode = "ended"
            if failure is None:
                self._common.post(Stopped(name, generation))
            else:
                self._common.post(Died(name, generation, GaveUpError(failure), "children"))
        self._tell_settled()

    def _tell_settled(self) -> None:
        callbacks, self._when_settled = self._when_settled, []
        for callback in callbacks:
            callback()
