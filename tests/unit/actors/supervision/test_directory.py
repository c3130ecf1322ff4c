from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest

from actors.supervision import Directory, InboxFullError

LOGGER = "supervision"
WAIT = 10.0


@dataclass(frozen=True)
class Halt:
    CONTROL: ClassVar[bool] = True


def test_declaring_a_name_twice_gives_the_same_inbox() -> None:
    directory = Directory()
    inbox = directory.declare("it", bound=5)
    assert directory.declare("it") is inbox
    assert inbox.bound == 5
    assert directory.names() == ["it"]


def test_a_message_to_an_undeclared_name_is_a_dead_letter_with_one_debug_line(caplog) -> None:
    directory = Directory()
    with caplog.at_level(logging.DEBUG, LOGGER):
        directory.tell("nobody", "hello")
    (letter,) = directory.dead_letters
    assert (letter.name, letter.message, letter.reason) == ("nobody", "hello", "undeclared")
    assert [(record.levelname, record.name) for record in caplog.records] == [("DEBUG", LOGGER)]
    assert "hello" not in caplog.text


def test_a_declared_name_that_nobody_serves_keeps_its_messages() -> None:
    directory = Directory()
    inbox = directory.declare("it")
    directory.tell("it", "early")
    assert inbox.take(inbox.attach(), 10) == ["early"]
    assert directory.dead_letters.total == 0


def test_a_withdrawn_name_has_its_messages_among_the_dead_letters() -> None:
    directory = Directory()
    directory.declare("it")
    directory.withdraw("it")
    directory.withdraw("never declared")
    directory.tell("it", "late")
    assert [letter.reason for letter in directory.dead_letters] == ["withdrawn"]


def test_the_class_of_a_message_or_the_call_puts_it_into_the_control_lane() -> None:
    directory = Directory()
    inbox = directory.declare("it")
    directory.tell("it", "work")
    directory.tell("it", Halt())
    directory.tell("it", "urgent", control=True)
    assert inbox.take(inbox.attach(), 10) == [Halt(), "urgent", "work"]


def test_ask_obeys_its_timeout_when_nobody_serves_the_name() -> None:
    directory = Directory()
    directory.declare("it", bound=1)
    with pytest.raises(pykka.Timeout):
        directory.ask("it", "question", timeout=0.001)
    with pytest.raises(InboxFullError):
        directory.ask("it", "question", timeout=0.001)


def test_who_may_wait_for_room_waits_until_there_is_some_and_is_refused_when_there_is_none() -> None:
    directory = Directory()
    inbox = directory.declare("it", bound=2)
    mine = inbox.attach()
    directory.offer("it", 1)
    directory.offer("it", 2)
    directory.offer("it", Halt())
    for timeout in (0.0, 0.001):
        with pytest.raises(InboxFullError, match="2 messages wait"):
            directory.offer("it", "refused", timeout)
    offered = threading.Thread(target=directory.offer, args=("it", 3, WAIT))
    offered.start()
    heard: list[object] = []
    while len(heard) < 4:
        heard += inbox.take(mine, 1, WAIT)
    offered.join(WAIT)
    assert heard == [Halt(), 1, 2, 3]
    assert directory.dead_letters.total == 0


def test_many_who_offer_at_once_never_overfill_an_inbox_nor_lose_a_message() -> None:
    directory = Directory()
    inbox = directory.declare("it", bound=3)
    mine = inbox.attach()
    senders = [
        threading.Thread(target=lambda start=start: [directory.offer("it", start + n, WAIT) for n in range(200)])
        for start in (0, 1_000, 2_000, 3_000)
    ]
    for sender in senders:
        sender.start()
    heard: list[int] = []
    while len(heard) < 800:
        assert len(inbox) <= 3
        heard += inbox.take(mine, 2, WAIT)
    for start in (0, 1_000, 2_000, 3_000):
        assert [number for number in heard if start <= number < start + 200] == list(range(start, start + 200))
    assert directory.dead_letters.total == 0


def test_what_is_offered_to_a_name_that_nobody_will_serve_is_a_dead_letter_at_once() -> None:
    directory = Directory()
    directory.declare("it", bound=1)
    directory.tell("it", "fills it")
    waiting = threading.Thread(target=directory.offer, args=("it", "waits", WAIT))
    waiting.start()
    directory.withdraw("it")
    waiting.join(WAIT)
    assert not waiting.is_alive()
    directory.offer("nobody", "undeclared")
    assert [letter.message for letter in directory.dead_letters] == ["fills it", "waits", "undeclared"]


def test_asking_an_undeclared_name_raises_at_once() -> None:
    with pytest.raises(pykka.ActorDeadError):
        Directory().ask("nobody", "question", timeout=10)


def test_only_the_last_thousand_dead_letters_are_kept_and_all_are_counted() -> None:
    directory = Directory()
    for number in range(1_500):
        directory.tell("nobody", number)
    assert len(directory.dead_letters) == 1_000
    assert directory.dead_letters.total == 1_500


def test_a_callback_for_dead_letters_that_raises_does_not_reach_the_sender(caplog) -> None:
    seen = []

    def callback(letter) -> None:
        seen.append(letter.message)
        raise RuntimeError("broken observer")

    Directory(callback).tell("nobody", "hello")
    assert seen == ["hello"]
    assert "broken observer" in caplog.text
