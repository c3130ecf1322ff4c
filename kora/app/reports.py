"""What the event log is told of supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kora.domain.events import EventType, NewEvent

if TYPE_CHECKING:
    from actors.supervision import Report

_REPORTED: Final = {"restarted": EventType.SUPERVISOR_RESTARTED, "gave_up": EventType.SUPERVISOR_GAVE_UP}


def event(report: Report) -> NewEvent | None:
    """The event that a report is kept as; None for those that only the log has."""
    event_type = _REPORTED.get(report.context)
    if event_type is None:
        return None
    return NewEvent(
        event_type,
        {
            "supervisor": report.supervisor,
            "context": report.context,
            "reason": report.reason,
            "offender": report.offender,
        },
    )
