"""Where attempts at a ticket had a place to themselves that is still there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kora.config.sections import Runtime
    from kora.store.views import AttemptRecord


@dataclass(frozen=True, slots=True)
class Place:
    """One attempt's folder, and its branch if it is a worktree. The field names are wire format."""

    attempt: int
    work_attempt_id: str
    workdir: str
    folder: str
    repository: str | None
    branch: str | None
    kept_until: datetime | None
    """None: for good, since the attempt completed the ticket, or for now, since it is under way"""


def places_of(runtime: Runtime, attempts: Sequence[AttemptRecord]) -> list[Place]:
    """Those of these attempts; mostly none."""
    from kora.agents.workspace import existing
    from kora.domain.resolution import Resolution

    known = {attempt.work_attempt_id: attempt for attempt in attempts}
    places = []
    for found in existing(runtime.state_dir, known):
        attempt = known[found.work_attempt_id]
        is_kept = attempt.ended_at is None or attempt.resolution == Resolution.COMPLETED
        places.append(
            Place(
                attempt=attempt.attempt,
                work_attempt_id=found.work_attempt_id,
                workdir=found.kind,
                folder=str(found.folder(runtime.state_dir)),
                repository=None if found.repository is None else str(found.repository),
                branch=found.branch,
                kept_until=None if is_kept else _after(attempt.ended_at, runtime.keep_days),
            )
        )
    return places


def place_line(place: Place) -> str:
    """The place in a line: whose it is, where, on which branch, and until when."""
    branch = f", branch {place.branch}" if place.branch else ""
    until = "" if place.kept_until is None else f", until {place.kept_until.astimezone(UTC):%Y-%m-%d}"
    return f"{place.attempt}  {place.folder}{branch}{until}"


def _after(moment: datetime | None, days: float) -> datetime | None:
    return None if moment is None else moment + timedelta(days=days)
