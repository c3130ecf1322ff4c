"""How many restarts are too many."""

from __future__ import annotations


def add_restart(
    times: list[float], now: float, *, max_restarts: int, within_seconds: float
) -> tuple[list[float], bool]:
    """The restart times that still count, ``now`` included, and whether they are too many.

    As in OTP: too many are *more* than ``max_restarts`` of them not older than ``within_seconds``. Pure; the times
    come from one monotonic clock.
    """
    counted = [moment for moment in times if now - moment <= within_seconds]
    counted.append(now)
    return counted, len(counted) > max_restarts
