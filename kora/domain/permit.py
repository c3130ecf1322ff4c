"""What may be claimed now, and what stops the work that runs: computed from grounds, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kora.domain.control import ClaimPermission, StopLevel
from kora.domain.cost import Rung
from kora.domain.state import (
    COST_PAUSED,
    EPOCH_MISMATCH,
    OPERATOR_PAUSED,
    DegradationReason,
    PrimaryState,
)

_Reasons = frozenset[DegradationReason]
_NO_REASON: Final[_Reasons] = frozenset()


@dataclass(frozen=True, slots=True)
class Grounds:
    """Everything that the permission depends on."""

    is_readable: bool = True
    """whether the store, and with it the command log, could be read: what cannot be read blocks"""
    is_writable: bool = True
    """whether the Ledger's last turn went through"""
    granted: ClaimPermission = ClaimPermission.NORMAL
    """what the workspace's row grants"""
    level: StopLevel = StopLevel.RESET
    """of the command that holds"""
    is_paused: bool = False
    """by an operator's `pause`, of this runtime alone"""
    is_booting: bool = False
    """the gates have not passed yet"""
    held_by_boot: _Reasons = _NO_REASON
    """what a gate found that an operator has to see to (epoch, chains), until a reset"""
    boot_trigger: str = EPOCH_MISMATCH
    """what that gate calls it"""
    has_ceiling: bool = False
    """too many tickets ran into `max_attempts` within an hour, and no reset since"""
    rung: Rung = Rung.NORMAL
    holds_claims: bool = False
    refused: _Reasons = _NO_REASON
    """why providers refuse, while nothing is to be tried"""
    probes: bool = False
    """a provider's pause is over: one attempt is to show whether it serves again"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the grounds."""

    permission: ClaimPermission
    reasons: _Reasons
    target: PrimaryState | None = None
    """where the primary state is to go: PAUSED or STOPPED; None: nothing keeps it from READY"""
    trigger: str = ""
    """why, for the event"""
    most: int | None = None
    """how many claims may be held at most; None: no bound but the Poller's own"""
    ends_for_cost: bool = False
    """what runs is to be released now, as `deferred_cost_limit`"""


def judge(grounds: Grounds) -> Verdict:
    """The permission, the reasons and the pause that these grounds call for."""
    reasons = _reasons(grounds)
    target, trigger = _target(grounds)
    return Verdict(
        permission=_permission(grounds),
        reasons=reasons,
        target=target,
        trigger=trigger,
        most=1 if grounds.probes else None,
        ends_for_cost=grounds.rung is Rung.HARD_STOP_100,
    )


def _permission(grounds: Grounds) -> ClaimPermission:
    closed = (
        not grounds.is_readable
        or grounds.is_booting
        or grounds.is_paused
        or grounds.level >= StopLevel.BLOCK_NEW_INTAKE
        or grounds.held_by_boot
        or grounds.rung is Rung.HARD_STOP_100
        or grounds.refused
    )
    if closed:
        return ClaimPermission.NONE
    if grounds.has_ceiling and grounds.granted is ClaimPermission.NORMAL:
        return ClaimPermission.CRITICAL_ONLY
    return grounds.granted


def _reasons(grounds: Grounds) -> _Reasons:
    found = {
        DegradationReason.SUBSTRATE: not (grounds.is_readable and grounds.is_writable),
        DegradationReason.OPERATOR: grounds.is_paused or grounds.level >= StopLevel.BLOCK_NEW_INTAKE,
        DegradationReason.COST: grounds.rung is not Rung.NORMAL,
        DegradationReason.RETRY_CEILING: grounds.has_ceiling,
    }
    return frozenset(reason for reason, is_so in found.items() if is_so) | grounds.held_by_boot | grounds.refused


def _target(grounds: Grounds) -> tuple[PrimaryState | None, str]:
    if grounds.level >= StopLevel.EXTERNAL_KILL:
        return PrimaryState.STOPPED, f"stop level {grounds.level.value}"
    if grounds.level >= StopLevel.BLOCK_NEW_INTAKE:
        return PrimaryState.PAUSED, f"stop level {grounds.level.value}"
    if grounds.held_by_boot:
        return PrimaryState.PAUSED, grounds.boot_trigger
    if grounds.is_paused:
        return PrimaryState.PAUSED, OPERATOR_PAUSED
    # Never a held claim across a cost pause: what is in hand is released first.
    if grounds.rung is Rung.HARD_STOP_100 and not grounds.holds_claims:
        return PrimaryState.PAUSED, COST_PAUSED
    return None, ""
