"""The inbox of a name: it outlives the actors that serve it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final, NamedTuple

from pykka._envelope import Envelope

from actors.supervision.dead_letters import DeadLetters, Reason
from actors.supervision.errors import InboxFullError, SupersededError
from actors.supervision.late import Text
from actors.supervision.messages import Stop

DEFAULT_BOUND: Final = 10_000
DEFAULT_POISON_AFTER: Final = 1

# Messages that the loop itself answers: each comes in a batch of its own, so that a batch is all alike.
_TAKEN_ALONE: Final = frozenset({Envelope, Stop})


class Depths(NamedTuple):
    """How many messages wait in each lane, how many are suspects, how many are in hand."""

    control: int
    work: int
    suspects: int
    in_hand: int


class _Doorbell:
    """Wakes one consumer.

    Every generation has its own: a ring meant for a retired thread must not be taken from its successor.
    """

    __slots__ = ("_lock", "asleep")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.asleep = False

    def ring(self) -> None:
        self.asleep = False
        try:
            self._lock.release()
        except RuntimeError:
            # Two producers rang at once; one ring is enough.
            return

    def wait(self, timeout: float | None) -> None:
        self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        self.asleep = False


class _Hand:
    """What one ``take`` handed out. Late words of a retired thread land in its own hand, never its successor's."""

    __slots__ = ("control_count", "deaths", "generation", "handled", "messages", "stepwise")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.messages: list[Any] = []
        self.control_count = 0
        self.deaths = 0
        self.handled = 0
        self.stepwise = False


class Inbox:
    """Messages for a name, kept until somebody has handled them.

    - ``put`` never blocks, whatever the consumer does. Order is kept within a lane; control overtakes work.
    - Beyond ``bound`` the *oldest* work message becomes a dead letter (a state is superseded by a newer one); ``offer``
      waits for room instead, or is refused. Control is never dropped, and always has room.
    - What an actor had in hand when it died is handed to its successor, ahead of everything else, one message at a
      time, so that the one that kills is found. One that was in hand alone, and has been handed out
      ``1 + poison_after`` times, becomes a dead letter. A message whose class says ``AT_MOST_ONCE = True`` is never
      handed out again.
    - Of the actors that were attached only the newest may take: the others meet ``SupersededError``.

    It survives its actors and their supervisor, not the process. Any number of threads may put; one at a time takes.
    """

    def __init__(
        self,
        name: str,
        dead_letters: DeadLetters | None = None,
        *,
        bound: int = DEFAULT_BOUND,
        poison_after: int = DEFAULT_POISON_AFTER,
    ) -> None:
        self.name = name
        self.bound = bound
        self.poison_after = poison_after
        self.generation = 0
        self._dead_letters = DeadLetters() if dead_letters is None else dead_letters
        self._control: deque[Any] = deque()
        self._work: deque[Any] = deque()
        self._suspects: list[tuple[Any, int]] = []
        self._hand = _Hand(0)
        self._bell = _Doorbell()
        self._closed = False
        self._is_served = False
        # Guards everything but the append in put(). Re-entrant: a signal handler may put while its thread is in here.
        self._mutex = threading.RLock()
        self._room: threading.Condition | None = None  # made when somebody first waits: few names ever need it
        self._promised = 0

    def put(self, message: object, *, control: bool = False) -> None:
        """The message waits in its lane. Never blocks; a pykka ``Envelope`` is kept as it is."""
        lane = self._control if control else self._work
        lane.append(message)
        # Read only now: an actor attached after the append looks into the lanes before it sleeps.
        bell = self._bell
        if bell.asleep:
            bell.ring()
        if self._closed:
            # Whoever closed may have emptied the lanes before the append.
            self._flush()
        elif not control and len(lane) > self.bound:
            self._drop_oldest()

    def offer(self, message: object, *, control: bool = False, timeout: float = 0.0) -> None:
        """As ``put``, once there is room: for senders that may wait, who are never actors.

        Raises:
            InboxFullError: there was none for ``timeout`` seconds; with 0 it is refused at once.
        """
        if control:
            self.put(message, control=True)
            return
        deadline = time.monotonic() + timeout
        with self._mutex:
            while not self._closed and len(self._work) + self._promised >= self.bound:
                remaining = min(deadline - time.monotonic(), threading.TIMEOUT_MAX)
                if remaining <= 0:
                    raise InboxFullError(
                        f"{self.name}: no room within {timeout:g} s, {len(self._work):,} messages wait"
                    )
                self._room = self._room or threading.Condition(self._mutex)
                self._room.wait(remaining)
            self._promised += 1
        self.put(message)
        with self._mutex:
            self._promised -= 1
            self._tell_of_room()

    def attach(self) -> int:
        """A new generation serves the name from now on; the one before is superseded. Opens a closed inbox."""
        generation = self.supersede()
        self.recover("its successor was attached")
        with self._mutex:
            self._closed = False
            self._is_served = True
        return generation

    def supersede(self) -> int:
        """Nobody serves the name any more: a thread that still does meets ``SupersededError`` when it wakes."""
        with self._mutex:
            self.generation += 1
            self._is_served = False
            generation = self.generation
            retired, self._bell = self._bell, _Doorbell()
        retired.ring()
        return generation

    def take(self, generation: int, limit: int, timeout: float | None = None, *, stepwise: bool = False) -> list[Any]:
        """At most ``limit`` messages: a lone suspect, else control before work. Empty after ``timeout`` seconds.

        They are in hand until ``done`` or the next ``take``. With ``stepwise`` the taker calls ``handled`` between
        them, so that a crash makes a suspect of one message alone.

        Raises:
            SupersededError: the generation is no longer the current one.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._mutex:
                self._check(generation)
                if self._suspects or self._control or self._work:
                    return self._pick(_Hand(generation), limit, stepwise=stepwise)
                bell = self._bell
                bell.asleep = True
            # A producer that appended before it could see the sleeper did not ring: look again.
            if self._control or self._work:
                bell.asleep = False
                continue
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                bell.asleep = False
                return []
            bell.wait(remaining)

    def handled(self, generation: int) -> None:
        """The next message of a ``stepwise`` batch has been handled: it will not be handed out again."""
        hand = self._hand
        if hand.generation == generation:
            hand.handled += 1

    def done(self, generation: int) -> None:
        """Everything in hand has been handled."""
        hand = self._hand
        if hand.generation == generation:
            hand.handled = len(hand.messages)

    def recover(self, detail: Text = "") -> None:
        """What the dead actor had in hand waits for its successor, in order; the suspects before everything else.

        ``detail`` is the text of the death, for the dead letters.
        """
        letters: list[tuple[Any, Reason]] = []
        with self._mutex:
            self._is_served = False
            hand, self._hand = self._hand, _Hand(0)
            first = hand.handled
            after = min(first + 1, len(hand.messages)) if hand.stepwise else len(hand.messages)
            deaths = hand.deaths + 1
            # Nobody began on these: they go back to their lanes as if they had never been taken.
            self._work.extendleft(reversed(hand.messages[max(after, hand.control_count) :]))
            self._control.extendleft(reversed(hand.messages[after : hand.control_count]))
            for message in reversed(hand.messages[first:after]):
                if _is_at_most_once(message):
                    letters.append((message, "in doubt"))
                elif after - first == 1 and deaths > self.poison_after:
                    letters.append((message, "poison"))
                else:
                    self._suspects.insert(0, (message, deaths))
        for message, reason in reversed(letters):
            self._dead_letters.add(self.name, message, reason, detail)

    def close(self) -> None:
        """Nobody will serve the name: what waits, and all that comes, are dead letters until the next ``attach``."""
        with self._mutex:
            self._closed = True
            self._is_served = False
        self._flush()

    @property
    def is_served(self) -> bool:
        """Whether an actor serves the name: between its ``attach`` and its end, as far as that has been seen."""
        return self._is_served

    @property
    def depths(self) -> Depths:
        """How many messages wait, by lane; a snapshot."""
        hand = self._hand
        return Depths(len(self._control), len(self._work), len(self._suspects), len(hand.messages) - hand.handled)

    def __len__(self) -> int:
        return len(self._control) + len(self._work) + len(self._suspects)

    def _check(self, generation: int) -> None:
        if generation != self.generation:
            raise SupersededError(f"{self.name}: generation {generation} was superseded by {self.generation}")

    def _pick(self, hand: _Hand, limit: int, *, stepwise: bool) -> list[Any]:
        hand.stepwise = stepwise
        batch = hand.messages
        if self._suspects:
            message, hand.deaths = self._suspects.pop(0)
            batch.append(message)
        else:
            may_go_on = _move(self._control, batch, limit)
            hand.control_count = len(batch)
            if may_go_on:
                _move(self._work, batch, limit)
            self._tell_of_room()
        self._hand = hand
        # A copy: what an actor does to its list must not touch what would be recovered.
        return batch.copy()

    def _tell_of_room(self) -> None:
        if self._room is not None:
            self._room.notify_all()

    def _drop_oldest(self) -> None:
        dropped = []
        with self._mutex:
            while len(self._work) > self.bound:
                dropped.append(self._work.popleft())
        for message in dropped:
            self._dead_letters.add(self.name, message, "overflow", f"more than {self.bound} messages waited")

    def _flush(self) -> None:
        with self._mutex:
            if not self._closed:
                return
            left = [message for message, _ in self._suspects]
            self._suspects.clear()
            for lane in (self._control, self._work):
                while lane:
                    left.append(lane.popleft())
            self._tell_of_room()
        for message in left:
            self._dead_letters.add(self.name, message, "withdrawn")


def _move(lane: deque[Any], batch: list[Any], limit: int) -> bool:
    """Moves what may share a batch; False when one that is taken alone has ended the batch."""
    if lane and type(lane[0]) in _TAKEN_ALONE:
        if not batch:
            batch.append(lane.popleft())
        return False
    moved = [lane.popleft() for _ in range(min(len(lane), limit - len(batch)))]
    if _TAKEN_ALONE.isdisjoint(map(type, moved)):
        batch += moved
        return True
    end = next(index for index, message in enumerate(moved) if type(message) in _TAKEN_ALONE)
    batch += moved[:end]
    lane.extendleft(reversed(moved[end:]))
    return False


def _is_at_most_once(message: object) -> bool:
    kind = type(message.message if isinstance(message, Envelope) else message)
    return getattr(kind, "AT_MOST_ONCE", False) is True
