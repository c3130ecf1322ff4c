"""Every message by which the work is steered, grouped by who receives it; `messages` has those by which it is done.

The same rules hold: frozen, states and not increments, so that each may arrive twice. Versions say which of two is the
newer one.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from actors.messages import ControlMessage, Message
from kora.domain.control import ClaimPermission, NewMark, StopLevel
from kora.domain.cost import Resumption, Rung
from kora.domain.refusal import Refusal
from kora.domain.state import DegradationReason, PrimaryState

# --- Control ---


class Recheck(ControlMessage):
    """Look at once at what may be claimed, and tell it."""

    MAY_BE_TOLD: ClassVar[bool] = True


class ProviderRefused(ControlMessage):
    """An agent's provider would not serve it: not the ticket is at fault, and the next one would fare no better."""

    agent: str | None
    """the agent's name in the configuration; None for the default one"""
    work_attempt_id: str
    refusal: Refusal


class ProviderServed(ControlMessage):
    """An agent whose provider was tried out has made progress: it serves again."""

    agent: str | None
    """as in `ProviderRefused`"""
    work_attempt_id: str


class Booted(ControlMessage):
    """The boot gates have come to their end; until this is heard, nothing may be claimed."""

    held_by: frozenset[DegradationReason] = frozenset()
    """what an operator has to see to first; empty: every gate has passed"""
    trigger: str = ""
    """the transition's, where it is held"""
    reset_no: int = 0
    """of the last reset by then: a later one says that it was seen to"""


class StoreAnswered(ControlMessage):
    """Whether the Ledger's turns go through; told when that changes, and on every tick while they do not."""

    version: tuple[int, int]
    """(the Ledger's generation, its count), of which the receiver keeps the newest"""
    is_writable: bool


# --- the Poller ---


class Permission(ControlMessage):
    """What may be claimed, and until when the word is good."""

    version: tuple[int, int]
    """(Control's generation, its count), of which the receiver keeps the newest"""
    permission: ClaimPermission
    until: float
    most: int | None = None
    """how many claims may be held at most: one, while it is tried out whether a provider serves again"""


# --- the Ledger ---


class MarkCommands(ControlMessage):
    """Write how far this runtime has come with commands; told again on every tick until the log has it."""

    marks: tuple[NewMark, ...]


class ResumeCredit(ControlMessage):
    """A pause for cost has ended: what was deferred is eligible again, and claims are made one by one."""

    resumption: Resumption


# --- Workers ---


class Bounds(ControlMessage):
    """What holds at the next operation boundary, as Control last found it; told on every tick."""

    version: tuple[int, int]
    """(Control's generation, its count), of which the receiver keeps the newest"""
    level: StopLevel = StopLevel.RESET
    """from 2 on no new operation is begun, and what waits is given back; from 3 on what runs is ended and released"""
    deadline: float | None = None
    """level 2: when what still runs is ended as by level 3"""
    ends_for_cost: bool = False
    """what runs is ended, as `deferred_cost_limit`"""
    rung: Rung = Rung.NORMAL
    """which agent an attempt that begins now is given, by its ticket's priority"""
    probes: bool = False
    """one attempt is to show whether its provider serves again: its first progress is told"""


# --- the StateHolder ---


class Standing(Message):
    """What may be claimed, what is wrong, and whether work is paused, as Control last found it."""

    version: tuple[int, int]
    """(Control's generation, its count), of which the receiver keeps the newest"""
    permission: ClaimPermission
    reasons: frozenset[DegradationReason]
    target: PrimaryState | None = None
    """PAUSED or STOPPED, where something keeps the runtime from READY"""
    trigger: str = ""


class Transition(ControlMessage):
    """Go to another state."""

    MAY_BE_TOLD: ClassVar[bool] = True

    target: PrimaryState
    trigger: Annotated[str, Field(min_length=1, max_length=200)]


# --- the runtime itself ---


class EndRuntime(ControlMessage):
    """A command of level 4 or 5: kill the agents, release for a few seconds, and exit with 5."""

    command_id: str
    level: StopLevel
    said: str
    """who has ordered it, and why, for the log"""
