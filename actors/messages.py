"""Every message by which the work is done, grouped by who receives it; `steering` has those that say what may be done.

Commands are imperative verbs, facts past participles. All are frozen. Every message but `Work` may arrive twice and
does no harm: they carry states, not increments. `CONTROL` messages overtake the others and are never dropped. Moments
are seconds on the boot clock.

What an operator may send says so (`MAY_BE_TOLD`): most messages carry what only their senders can know, such as a
claim's end. Those that are asked say so, too (`ANSWERS`): their answer goes to an `ask` from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from kora.agents.port import Lease
from kora.domain.claim import Claim, ClaimKey
from kora.domain.events import NewEvent
from kora.domain.operation import OperationAnswer, OperationRequest
from kora.domain.resolution import Settlement


class Message(BaseModel):
    """What actors say to one another."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ControlMessage(Message):
    """A message that overtakes work."""

    CONTROL: ClassVar[bool] = True


# --- everybody ---


class Tick(Message):
    """The Clock says what time it is."""

    now: float


class Drain(ControlMessage):
    """Take on nothing new; what runs may go on until `deadline`, then it is ended and its ticket released."""

    deadline: float
    at_once: bool = False
    """end what runs now, with no grace"""
    is_final: bool = True
    """the runtime ends; else an operator wants it so until `Resume`"""


class Flush(Message):
    """Answer once everything received before this is done."""

    MAY_BE_TOLD: ClassVar[bool] = True
    ANSWERS: ClassVar[bool] = True


class Describe(Message):
    """Answer with what you have in mind."""

    MAY_BE_TOLD: ClassVar[bool] = True
    ANSWERS: ClassVar[bool] = True


# --- the Poller, the StateHolder, Control and the runtime itself ---


@dataclass(frozen=True, slots=True)
class Held:
    """What the runtime holds, with a version of which the receiver keeps the newest."""

    version: tuple[int, int]
    """(the Ledger's incarnation, its count)"""
    attempts: frozenset[str]
    """all of them for the Poller; for the others at most one, which tells them whether there are any"""
    exhausted: bool = False
    """the Poller's order found fewer tickets than there was room for, and stands no longer"""
    is_held_up: bool = False
    """the store's own gate held the order up, by a command or a ramp, and it stands no longer; the tickets are there"""
    next_eligible_in_seconds: float | None = None
    drained: bool = False
    """the Ledger was told to drain, and nothing is held or left to be written"""
    claims_a_worker: int = 1
    """how many claims a Worker should have, as attempts went of late"""
    permitted_by: tuple[int, int] = (0, 0)
    """the version of the newest permission of which the Ledger had heard, by an order, when this was so"""


# --- the Poller ---


class Poll(Message):
    """Look for work at once: there may be new tickets."""

    MAY_BE_TOLD: ClassVar[bool] = True


# --- the Ledger ---


class Order(Message):
    """The Poller's wish: hold this many claims altogether.

    It stands until its permission runs out, or the board is empty; a single one until a claim was made by it.
    """

    want: int
    permitted_until: float
    permitted_by: tuple[int, int] = (0, 0)
    """the permission's version; what was ordered by an older one is over"""
    is_critical_only: bool = False
    is_single: bool = False
    """while a provider is tried out: what its end says is to be heard before the next is claimed"""


@dataclass(frozen=True, slots=True)
class Refresh:
    """These attempts have earned a longer lease."""

    CONTROL: ClassVar[bool] = True

    earned: tuple[tuple[ClaimKey, float], ...]
    """each with the moment of the progress that earned it"""


class Append(ControlMessage):
    """Write these events into the log. Control, so that no order to stop overtakes what has happened."""

    events: tuple[NewEvent, ...]


@dataclass(frozen=True, slots=True)
class Operate:
    """Do these steps of operations, in this order, ahead of their attempt's end; answer the Worker when it is written.

    Told again until it is answered: a step that was done before does no more.
    """

    CONTROL: ClassVar[bool] = True

    worker: str
    requests: tuple[OperationRequest, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over and nothing of it is left, or it never began. Told again until it is acknowledged.

    `settlement` is None when its lease is lost: then nothing is written, but for what it has cost.
    """

    worker: str
    key: ClaimKey
    settlement: Settlement | None
    seconds: float | None = None
    """how long its agent ran; of one given back since another attempt took too long, how long that has taken so far;
    None of any other that never began"""
    cost_usd: float | None = None
    """what an attempt without a settlement has told of its cost: it is spent, whoever has the ticket now"""


@dataclass(frozen=True, slots=True)
class Ends:
    """What a Worker has found over since it last looked, the oldest first: hundreds at a time where they are short."""

    CONTROL: ClassVar[bool] = True

    ended: tuple[Ended, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """A Worker says what it has: when it starts, and whenever a Ledger asks."""

    CONTROL: ClassVar[bool] = True

    worker: str
    generation: int
    incarnation: int
    """the Ledger that this answers; 0 when the Worker has heard of none yet"""
    running: tuple[Claim, ...] = ()
    """what it runs, or what ran there and is being ended, and what waits to be begun"""
    ended: tuple[Ended, ...] = ()
    """what ended and was not yet acknowledged"""


# --- Workers; `Refreshed` goes to the Heartbeat as well, and `Resume` to the Ledger ---


@dataclass(frozen=True, slots=True)
class Work:
    """Run these, one after the other. Never delivered twice: what may have been taken up already goes to the board.

    A Worker that was restarted since refuses it, and so does one that has heard of a newer Ledger.
    """

    AT_MOST_ONCE: ClassVar[bool] = True

    claims: tuple[Claim, ...]
    lease: Lease
    incarnation: int
    generation: int


class WhatRuns(ControlMessage):
    """A Ledger asks what the Worker has; `Work` of older incarnations is void from now on."""

    incarnation: int


class Refreshed(ControlMessage):
    """The lease was prolonged."""

    work_attempt_id: str
    lease: Lease


class Lost(ControlMessage):
    """The claim is over: end the agent now, or do not begin it, and write nothing."""

    work_attempt_id: str


class Release(ControlMessage):
    """An operator wants this attempt ended, or not begun: its ticket goes back to the board, eligible at once."""

    work_attempt_id: str


class Resume(ControlMessage):
    """An operator takes back the `Drain` that was told before, unless that is final."""


@dataclass(frozen=True, slots=True)
class Settled:
    """These attempts' ends are dealt with, and need not be told again."""

    CONTROL: ClassVar[bool] = True

    work_attempt_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operated:
    """What came of steps of operations; told only when it is committed."""

    CONTROL: ClassVar[bool] = True

    answers: tuple[OperationAnswer, ...]


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """Something has ended at the Worker's post, where it is to be looked for: one ring may stand for several."""

    CONTROL: ClassVar[bool] = True


# --- the Heartbeat ---


class Progress(Message):
    """What a Worker runs, since when, and when that last made progress; `key` is None when it runs nothing."""

    worker: str
    key: ClaimKey | None = None
    started_at: float = 0.0
    progress_at: float | None = None
