"""The statements of readers on PostgreSQL: lists, the log, the report, and who works what."""

from __future__ import annotations

from typing import Final

from kora.store.postgres.operate_statements import ROW
from kora.store.postgres.statements import BASE, EVENT, HISTORY, LAST, TICKET, TICKET_NO, TICKET_SELECT
from kora.store.postgres.steering_statements import STEERING_READ
from kora.store.sql.statements import ReadStatements, ReportStatements

WORKED_NOTEWORTHY_US: Final = 100_000
"""the index of long-worked tickets begins here, so that tickets that take no time never touch it"""

# Every transaction before this one has ended: what it wrote is to be seen, or never will be. Whoever follows the log
# up to here misses nothing that is committed later.
_SETTLED: Final = "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + seq_shift) << 22"

_IN_WORKSPACE: Final = f"ticket_no > {BASE} AND ticket_no < {LAST} AND workspace_id = $1"

READ: Final = ReadStatements(
    history=HISTORY,
    steering=STEERING_READ,
    outstanding="""
SELECT ready, waiting, held, CASE WHEN ready OR waiting OR held THEN false ELSE EXISTS (
    WITH RECURSIVE awaited (ticket_no) AS (
        SELECT d.blocker_no FROM kora.tickets AS t JOIN kora.dependencies AS d ON d.ticket_no = t.ticket_no
        WHERE t.workspace_id = $1 AND t.assigned_to_actor_id = $2 AND t.open_blockers > 0
          AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
        UNION
        SELECT d.blocker_no FROM awaited JOIN kora.tickets AS t ON t.ticket_no = awaited.ticket_no
        JOIN kora.dependencies AS d ON d.ticket_no = t.ticket_no
        WHERE t.open_blockers > 0 AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
    )
    SELECT 1 FROM awaited JOIN kora.tickets AS b ON b.ticket_no = awaited.ticket_no WHERE b.queue_state IN (1, 2, 3)
) END
FROM (
    SELECT EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $2
                   AND queue_state = 1) AS ready,
           EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $2
                   AND queue_state = 2) AS waiting,
           EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $2
                   AND queue_state = 3) AS held
) AS queues
""",
    ticket=TICKET,
    tickets_after=f"""
{TICKET_SELECT} WHERE t.workspace_id = $1 AND t.ticket_no > greatest($2::bigint, {BASE}) ORDER BY t.ticket_no LIMIT $3
""",
    tickets_of_numbers=f"""
{TICKET_SELECT} WHERE t.ticket_no = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) ORDER BY t.ticket_no
""",
    first_queued="""
SELECT least(
    (SELECT min(ticket_no) FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 1),
    (SELECT min(ticket_no) FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 2),
    (SELECT min(ticket_no) FROM kora.tickets WHERE workspace_id = $1 AND open_blockers > 0))
""",
    numbers_exceptional="""
SELECT ticket_no FROM kora.tickets WHERE workspace_id = $1 AND sea_status = $2 AND ticket_no > $3
  AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
ORDER BY ticket_no LIMIT $4
""",
    numbers_held="""
SELECT ticket_no FROM kora.tickets WHERE workspace_id = $1 AND sea_status = $2 AND ticket_no > $3 AND queue_state = 3
ORDER BY ticket_no LIMIT $4
""",
    numbers_ordinary=f"""
SELECT ticket_no FROM kora.tickets
WHERE workspace_id = $1 AND sea_status = $2 AND ticket_no > greatest($3::bigint, {BASE})
ORDER BY ticket_no LIMIT $4
""",
    ticket_no=TICKET_NO,
    attempts_of_ticket="""
SELECT attempt, work_attempt_id, state, dispatch_result, dispatch_error, allocated_at, ended_at FROM kora.operations
WHERE ticket_no = $1 AND sequence_within_attempt = 0 ORDER BY attempt
""",
    operations_of_ticket=f"""
SELECT {ROW.format("o")} FROM kora.operations AS o
WHERE o.ticket_no = $1 AND o.sequence_within_attempt > 0 ORDER BY o.attempt, o.sequence_within_attempt
""",
    last_seq=f"""
SELECT max(seq) FROM kora.events WHERE workspace_id = $1
  AND seq < (SELECT {_SETTLED} FROM kora.workspaces WHERE workspace_id = $1)
""",
    settled_seq=f"SELECT {_SETTLED} FROM kora.workspaces WHERE workspace_id = $1",
    events_after=f"""
{EVENT} WHERE e.workspace_id = $1 AND e.seq > $2 AND e.seq < $3 ORDER BY e.seq LIMIT $4
""",
    events_of_types_after=f"""
{EVENT} WHERE e.workspace_id = $1 AND e.seq > $2 AND e.seq < $3
  AND e.event_type IN (SELECT json_array_elements_text($4::json)) ORDER BY e.seq LIMIT $5
""",
    events_of_ticket_after=f"""
{EVENT} WHERE e.ticket_no = ({TICKET_NO})
  AND e.workspace_id = $2 AND e.seq > $3 AND e.seq < $4
  AND ($5::text IS NULL OR e.event_type IN (SELECT json_array_elements_text($5::json)))
ORDER BY e.seq LIMIT $6
""",
)

_LINE: Final = """
SELECT ticket_id, ticket_title, sea_status, work_attempt_count, worked_us, cost_micro_usd, last_summary,
       failure_count_by_reason::text
FROM kora.tickets
"""

REPORT: Final = ReportStatements(
    how_many=f"""
SELECT (SELECT count(*) FROM kora.tickets WHERE {_IN_WORKSPACE}),
       (SELECT count(*) FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 1),
       (SELECT count(*) FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 2)
""",
    of_status_held="""
SELECT sea_status, count(*) FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 3 GROUP BY sea_status
""",
    of_status_exceptional="""
SELECT sea_status, count(*) FROM kora.tickets
WHERE workspace_id = $1 AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
GROUP BY sea_status
""",
    of_status_blocked="""
SELECT sea_status, queue_state, count(*) FROM kora.tickets
WHERE workspace_id = $1 AND open_blockers > 0 GROUP BY sea_status, queue_state
""",
    tallies_since="""
SELECT coalesce(sum(attempts), 0)::bigint, sum(cost_micro_usd)::bigint, sum(worked_us)::bigint FROM kora.tallies
WHERE workspace_id = $1 AND resolution = $2 AND minute >= $3
""",
    for_a_person=f"""
{_LINE}
WHERE workspace_id = $1 AND queue_state = 0
  AND (sea_status = 'failed_terminal' OR sea_status = 'blocked_needs_operator')
ORDER BY coalesce(ended_at, created_at) DESC, ticket_no DESC LIMIT $2
""",
    longest=f"""
{_LINE} WHERE workspace_id = $1 AND worked_us >= {WORKED_NOTEWORTHY_US}
ORDER BY worked_us DESC, ticket_no DESC LIMIT $2
""",
    flakiest=f"""
{_LINE} WHERE workspace_id = $1 AND work_attempt_count > 1
ORDER BY work_attempt_count DESC, ticket_no DESC LIMIT $2
""",
    claims="""
SELECT t.ticket_id, t.ticket_title, t.holder, coalesce(r.host, ''), coalesce(r.pid, 0), t.claim_fence_token,
       t.work_attempt_id, t.work_attempt_count, coalesce(t.claimed_at, o.allocated_at), t.lease_expires_at,
       t.progress_at
FROM kora.tickets AS t
LEFT JOIN kora.runtimes AS r ON r.runtime_id = t.holder
LEFT JOIN kora.operations AS o ON o.work_attempt_id = t.work_attempt_id AND o.sequence_within_attempt = 0
WHERE t.workspace_id = $1 AND t.queue_state = 3
ORDER BY 9, t.ticket_no
""",
    fleet="""
WITH held AS MATERIALIZED (
    SELECT holder, count(*) AS claims FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 3 GROUP BY holder
), shown AS (
    SELECT runtime_id FROM kora.runtimes WHERE workspace_id = $1 AND last_seen >= $2
    UNION SELECT holder FROM held
)
SELECT r.runtime_id, r.host, r.pid, r.version, r.started_at, r.last_seen, r.ended_at, coalesce(held.claims, 0)
FROM shown JOIN kora.runtimes AS r ON r.runtime_id = shown.runtime_id LEFT JOIN held ON held.holder = r.runtime_id
WHERE r.workspace_id = $1
ORDER BY r.started_at DESC, r.runtime_id DESC
""",
)
