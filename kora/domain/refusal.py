"""What it means that a provider would not serve an agent."""

from __future__ import annotations

from dataclasses import dataclass

from kora.domain.state import DegradationReason


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider would not serve the agent: its key, its quota or its rate is at fault, not the ticket."""

    reason: DegradationReason
    """`auth`, or `dispatch` where it will serve again by itself"""
    said: str
    until: float | None = None
    """when it will serve again, as it said; on the boot clock"""
