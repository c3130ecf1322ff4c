"""The operational state and the fifteen-row table that says which way it may go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from kora.domain.control import ClaimPermission
from kora.errors import InvalidTransitionError


class PrimaryState(StrEnum):
    """What the runtime is doing."""

    BOOTING = "booting"
    READY = "ready"
    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"


class DegradationReason(StrEnum):
    """What is wrong; DEGRADED is the presence of any of these, not a state of its own."""

    COST = "cost"
    AUTH = "auth"
    DISPATCH = "dispatch"
    SUBSTRATE = "substrate"
    MIGRATION = "migration"
    OPERATOR = "operator"
    TOKEN_EXPIRING = "token_expiring"  # noqa: S105 - the name of a reason, no secret
    RETRY_CEILING = "retry_ceiling"


CLAIM_ACQUIRED: Final = "claim acquired"
CLAIM_RELEASED: Final = "claim released"
BOOTED: Final = "all boot gates pass"
OPERATOR_PAUSED: Final = "operator paused"
OPERATOR_CLEARED: Final = "operator clears by reset"
EPOCH_MISMATCH: Final = "epoch mismatch"
COST_PAUSED: Final = "cost 100%"
CREDIT_REFRESHED: Final = "credit refresh confirmed"
PERMISSION_CHANGED: Final = "claim permission changed"


@dataclass(frozen=True, slots=True)
class Arrow:
    """One row of the table: from, to, what triggers it, under which guard, and who brings the runtime back."""

    source: PrimaryState
    target: PrimaryState
    trigger: str
    guard: str = ""
    recovery: str = ""


_S = PrimaryState
TRANSITION_TABLE: Final = (
    Arrow(_S.BOOTING, _S.READY, BOOTED),
    Arrow(_S.BOOTING, _S.BOOTING, "transient gate failure", "retry budget left", "self (backoff)"),
    Arrow(_S.BOOTING, _S.STOPPED, "invariant gate failure, or retry budget exhausted", "", "operator"),
    Arrow(_S.BOOTING, _S.PAUSED, "epoch mismatch", "", "operator"),
    Arrow(_S.READY, _S.ACTIVE, CLAIM_ACQUIRED, "", "self"),
    Arrow(_S.ACTIVE, _S.READY, CLAIM_RELEASED, "", "self"),
    *(
        Arrow(source, _S.PAUSED, "STOP L1-L3, cost 100%, operator", "", "per reason")
        for source in (_S.READY, _S.ACTIVE, _S.BOOTING)
    ),
    Arrow(
        _S.PAUSED,
        _S.READY,
        "credit refresh confirmed",
        "spend below threshold, claim already released",
        "self (ramped)",
    ),
    Arrow(_S.PAUSED, _S.READY, "operator clears by reset", "", "operator"),
    *(
        Arrow(source, _S.STOPPED, "STOP L4/L5", "", "operator (new boot)")
        for source in (_S.READY, _S.ACTIVE, _S.PAUSED, _S.BOOTING)
    ),
)
_ALLOWED: Final = frozenset((arrow.source, arrow.target) for arrow in TRANSITION_TABLE)


@dataclass(frozen=True, slots=True)
class OperationalState:
    """What the runtime is doing, what is wrong, and what it may claim."""

    primary_state: PrimaryState
    claim_permission: ClaimPermission = ClaimPermission.NORMAL
    degradation_reasons: frozenset[DegradationReason] = frozenset()


def allowed(source: PrimaryState, target: PrimaryState) -> bool:
    """Whether the pair is in the table. Staying where one is always is: that is how reasons and permission change."""
    return source is target or (source, target) in _ALLOWED


def transition(state: OperationalState, target: PrimaryState) -> OperationalState:
    """The state after going to `target`. Raises `InvalidTransitionError` when the table has no such arrow."""
    if not allowed(state.primary_state, target):
        msg = f"no transition from {state.primary_state} to {target}"
        raise InvalidTransitionError(msg)
    return replace(state, primary_state=target)


def cleared_by(trigger: str) -> str:
    """The trigger with which a pause ends that began with this one."""
    return CREDIT_REFRESHED if trigger == COST_PAUSED else OPERATOR_CLEARED


def transition_payload(before: OperationalState, after: OperationalState, trigger: str) -> dict[str, Any]:
    """What the event of a transition says; wire format."""
    return {
        "from_primary_state": before.primary_state,
        "to_primary_state": after.primary_state,
        "claim_permission": after.claim_permission,
        "degradation_reasons": sorted(after.degradation_reasons),
        "trigger": trigger,
    }


def standing(
    state: OperationalState,
    permission: ClaimPermission,
    reasons: frozenset[DegradationReason],
    *,
    target: PrimaryState | None = None,
    trigger: str = "",
    paused_by: str = "",
) -> tuple[OperationalState, str] | None:
    """The state with this permission and these reasons, and the trigger; None when nothing of it is new.

    `target` is where the primary state is to go, where the table has the arrow, and None while nothing keeps the
    runtime from READY. `paused_by` is the trigger that was told last for where the state is now: a pause that nobody
    has told so is not ended here.
    """
    before = state.primary_state
    after, why = before, PERMISSION_CHANGED
    if target is None:
        if before is PrimaryState.PAUSED and paused_by:
            after, why = PrimaryState.READY, cleared_by(paused_by)
    elif allowed(before, target) and (target is not before or trigger != paused_by):
        after, why = target, trigger
    changed = OperationalState(after, permission, reasons)
    return None if changed == state and why == PERMISSION_CHANGED else (changed, why)


def mirror(state: OperationalState, *, held: bool) -> tuple[PrimaryState, str] | None:
    """The transition that holding claims, or none, calls for, with its trigger; None when it calls for none.

    Claims move the state only between READY and ACTIVE.
    """
    if state.primary_state is PrimaryState.READY and held:
        return PrimaryState.ACTIVE, CLAIM_ACQUIRED
    if state.primary_state is PrimaryState.ACTIVE and not held:
        return PrimaryState.READY, CLAIM_RELEASED
    return None
