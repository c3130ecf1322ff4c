"""The thread in which one actor serves its name."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import TypeAlias

from pykka import ActorRegistry

from actors.supervision.actor import Seat, SupervisedActor
from actors.supervision.errors import SupervisionError
from actors.supervision.watch import Died, Phase

Factory: TypeAlias = Callable[[Seat], SupervisedActor]


class Tenure:
    """One actor's time in its seat, from the factory to its end, in a daemon thread of its own.

    The watcher is told of the end, whatever the factory, the actor or its loop do.
    """

    def __init__(self, seat: Seat, factory: Factory) -> None:
        self.actor: SupervisedActor | None = None
        self._seat = seat
        self._factory = factory
        self._phase: Phase = "factory"

    def begin(self) -> None:
        """The thread runs.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        threading.Thread(target=self._run, name=f"{self._seat.name}-{self._seat.generation}", daemon=True).start()

    def abandon(self) -> None:
        """Pykka no longer knows the actor, whose thread nobody can end: nobody is made to wait for it."""
        actor = self.actor
        if actor is not None:
            ActorRegistry.unregister(actor.actor_ref)
            actor.actor_stopped.set()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001  # in a thread of its own nobody else would see it
            text = traceback.format_exc()
            self._seat.watcher(Died(self._seat.name, self._seat.generation, error, text, self._phase))

    def _serve(self) -> None:
        actor = self._factory(self._seat)
        if not isinstance(actor, SupervisedActor):
            raise TypeError(f"the factory returned no SupervisedActor but {type(actor).__name__}")
        self._phase = "loop"
        self.actor = actor
        ActorRegistry.register(actor.actor_ref)
        actor._actor_loop()  # noqa: SLF001  # what Pykka's own thread would run
        if not actor.has_ended:
            raise SupervisionError("the actor's thread ended without a word")
