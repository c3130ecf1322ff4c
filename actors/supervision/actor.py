"""An actor that serves a name under supervision."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from pykka import ActorDeadError, ActorRef, Future, ThreadingActor
from pykka import messages as pykka_messages
from pykka._actor import ActorInbox
from pykka._envelope import Envelope

from actors.supervision.dead_letters import resolve
from actors.supervision.directory import Directory
from actors.supervision.errors import SupersededError
from actors.supervision.inbox import Inbox
from actors.supervision.messages import Stop
from actors.supervision.registry import unregister
from actors.supervision.watch import Died, End, Phase, Post, Started, Stopped

_logger = logging.getLogger("supervision")

_PROXY_MESSAGES: Final = (pykka_messages.ProxyCall, pykka_messages.ProxyGetAttr, pykka_messages.ProxySetAttr)


@dataclass(frozen=True, slots=True)
class Seat:
    """The place that one actor takes: a name, its inbox, and a generation that no other actor has.

    ``clock`` gives the seconds by which the actor wakes and is watched; ``batch_limit`` is how many messages it takes
    at a time at most, beside the limit of its own.
    """

    name: str
    inbox: Inbox
    generation: int
    directory: Directory
    watcher: Post
    clock: Callable[[], float] = time.monotonic
    batch_limit: int = sys.maxsize

    @property
    def is_current(self) -> bool:
        """Whether no successor has been given the name."""
        return self.inbox.generation == self.generation

    def check(self) -> None:
        """Nothing, while the actor serves its name.

        Raises:
            SupersededError: a successor has been given the name.
        """
        if not self.is_current:
            raise SupersededError(f"{self.name}: generation {self.generation} was superseded")

    def tell(self, name: str, message: object, *, control: bool = False) -> None:
        """As ``Directory.tell``, but for an actor that may speak: a retired thread that wakes late may not.

        Raises:
            SupersededError: a successor has been given the name.
        """
        self.check()
        self.directory.tell(name, message, control=control, sender=self.name)


class SupervisedActor(ThreadingActor):
    """A Pykka actor whose messages wait in its name's inbox and whose every end is seen.

    Subclasses take the seat as their first argument, ``super().__init__(seat)``, and override ``on_receive`` (one
    message at a time) or ``on_batch``. All of it runs in the actor's own thread, the constructor included when a
    supervisor starts it.

    - An exception in any hook, ``SystemExit`` and ``KeyboardInterrupt`` included, ends this actor and no other. It
      calls ``on_failure`` while the actor still holds its name, then tells the watcher ``Died``.
    - With ``on_receive``, messages that were handled are never handed out again; the one that killed is the lone
      suspect. With ``on_batch``, the whole batch is suspect, unless ``on_batch`` returned.
    - Of all that an actor is, only its name, the inbox and the generation's number outlive it: its attributes and its
      ``wake_at`` are made anew by its successor.
    - ``wake_at`` (seconds of ``seat.clock``) calls ``on_wake`` once it is due; it is None again by then.
    - ``busy_since`` tells since when (``seat.clock``) the actor has been at what it does; None when it waits. One that
      is at a message beyond its ``hang_seconds`` is retired: its name is given to a successor, its sends are refused.
    - A message that is asked (``ActorRef.ask``, ``Directory.ask``, proxies) goes to ``on_receive`` also where
      ``on_batch`` is overridden. An ``Exception`` goes to the asker, and the actor lives on.
    """

    use_daemon_thread = True
    batch_limit: ClassVar[int] = 64

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.seat = seat
        self.wake_at: float | None = None
        self.busy_since: float | None = None
        self.has_ended = False
        self.actor_inbox = cast("ActorInbox", _Entrance(seat))  # nobody but the loop gets from it
        self._actor_ref = ActorRef(self)
        self._phase: Phase = "on_start"
        self._is_stopping = False
        self._stop_asked: list[Future[Any]] = []

    def on_batch(self, batch: list[Any]) -> None:
        """Handle messages that were told, in order; by default one by one through ``on_receive``."""
        hand, receive, now = self.seat.inbox.hand(self.seat.generation), self.on_receive, self.seat.clock
        for position, message in enumerate(batch):
            hand.handled = position
            self.busy_since = now()
            receive(message)

    def on_wake(self) -> None:
        """The moment set in ``wake_at`` has come."""

    def on_retired(self) -> None:
        """The name has been taken from this actor while it was at something; what that waits for may be interrupted.

        Called in the supervisor's thread, beside whatever the actor's own is at: it must not block.
        """

    def pulse(self) -> None:
        """What the actor is at goes on: for a long message that is waited for in slices, each well under a hang."""
        self.busy_since = self.seat.clock()

    def tell(self, name: str, message: object, *, control: bool = False) -> None:
        """The message waits for whoever serves the name. See ``Seat.tell``."""
        self.seat.tell(name, message, control=control)

    def stop(self) -> None:
        """The actor ends after the current batch. The rest stays in the name's inbox."""
        self.seat.inbox.put(Stop(self.seat.generation), control=True)

    @property
    def has_mail(self) -> bool:
        """Whether something waits in the name's inbox."""
        return len(self.seat.inbox) > 0

    def life(self) -> Iterator[bool]:
        """Everything from ``on_start`` to the end; see ``scheduler.Task``."""
        # The event is named by no variable: its exception's traceback leads back here, which would be a cycle.
        self.seat.watcher((yield from self._live()))

    def _actor_loop(self) -> None:
        for _ in self.life():
            pass

    def _live(self) -> Generator[bool, None, End]:
        seat = self.seat
        try:
            self.pulse()
            # Before as well: a constructor that overran its time must not let two actors begin.
            seat.check()
            self.on_start()
            yield False
            seat.check()
            # Before its supervisor hears of it: a long start is no hang.
            self.busy_since = None
            seat.watcher(Started(seat.name, seat.generation))
            yield from self._serve()
            self._phase = "on_stop"
            self.pulse()
            self.on_stop()
            yield False
        except BaseException as error:  # noqa: BLE001  # in a thread of its own nobody else would see it
            self._fail()
            return Died(seat.name, seat.generation, error, self._phase)
        else:
            return Stopped(seat.name, seat.generation)
        finally:
            self._end()

    def _serve(self) -> Iterator[bool]:
        seat = self.seat
        inbox, generation, now = seat.inbox, seat.generation, seat.clock
        stepwise = type(self).on_batch is SupervisedActor.on_batch
        while not self._is_stopping:
            self.busy_since = None
            yield True
            timeout = None if self.wake_at is None else max(0.0, self.wake_at - now())
            batch = inbox.take(generation, min(self.batch_limit, seat.batch_limit), timeout, stepwise=stepwise)
            self.busy_since = now()
            if batch:
                self._phase = "on_receive"
                self._handle(batch)
                yield False
                inbox.done(generation)
            if self.wake_at is not None and self.wake_at <= now() and not self._is_stopping:
                self._phase, self.wake_at = "on_wake", None
                self.on_wake()
                yield False

    def _handle(self, batch: list[Any]) -> None:
        first = batch[0]
        if type(first) is Envelope:
            self._answer(first)
        elif type(first) is Stop:
            self._is_stopping = first.generation in {None, self.seat.generation}
        else:
            self.on_batch(batch)

    def _answer(self, envelope: Envelope[Any]) -> None:
        message, reply_to = envelope.message, envelope.reply_to
        if isinstance(message, Stop | pykka_messages._ActorStop):  # noqa: SLF001  # Pykka's stop has no public name
            generation = getattr(message, "generation", None)
            if generation not in {None, self.seat.generation}:
                resolve(reply_to, error=ActorDeadError(f"{self} was asked for a predecessor"))
                return
            self._is_stopping = True
            if reply_to is not None:
                self._stop_asked.append(reply_to)
            return
        try:
            answer = self._handle_receive(message)
        except Exception as error:
            if reply_to is None:
                raise
            _logger.info("exception returned from %s to its asker", self.seat.name, exc_info=True)
            resolve(reply_to, error=error)
        else:
            resolve(reply_to, answer)

    def _fail(self) -> None:
        try:
            self.on_failure(*sys.exc_info())
        except BaseException:
            _logger.exception("on_failure of %s raised", self.seat.name)

    def _end(self) -> None:
        self.busy_since = None
        self.has_ended = True
        unregister(self.actor_ref)
        self.actor_stopped.set()
        for future in self._stop_asked:
            resolve(future)


class _Entrance:
    """What Pykka's references put into: the name's inbox, with the generation that they mean."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def put(self, envelope: Envelope[Any], /) -> None:
        message = envelope.message
        control = getattr(type(message), "CONTROL", False) is True
        if isinstance(message, pykka_messages._ActorStop):  # noqa: SLF001  # Pykka's stop has no public name
            # Left over, it would stop the successor; this one says whom it means. It waits its turn, as in Pykka.
            envelope = Envelope(Stop(self._seat.generation), reply_to=envelope.reply_to)
        elif envelope.reply_to is None and not isinstance(message, _PROXY_MESSAGES):
            self._seat.inbox.put(message, control=control)
            return
        self._seat.inbox.put(envelope, control=control)
