from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import pykka
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykka._envelope import Envelope

from actors.supervision import DeadLetters, Inbox, SupersededError

WAIT = 10.0


@dataclass(frozen=True)
class Once:
    AT_MOST_ONCE: ClassVar[bool] = True

    text: str = "once"


def filled(*messages: object, **options: int) -> tuple[Inbox, int, DeadLetters]:
    letters = DeadLetters()
    inbox = Inbox("it", letters, **options)
    for message in messages:
        inbox.put(message)
    return inbox, inbox.attach(), letters


def test_control_overtakes_work_and_each_lane_keeps_its_order() -> None:
    inbox, mine, _ = filled(1, 2)
    inbox.put("a", control=True)
    inbox.put("b", control=True)
    assert inbox.take(mine, 10) == ["a", "b", 1, 2]


def test_take_hands_out_no_more_than_its_limit() -> None:
    inbox, mine, _ = filled(1, 2, 3)
    assert inbox.take(mine, 2) == [1, 2]
    assert inbox.depths == (0, 1, 0, 2)
    assert len(inbox) == 1


def test_take_from_an_empty_inbox_returns_empty_after_its_timeout() -> None:
    inbox, mine, _ = filled()
    assert inbox.take(mine, 10, 0.001) == []
    assert inbox.take(mine, 10, 0) == []


def test_a_put_wakes_the_sleeping_taker() -> None:
    inbox, mine, _ = filled()
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.extend(inbox.take(mine, 10, WAIT)))
    thread.start()
    inbox.put("up")
    thread.join(WAIT)
    assert taken == ["up"]


def test_no_wake_is_missed_between_many_producers_and_one_taker() -> None:
    inbox, mine, _ = filled(bound=1_000_000)
    count, producers = 3_000, 4

    def produce(who: int) -> None:
        for number in range(count):
            inbox.put((who, number), control=number % 3 == 0)

    threads = [threading.Thread(target=produce, args=(who,)) for who in range(producers)]
    for thread in threads:
        thread.start()
    taken = []
    while len(taken) < count * producers:
        batch = inbox.take(mine, 64, WAIT)
        assert batch, "a message waits, and its taker was not woken"
        taken += batch
    for who in range(producers):
        for lane in (True, False):
            mine_in_lane = [n for w, n in taken if w == who and (n % 3 == 0) is lane]
            assert mine_in_lane == sorted(mine_in_lane)


def test_a_message_that_comes_between_the_look_and_the_sleep_is_seen() -> None:
    inbox, mine, _ = filled()

    class Bell:
        """A producer appended, and looked at the bell before the taker said that it sleeps."""

        @property
        def asleep(self):
            return False

        @asleep.setter
        def asleep(self, value):
            if value:
                inbox._work.extend(("slipped in", None, 0.0))

    inbox._bell = Bell()
    assert inbox.take(mine, 10, 0) == ["slipped in"]


def test_a_superseded_taker_that_sleeps_is_woken_by_an_error_and_steals_nothing() -> None:
    inbox, old, _ = filled()
    met = []

    def take() -> None:
        try:
            inbox.take(old, 10, WAIT)
        except SupersededError as error:
            met.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    new = inbox.attach()
    inbox.put("for the new one")
    thread.join(WAIT)
    assert len(met) == 1
    assert inbox.take(new, 10, WAIT) == ["for the new one"]


def test_late_words_of_a_superseded_taker_do_not_touch_its_successors_hand() -> None:
    inbox, old, _ = filled(1)
    inbox.take(old, 1)
    new = inbox.attach()
    assert inbox.take(new, 10, stepwise=True) == [1]
    inbox.hand(old).handled += 1
    inbox.done(old)
    assert inbox.depths.in_hand == 1


def test_the_oldest_work_is_dropped_beyond_the_bound() -> None:
    inbox, mine, letters = filled(1, 2, 3, bound=2)
    assert inbox.take(mine, 10) == [2, 3]
    assert [(letter.message, letter.reason) for letter in letters] == [(1, "overflow")]


def test_control_is_never_dropped() -> None:
    inbox, mine, letters = filled(bound=1)
    for number in range(100):
        inbox.put(number, control=True)
    assert inbox.take(mine, 1_000) == list(range(100))
    assert letters.total == 0


def test_a_crash_in_a_batch_hands_its_messages_out_one_at_a_time_and_finds_the_killer() -> None:
    inbox, mine, letters = filled("a", "killer", "c", "d")
    assert inbox.take(mine, 3) == ["a", "killer", "c"]
    inbox.recover("died in a batch")
    mine = inbox.attach()
    inbox.put("control", control=True)
    assert inbox.take(mine, 10) == ["a"]
    inbox.done(mine)
    assert inbox.take(mine, 10) == ["killer"]
    inbox.recover("died of it alone")
    assert [(x.message, x.reason, x.detail) for x in letters] == [("killer", "poison", "died of it alone")]
    mine = inbox.attach()
    assert inbox.take(mine, 10) == ["c"]
    assert inbox.take(mine, 10) == ["control", "d"]


def test_a_crash_while_stepping_suspects_the_one_being_handled_alone() -> None:
    inbox, mine, letters = filled("a", "killer", "c")
    inbox.put("control", control=True)
    assert inbox.take(mine, 10, stepwise=True) == ["control", "a", "killer", "c"]
    inbox.hand(mine).handled += 1
    inbox.hand(mine).handled += 1
    inbox.recover()
    mine = inbox.attach()
    inbox.put("later control", control=True)
    assert inbox.take(mine, 10, stepwise=True) == ["killer"]
    inbox.recover()
    mine = inbox.attach()
    assert [letter.message for letter in letters] == ["killer"]
    assert inbox.take(mine, 10, stepwise=True) == ["later control", "c"]


def test_the_innocent_of_a_batch_are_tried_alone_even_where_nothing_is_tried_again() -> None:
    inbox, mine, letters = filled("a", "b", poison_after=0)
    inbox.take(mine, 10)
    inbox.recover()
    mine = inbox.attach()
    assert inbox.take(mine, 10) == ["a"]
    assert inbox.take(mine, 10) == ["b"]
    assert letters.total == 0


@pytest.mark.parametrize("poison_after", [0, 1, 3])
def test_a_killer_is_handed_out_once_and_poison_after_times_more(poison_after: int) -> None:
    inbox, mine, letters = filled("killer", poison_after=poison_after)
    times = 0
    while inbox.take(mine, 10, 0, stepwise=True):
        times += 1
        inbox.recover()
        mine = inbox.attach()
    assert times == 1 + poison_after
    assert letters.total == 1


def test_a_message_to_be_delivered_at_most_once_is_in_doubt_after_a_crash() -> None:
    inbox, mine, letters = filled("a", Once(), "b")
    inbox.take(mine, 10)
    inbox.recover("died")
    assert inbox.take(inbox.attach(), 10) == ["a"]
    assert [(letter.message, letter.reason) for letter in letters] == [(Once(), "in doubt")]


def test_a_message_to_be_delivered_at_most_once_that_nobody_began_on_is_delivered() -> None:
    inbox, mine, letters = filled("a", Once())
    inbox.take(mine, 10, stepwise=True)
    inbox.recover()
    mine = inbox.attach()
    assert inbox.take(mine, 10) == ["a"]
    assert inbox.take(mine, 10) == [Once()]
    assert letters.total == 0


def test_an_envelope_is_kept_as_it_is_and_comes_alone() -> None:
    inbox, mine, _ = filled(1, Envelope(2), 3)
    assert inbox.take(mine, 10) == [1]
    (envelope,) = inbox.take(mine, 10)
    assert envelope.message == 2
    assert inbox.take(mine, 10) == [3]


def test_a_dead_letter_resolves_its_askers_future() -> None:
    future: pykka.ThreadingFuture[object] = pykka.ThreadingFuture()
    inbox, _, letters = filled(Envelope("dropped", reply_to=future), bound=1)
    inbox.put("newer")
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=0)
    assert [letter.message for letter in letters] == ["dropped"]


def test_a_closed_inbox_turns_what_waits_and_what_comes_into_dead_letters_until_an_actor_is_attached() -> None:
    inbox, _, letters = filled("waits")
    inbox.close()
    inbox.put("comes")
    assert [(letter.message, letter.reason) for letter in letters] == [("waits", "withdrawn"), ("comes", "withdrawn")]
    mine = inbox.attach()
    inbox.put("served")
    assert inbox.take(mine, 10) == ["served"]


def test_what_a_taker_does_to_its_list_does_not_touch_what_is_recovered() -> None:
    inbox, mine, _ = filled("a", "b")
    inbox.take(mine, 10).clear()
    inbox.recover()
    assert inbox.depths.suspects == 2


Number = tuple[bool, int]


class Consumer:
    """A taker that notes what it began and what it finished, over any number of deaths."""

    def __init__(self, *, stepwise: bool, poison_after: int) -> None:
        self.letters = DeadLetters()
        self.inbox = Inbox("it", self.letters, poison_after=poison_after)
        self.generation = self.inbox.attach()
        self.stepwise = stepwise
        self.sent: list[Number] = []
        self.handled: list[Number] = []
        self.begun: Counter[Number] = Counter()
        self.hand: list[Number] = []

    def put(self, lanes: list[bool]) -> None:
        for control in lanes:
            self.sent.append((control, len(self.sent)))
            self.inbox.put(self.sent[-1], control=control)

    def take(self, limit: int) -> None:
        if not self.hand:
            self.hand = self.inbox.take(self.generation, limit, 0, stepwise=self.stepwise)
            self.begun.update(self.hand[:1] if self.stepwise else self.hand)

    def handle(self, count: int) -> None:
        if not self.stepwise:
            self.handled += self.hand
            self.hand = []
            self.inbox.done(self.generation)
        for _ in range(min(count, len(self.hand))):
            self.handled.append(self.hand.pop(0))
            self.inbox.hand(self.generation).handled += 1
            self.begun.update(self.hand[:1])

    def crash(self, _: None) -> None:
        self.inbox.recover("crash")
        self.hand = []
        self.generation = self.inbox.attach()

    def finish(self) -> None:
        while self.hand or len(self.inbox):
            self.take(4)
            self.handle(len(self.hand))


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.booleans(), min_size=1, max_size=4)),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("handle"), st.integers(1, 3)),
        st.tuples(st.just("crash"), st.none()),
    ),
    min_size=8,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=Steps, stepwise=st.booleans(), poison_after=st.integers(0, 2))
def test_whatever_happens_nothing_is_lost_and_order_is_kept(steps, stepwise, poison_after) -> None:
    consumer = Consumer(stepwise=stepwise, poison_after=poison_after)
    for verb, value in steps:
        getattr(consumer, verb)(value)
    consumer.finish()
    dead = [letter.message for letter in consumer.letters]
    assert sorted(consumer.handled + dead) == sorted(consumer.sent), "each is handled once or dead, none is lost"
    for lane in (True, False):
        in_lane = [number for control, number in consumer.handled if control is lane]
        assert in_lane == sorted(in_lane)
    # In a batch the innocent share one death with the killer; after that each is alone.
    assert all(times <= 2 + poison_after for times in consumer.begun.values())
    assert all(consumer.begun[message] >= 1 + poison_after for message in dead)
