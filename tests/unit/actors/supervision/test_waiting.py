"""What waits in an inbox, as it is seen from the outside."""

from __future__ import annotations

import threading
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykka._envelope import Envelope

from actors.supervision import DeadLetters, Directory, Inbox, Seat, UnknownNameError
from actors.supervision import inbox as inbox_module

WAIT = 10.0


def rows(inbox: Inbox, limit: int = 100) -> list[tuple[str, object, str | None]]:
    return [(each.lane, each.message, each.sender) for each in inbox.waiting(limit).messages]


def test_what_waits_is_shown_in_the_order_of_handling_with_who_told_it() -> None:
    inbox = Inbox("it")
    for message in ("innocent", "killer", "begun", "not begun"):
        inbox.put(message, sender="first")
    inbox.take(inbox.attach(), 2)
    inbox.recover()
    mine = inbox.attach()
    inbox.put(Envelope("asked"))
    inbox.put("urgent", control=True, sender="second")
    assert inbox.take(mine, 10, stepwise=True) == ["innocent"]
    assert rows(inbox) == [
        ("in_hand", "innocent", "first"),
        ("suspect", "killer", "first"),
        ("control", "urgent", "second"),
        ("work", "begun", "first"),
        ("work", "not begun", "first"),
        ("work", "asked", None),
    ]
    assert rows(inbox, 3) == rows(inbox)[:3]
    assert (inbox.waiting(3).total, inbox.waiting(0).total, rows(inbox, 0)) == (6, 6, [])
    inbox.done(mine)
    assert rows(inbox)[0] == ("suspect", "killer", "first")


def test_what_was_handled_of_a_batch_waits_no_more() -> None:
    inbox = Inbox("it")
    for message in (1, 2, 3):
        inbox.put(message)
    mine = inbox.attach()
    inbox.take(mine, 3, stepwise=True)
    inbox.hand(mine).handled += 1
    assert rows(inbox) == [("in_hand", 2, None), ("in_hand", 3, None)]


def test_the_age_counts_from_the_put_whatever_happens_to_the_message(monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(inbox_module, "time", clock)
    inbox = Inbox("it")
    inbox.put("killer")
    clock.now += 2
    inbox.put("later")
    assert [each.age_seconds for each in inbox.waiting(9).messages] == [2, 0]
    inbox.take(inbox.attach(), 9, 0)
    inbox.recover()
    clock.now += 3
    assert [each.age_seconds for each in inbox.waiting(9).messages] == [5, 3]


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_name_knows_who_told_it_what_and_the_outside_has_no_name() -> None:
    directory = Directory()
    inbox = directory.declare("it")
    Seat("she", directory.declare("she"), 0, directory, print).tell("it", "from her")
    directory.tell("it", "from outside")
    directory.offer("it", "offered", sender="he")
    assert rows(inbox) == [
        ("work", "from her", "she"),
        ("work", "from outside", None),
        ("work", "offered", "he"),
    ]
    assert directory.waiting("it", 1).total == 3


def test_what_waits_for_an_undeclared_name_is_no_empty_list() -> None:
    with pytest.raises(UnknownNameError, match="nobody"):
        Directory().waiting("nobody")


def test_a_lane_that_grows_while_it_is_looked_through_is_looked_through_again() -> None:
    class Growing(deque[object]):
        looks = 0

        def __iter__(self):
            looked = super().__iter__()
            self.looks += 1
            if self.looks < 3:
                self.extend((f"came meanwhile {self.looks}", None, 0.0))
            return looked

    inbox = Inbox("it")
    inbox._work = Growing(("first", None, 0.0))
    shown = [message for _, message, _ in rows(inbox)]
    assert shown == ["first", "came meanwhile 1", "came meanwhile 2"]


def test_while_many_put_and_one_takes_no_snapshot_shows_a_message_twice_or_out_of_order() -> None:
    inbox = Inbox("it", bound=1_000_000)
    mine = inbox.attach()
    count, taken = 4_000, []

    def produce(who: str) -> None:
        for number in range(count):
            inbox.put(number, control=who == "control", sender=who)

    def consume() -> None:
        while len(taken) < 3 * count:
            taken.extend(inbox.take(mine, 64, WAIT))

    threads = [threading.Thread(target=produce, args=(who,)) for who in ("control", "a", "b")]
    threads.append(threading.Thread(target=consume))
    for thread in threads:
        thread.start()
    while len(taken) < 3 * count:
        backlog = inbox.waiting(50)
        assert len(backlog.messages) <= backlog.total
        for who in ("control", "a", "b"):
            numbers = [each.message for each in backlog.messages if each.sender == who]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    for thread in threads:
        thread.join(WAIT)


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.booleans()),
        st.tuples(st.just("ask"), st.booleans()),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("handle"), st.none()),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(steps=Steps, stepwise=st.booleans())
def test_whatever_happened_what_is_shown_is_what_is_then_taken(steps, stepwise) -> None:
    letters = DeadLetters()
    inbox = Inbox("it", letters, poison_after=2)
    mine, in_hand = inbox.attach(), 0
    for number, (verb, value) in enumerate(steps):
        if verb in {"put", "ask"}:
            inbox.put(number if verb == "put" else Envelope(number), control=value, sender=str(number))
        elif verb == "take" and not in_hand:
            in_hand = len(inbox.take(mine, value, 0, stepwise=stepwise))
        elif verb == "handle" and in_hand:
            inbox.done(mine)
            in_hand = 0
        elif verb == "crash":
            inbox.recover()
            mine, in_hand = inbox.attach(), 0
    shown = inbox.waiting(100)
    assert shown.total == len(shown.messages)
    assert all(each.sender == str(each.message) for each in shown.messages)
    expected = [each.message for each in shown.messages if each.lane != "in_hand"]
    taken = []
    while len(inbox):
        taken += [each.message if isinstance(each, Envelope) else each for each in inbox.take(mine, 3, 0)]
    assert taken == expected
