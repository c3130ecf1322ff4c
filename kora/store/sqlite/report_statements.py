"""The statements of the report, of the board's lists and of who works what. None of them reads every ticket's row.

Which index a statement reads stands in it: SQLite without statistics would sometimes choose otherwise, and a million
rows would show it.
"""

from __future__ import annotations

from typing import Final

from kora.store.sqlite.statements import TICKET_SELECT

WORKED_NOTEWORTHY_US: Final = 100_000
"""the index of long-worked tickets begins here, so that tickets that take no time never touch it"""

# The board as it stands

HOW_MANY: Final = """
SELECT (SELECT count(*) FROM tickets INDEXED BY tickets_of_workspace WHERE workspace_id = ?1),
       (SELECT count(*) FROM tickets INDEXED BY tickets_ready WHERE workspace_id = ?1 AND queue_state = 1),
       (SELECT count(*) FROM tickets INDEXED BY tickets_waiting WHERE workspace_id = ?1 AND queue_state = 2)
"""

OF_STATUS_HELD: Final = """
SELECT sea_status, count(*) FROM tickets INDEXED BY tickets_held WHERE workspace_id = ? AND queue_state = 3
GROUP BY sea_status
"""

OF_STATUS_EXCEPTIONAL: Final = """
SELECT sea_status, count(*) FROM tickets INDEXED BY tickets_exceptional
WHERE workspace_id = ? AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
GROUP BY sea_status
"""

OF_STATUS_BLOCKED: Final = """
SELECT sea_status, queue_state, count(*) FROM tickets INDEXED BY tickets_blocked
WHERE workspace_id = ? AND open_blockers > 0 GROUP BY sea_status, queue_state
"""

# What happened since

TALLIES_SINCE: Final = """
SELECT coalesce(sum(attempts), 0), sum(cost_micro_usd), sum(worked_us) FROM tallies
WHERE workspace_id = ? AND resolution = ? AND minute >= ?
"""

# Tickets worth naming

_LINE: Final = """
SELECT ticket_id, ticket_title, sea_status, work_attempt_count, worked_us, cost_micro_usd, last_summary,
       failure_count_by_reason FROM tickets
"""

FOR_A_PERSON: Final = f"""
{_LINE} INDEXED BY tickets_for_a_person
WHERE workspace_id = ? AND queue_state = 0 AND (sea_status = 'failed_terminal' OR sea_status = 'blocked_needs_operator')
ORDER BY coalesce(ended_at, created_at) DESC, ticket_no DESC LIMIT ?
"""

LONGEST: Final = f"""
{_LINE} INDEXED BY tickets_longest WHERE workspace_id = ? AND worked_us >= {WORKED_NOTEWORTHY_US}
ORDER BY worked_us DESC, ticket_no DESC LIMIT ?
"""

FLAKIEST: Final = f"""
{_LINE} INDEXED BY tickets_flaky WHERE workspace_id = ? AND work_attempt_count > 1
ORDER BY work_attempt_count DESC, ticket_no DESC LIMIT ?
"""

# Lists: first the numbers, status by status, then the tickets

NUMBERS_EXCEPTIONAL: Final = """
SELECT ticket_no FROM tickets INDEXED BY tickets_exceptional
WHERE workspace_id = ? AND sea_status = ? AND ticket_no > ?
  AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
ORDER BY ticket_no LIMIT ?
"""

NUMBERS_HELD: Final = """
SELECT ticket_no FROM tickets INDEXED BY tickets_held
WHERE workspace_id = ? AND sea_status = ? AND ticket_no > ? AND queue_state = 3 ORDER BY ticket_no LIMIT ?
"""

NUMBERS_ORDINARY: Final = """
SELECT ticket_no FROM tickets NOT INDEXED WHERE workspace_id = ? AND sea_status = ? AND ticket_no > ?
ORDER BY ticket_no LIMIT ?
"""

# Before it there is none that is `assigned`.
FIRST_QUEUED: Final = """
SELECT min(first) FROM (
    SELECT min(ticket_no) AS first FROM tickets INDEXED BY tickets_ready WHERE workspace_id = ?1 AND queue_state = 1
    UNION ALL
    SELECT min(ticket_no) FROM tickets INDEXED BY tickets_waiting WHERE workspace_id = ?1 AND queue_state = 2
    UNION ALL
    SELECT min(ticket_no) FROM tickets INDEXED BY tickets_blocked WHERE workspace_id = ?1 AND open_blockers > 0
)
"""

TICKETS_OF_NUMBERS: Final = f"""
{TICKET_SELECT} WHERE t.ticket_no IN (SELECT value FROM json_each(?)) ORDER BY t.ticket_no
"""  # noqa: S608 - constants only

# Who works what

CLAIMS: Final = """
SELECT t.ticket_id, t.ticket_title, t.holder, coalesce(r.host, ''), coalesce(r.pid, 0), t.claim_fence_token,
       t.work_attempt_id, t.work_attempt_count, coalesce(t.claimed_at, o.allocated_at), t.lease_expires_at,
       t.progress_at
FROM tickets AS t INDEXED BY tickets_held
LEFT JOIN runtimes AS r ON r.runtime_id = t.holder
LEFT JOIN operations AS o ON o.work_attempt_id = t.work_attempt_id AND o.sequence_within_attempt = 0
WHERE t.workspace_id = ? AND t.queue_state = 3
ORDER BY 9, t.ticket_no
"""

# The runtimes of years are not read: one of before that holds claims is looked up by its id.
FLEET: Final = """
WITH held AS (
    SELECT holder, count(*) AS claims FROM tickets INDEXED BY tickets_held
    WHERE workspace_id = ?1 AND queue_state = 3 GROUP BY holder
), shown AS (
    SELECT runtime_id FROM runtimes INDEXED BY runtimes_seen WHERE workspace_id = ?1 AND last_seen >= ?2
    UNION SELECT holder FROM held
)
SELECT r.runtime_id, r.host, r.pid, r.version, r.started_at, r.last_seen, r.ended_at, coalesce(held.claims, 0)
FROM shown CROSS JOIN runtimes AS r ON r.runtime_id = shown.runtime_id LEFT JOIN held ON held.holder = r.runtime_id
WHERE r.workspace_id = ?1
ORDER BY r.started_at DESC, r.runtime_id DESC
"""

# Of all workspaces: a workspace's own newest may stand a million events before the end, or nowhere.
LAST_SEQ: Final = "SELECT (SELECT max(seq) FROM events) FROM workspaces WHERE workspace_id = ?"
