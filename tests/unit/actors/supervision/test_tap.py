"""Listening to what is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest

from actors.supervision import Directory, Sent

WAIT = 10.0


@dataclass(frozen=True)
class Halt:
    CONTROL: ClassVar[bool] = True


def test_a_tap_hears_who_told_whom_what_until_it_is_ended() -> None:
    directory, heard = Directory(), []
    directory.declare("it")
    directory.tell("it", "before")
    end = directory.trace(heard.append)
    directory.tell("it", "work", sender="she")
    directory.tell("it", Halt())
    directory.offer("it", "urged")
    directory.tell("nobody", "lost")
    with pytest.raises(pykka.Timeout):
        directory.ask("it", "asked", 0.0, sender="he")
    end()
    end()
    directory.tell("it", "after")
    assert heard == [
        Sent("it", "work", "she", control=False),
        Sent("it", Halt(), None, control=True),
        Sent("it", "urged", None, control=False),
        Sent("nobody", "lost", None, control=False),
        Sent("it", "asked", "he", control=False),
    ]


def test_a_message_is_heard_of_before_anybody_can_handle_it() -> None:
    directory, waiting = Directory(), []
    directory.declare("it")
    directory.trace(lambda _: waiting.append(directory.waiting("it").total))
    directory.tell("it", 1)
    directory.tell("it", 2)
    assert waiting == [0, 1]


def test_what_an_actor_tells_is_heard_of_with_its_name(house) -> None:
    supervisor = house.supervise(house.child("a"), house.child("b"))
    supervisor.start()
    heard = []
    done = threading.Event()

    def answer(_) -> None:
        done.set()

    def passing_on(actor) -> None:
        actor.tell("b", answer)

    end = house.directory.trace(heard.append)
    house.directory.tell("a", passing_on)
    assert done.wait(WAIT)
    end()
    assert [(each.sender, each.receiver, each.message) for each in heard] == [
        (None, "a", passing_on),
        ("a", "b", answer),
    ]


def test_a_message_that_is_refused_is_not_heard_of() -> None:
    directory, heard = Directory(), []
    directory.declare("it", bound=1)
    directory.tell("it", "fills it")
    directory.trace(heard.append)
    with pytest.raises(Exception, match="no room"):
        directory.offer("it", "refused")
    assert heard == []


def test_a_tap_that_raises_is_ended_and_harms_neither_the_sender_nor_the_other_taps(caplog) -> None:
    directory, heard, met = Directory(), [], []
    inbox = directory.declare("it")

    def broken(sent: Sent) -> None:
        met.append(sent.message)
        raise RuntimeError("broken tap")

    end = directory.trace(broken)
    directory.trace(lambda sent: heard.append(sent.message))
    directory.tell("it", 1)
    directory.tell("it", 2)
    end()
    assert (met, heard) == ([1], [1, 2])
    assert inbox.take(inbox.attach(), 9) == [1, 2]
    assert "broken tap" in caplog.text
