"""What follows from a specification: in what order, whom else, whether again, and after how long. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from actors.supervision.spec import Restart, Restartable, Strategy


def start_order(names: Sequence[str]) -> tuple[str, ...]:
    """The children's names as they are started: each may rely on those before it."""
    return tuple(names)


def stop_order(names: Sequence[str]) -> tuple[str, ...]:
    """The children's names as they are stopped: in reverse of the start."""
    return tuple(reversed(names))


def affected(strategy: Strategy, names: Sequence[str], fallen: str) -> tuple[str, ...]:
    """Who is restarted when one has fallen, in the order of the start: it alone, it and those after it, or all."""
    if strategy == "one_for_all":
        return tuple(names)
    if strategy == "rest_for_one":
        return tuple(names[names.index(fallen) :])
    return (fallen,)


def is_restarted(restart: Restart, *, abnormal: bool) -> bool:
    """Whether a child that ended, by an exception or normally, is started again."""
    return restart == "permanent" or (restart == "transient" and abnormal)


def backoff_seconds(spec: Restartable, failed_starts: int, chance: float) -> float:
    """How long to wait before the next start, after so many failed ones in a row. None failed: no wait.

    ``chance``, from 0 to 1, says how much of the jitter is taken off.
    """
    if failed_starts == 0:
        return 0.0
    try:
        delay = spec.backoff_initial_seconds * spec.backoff_factor ** (failed_starts - 1)
    except OverflowError:
        delay = spec.backoff_cap_seconds
    return min(delay, spec.backoff_cap_seconds) * (1 - spec.backoff_jitter * chance)
