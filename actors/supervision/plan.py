"""What follows from a specification: in what order, whether again, and after how long. Pure."""

from __future__ import annotations

from actors.supervision.spec import ChildSpec, Restart, SupervisorSpec


def start_order(spec: SupervisorSpec) -> tuple[str, ...]:
    """The children's names as they are started: each may rely on those before it."""
    return tuple(child.name for child in spec.children)


def stop_order(spec: SupervisorSpec) -> tuple[str, ...]:
    """The children's names as they are stopped: in reverse of the start."""
    return start_order(spec)[::-1]


def is_restarted(restart: Restart, *, abnormal: bool) -> bool:
    """Whether a child that ended, by an exception or normally, is started again."""
    return restart == "permanent" or (restart == "transient" and abnormal)


def backoff_seconds(spec: ChildSpec, failed_starts: int) -> float:
    """How long to wait before the next start, after so many failed ones in a row. None failed: no wait."""
    if failed_starts == 0:
        return 0.0
    try:
        delay = spec.backoff_initial_seconds * spec.backoff_factor ** (failed_starts - 1)
    except OverflowError:
        return spec.backoff_cap_seconds
    return min(delay, spec.backoff_cap_seconds)
