from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest

from actors.supervision import Directory

LOGGER = "supervision"


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
    directory.tell("it", "fills it")
    with pytest.raises(pykka.Timeout):
        directory.ask("it", "question", timeout=0.001)


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
