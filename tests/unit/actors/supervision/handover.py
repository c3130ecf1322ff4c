"""Messages to one actor that dies of some, hangs at some and is asked some, and the rules of their handing over."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from hypothesis import strategies as st
from pykka import ActorDeadError, ActorRegistry, ThreadingFuture
from pykka._envelope import Envelope

from actors.supervision import ChildSpec, Directory, Rehearsal, Seat, SupervisedActor, Supervisor, SupervisorSpec

Kind = Literal["work", "kill", "hang", "hang long"]

HANG_SECONDS: Final = 1.0
# Well above what the longest errand needs, so that a killer that is never found is not tried for ever.
MOST_RESTARTS: Final = 200
PAUSES: Final = (0.0, 0.5, 3.0)


class HandoverError(AssertionError):
    """A message was lost, handled once too often, or out of its turn."""


class Killed(BaseException):
    """Not an `Exception`, which an asked actor survives."""


@dataclass(frozen=True)
class Message:
    number: int
    kind: Kind


@dataclass(frozen=True)
class Once(Message):
    AT_MOST_ONCE: ClassVar[bool] = True


@dataclass(frozen=True)
class Errand:
    """What is told, in rows, and asked; and by whom it is handled, tried again how often."""

    rows: tuple[tuple[tuple[Kind, str], ...], ...]
    pauses: tuple[float, ...]
    poison_after: int
    in_batches: bool
    seed: int


def errands() -> st.SearchStrategy[Errand]:
    kinds = st.sampled_from(["work", "work", "work", "kill", "hang", "hang long"])
    row = st.lists(st.tuples(kinds, st.sampled_from(["told", "told", "once", "asked"])), min_size=1, max_size=6)
    return st.builds(
        Errand,
        rows=st.lists(row.map(tuple), min_size=1, max_size=4).map(tuple),
        pauses=st.tuples(*[st.sampled_from(PAUSES)] * 4),
        poison_after=st.integers(0, 2),
        in_batches=st.booleans(),
        seed=st.integers(0, 2**16),
    )


class Handler(SupervisedActor):
    def __init__(self, seat: Seat, house: House) -> None:
        super().__init__(seat)
        self.house = house
        house.handlers.append(self)

    def on_receive(self, message: Message) -> int:
        self.house.begun.append((message, self.seat.generation))
        if message.kind == "kill":
            raise Killed(f"by {message.number}")
        if message.kind != "work":
            self.house.rehearsal.take_time(math.inf if message.kind == "hang" else 2.5 * HANG_SECONDS)
        else:
            self.house.finished[message] += 1
        return message.number


class BatchHandler(Handler):
    def on_batch(self, batch: list[Any]) -> None:
        for message in batch:
            self.on_receive(message)
            if message.kind != "work":
                # An actor that hangs does not go on to the next.
                return


class House:
    """One actor under supervision, and all that it was told, began and finished."""

    def __init__(self, errand: Errand) -> None:
        self.rehearsal = Rehearsal(errand.seed, batch_limit=64)
        self.in_batches = errand.in_batches
        self.directory = Directory()
        self.handlers: list[Handler] = []
        self.told: list[Message] = []
        self.begun: list[tuple[Message, int]] = []
        self.finished: Counter[Message] = Counter()
        self.futures: list[tuple[Message, ThreadingFuture[Any]]] = []
        child = ChildSpec(
            name="it",
            actor=lambda seat: (BatchHandler if errand.in_batches else Handler)(seat, self),
            hang_seconds=HANG_SECONDS,
            poison_after=errand.poison_after,
        )
        spec = SupervisorSpec(name="house", children=(child,), max_restarts=MOST_RESTARTS, within_seconds=1_000_000)
        self.supervisor = Supervisor(spec, self.directory, lambda _: None, max_retired=1_000, scheduler=self.rehearsal)

    def tell(self, kind: Kind, how: str) -> None:
        if kind != "work" and (how == "asked" or not self.in_batches):
            # A rehearsal does not interrupt: only of a batch is it not said at once that it was handled.
            kind = "kill"
        made = Once if how == "once" else Message
        message = made(len(self.told), kind)
        self.told.append(message)
        if how == "asked":
            future: ThreadingFuture[Any] = ThreadingFuture()
            self.futures.append((message, future))
            self.directory.offer("it", Envelope(message, reply_to=future))
        else:
            self.directory.tell("it", message)

    def run(self, errand: Errand) -> None:
        self.supervisor.start()
        for row, pause in zip(errand.rows, errand.pauses, strict=False):
            for kind, how in row:
                self.tell(kind, how)
            self.rehearsal.run(pause)
        self.rehearsal.run(100 * HANG_SECONDS)
        # Pykka would know them for ever: what takes part in a rehearsal ends with it.
        for handler in self.handlers:
            ActorRegistry.unregister(handler.actor_ref)


def hand_over(errand: Errand) -> None:
    """All rules hold, or `HandoverError` says which does not."""
    house = House(errand)
    house.run(errand)
    check_nobody_superseded_went_on(house)
    check_dead_letters(house, errand)
    check_futures(house)
    if errand.in_batches:
        check_batches(house, errand)
    else:
        check_order(house, errand)


def demand(holds: bool, what: str) -> None:  # noqa: FBT001  # as an assertion has it
    if not holds:
        raise HandoverError(what)


def check_nobody_superseded_went_on(house: House) -> None:
    generations = [generation for _, generation in house.begun]
    demand(generations == sorted(generations), f"out of its turn: {house.begun}")


def check_dead_letters(house: House, errand: Errand) -> None:
    """Killers, in order and each with what shows how it killed; nothing else, but what was in doubt."""
    letters = list(house.directory.dead_letters)
    by_death = [letter for letter in letters if letter.message.kind != "work"]
    fatal = [message for message in house.told if message.kind != "work"]
    demand(
        [letter.message for letter in by_death if type(letter.message) is Message]
        == [message for message in fatal if type(message) is Message],
        f"these killed: {fatal}; these were found: {by_death}",
    )
    demand(len(letters) == len({letter.message for letter in letters}), f"twice among the dead letters: {letters}")
    for letter in letters:
        is_once = isinstance(letter.message, Once)
        demand(letter.reason == ("in doubt" if is_once else "poison"), f"{letter}")
        if letter.message.kind == "kill" and not (is_once and errand.in_batches):
            demand(f"Killed: by {letter.message.number}" in letter.detail, f"without its traceback: {letter}")
        if letter.message.kind == "work":
            demand(is_once and errand.in_batches, f"an innocent message is a dead letter: {letter}")


def check_futures(house: House) -> None:
    for message, future in house.futures:
        try:
            answer = future.get(timeout=0)
        except ActorDeadError:
            answer = None
        except BaseException as error:
            raise HandoverError(f"{message} was not answered") from error
        demand(answer == (message.number if message.kind == "work" else None), f"{message}: {answer}")


def check_order(house: House, errand: Errand) -> None:
    """One by one: each in its turn, and none again but the killers, as often as was declared."""
    expected: list[Message] = []
    for message in house.told:
        times = 1 if message.kind == "work" or isinstance(message, Once) else 1 + errand.poison_after
        expected += [message] * times
    begun = [message for message, _ in house.begun]
    demand(begun == expected, f"begun: {begun}, not {expected}")


def check_batches(house: House, errand: Errand) -> None:
    """A batch that died is suspect as a whole: what was finished in it is handled once more, alone."""
    begun = [message for message, _ in house.begun]
    first = list(dict.fromkeys(begun))
    demand(first == [message for message in house.told if message in set(first)], f"out of order: {begun}")
    dead = {letter.message for letter in house.directory.dead_letters}
    for message, times in Counter(begun).items():
        most = 2 if message.kind == "work" else max(2, 1 + errand.poison_after)
        demand(times <= (1 if isinstance(message, Once) else most), f"{times} times: {message}")
    for message in house.told:
        demand(message in dead or house.finished[message] > 0, f"lost: {message}")
