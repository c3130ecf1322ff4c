"""The morning's page: read off tallies and partial indexes, not off the board."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from kora.clock import MICROSECONDS, from_us, to_us
from kora.domain.resolution import Resolution
from kora.domain.ticket import TRIED_AGAIN, QueueState, Status
from kora.store.sql.add import ADDED
from kora.store.sql.place import Connection, Place
from kora.store.sql.statements import ReportStatements
from kora.store.sql.turn import EXPIRED, MINUTE_US
from kora.store.views import LIVE_SECONDS, ActiveWork, BoardReport, Presence, RuntimeSeen, TicketLine

_ENDS: Final = (*(resolution.value for resolution in Resolution), EXPIRED)
_MICRO_USD: Final = 1_000_000
_FOR_A_PERSON_AT_MOST: Final = 20
_NOTEWORTHY_AT_MOST: Final = 5
_FLEET_US: Final = 86_400 * MICROSECONDS


def report(connection: Connection, place: Place, say: ReportStatements, since: datetime) -> BoardReport:
    """The board and what happened to it since, as of one moment."""
    workspace_id = place.workspace_id
    minute = to_us(since) // MINUTE_US
    with connection.snapshot():
        now_us = connection.now_us()
        tallies = {
            name: sums
            for name in (*_ENDS, ADDED)
            for sums in connection.execute(say.tallies_since, (workspace_id, name, minute)).fetchall()
            if sums[0]
        }
        added = tallies.pop(ADDED, (0,))[0]
        by_status, waiting_for_others = _by_status(connection, say, workspace_id)
        return BoardReport(
            since=from_us(minute * MINUTE_US),
            now=from_us(now_us),
            tickets_by_status=by_status,
            waiting_for_others=waiting_for_others,
            attempts_by_resolution={resolution: sums[0] for resolution, sums in tallies.items()},
            tickets_added=added,
            cost_usd=sum(sums[1] for sums in tallies.values()) / _MICRO_USD,
            worked_seconds=sum(sums[2] for sums in tallies.values()) / MICROSECONDS,
            needs_a_person=_lines(connection, say.for_a_person, workspace_id, _FOR_A_PERSON_AT_MOST),
            needs_a_person_count=sum(
                by_status.get(status, 0) for status in (Status.FAILED_TERMINAL, Status.BLOCKED_NEEDS_OPERATOR)
            ),
            longest=_lines(connection, say.longest, workspace_id, _NOTEWORTHY_AT_MOST),
            flakiest=_lines(connection, say.flakiest, workspace_id, _NOTEWORTHY_AT_MOST),
            runtimes=_runtimes(connection, place, say, minute * MINUTE_US, now_us),
        )


def active_work(connection: Connection, place: Place, say: ReportStatements) -> list[ActiveWork]:
    """Every held claim of the workspace, the oldest first."""
    with connection.snapshot():
        moment_us = connection.now_us()
        rows = connection.execute(say.claims, (place.workspace_id,)).fetchall()
    return [
        ActiveWork(
            ticket_id=ticket_id,
            ticket_title=title,
            holder=holder,
            host=host,
            pid=pid,
            claim_fence_token=fence,
            work_attempt_id=work_attempt_id,
            attempt=attempt,
            claimed_at=from_us(claimed_at),
            lease_expires_at=from_us(lease_expires_at),
            lease_left_seconds=(lease_expires_at - moment_us) / MICROSECONDS,
            progress_at=None if progress_at is None else from_us(progress_at),
        )
        for (
            ticket_id,
            title,
            holder,
            host,
            pid,
            fence,
            work_attempt_id,
            attempt,
            claimed_at,
            lease_expires_at,
            progress_at,
        ) in rows
    ]


def fleet(connection: Connection, place: Place, say: ReportStatements) -> list[RuntimeSeen]:
    """The workspace's runtimes that were seen within a day, or that hold claims; the newest first."""
    with connection.snapshot():
        now_us = connection.now_us()
        return _runtimes(connection, place, say, now_us - _FLEET_US, now_us)


def _runtimes(
    connection: Connection, place: Place, say: ReportStatements, since_us: int, now_us: int
) -> list[RuntimeSeen]:
    rows = connection.execute(say.fleet, (place.workspace_id, since_us)).fetchall()
    return [_runtime(row, place.workspace_id, now_us) for row in rows]


def _runtime(row: tuple[Any, ...], workspace_id: str, now_us: int) -> RuntimeSeen:
    runtime_id, host, pid, version, started_at, last_seen, ended_at, claims = row
    seconds = max(0, now_us - last_seen) / MICROSECONDS
    return RuntimeSeen(
        runtime_id=runtime_id,
        host=host,
        pid=pid,
        version=version,
        workspace_id=workspace_id,
        state=_presence(seconds, claims, has_ended=ended_at is not None),
        started_at=from_us(started_at),
        last_seen=from_us(last_seen),
        last_seen_seconds=seconds,
        claims=claims,
    )


def _presence(seconds: float, claims: int, *, has_ended: bool) -> Presence:
    if has_ended:
        return Presence.ENDED
    if seconds <= LIVE_SECONDS:
        return Presence.LIVE
    return Presence.SILENT if claims else Presence.GONE


def _by_status(connection: Connection, say: ReportStatements, workspace_id: str) -> tuple[Mapping[str, int], int]:
    """How many tickets stand at each status that any stands at, and how many wait for others.

    No index holds the two statuses of nearly every ticket, since all would pay for it: `assigned` is what is left of
    the queues, and `completed` of the whole.
    """
    total, ready, waiting = connection.execute(say.how_many, (workspace_id,)).fetchone()
    counts: dict[str, int] = dict(connection.execute(say.of_status_held, (workspace_id,)).fetchall())
    counts |= dict(connection.execute(say.of_status_exceptional, (workspace_id,)).fetchall())
    blocked = connection.execute(say.of_status_blocked, (workspace_id,)).fetchall()
    eligible_once = TRIED_AGAIN | {Status.ASSIGNED}
    waits = sum(number for status, queue, number in blocked if queue == QueueState.OUT and status in eligible_once)
    counts[Status.ASSIGNED] = ready + waiting + waits - sum(counts.get(status, 0) for status in TRIED_AGAIN)
    counts[Status.COMPLETED] = total - sum(counts.values())
    return {status.value: counts[status] for status in Status if counts.get(status)}, waits


def _lines(connection: Connection, statement: str, workspace_id: str, at_most: int) -> list[TicketLine]:
    return [_line(row) for row in connection.execute(statement, (workspace_id, at_most)).fetchall()]


def _line(row: tuple[Any, ...]) -> TicketLine:
    ticket_id, title, status, attempts, worked_us, cost_micro_usd, summary, counts = row
    return TicketLine(
        ticket_id=ticket_id,
        ticket_title=title,
        sea_status=status,
        work_attempt_count=attempts,
        worked_seconds=worked_us / MICROSECONDS,
        cost_usd=cost_micro_usd / _MICRO_USD,
        last_summary=summary,
        failure_count_by_reason=orjson.loads(counts),
    )
