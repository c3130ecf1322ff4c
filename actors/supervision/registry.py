"""Pykka's register of actors, left quickly."""

from __future__ import annotations

from typing import Any, Final

from pykka import ActorRef, ActorRegistry

_LATEST: Final = 64


def unregister(ref: ActorRef[Any]) -> None:
    """Pykka knows the actor no more.

    Its register is a list, which it searches from the front, twice. A supervisor stops the latest first, so that
    thousands of actors would take it time by their square: hence this looks at the end before it asks Pykka.
    """
    with ActorRegistry._actor_refs_lock:  # noqa: SLF001  # there is no other way to say where to look
        refs = ActorRegistry._actor_refs  # noqa: SLF001  # the same
        for place in range(len(refs) - 1, max(-1, len(refs) - 1 - _LATEST), -1):
            if refs[place] is ref:
                del refs[place]
                return
    ActorRegistry.unregister(ref)
