"""All supervisors of one tree, from the root's one thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from actors.supervision.child import LIVE
from actors.supervision.common import Common
from actors.supervision.difference import Change
from actors.supervision.errors import NotRunningError, UnknownChildError
from actors.supervision.group import Group, Verb
from actors.supervision.spec import AnySpec, SupervisorSpec
from actors.supervision.watch import Posted


class Tree:
    """The root and all below it: who hears what, and what is asked of whom. It waits for nothing."""

    def __init__(self, spec: SupervisorSpec, common: Common) -> None:
        self.root = Group(spec, common)
        self._name = spec.name
        self._common = common

    def hear(self, event: Posted) -> None:
        """What becomes of a child has its consequences; an event of one that was superseded has none."""
        if event.name not in self._common.owners:
            return
        group, child = self._common.owners[event.name]
        if event.generation == child.generation:
            self._common.tell_watchers(event)
            group.lifecycle.handle(child, event)

    def advance(self) -> None:
        """Do what is due, and what has become possible."""
        self._common.timers.fire()
        self._check_retired()
        self.root.advance()

    def command(self, verb: Verb, name: str, reply: Future[Any]) -> None:
        """One child is started, stopped, restarted or removed."""
        if name not in self._common.owners:
            raise UnknownChildError(f"{self._name} has no child {name!r}")
        group, child = self._common.owners[name]
        group.command(verb, child, reply)

    def add(self, spec: AnySpec, under: str, reply: Future[Any]) -> None:
        """A further child is started."""
        self._group(under).add(spec, reply)

    def part(self, changes: Sequence[Change], reply: Future[Any]) -> None:
        """Those that go are stopped, those that are made anew are restarted, the others hear what has changed."""
        if self.root.mode != "running":
            raise NotRunningError(f"{self._name} is not running")
        for change in changes:
            group = self._group(change.supervisor)
            if change.kind == "removed":
                group.leave(change.name)
            elif isinstance(change.spec, SupervisorSpec) and change.name == change.supervisor:
                group.adopt(change.spec)
                if change.name in self._common.owners:
                    self._common.owners[change.name][1].spec = change.spec
            elif change.kind != "added":
                group.renew(change.name, change.spec, restarted=change.kind == "restarted")
        self._when_settled(changes, reply)

    def welcome(self, spec: SupervisorSpec, added: Sequence[Change], reply: Future[Any]) -> None:
        """Those that come are started, and all stand in the specification's order."""
        for change in added:
            self._group(change.supervisor).welcome(change.spec)
        self._arrange(spec)
        self._when_settled(added, reply)

    def break_off(self, detail: str) -> None:
        """The thread itself has failed: every actor is left behind."""
        self.root.fail(self._name, "the supervisor itself failed", detail)
        self._common.overran += [child.name for child in self.root.statuses() if child.state in LIVE]
        self.root.retire()

    def _arrange(self, spec: SupervisorSpec) -> None:
        group = self._group(spec.name)
        order = dict.fromkeys(child.name for child in spec.children if child.name in group.children)
        # A new one: others may be reading the old. Who is not named comes last.
        group.children = {name: group.children[name] for name in order | dict.fromkeys(group.children)}
        for child in spec.children:
            if isinstance(child, SupervisorSpec):
                self._arrange(child)

    def _when_settled(self, changes: Sequence[Change], reply: Future[Any]) -> None:
        waiting = {change.supervisor for change in changes}
        if not waiting:
            reply.set_result(None)

        def settled(name: str) -> None:
            waiting.discard(name)
            if not waiting:
                reply.set_result(None)

        for name in list(waiting):
            self._group(name).when_settled(partial(settled, name))

    def _group(self, name: str) -> Group:
        if name == self._name:
            return self.root
        if name in self._common.owners:
            _, child = self._common.owners[name]
            if isinstance(child.body, Group):
                return child.body
        raise UnknownChildError(f"{self._name} has no supervisor {name!r}")

    def _check_retired(self) -> None:
        common = self._common
        if common.left_behind is not None and self.root.failure is None and common.has_too_many_left_behind():
            name, stack = common.left_behind
            self.root.fail(name, f"more than {common.max_retired} threads were left behind, the last of {name}", stack)
