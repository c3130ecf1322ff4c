"""What a supervisor does, said a second time: no thread, no queue, no timer. It knows of the kit what a spec says.

The model is told what came about, entry by entry: it says which entries may come now (``offers``), takes one of them
(``take``), and says what the supervisor must do next because of it (``expected``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from actors.supervision import ChildSpec, SupervisorSpec
from tests.unit.actors.supervision.model_parts import Actor, Child, Entry, Reply, Script

TOLD = frozenset({"begins", "takes", "back", "ends"})
"""what actors themselves say they are at; all else is the supervisor's word"""


class DisagreementError(AssertionError):
    """The model and the supervisor are not of one mind."""


class Model:
    """A whole tree."""

    def __init__(self, spec: SupervisorSpec) -> None:
        self.now = 0.0
        self.expected: deque[Entry] = deque()
        self.scripts: dict[str, Script] = {}
        self.overran: list[str] = []
        self.generations: dict[str, int] = {}
        """of those who are children no more; who comes under the same name goes on from there"""
        self.starting: list[Reply] = []
        self.stopping: list[Reply] = []
        self.root = Group(self, spec)

    # --- what is asked ---

    def start(self) -> Reply:
        reply = Reply()
        self.starting.append(reply)
        self.root.begin()
        self.root.proceed()
        return reply

    def stop(self) -> Reply:
        reply = Reply()
        self.stopping.append(reply)
        self.root.close()
        self.root.proceed()
        self.conclude()
        return reply

    def command(self, verb: str, name: str) -> Reply:
        reply = Reply()
        place = self.find(name)
        if self.root.mode == "ended":
            reply.give("NotRunningError")
        elif place is None:
            reply.give("UnknownChildError")
        else:
            place[0].command(verb, place[1], reply)
        self.root.proceed()
        self.conclude()
        return reply

    def add(self, spec: ChildSpec, under: str) -> Reply:
        reply = Reply()
        group = self.root if under == self.root.name else None
        if group is None and (place := self.find(under)) is not None:
            group = place[1].group
        if self.root.mode == "ended":
            reply.give("NotRunningError")
        elif group is None:
            reply.give("UnknownChildError")
        elif group.mode != "running":
            reply.give("NotRunningError")
        elif self.find(spec.name) is not None:
            reply.give("NameTakenError")
        else:
            child = group.children[spec.name] = Child(spec, generation=self.generations.get(spec.name, 0))
            group.command("start", child, reply)
        self.root.proceed()
        return reply

    def tell(self, name: str, message: tuple[Any, ...]) -> None:
        """A message waits for the name; one at a time is enough."""
        place = self.find(name)
        if place is not None and place[1].is_open and place[1].group is None:
            place[1].mail.append(message)

    def may_tell(self, name: str) -> bool:
        place = self.find(name)
        return place is not None and place[1].group is None and not place[1].mail

    # --- what comes about ---

    def offers(self) -> set[Entry]:
        """What may be seen at this moment, and must be before the clock goes on."""
        offered: set[Entry] = set()
        for child in self.root.everybody():
            kinds: tuple[str, ...] = ()
            if child.actor is not None:
                kinds = child.actor.offers(has_mail=bool(child.mail))
            elif child.group is not None:
                kinds = tuple(child.group.posts[:1])
            offered.update((kind, child.name, child.generation) for kind in kinds)
        return offered

    def take(self, entry: Entry) -> None:
        kind, name, _ = entry
        place = self.find(name)
        assert place is not None
        group, child = place
        if kind in TOLD:
            assert child.actor is not None
            child.actor.go_on(kind, self.now, self.scripts.setdefault(name, Script()), child.mail)
            return
        speaker = child.actor if child.group is None else child.group
        assert speaker is not None
        speaker.posts.pop(0)
        group.hear(child, kind)
        self.root.proceed()
        self.conclude()

    def next_moment(self) -> float:
        """When something will come about by itself."""
        moments = [group.hold for group in self.root.groups()]
        for child in self.root.everybody():
            moments.append(child.due())
            if child.actor is not None:
                moments.append(child.actor.until)
        return min((moment for moment in moments if moment is not None), default=math.inf)

    def go_to(self, moment: float) -> None:
        """The clock says this much, and what is due is done."""
        self.now = moment
        for child in self.root.everybody():
            if child.actor is not None:
                child.actor.come_along(moment)
        for group in list(self.root.groups()):
            if group.hold is not None and group.hold <= moment:
                group.hold = None
        while (due := self._due()) is not None:
            group, child = due
            group.is_overdue(child)
        self.root.proceed()
        self.conclude()

    def conclude(self) -> None:
        if self.root.mode != "ended":
            return
        for reply in self.starting:
            reply.give("GaveUpError" if self.root.has_failed else "NotRunningError")
        for reply in self.stopping:
            reply.give(list(self.overran))
        for child in self.root.everybody():
            child.close()

    # --- helpers ---

    def find(self, name: str) -> tuple[Group, Child] | None:
        for group in self.root.groups():
            if name in group.children:
                return group, group.children[name]
        return None

    def statuses(self) -> list[tuple[str, str, str, int, int]]:
        return list(self.root.statuses())

    def _due(self) -> tuple[Group, Child] | None:
        due = [
            (moment, number, group, child)
            for number, (group, child) in enumerate(
                (group, child) for group in self.root.groups() for child in group.children.values()
            )
            if (moment := child.due()) is not None and moment <= self.now
        ]
        return min(due)[2:] if due else None


class Group:
    """One supervisor."""

    def __init__(self, model: Model, spec: SupervisorSpec) -> None:
        self.model = model
        self.name = spec.name
        self.spec = spec
        self.mode = "new"
        self.has_failed = False
        self.posts: list[str] = []
        self.hold: float | None = None
        """until when nobody is started, since a start failed"""
        self._restarted_at: list[float] = []
        self._must_stop: set[str] = set()
        self._must_start: set[str] = set()
        self._last: Child | None = None
        """who was stopped or started last: until that is done, nobody else is"""
        self.children: dict[str, Child] = {}
        for each in spec.children:
            group = Group(model, each) if isinstance(each, SupervisorSpec) else None
            self.children[each.name] = Child(each, group)

    def begin(self) -> None:
        self.mode, self.has_failed, self._restarted_at, self.posts = "starting", False, [], []
        self._must_start = set(self.children)
        for child in self.children.values():
            child.is_first_start = True

    def close(self) -> None:
        if self.mode in {"stopping", "ended"}:
            return
        self.mode, self.hold, self._must_start = "stopping", None, set()
        self._must_stop = set(self.children)
        for child in self.children.values():
            child.starts_again = False
            if child.state == "restarting":
                self._rest(child, "stopped")

    def abandon(self) -> None:
        """It and all below it are left behind."""
        self.mode, self.hold, self.posts = "ended", None, []
        for child in list(self.children.values()):
            if child.is_live:
                self._retire(child)
            if child.state != "failed":
                self._rest(child, "failed")
        self._must_start, self._must_stop = set(), set()

    # --- what is asked of one child ---

    def command(self, verb: str, child: Child, reply: Reply) -> None:
        if self.mode not in {"starting", "running"}:
            reply.give("NotRunningError")
        elif verb in {"stop", "remove"}:
            child.is_leaving |= verb == "remove"
            child.starts_again = False
            child.stop_replies.append(reply)
            self._must_start.discard(child.name)
            if child.state in {"running", "starting"}:
                self._stop(child)
            elif child.state != "stopping":
                self._rest(child, "stopped")
        elif child.is_leaving:
            reply.give("UnknownChildError")
        elif child.state == "running" and verb == "start":
            reply.give(None)
        else:
            child.start_replies.append(reply)
            self._start_by_command(verb, child)

    def _start_by_command(self, verb: str, child: Child) -> None:
        if child.state == "running" or (child.state == "starting" and verb == "restart"):
            child.starts_again = True
            self._stop(child)
        elif child.state == "stopping":
            child.starts_again = True
        elif child.state != "starting" and child.name not in self._must_start:
            self._launch(child)

    # --- what becomes of one child ---

    def hear(self, child: Child, kind: str) -> None:
        if kind == "started":
            if child.state == "starting":
                self._runs(child)
            return
        child.actor = None
        if child.state == "starting":
            self._did_not_start(child)
            return
        if kind == "died" or (child.state == "running" and child.spec.restart == "permanent"):
            self._report("child_terminated", child)
        self._is_down(child, abnormal=kind == "died")

    def is_overdue(self, child: Child) -> None:
        if child.state == "restarting":
            self._launch(child)
            return
        self._retire(child)
        if child.state == "starting":
            self._did_not_start(child)
            return
        if child.state == "stopping":
            self._report("shutdown_overrun", child)
            if self.mode == "stopping":
                self.model.overran.append(child.name)
            child.answer_stops(in_time=False)
        else:
            self._report("hung", child)
        self._is_down(child, abnormal=True)

    def _runs(self, child: Child) -> None:
        child.state, child.deadline, child.failures, child.is_first_start = "running", None, 0, False
        if child.owes_report:
            child.owes_report = False
            self._report("restarted", child)
        child.answer_starts(None)

    def _did_not_start(self, child: Child) -> None:
        self._report("start_failed", child)
        child.failures += 1
        child.answer_starts("ChildStartError")
        self._fell(child, abnormal=True)

    def _is_down(self, child: Child, *, abnormal: bool) -> None:
        if child.state != "stopping":
            self._fell(child, abnormal=abnormal)
            return
        child.deadline = None
        if child.name in self._must_start:
            # Its turn will come; whoever asked for a start waits for that.
            child.starts_again = False
            child.answer_stops(in_time=True)
            child.state = "restarting"
        elif child.starts_again:
            child.starts_again = False
            child.answer_stops(in_time=True)
            self._launch(child)
        else:
            self._rest(child, "stopped")

    def _fell(self, child: Child, *, abnormal: bool) -> None:
        child.deadline = None
        down = "failed" if abnormal else "stopped"
        comes_back = child.spec.restart == "permanent" or (child.spec.restart == "transient" and abnormal)
        if self.mode in {"stopping", "ended"}:
            self._rest(child, down)
        elif child.is_first_start and abnormal:
            if self.mode == "starting":
                self._give_up(child)
            else:
                child.is_leaving = True
                self._rest(child, "failed")
        elif not comes_back:
            self._rest(child, down)
        else:
            self._restarted_at.append(self.model.now)
            recent = [at for at in self._restarted_at if self.model.now - at <= self.spec.within_seconds]
            if len(recent) > self.spec.max_restarts:
                self._give_up(child)
            else:
                self._restart(child)

    def _restart(self, fallen: Child) -> None:
        neighbours = self._neighbours(fallen)
        again = [child for child in neighbours if child.name not in self._must_start and child.was_to_run]
        for child in [fallen, *again]:
            child.restarts += 1
            child.owes_report = True
        pause = fallen.backoff()
        if self.spec.strategy == "one_for_one":
            if pause is None:
                self._launch(fallen)
            else:
                fallen.state, fallen.deadline = "restarting", self.model.now + pause
            return
        fallen.state = "restarting"
        if pause is not None:
            self.hold = self.model.now + pause
        self._must_start.update(child.name for child in [fallen, *again])
        self._must_stop.update(child.name for child in neighbours if child.is_live)

    def _neighbours(self, fallen: Child) -> list[Child]:
        """Who goes down with it."""
        children = list(self.children.values())
        if self.spec.strategy == "one_for_one":
            return []
        if self.spec.strategy == "rest_for_one":
            children = children[children.index(fallen) :]
        return [child for child in children if child is not fallen]

    def _give_up(self, child: Child) -> None:
        self.has_failed = True
        self._report("gave_up", child)
        self.model.expected.append(("gives up", self.name, 0))
        # Down it is; what is told to it waits for what will become of the whole.
        self.close()
        self._rest(child, "failed")

    # --- the single things ---

    def _launch(self, child: Child) -> None:
        wait = child.spec.start_seconds
        child.state = "starting"
        child.deadline = None if wait is None else self.model.now + wait
        child.generation += 1
        if child.name in self.model.overran:
            self.model.overran.remove(child.name)
        if child.group is None:
            child.is_open, child.actor = True, Actor()
        else:
            child.group.begin()

    def _stop(self, child: Child) -> None:
        wait = child.spec.shutdown_seconds
        child.state, child.deadline = "stopping", None
        if wait == "brutal":
            self._retire(child)
            self._is_down(child, abnormal=False)
            return
        if wait != "infinity":
            child.deadline = self.model.now + wait
        if child.group is not None:
            child.group.close()
        elif child.actor is not None:
            child.actor.is_asked_to_stop = True

    def _retire(self, child: Child) -> None:
        generation, child.generation, child.deadline, child.actor = child.generation, child.generation + 1, None, None
        if child.group is not None:
            child.group.abandon()
        self.model.expected.append(("retired", child.name, generation))

    def _rest(self, child: Child, state: str) -> None:
        child.rest(state)
        if self.mode not in {"stopping", "ended"}:
            child.close()
        self._must_start.discard(child.name)
        self._must_stop.discard(child.name)
        if child.is_leaving:
            self.model.generations[child.name] = child.generation
            del self.children[child.name]

    def _report(self, context: str, child: Child) -> None:
        self.model.expected.append((context, f"{self.name}/{child.name}", child.restarts))

    # --- whose turn it is ---

    def proceed(self) -> None:
        """Whoever has to stop does, the last first; then, unless held, whoever has to start, the first first."""
        while self._last is None or self._last.state not in {"starting", "stopping"}:
            order = list(self.children.values())
            to_stop = [child for child in order if child.name in self._must_stop]
            to_start = [child for child in order if child.name in self._must_start]
            if to_stop:
                self._last = to_stop[-1]
                self._must_stop.discard(self._last.name)
                if self._last.state in {"starting", "running"}:
                    self._stop(self._last)
            elif self.hold is not None:
                break
            elif to_start:
                self._start_next(to_start[0])
            else:
                self._settle()
                break
        for group in [child.group for child in self.children.values() if child.group is not None]:
            group.proceed()

    def _start_next(self, child: Child) -> None:
        self._last = child
        if child.state == "stopping":
            return
        self._must_start.discard(child.name)
        if child.state not in {"starting", "running"}:
            self._launch(child)

    def _settle(self) -> None:
        self._last = None
        if self.mode == "starting":
            self.mode = "running"
            self.posts.append("started")
            if self is self.model.root:
                for reply in self.model.starting:
                    reply.give(None)
        elif self.mode == "stopping":
            self.mode = "ended"
            self.posts.append("died" if self.has_failed else "stopped")

    # --- all there are ---

    def groups(self) -> Iterator[Group]:
        yield self
        for child in self.children.values():
            if child.group is not None:
                yield from child.group.groups()

    def everybody(self) -> Iterator[Child]:
        for group in self.groups():
            yield from group.children.values()

    def statuses(self) -> Iterator[tuple[str, str, str, int, int]]:
        for child in self.children.values():
            yield child.name, self.name, child.state, child.generation, child.restarts
            if child.group is not None:
                yield from child.group.statuses()
