"""What a store's reader hands out beside tickets and events: claims, attempts, the morning's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Look:
    """How a store stands, before anything of it is made or changed."""

    revision: str | None
    """of its schema; None: there is none yet, and whoever opens it makes it"""
    current_revision: str
    """this Kora's: an older one is brought to it by whoever opens the store"""
    is_registered: bool
    """whether the actor has its row; False while the schema is not the current one"""

    @property
    def is_current(self) -> bool:
        """Whether it can be worked with as it is."""
        return self.revision == self.current_revision


@dataclass(frozen=True, slots=True)
class ActiveWork:
    """Who works what: one held claim."""

    ticket_id: str
    ticket_title: str
    holder: str
    host: str
    pid: int
    claim_fence_token: int
    work_attempt_id: str
    attempt: int
    claimed_at: datetime
    lease_expires_at: datetime
    lease_left_seconds: float
    """negative once it has run out and nobody has swept it yet"""
    progress_at: datetime | None
    """the progress that earned the last refresh; None before the first refresh"""


LIVE_SECONDS: Final = 30.0
"""a runtime that was seen so long ago counts as there: it says so every ten, and three of its marks may be late"""


class Presence(StrEnum):
    """Whether a runtime is there, as far as the store can tell."""

    LIVE = "live"
    """it was seen within 30 seconds"""
    ENDED = "ended"
    """it said itself that it ended"""
    SILENT = "silent"
    """it was not seen for longer, and holds claims"""
    GONE = "gone"
    """it was not seen for longer, and holds none"""


@dataclass(frozen=True, slots=True)
class RuntimeSeen:
    """One runtime, and when it last wrote to the store."""

    runtime_id: str
    host: str
    pid: int
    version: str
    workspace_id: str
    state: Presence
    started_at: datetime
    last_seen: datetime
    """at most ten seconds before its last turn"""
    last_seen_seconds: float
    """how long ago that was, by the store's time"""
    claims: int
    """that it holds, leases run out or not"""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt at a ticket, as the ledger's row 0 has it."""

    work_attempt_id: str
    attempt: int
    """the first is 1"""
    started_at: datetime
    ended_at: datetime | None
    resolution: str | None
    """None while it is under way, and where its lease ran out"""
    summary: str | None


@dataclass(frozen=True, slots=True)
class TicketLine:
    """One ticket as a report names it."""

    ticket_id: str
    ticket_title: str
    sea_status: str
    work_attempt_count: int
    worked_seconds: float
    """the sum of its ended attempts"""
    cost_usd: float
    last_summary: str | None
    failure_count_by_reason: Mapping[str, int] = field(default_factory=dict, compare=False)
    """the ticket's; unlike the rest it does not follow from the event log alone"""


@dataclass(frozen=True, slots=True)
class BoardReport:
    """The morning's page. Every count of tickets and attempts follows from the event log alone."""

    since: datetime
    """what the counts of attempts begin with, rounded down to the minute"""
    now: datetime
    tickets_by_status: Mapping[str, int]
    """the board as it stands"""
    waiting_for_others: int
    """tickets that would be in the queue but for others that have to be completed first"""
    attempts_by_resolution: Mapping[str, int]
    """attempts that ended since; `expired` counts those whose lease ran out or whose runtime died"""
    tickets_added: int
    """since"""
    cost_usd: float
    """what the attempts that ended since have cost, as far as their agents told"""
    worked_seconds: float
    """the attempts that ended since, added up"""
    needs_a_person: Sequence[TicketLine]
    """`blocked_needs_operator` and `failed_terminal`, the newest first, at most 20"""
    needs_a_person_count: int
    longest: Sequence[TicketLine]
    """the tickets that were worked longest, for 100 ms or more, at most 5"""
    flakiest: Sequence[TicketLine]
    """the tickets that took more than one attempt, the most first, at most 5"""
    runtimes: Sequence[RuntimeSeen]
    """those that were seen since, or that hold claims; the newest first"""


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first broken event of a chain."""

    chain_id: str
    chain_seq: int
    event_id: str | None
    fault: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a verification of all chains found."""

    events: int
    chains: int
    fault: ChainFault | None


@dataclass(frozen=True, slots=True)
class LeftEvent:
    """An event that is not moved, and because of which none behind it is."""

    seq: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What an archiving moved."""

    events: int
    files: Sequence[Path]
    """those that were written to"""
    until: datetime | None
    """when the newest event that was moved had occurred"""
    first_left: LeftEvent | None = None
    """the first that was not old enough; None when all that stood in the log were"""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copying brought over."""

    source: str
    target: str
    """the stores, as messages name them"""
    rows: Mapping[str, int]
    """how many there are of each kind, at both ends"""
    chains: int
    events_verified: int
    """in the target and the archived files; the source had the same"""
    has_gone_on: bool
    """whether an earlier run had begun it"""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Whether an actor's board still has anything that a runtime could come to work."""

    ready: bool
    waiting: bool
    held: bool
    blocked: bool = False
    """a ticket waits for others of which one, at some remove, is still ready, waiting or held (by whatever actor);
    looked into only where none of the above is so"""

    @property
    def any(self) -> bool:
        """Something is still to be waited for."""
        return self.ready or self.waiting or self.held or self.blocked
