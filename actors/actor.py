"""KoraActor: a supervised actor with typed dispatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from actors.messages import Describe
from actors.supervision import SupervisedActor
from kora.errors import KoraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.supervision import Seat

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class UnknownMessageError(KoraError):
    """An actor was sent a kind of message that it does not know: a programming error, so the actor dies of it."""


def handles(kind: type[object]) -> Callable[[_Handler], _Handler]:
    """Mark the method that handles messages of exactly this type."""

    def mark(method: _Handler) -> _Handler:
        method.handled_kind = kind  # type: ignore[attr-defined]  # read back by __init_subclass__
        return method

    return mark


class KoraActor(SupervisedActor):
    """An actor that dispatches by the message's type. An unknown message raises, and so restarts the actor.

    Subclasses say in their docstring what they receive, send and own, and what a restart does; and in `facts` what they
    have in mind. Every one answers `Describe` with that.
    """

    _handlers: ClassVar[dict[type[object], str]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Collect the methods marked with `handles`, the inherited ones included."""
        super().__init_subclass__(**kwargs)
        cls._handlers = {
            member.handled_kind: name
            for ancestor in reversed(cls.__mro__)
            for name, member in vars(ancestor).items()
            if hasattr(member, "handled_kind")
        }

    @classmethod
    def handled(cls) -> tuple[type[object], ...]:
        """The kinds of messages that it handles."""
        return tuple(cls._handlers)

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self._dispatch = {kind: getattr(self, name) for kind, name in self._handlers.items()}

    def facts(self) -> Mapping[str, object]:
        """What it has in mind, in JSON's own types. Cheap, and for any thread: a snapshot that may be torn."""
        return {}

    @handles(Describe)
    def _on_describe(self, _: Describe) -> Mapping[str, object]:
        return self.facts()

    def on_receive(self, message: object) -> object:
        """Hand the message to the method that handles its type. Raises `UnknownMessageError` if there is none."""
        handler = self._dispatch.get(type(message))
        if handler is None:
            text = f"{self.seat.name} does not know {type(message).__qualname__}"
            raise UnknownMessageError(text)
        return handler(message)
