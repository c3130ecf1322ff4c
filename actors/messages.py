"""Every message, grouped by who receives it: the whole conversation on one page.

Commands are imperative verbs, facts past participles. All are frozen. Every message but `Work` may arrive twice and
does no harm: they carry states, not increments. `CONTROL` messages overtake the others and are never dropped. Moments
are seconds on the boot clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from kora.agents.port import Lease
from kora.domain.claim import Claim, ClaimKey
from kora.domain.control import ClaimPermission
from kora.domain.events import NewEvent
from kora.domain.operation import OperationAnswer, OperationRequest
from kora.domain.resolution import Settlement
from kora.domain.state import PrimaryState


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


class Flush(Message):
    """Answer (to an `ask` from outside) once everything received before this is done."""


# --- the Poller, the StateHolder and the runtime itself ---


class Held(Message):
    """What the runtime holds: the whole set, with a version of which the receiver keeps the newest."""

    version: tuple[int, int]
    """(the Ledger's incarnation, its count)"""
    attempts: frozenset[str]
    exhausted: bool = False
    """the Poller's order found fewer tickets than there was room for, and stands no longer"""
    next_eligible_in_seconds: float | None = None
    drained: bool = False
    """the Ledger was told to drain, and nothing is held or left to be written"""


# --- the Poller ---


class Permission(ControlMessage):
    """What may be claimed, and until when the word is good."""

    permission: ClaimPermission
    until: float


class Wake(Message):
    """The store was written by somebody else: there may be new tickets."""


# --- the Ledger ---


class Order(Message):
    """The Poller's wish: hold this many claims altogether.

    It stands until its permission runs out, or the board is empty.
    """

    want: int
    permitted_until: float


class Refresh(ControlMessage):
    """These attempts have earned a longer lease."""

    keys: tuple[ClaimKey, ...]


class Append(ControlMessage):
    """Write these events into the log. Control, so that no order to stop overtakes what has happened."""

    events: tuple[NewEvent, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over and nothing of it is left.

    `settlement` is None when its lease is lost: then nothing is written.
    """

    CONTROL: ClassVar[bool] = True

    worker: str
    key: ClaimKey
    settlement: Settlement | None


class Announce(ControlMessage):
    """A Worker says what it has: when it starts, and whenever a Ledger asks."""

    worker: str
    generation: int
    incarnation: int
    """the Ledger that this answers; 0 when the Worker has heard of none yet"""
    running: Claim | None
    """what it runs, or what ran there and is being ended"""
    ended: Ended | None
    """what ended and was not yet acknowledged"""


# --- Workers; `Refreshed` goes to the Heartbeat as well ---


@dataclass(frozen=True, slots=True)
class Work:
    """Run this. Never delivered twice: one that may have been taken up already is given back to the board instead."""

    AT_MOST_ONCE: ClassVar[bool] = True

    claim: Claim
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
    """The lease is gone: end the agent now, and write nothing."""

    work_attempt_id: str


class Settled(ControlMessage):
    """The attempt's end is on record."""

    work_attempt_id: str


class AgentEnded(ControlMessage):
    """The agent is gone, with all that it started; its outcome lies with the running agent."""

    work_attempt_id: str


# --- the Heartbeat ---


class Progress(Message):
    """What a Worker runs, since when, and when that last made progress; `key` is None when it runs nothing."""

    worker: str
    key: ClaimKey | None = None
    started_at: float = 0.0
    progress_at: float | None = None


# --- the StateHolder ---


class Transition(ControlMessage):
    """Go to another state."""

    target: PrimaryState
    trigger: str
