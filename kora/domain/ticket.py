"""A ticket: one unit of work on a workspace's board."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from kora.domain.ids import parse_id

TITLE_CHARACTERS: Final = 1_000
OBJECTIVE_BYTES: Final = 1_048_576
KIND_CHARACTERS: Final = 100
BLOCKERS_MAX: Final = 1_000


class Status(StrEnum):
    """`sea_status`: where a ticket stands."""

    ASSIGNED = "assigned"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    RELEASED = "released"
    FAILED_RETRYABLE = "failed_retryable"
    FAILED_TERMINAL = "failed_terminal"
    DEFERRED_COST_LIMIT = "deferred_cost_limit"
    BLOCKED_NEEDS_OPERATOR = "blocked_needs_operator"


class Priority(StrEnum):
    """`sea_priority`, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """The place in the queue: 0 goes first."""
        return _RANKS[self]


_RANKS: Final = {priority: rank for rank, priority in enumerate(Priority)}
PRIORITY_OF_RANK: Final = tuple(Priority)


class QueueState(IntEnum):
    """Which of the store's queues a ticket lies in; kept beside the status so that the indexes stay small and cheap."""

    OUT = 0
    """final, or waiting for a person, for the cost refresh or for other tickets"""
    READY = 1
    """may be claimed now"""
    WAITING = 2
    """may be claimed once `next_eligible_at` is past"""
    HELD = 3
    """under a claim"""


TRIED_AGAIN: Final = frozenset({Status.RELEASED, Status.FAILED_RETRYABLE})
"""how an attempt may end and leave its ticket in the queue"""


def _storable(text: str) -> str:
    if "\0" in text:
        msg = "must not contain a NUL character"
        raise ValueError(msg)
    return text


def _fits(text: str) -> str:
    size = len(text.encode())
    if size > OBJECTIVE_BYTES:
        msg = f"is {size:,} bytes long; at most {OBJECTIVE_BYTES:,} are allowed"
        raise ValueError(msg)
    return text


def _uuid(text: str) -> str:
    try:
        return parse_id(text)
    except ValueError:
        raise ValueError("must be a UUID") from None


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999 in UTC") from None


Title = Annotated[str, Field(min_length=1, max_length=TITLE_CHARACTERS), AfterValidator(_storable)]
Objective = Annotated[str, AfterValidator(_storable), AfterValidator(_fits)]
Kind = Annotated[str, Field(min_length=1, max_length=KIND_CHARACTERS), AfterValidator(_storable)]
AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Identifier = Annotated[str, AfterValidator(_uuid)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class NewTicket(BaseModel):
    """What a user may say of a ticket: one line of an import file. Everything but the title has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket_title: Title
    ticket_objective: Objective = ""
    sea_priority: Priority = Priority.MEDIUM
    sea_idea_kind: Kind = "task"
    sea_captured_at: Moment | None = None
    """when the idea was had; the time of adding, if not said"""
    assigned_to_actor_id: Identifier | None = None
    """who is to work it; the configuration's actor, if not said"""
    next_eligible_at: Moment | None = None
    """not before this moment; at once, if not said"""
    agent: AgentName | None = None
    """which named agent of the configuration is to do it; the default one, if not said"""
    blocked_by: Annotated[tuple[Identifier, ...], Field(max_length=BLOCKERS_MAX)] = ()
    """the tickets that must be completed first: on the board, or in the same file"""
    ticket_id: Identifier | None = None
    """the id that it is to have, so that others of the same file can name it; a fresh one, if not said"""


class ActiveClaim(BaseModel):
    """The claim that a ticket is under, as others see it."""

    model_config = ConfigDict(frozen=True)

    claim_fence_token: int
    holder: str
    lease_expires_at: datetime


class Ticket(BaseModel):
    """A ticket as the store has it. The field names are wire format."""

    model_config = ConfigDict(frozen=True)

    ticket_id: str
    workspace_id: str
    ticket_title: str
    ticket_objective: str
    sea_status: Status
    sea_priority: Priority
    sea_idea_kind: str
    sea_captured_at: datetime
    created_at: datetime
    assigned_to_actor_id: str
    next_eligible_at: datetime | None
    claim_count: int
    work_attempt_count: int
    failure_count_by_reason: dict[str, int]
    blocked_by: tuple[str, ...] = ()
    agent: str | None = None
    last_resolution: str | None = None
    last_summary: str | None = None
    claim: ActiveClaim | None = None
