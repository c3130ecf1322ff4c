"""An actor at its name, as its supervisor sees it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.supervision.actor import Seat, SupervisedActor
from actors.supervision.late import Text
from actors.supervision.messages import Stop
from actors.supervision.tenure import Tenure

if TYPE_CHECKING:
    from actors.supervision.common import Common
    from actors.supervision.lanes import Depths
    from actors.supervision.scheduler import Handle
    from actors.supervision.spec import ChildSpec

_logger = logging.getLogger("supervision")


class ActorBody:
    """The name's inbox, and whoever serves it at the time."""

    __slots__ = ("_common", "_inbox", "_spec", "_tenure")

    def __init__(self, spec: ChildSpec, common: Common) -> None:
        self._spec = spec
        self._common = common
        self._inbox = common.directory.declare(spec.name, bound=spec.inbox_bound, poison_after=spec.poison_after)
        self._tenure: Tenure | None = None

    def attach(self) -> int:
        """The next actor's generation; its predecessor is superseded."""
        return self._inbox.attach()

    def begin(self) -> None:
        """A new actor, which finds every message that was not handled."""
        generation, common = self._inbox.generation, self._common
        limit = common.scheduler.batch_limit
        seat = Seat(self._spec.name, self._inbox, generation, common.directory, common.post, common.clock, limit)
        self._tenure = Tenure(seat, self._spec)
        self._tenure.begin(common.scheduler)

    def ask_to_stop(self) -> None:
        """The actor ends after what it has in hand."""
        self._inbox.put(Stop(self._inbox.generation), control=True)

    def recover(self, detail: Text) -> None:
        """What the actor had in hand waits for its successor."""
        self._inbox.recover(detail)

    def retire(self) -> tuple[int, str]:
        """Its thread, which nobody can end, may neither take nor send any more; what it had in hand is kept."""
        tenure, self._tenure = self._tenure, None
        generation, stack = self._inbox.supersede(), ""
        if tenure is not None and (handle := tenure.abandon()) is not None:
            stack = handle.stack()
            self._common.leave_behind(self._spec.name, handle, stack)
            if tenure.actor is not None:
                try:
                    tenure.actor.on_retired()
                except Exception:
                    _logger.exception("on_retired of %s raised", self._spec.name)
        self._inbox.recover(stack)
        return generation, stack

    def withdraw(self) -> None:
        """Nobody will serve the name."""
        self._tenure = None
        self._common.directory.withdraw(self._spec.name)

    def adopt(self, spec: ChildSpec) -> None:
        """The inbox's limits hold at once, the rest from the next start."""
        self._spec = spec
        self._common.directory.declare(spec.name, bound=spec.inbox_bound, poison_after=spec.poison_after)

    @property
    def actor(self) -> SupervisedActor | None:
        """The actor that serves the name; None while there is none, or it is still being made."""
        tenure = self._tenure
        actor = None if tenure is None else tenure.actor
        return None if actor is None or actor.has_ended else actor

    @property
    def handle(self) -> Handle | None:
        """What runs it; None once that has ended."""
        tenure = self._tenure
        handle = None if tenure is None else tenure.handle
        return None if handle is None or not handle.is_alive() else handle

    @property
    def depths(self) -> Depths:
        """Of the inbox."""
        return self._inbox.depths

    @property
    def busy_since(self) -> float | None:
        """As the actor says."""
        actor = self.actor
        return None if actor is None else actor.busy_since

    @property
    def mailbox(self) -> int:
        """The length of both lanes."""
        return len(self._inbox)
