"""The time that one actor serves its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pykka import ActorRegistry

from actors.supervision.actor import Seat, SupervisedActor
from actors.supervision.errors import SupervisionError
from actors.supervision.registry import unregister
from actors.supervision.watch import Died, Phase

if TYPE_CHECKING:
    from actors.supervision.scheduler import Handle, Scheduler
    from actors.supervision.spec import ChildSpec


class Tenure:
    """One actor's time in its seat, from its making to its end: a task of its own.

    The watcher is told of the end, whatever the making, the actor or its loop do.
    """

    __slots__ = ("_phase", "_seat", "_spec", "actor", "handle")

    def __init__(self, seat: Seat, spec: ChildSpec) -> None:
        self.actor: SupervisedActor | None = None
        self._seat = seat
        self._spec = spec
        self._phase: Phase = "factory"
        self.handle: Handle | None = None

    def begin(self, scheduler: Scheduler) -> None:
        """It runs.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        self.handle = scheduler.begin(f"{self._seat.name}-{self._seat.generation}", self)

    def abandon(self) -> Handle | None:
        """Pykka no longer knows the actor, whose thread nobody can end: nobody is made to wait for it."""
        actor = self.actor
        if actor is not None:
            unregister(actor.actor_ref)
            actor.actor_stopped.set()
        return self.handle

    def life(self) -> Iterator[bool]:
        """Everything from the actor's making to its end."""
        try:
            yield from self._serve()
        except BaseException as error:  # noqa: BLE001  # in a thread of its own nobody else would see it
            self._seat.watcher(Died(self._seat.name, self._seat.generation, error, self._phase))

    def is_ready(self) -> bool:
        """Whether the actor is yet to be made, has something in its inbox, or has lost its name."""
        actor = self.actor
        return actor is None or not actor.seat.is_current or actor.has_mail

    def due_at(self) -> float | None:
        """When the actor wants to wake."""
        return None if self.actor is None else self.actor.wake_at

    def _serve(self) -> Iterator[bool]:
        seat = self._seat
        # Before as well: one that overran its time must not let two actors begin.
        seat.check()
        actor = self._spec.actor(seat, **self._spec.arguments)
        if not isinstance(actor, SupervisedActor):
            raise TypeError(f"no SupervisedActor was made, but {type(actor).__name__}")
        self._phase = "loop"
        self.actor = actor
        ActorRegistry.register(actor.actor_ref)
        yield from actor.life()
        if not actor.has_ended:
            raise SupervisionError("the actor's life ended without a word")
