"""Dead letters by number: sent again, or dropped."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest
from pykka._envelope import Envelope

from actors.supervision import (
    DeadLetters,
    Directory,
    InboxFullError,
    ResendRefusedError,
    SupervisionError,
    UnknownLetterError,
)

WAIT = 10.0


@dataclass(frozen=True)
class Once:
    AT_MOST_ONCE: ClassVar[bool] = True


def numbers(letters: DeadLetters) -> list[int]:
    return [letter.number for letter in letters]


def withdrawn(*messages: object, **how: object) -> Directory:
    """A directory with a name that was down when it was told all that, and is served now."""
    directory = Directory()
    inbox = directory.declare("it")
    directory.withdraw("it")
    for message in messages:
        directory.tell("it", message, **how)
    inbox.attach()
    return directory


def test_each_dead_letter_has_a_number_that_is_never_used_again() -> None:
    letters = DeadLetters(keep=2)
    for message in "abc":
        letters.add("it", message, "withdrawn")
    assert numbers(letters) == [2, 3]
    letters.drop(3)
    letters.add("it", "d", "withdrawn")
    assert numbers(letters) == [2, 4]
    assert letters.drop_all() == 2
    letters.add("it", "e", "withdrawn")
    assert (numbers(letters), letters.total) == ([5], 5)


@pytest.mark.parametrize("number", [0, 2, -1])
def test_what_is_no_dead_letter_can_neither_be_dropped_nor_resent(number) -> None:
    directory = withdrawn("a")
    for verb in (directory.dead_letters.drop, directory.resend):
        with pytest.raises(UnknownLetterError, match=f"no dead letter {number}"):
            verb(number)
    assert numbers(directory.dead_letters) == [1]


def test_a_resent_letter_waits_for_its_name_in_its_lane_as_from_its_sender_and_is_forgotten() -> None:
    directory = withdrawn("work", sender="she")
    directory.withdraw("it")
    directory.tell("it", "urgent", control=True, sender="he")
    directory.declare("it").attach()
    assert directory.resend(1).message == "work"
    directory.resend(2)
    assert [(each.lane, each.message, each.sender) for each in directory.waiting("it").messages] == [
        ("control", "urgent", "he"),
        ("work", "work", "she"),
    ]
    assert numbers(directory.dead_letters) == []
    with pytest.raises(UnknownLetterError):
        directory.resend(1)


@pytest.mark.parametrize("control", [True, False])
@pytest.mark.parametrize("end", ["close while it waits", "close as a suspect", "poison"])
def test_however_it_died_a_letter_knows_its_lane_and_its_sender(control, end) -> None:
    directory = Directory()
    inbox = directory.declare("it", poison_after=1)
    directory.tell("it", "killer", control=control, sender="she")
    for _ in range({"close while it waits": 0, "close as a suspect": 1, "poison": 2}[end]):
        inbox.take(inbox.attach(), 9)
        inbox.recover()
    directory.withdraw("it")
    (letter,) = directory.dead_letters
    assert (letter.sender, letter.control, letter.was_asked) == ("she", control, False)


def test_what_was_asked_is_resent_as_asked_and_nobody_hears_the_answer() -> None:
    directory = Directory()
    inbox = directory.declare("it")
    directory.withdraw("it")
    with pytest.raises(pykka.ActorDeadError):
        directory.ask("it", "question", WAIT)
    mine = inbox.attach()
    directory.resend(1)
    (envelope,) = inbox.take(mine, 9)
    assert isinstance(envelope, Envelope)
    assert (envelope.message, envelope.reply_to) == ("question", None)


def test_what_must_be_handled_once_at_most_is_not_resent() -> None:
    directory = withdrawn(Once(), "a")
    with pytest.raises(ResendRefusedError, match="dead letter 1: Once must be handled once at most"):
        directory.resend(1)
    assert [letter.may_be_resent for letter in directory.dead_letters] == [False, True]


def test_what_nobody_would_handle_is_not_resent_and_stays_where_it_was() -> None:
    directory = withdrawn("a", "b")
    directory.tell("nobody", "c")
    directory.withdraw("it")
    with pytest.raises(ResendRefusedError, match="dead letter 1: it: nobody serves it: start it first"):
        directory.resend(1)
    with pytest.raises(ResendRefusedError, match="dead letter 3: nobody: there is no such name"):
        directory.resend(3)
    assert (numbers(directory.dead_letters), directory.dead_letters.total) == ([1, 2, 3], 3)


def test_a_full_inbox_loses_nothing_newer_to_what_is_resent() -> None:
    directory = withdrawn("old")
    directory.declare("it", bound=1)
    directory.tell("it", "new")
    with pytest.raises(InboxFullError):
        directory.resend(1)
    assert numbers(directory.dead_letters) == [1]
    assert [each.message for each in directory.waiting("it").messages] == ["new"]


def test_a_name_that_is_only_restarting_is_told_again(house) -> None:
    supervisor = house.supervise(house.child(poison_after=0))
    supervisor.start()
    boom = ValueError("boom")
    house.directory.tell("it", boom)
    letter = house.dead.get(timeout=WAIT)
    house.directory.resend(letter.number)
    assert house.hear(2) == [boom, boom]
    assert house.dead.get(timeout=WAIT).number == 2


def test_of_many_who_resend_the_same_letter_at_once_one_does() -> None:
    letters = 200
    directory = withdrawn(*range(letters))
    inbox = directory.declare("it")
    won: list[int] = []
    together = threading.Barrier(4)

    def resend() -> None:
        for number in range(1, letters + 1):
            together.wait(WAIT)
            try:
                directory.resend(number)
            except SupervisionError:
                continue
            won.append(number)

    threads = [threading.Thread(target=resend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(won) == list(range(1, letters + 1))
    assert inbox.take(inbox.generation, 1_000, 0) == list(range(letters))
