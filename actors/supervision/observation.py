"""What can be seen of a tree: from any thread, also while its supervisor, or any actor, is busy or hangs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.supervision.actor import SupervisedActor
from actors.supervision.actor_body import ActorBody
from actors.supervision.child import Child, ChildStatus, State
from actors.supervision.errors import UnknownChildError
from actors.supervision.group import Group
from actors.supervision.intensity import restarts_within
from actors.supervision.lanes import Depths
from actors.supervision.spec import Restart, Strategy
from actors.supervision.watch import Watcher

if TYPE_CHECKING:
    from actors.supervision.common import Common
    from actors.supervision.scheduler import Handle

_NO_POLICY: Final = frozenset({"name", "actor", "arguments", "children"})
_NOTHING: Final = Depths(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class SupervisorStatus:
    """One supervisor at this moment, with all that stands below it.

    The root has no supervisor that would restart it: it is ``stopped`` before its start and after a stop, and
    ``failed`` once it has given up and all is stopped.
    """

    name: str
    state: State
    strategy: Strategy
    restart: Restart
    generation: int
    restarts: int
    """of the supervisor itself"""
    restarts_used: int
    """how many of its children's restarts count now: more than ``max_restarts``, and it gives up"""
    max_restarts: int
    within_seconds: float
    retired: int
    """threads of the whole tree that were left behind, and are alive; told at the root, 0 elsewhere"""
    max_retired: int
    children: tuple[SupervisorStatus | ChildStatus, ...]
    """in the order of their start"""


@dataclass(frozen=True, slots=True)
class ChildDescription:
    """All that is known of one child without asking it: an actor, or a supervisor below the root."""

    status: ChildStatus
    policy: Mapping[str, Any]
    """its specification as it stands, by field: how it is restarted, stopped, and so on; not what it is made of"""
    depths: Depths
    """of its inbox; of a supervisor all 0"""
    actor_class: type[SupervisedActor] | None
    """that of the actor which is there, else the one it will have; None of a supervisor, and as long as only what its
    specification calls knows"""
    actor: SupervisedActor | None
    """the actor which serves the name now. It belongs to its own thread: another may read, from its attributes, what
    is a fact by itself, such as an immutable value; it may not call what changes it, nor look through a container"""


class Observation:
    """How a tree stands. Nothing here asks an actor, or the supervisor's thread."""

    def __init__(self, name: str, root: Group, common: Common) -> None:
        self.name = name
        self._root = root
        self._common = common
        self._handle: Handle | None = None
        """of the supervisor's own thread, once it has one"""

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """From now on the watcher is told what becomes of every child; the answer, when called, ends that."""
        self._common.watchers.append(watcher)

        def forget() -> None:
            with suppress(ValueError):
                self._common.watchers.remove(watcher)

        return forget

    def children(self) -> list[ChildStatus]:
        """How each child stands, each below its supervisor, in the order of their start."""
        return list(self._root.statuses())

    def tree(self) -> SupervisorStatus:
        """How every supervisor and every actor stands, each within its supervisor."""
        return self._status_of(self._root, None)

    def describe(self, name: str) -> ChildDescription:
        """All that is known of one child.

        Raises:
            UnknownChildError: no child goes by that name.
        """
        group, child = self._child(name)
        spec, body = child.spec, child.body
        actor = body.actor if isinstance(body, ActorBody) else None
        maker = type(actor) if actor is not None else getattr(spec, "actor", None)
        return ChildDescription(
            status=child.status(group.settings.name, self._common.clock()),
            policy=spec.model_dump(exclude=set(_NO_POLICY)),
            depths=body.depths if isinstance(body, ActorBody) else _NOTHING,
            actor_class=maker if isinstance(maker, type) and issubclass(maker, SupervisedActor) else None,
            actor=actor,
        )

    def stack(self, name: str) -> tuple[str, ...] | None:
        """Where the thread that serves the name stands, line by line, the innermost call last; None if there is none.

        Of the root it is the thread of the whole tree's supervisors; those below have none of their own.

        Raises:
            UnknownChildError: neither the root nor a child goes by that name.
        """
        handle = self._handle if name == self.name else _handle(self._child(name)[1])
        if handle is None or not handle.is_alive():
            # A thread that has ended may have left its identity to another.
            return None
        return tuple(handle.stack().splitlines()) or None

    def threads(self) -> dict[int, str]:
        """Which name each thread serves, by ``threading.get_ident``; the root's name for the supervisors' own."""
        owners = list(self._common.owners.items())
        handles = [(self.name, self._handle), *((name, _handle(child)) for name, (_, child) in owners)]
        idents = [(name, handle.ident) for name, handle in handles if handle is not None and handle.is_alive()]
        return {ident: name for name, ident in idents if ident is not None}

    def _status_of(self, group: Group, child: Child | None) -> SupervisorStatus:
        settings, common = group.settings, self._common
        return SupervisorStatus(
            name=settings.name,
            state=_state(group) if child is None else child.state,
            strategy=settings.strategy,
            restart=settings.restart,
            generation=0 if child is None else child.generation,
            restarts=0 if child is None else child.restarts,
            restarts_used=len(restarts_within(group.restart_times, common.clock(), settings.within_seconds)),
            max_restarts=settings.max_restarts,
            within_seconds=settings.within_seconds,
            retired=common.retired() if child is None else 0,
            max_retired=common.max_retired,
            children=tuple(self._below(group)),
        )

    def _below(self, group: Group) -> Iterator[SupervisorStatus | ChildStatus]:
        for child in list(group.children.values()):
            if isinstance(child.body, Group):
                yield self._status_of(child.body, child)
            else:
                yield child.status(group.settings.name, self._common.clock())

    def _child(self, name: str) -> tuple[Group, Child]:
        found = self._common.owners.get(name)
        if found is None:
            raise UnknownChildError(f"{self.name} has no child {name!r}")
        return found


def _handle(child: Child) -> Handle | None:
    return child.body.handle if isinstance(child.body, ActorBody) else None


def _state(root: Group) -> State:
    mode = root.mode
    if mode == "new":
        return "stopped"
    if mode == "ended":
        return "stopped" if root.failure is None else "failed"
    return mode
