"""How many restarts are too many."""

from __future__ import annotations


def restarts_within(times: list[float], now: float, within_seconds: float) -> list[float]:
    """Those of the restart times that still count."""
    return [moment for moment in times if now - moment <= within_seconds]


def add_restart(
    times: list[float], now: float, *, max_restarts: int, within_seconds: float
) -> tuple[list[float], bool]:
    """The restart times that still count, ``now`` included, and whether they are too many.

    As in OTP: too many are *more* than ``max_restarts`` of them not older than ``within_seconds``. Pure; the times
    come from one monotonic clock.
    """
    counted = [*restarts_within(times, now, within_seconds), now]
    return counted, len(counted) > max_restarts
