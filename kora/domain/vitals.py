"""What a runtime's health follows from: facts of one moment, gathered without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kora.domain.control import ClaimPermission, StopLevel
from kora.domain.cost import Rung
from kora.domain.state import PrimaryState


@dataclass(frozen=True, slots=True)
class ActorVitals:
    """How one actor stands."""

    name: str
    state: str
    """as `status` has it"""
    restarts: int = 0
    mailbox: int = 0
    is_needed: bool = True
    """whether the work depends on it; on an observer it does not"""
    duty: str = ""
    """what it does for claims to be made, which one of those with this duty has to do; empty: nothing"""


@dataclass(frozen=True, slots=True)
class SupervisorVitals:
    """How one supervisor stands, and how many of its restarts are used up."""

    name: str
    state: str
    restarts_used: int = 0
    max_restarts: int = 0
    is_needed: bool = True
    """as an actor's"""


@dataclass(frozen=True, slots=True)
class LedgerVitals:
    """How the only writer fares. Ages in seconds; None: it has not happened yet."""

    turned_seconds: float | None = None
    """since it last came to the end of a turn, whether the store took that or not"""
    written_seconds: float | None = None
    """since the store last took one"""
    is_writable: bool = True


@dataclass(frozen=True, slots=True)
class HeartbeatVitals:
    """How the leases are looked after. Ages as the Ledger's."""

    ticked_seconds: float | None = None
    refreshed_seconds: float | None = None
    """since a refresh was last confirmed"""


@dataclass(frozen=True, slots=True)
class SteeringVitals:
    """What may be claimed, and why not more, as Control last found it."""

    is_readable: bool = True
    """whether the store, and with it the command log, could be read"""
    permission: ClaimPermission = ClaimPermission.NONE
    level: StopLevel = StopLevel.RESET
    """of the STOP command that holds"""
    trigger: str = ""
    """what keeps the runtime from READY"""
    held_by_boot: Sequence[str] = ()
    """what a boot gate found that an operator has to see to"""
    has_ceiling: bool = False
    refused: Sequence[str] = ()
    """each provider's refusal that is in force, in words"""
    rung: Rung = Rung.NORMAL
    spent_micro_usd: int = 0
    pool_micro_usd: int = 0
    """0: it has no bound"""
    watcher_seen_seconds: float | None = None
    """since a watcher last said that it is there; None: none is known to be"""


@dataclass(frozen=True, slots=True)
class Vitals:
    """All of it."""

    primary_state: PrimaryState = PrimaryState.BOOTING
    """as it is mirrored"""
    booting: str | None = None
    """what the boot gates are at, while they are run; None: they are done with"""
    paused: str | None = None
    """by whom an operator's pause is, and since when"""
    is_ending: bool = False
    """it drains, by an operator's order or because it was told to end"""
    is_supervised: bool = False
    """whether the supervisors' own thread lives"""
    ledger: LedgerVitals = LedgerVitals()
    heartbeat: HeartbeatVitals = HeartbeatVitals()
    steering: SteeringVitals = SteeringVitals()
    claims_held: int = 0
    workers: int = 0
    actors: Sequence[ActorVitals] = ()
    supervisors: Sequence[SupervisorVitals] = ()
    """the root first"""
    retired: int = 0
    """threads left behind by actors that hung"""
    max_retired: int = 0
    dead_letters: int = 0
    """that are kept for an operator"""
    dead_letters_total: int = 0
    attempts_ended: Mapping[str, int] = field(default_factory=dict)
    """by resolution"""
