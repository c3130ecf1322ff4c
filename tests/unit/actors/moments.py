"""The moments at which something may befall an actor without a thread, and what that may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actors.names import STATE_HOLDER


class CrashError(Exception):
    """An actor dies here."""


class Moment(StrEnum):
    """Where an actor can be when it is struck."""

    BEFORE_MESSAGE = "before it handles a message"
    AFTER_MESSAGE = "after it has handled a message, of which its inbox does not know yet"
    BEFORE_WORD = "before it says a word"
    WITHIN_WORD = "when it was found to serve its name, and the word is not said yet"
    AFTER_WORD = "after it has said a word"
    BEFORE_STORE = "before it does something to the store"
    AFTER_STORE = "after the store has done it"


@dataclass
class Strike:
    """Something that befalls one actor, once."""

    deed: Callable[[Any, Any], None]
    """called with the world and the actor"""
    left: int
    """how many moments pass before it"""
    name: str | None = None
    """whose moments are counted; everybody's if None"""
    then: Strike | None = None
    """what befalls somebody after that"""

    def falls(self, name: str) -> bool:
        """Whether this moment is the one; it is counted."""
        if self.name not in {None, name}:
            return False
        self.left -= 1
        return self.left == -1


# --- what may befall it ---


def crash(_world, _actor):
    """It dies; its successor comes at once."""
    raise CrashError


def crash_and_be_missed(world, actor):
    """It dies; its successor comes late, and finds what was said meanwhile."""
    world.away.add(actor.seat.name)
    raise CrashError


def retire(world, actor):
    """It hangs and is replaced; when it wakes, its successor has done all that there was to do."""
    world.replace(actor)
    world.talk()


def retire_shortly(world, actor):
    """It hangs and is replaced, and wakes before anybody has done anything."""
    world.replace(actor)


def freeze(world, actor):
    """From here on it takes no message, until it is let."""
    world.away.add(actor.seat.name)


def leave_out(world, actor):
    """It has died too often, and has no successor; what it is told is lost, until somebody starts it again."""
    name = actor.seat.name
    world.away.add(name)
    world.left_out.add(name)
    raise CrashError


DEEDS = (crash, crash_and_be_missed, retire, retire_shortly, freeze)


def deeds_for(name, moment):
    """Everything that may befall this actor at such a moment."""
    if moment is Moment.WITHIN_WORD:
        # To die here is to die before the word.
        return (retire, retire_shortly)
    return (*DEEDS, leave_out) if name == STATE_HOLDER else DEEDS


# --- seeing the moments come ---


def watch(actor, come_to):
    """Have each word that the actor says, and each message that it handles, announced as moments."""
    receive, seat = actor.on_receive, actor.seat

    def on_receive(message):
        come_to(actor, Moment.BEFORE_MESSAGE)
        receive(message)
        come_to(actor, Moment.AFTER_MESSAGE)

    def tell(name, message, *, control=False):
        come_to(actor, Moment.BEFORE_WORD)
        seat.check()
        come_to(actor, Moment.WITHIN_WORD)
        seat.directory.tell(name, message, control=control)
        come_to(actor, Moment.AFTER_WORD)

    actor.on_receive, actor.tell = on_receive, tell


def watch_writer(actor, writer, come_to):
    """The writer, with the same for what it changes."""
    turn, next_incarnation = writer.turn, writer.next_incarnation

    def watched(change):
        def act(*args):
            come_to(actor, Moment.BEFORE_STORE)
            result = change(*args)
            come_to(actor, Moment.AFTER_STORE)
            return result

        return act

    writer.turn, writer.next_incarnation = watched(turn), watched(next_incarnation)
    return writer
