"""The inbox of a name: it outlives the actors that serve it."""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import chain, islice
from typing import Any, Final

from actors.supervision.dead_letters import DeadLetters, Reason, is_at_most_once
from actors.supervision.doorbell import Doorbell
from actors.supervision.errors import InboxFullError, SupersededError
from actors.supervision.lanes import WIDTH, Backlog, Depths, Entry, Hand, Lane, first_of, move, pop, shown
from actors.supervision.late import Text
from actors.supervision.messages import Stop
from actors.supervision.tap import Taps

DEFAULT_BOUND: Final = 10_000
DEFAULT_POISON_AFTER: Final = 1


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
        taps: Taps | None = None,
    ) -> None:
        self.name = name
        self.bound = bound
        self.poison_after = poison_after
        self.generation = 0
        self._dead_letters = DeadLetters() if dead_letters is None else dead_letters
        self._taps = Taps() if taps is None else taps
        self._control: Lane = deque()
        self._work: Lane = deque()
        self._suspects: list[tuple[Entry, int]] = []
        self._hand = Hand(0)
        self._bell = Doorbell()
        self._closed = False
        self._is_served = False
        # Guards everything but the append in put(). Re-entrant: a signal handler may put while its thread is in here.
        self._mutex = threading.RLock()
        self._room: threading.Condition | None = None  # made when somebody first waits: few names ever need it
        self._promised = 0

    def put(self, message: object, *, control: bool = False, sender: str | None = None) -> None:
        """The message waits in its lane. Never blocks; a pykka ``Envelope`` is kept as it is."""
        if self._taps.everyone:
            # Before anybody can handle it: what follows from a message is heard of after the message.
            self._taps.hear(self.name, message, sender, control=control)
        lane = self._control if control else self._work
        lane.extend((message, sender, time.monotonic()))
        # Read only now: an actor attached after the append looks into the lanes before it sleeps.
        bell = self._bell
        if bell.asleep:
            bell.ring()
        if self._closed:
            # Whoever closed may have emptied the lanes before the append.
            self._flush()
        elif not control and len(lane) > WIDTH * self.bound:
            self._drop_oldest()

    def offer(self, message: object, *, control: bool = False, timeout: float = 0.0, sender: str | None = None) -> None:
        """As ``put``, once there is room: for senders that may wait, who are never actors.

        Raises:
            InboxFullError: there was none for ``timeout`` seconds; with 0 it is refused at once.
        """
        if control:
            self.put(message, control=True, sender=sender)
            return
        deadline = time.monotonic() + timeout
        with self._mutex:
            while not self._closed and self._work_count + self._promised >= self.bound:
                remaining = min(deadline - time.monotonic(), threading.TIMEOUT_MAX)
                if remaining <= 0:
                    raise InboxFullError(
                        f"{self.name}: no room within {timeout:g} s, {self._work_count:,} messages wait"
                    )
                self._room = self._room or threading.Condition(self._mutex)
                self._room.wait(remaining)
            self._promised += 1
        self.put(message, sender=sender)
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
            retired, self._bell = self._bell, Doorbell()
        retired.ring()
        return generation

    def take(self, generation: int, limit: int, timeout: float | None = None, *, stepwise: bool = False) -> list[Any]:
        """At most ``limit`` messages: a lone suspect, else control before work. Empty after ``timeout`` seconds.

        They are in hand until ``done`` or the next ``take``. With ``stepwise`` the taker counts in ``hand``
        which it has handled, so that a crash makes a suspect of one message alone.

        Raises:
            SupersededError: the generation is no longer the current one.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._mutex:
                self._check(generation)
                if self._suspects or self._control or self._work:
                    return self._pick(Hand(generation), limit, stepwise=stepwise)
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

    def hand(self, generation: int) -> Hand:
        """What the last ``take`` of this generation handed out; a hand that nobody looks into, once it is superseded.

        Its taker counts in ``handled`` how many messages of a ``stepwise`` batch will not be handed out again.
        """
        hand = self._hand
        return hand if hand.generation == generation else Hand(generation)

    def done(self, generation: int) -> None:
        """Everything in hand has been handled."""
        hand = self.hand(generation)
        hand.handled = len(hand)

    def recover(self, detail: Text = "") -> None:
        """What the dead actor had in hand waits for its successor, in order; the suspects before everything else.

        ``detail`` is the text of the death, for the dead letters.
        """
        letters: list[tuple[Entry, Reason]] = []
        with self._mutex:
            self._is_served = False
            hand, self._hand = self._hand, Hand(0)
            first = hand.handled
            after = min(first + 1, len(hand)) if hand.stepwise else len(hand)
            deaths = hand.deaths + 1
            # Nobody began on these: they go back to their lanes as if they had never been taken.
            self._work.extendleft(reversed(hand.flat[WIDTH * max(after, hand.control_count) :]))
            self._control.extendleft(reversed(hand.flat[WIDTH * after : WIDTH * hand.control_count]))
            for entry in reversed(hand.entries(first, after)):
                if is_at_most_once(entry[0]):
                    letters.append((entry, "in doubt"))
                elif after - first == 1 and deaths > self.poison_after:
                    letters.append((entry, "poison"))
                else:
                    self._suspects.insert(0, (entry, deaths))
        for entry, reason in reversed(letters):
            self._bury(entry, reason, detail)

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
        hand, control = self._hand, len(self._control) // WIDTH
        return Depths(control, self._work_count, len(self._suspects), len(hand) - hand.handled)

    def waiting(self, limit: int) -> Backlog:
        """The first ``limit`` messages that have not been handled, in the order in which they will be.

        A snapshot, from any thread and whatever the actor is at; no message is missed or shown twice in it.
        """
        with self._mutex:
            held = self._hand.entries(self._hand.handled, len(self._hand))
            doubted = [entry for entry, _ in self._suspects[:limit]]
            control, work = first_of(self._control, limit), first_of(self._work, limit)
            total = len(held) + len(self)
        now = time.monotonic()
        messages = chain(
            shown("in_hand", held, now),
            shown("suspect", doubted, now),
            shown("control", control, now),
            shown("work", work, now),
        )
        return Backlog(total, tuple(islice(messages, limit)))

    @property
    def is_closed(self) -> bool:
        """Whether what comes is a dead letter at once, since nobody will serve the name."""
        return self._closed

    def __len__(self) -> int:
        return len(self._control) // WIDTH + self._work_count + len(self._suspects)

    @property
    def _work_count(self) -> int:
        return len(self._work) // WIDTH

    def _check(self, generation: int) -> None:
        if generation != self.generation:
            raise SupersededError(f"{self.name}: generation {generation} was superseded by {self.generation}")

    def _pick(self, hand: Hand, limit: int, *, stepwise: bool) -> list[Any]:
        hand.stepwise = stepwise
        if self._suspects:
            (*hand.flat, control), hand.deaths = self._suspects.pop(0)
            hand.control_count = int(control)
        else:
            may_go_on = move(self._control, hand.flat, limit)
            hand.control_count = len(hand)
            if may_go_on:
                move(self._work, hand.flat, limit)
            self._tell_of_room()
        self._hand = hand
        # A copy: what an actor does to its list must not touch what would be recovered.
        return hand.messages

    def _tell_of_room(self) -> None:
        if self._room is not None:
            self._room.notify_all()

    def _drop_oldest(self) -> None:
        dropped = []
        with self._mutex:
            while self._work_count > self.bound:
                dropped.append(pop(self._work, control=False))
        for entry in dropped:
            self._bury(entry, "overflow", f"more than {self.bound} messages waited")

    def _flush(self) -> None:
        with self._mutex:
            if not self._closed:
                return
            left = [entry for entry, _ in self._suspects]
            self._suspects.clear()
            for lane in (self._control, self._work):
                while lane:
                    left.append(pop(lane, control=lane is self._control))
            self._tell_of_room()
        for entry in left:
            self._bury(entry, "withdrawn")

    def _bury(self, entry: Entry, reason: Reason, detail: Text = "") -> None:
        message, sender, _, control = entry
        if isinstance(message, Stop) and message.generation is not None:
            # It was for one actor alone, which has been stopped in another way.
            return
        self._dead_letters.add(self.name, message, reason, detail, sender=sender, control=control)
