"""Boot gates: what has to be so before the first ticket is claimed, and what their results come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kora.domain.state import BOOTED, EPOCH_MISMATCH, DegradationReason, PrimaryState

GATE_FAILED: Final = "transient gate failure"
GATE_PASSED: Final = "transient gate passes"
INVARIANT_FAILED: Final = "invariant gate failure"
BUDGET_EXHAUSTED: Final = "retry budget exhausted"


class GateClass(StrEnum):
    """What a gate's failure means."""

    TRANSIENT = "transient"
    """it may pass by itself a little later: tried again, so often; then the runtime stops"""
    INVARIANT = "invariant"
    """it will not: the runtime stops"""
    INVARIANT_PAUSE = "invariant_pause"
    """a person is to look: the runtime starts, paused"""


class GateOutcome(StrEnum):
    """How a gate ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """it could not be tried, because one before it failed"""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its id, its class, and the reason that is shown while it is tried again, or holds the runtime."""

    gate_id: str
    gate_class: GateClass
    reason: DegradationReason


CONFIGURATION: Final = Gate("configuration", GateClass.INVARIANT, DegradationReason.OPERATOR)
STORE: Final = Gate("store", GateClass.TRANSIENT, DegradationReason.SUBSTRATE)
SCHEMA: Final = Gate("schema", GateClass.INVARIANT, DegradationReason.MIGRATION)
ACTOR: Final = Gate("actor", GateClass.INVARIANT, DegradationReason.SUBSTRATE)
AGENTS: Final = Gate("agents", GateClass.INVARIANT, DegradationReason.DISPATCH)
CREDENTIALS: Final = Gate("credentials", GateClass.TRANSIENT, DegradationReason.AUTH)
CLOCK: Final = Gate("clock", GateClass.TRANSIENT, DegradationReason.SUBSTRATE)
EPOCH: Final = Gate("epoch", GateClass.INVARIANT_PAUSE, DegradationReason.SUBSTRATE)
CHAINS: Final = Gate("chains", GateClass.INVARIANT_PAUSE, DegradationReason.SUBSTRATE)
CONTROL_LOG: Final = Gate("control_log", GateClass.TRANSIENT, DegradationReason.SUBSTRATE)
COST: Final = Gate("cost", GateClass.TRANSIENT, DegradationReason.COST)
CLAIM_SMOKE: Final = Gate("claim_smoke", GateClass.INVARIANT, DegradationReason.SUBSTRATE)

GATES: Final = (
    CONFIGURATION,
    STORE,
    SCHEMA,
    ACTOR,
    AGENTS,
    CREDENTIALS,
    CLOCK,
    EPOCH,
    CHAINS,
    CONTROL_LOG,
    COST,
    CLAIM_SMOKE,
)
"""in the order in which they are tried"""


@dataclass(frozen=True, slots=True)
class GateResult:
    """How one gate ended. The field names are wire format."""

    gate_id: str
    gate_class: GateClass
    outcome: GateOutcome
    attempts: int
    elapsed_ms: int
    detail: str
    """what was found; of a failure also what it means and what to do"""

    def document(self) -> dict[str, Any]:
        """It, as JSON's own types: for events, and for programs that read."""
        return {
            "gate_id": self.gate_id,
            "gate_class": self.gate_class.value,
            "outcome": self.outcome.value,
            "attempts": self.attempts,
            "elapsed_ms": self.elapsed_ms,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """What trying every gate once has shown, and what `run` would have ended with."""

    results: tuple[GateResult, ...]
    exit_code: int
    """0: the runtime would start"""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How often a transient gate is tried, and how long the pauses between are: doubling, up to the cap."""

    tries: int
    first_seconds: float
    cap_seconds: float

    def pause_seconds(self, failures: int) -> float:
        """The pause after so many failures, at least one."""
        # A power of two that is no float any more is longer than any cap.
        return min(self.cap_seconds, self.first_seconds * 2.0 ** min(failures - 1, 64))

    def is_spent(self, failures: int) -> bool:
        """Whether after so many failures there is no further try."""
        return failures >= self.tries


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the results come to: READY, PAUSED for a person to look, or STOPPED."""

    state: PrimaryState
    trigger: str
    reasons: frozenset[DegradationReason] = frozenset()
    failed: tuple[GateResult, ...] = ()
    """the gates that kept it from READY, the first one first"""


def conclude(results: Sequence[GateResult]) -> Conclusion:
    """What these results come to. One that stops the runtime outweighs all that only pause it."""
    failed = tuple(result for result in results if result.outcome is GateOutcome.FAILED)
    if not failed:
        return Conclusion(PrimaryState.READY, BOOTED)
    reasons = {gate.gate_id: gate.reason for gate in GATES}
    pausing = frozenset(reasons[result.gate_id] for result in failed)
    stopping = [result for result in failed if result.gate_class is not GateClass.INVARIANT_PAUSE]
    if not stopping:
        return Conclusion(PrimaryState.PAUSED, EPOCH_MISMATCH, pausing, failed)
    is_spent = stopping[0].gate_class is GateClass.TRANSIENT
    return Conclusion(
        PrimaryState.STOPPED,
        BUDGET_EXHAUSTED if is_spent else INVARIANT_FAILED,
        frozenset({reasons[stopping[0].gate_id]}),
        tuple(stopping),
    )
