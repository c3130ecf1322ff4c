"""The statements of an operator's changes, by name. Numbers beside `queue_state` are QueueState."""

from __future__ import annotations

from typing import Final

# Adding

# Of whichever workspace: numbers are unique in the whole file.
LAST_TICKET_NO: Final = """
SELECT (SELECT coalesce(max(ticket_no), 0) FROM tickets) FROM workspaces WHERE workspace_id = ?
"""

# In whichever workspace: an id is unique in the whole file.
TAKEN: Final = "SELECT value FROM json_each(?) WHERE value IN (SELECT ticket_id FROM tickets)"

ADD_TICKET: Final = """
INSERT INTO tickets (ticket_no, ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank, created_at,
                     next_eligible_at, sea_status, sea_idea_kind, sea_captured_at, ticket_title, agent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'assigned', ?, ?, ?, ?)
"""

ADD_OBJECTIVE: Final = "INSERT INTO objectives (ticket_no, ticket_objective) VALUES (?, ?)"

# Dependencies

BLOCKERS_NAMED: Final = """
SELECT t.ticket_id, t.ticket_no FROM json_each(?) AS named
CROSS JOIN tickets AS t ON t.ticket_id = named.value AND t.workspace_id = ?
"""

ADD_DEPENDENCY: Final = "INSERT INTO dependencies (ticket_no, blocker_no) VALUES (?, ?)"

NEW_BLOCKERS: Final = "SELECT blocker_no FROM dependencies WHERE ticket_no = ? AND blocker_no > ?"

# Of the blockers of tickets with a higher number than ?1, those with more dependents than ?2. What is completed ends no
# more, and any number may name it. The sign makes SQLite look only at those tickets, not through the whole index.
TOO_MANY_DEPENDENTS: Final = """
SELECT b.ticket_id, count(*)
FROM (SELECT DISTINCT +blocker_no AS blocker_no FROM dependencies WHERE ticket_no > ?1) AS named
CROSS JOIN tickets AS b ON b.ticket_no = named.blocker_no
CROSS JOIN dependencies AS d ON d.blocker_no = named.blocker_no
WHERE b.sea_status <> 'completed' GROUP BY b.ticket_no HAVING count(*) > ?2 ORDER BY b.ticket_no
"""

IDS_OF: Final = """
SELECT t.ticket_id FROM json_each(?) AS asked CROSS JOIN tickets AS t ON t.ticket_no = asked.value ORDER BY asked.key
"""

# Of the tickets with a higher number than ?1. What is not completed keeps a ticket out of the queue; what has failed
# is not counted as open, as it will not end: `dependents.failed` sees to those that wait for it.
COUNT_BLOCKERS: Final = """
UPDATE tickets SET open_blockers = still.open,
    queue_state = CASE WHEN still.not_completed > 0 THEN 0 WHEN next_eligible_at > ?2 THEN 2 ELSE 1 END
FROM (SELECT d.ticket_no, count(*) FILTER (WHERE b.sea_status <> 'completed') AS not_completed,
             count(*) FILTER (WHERE b.sea_status NOT IN ('completed', 'failed_terminal')) AS open
      FROM dependencies AS d JOIN tickets AS b ON b.ticket_no = d.blocker_no
      WHERE d.ticket_no > ?1 GROUP BY d.ticket_no) AS still
WHERE tickets.ticket_no = still.ticket_no
"""

# Of the tickets with a higher number than ?1.
FAILED_BLOCKERS: Final = """
SELECT b.ticket_no
FROM (SELECT DISTINCT +blocker_no AS blocker_no FROM dependencies WHERE ticket_no > ?) AS named
CROSS JOIN tickets AS b ON b.ticket_no = named.blocker_no
WHERE b.sea_status = 'failed_terminal' ORDER BY b.ticket_no
"""

OPEN_BLOCKERS: Final = """
SELECT b.ticket_id FROM dependencies AS d JOIN tickets AS b ON b.ticket_no = d.blocker_no
WHERE d.ticket_no = ? AND b.sea_status NOT IN ('completed', 'failed_terminal') ORDER BY d.blocker_no
"""

DROP_FAILED_BLOCKERS: Final = """
DELETE FROM dependencies WHERE ticket_no = ?
AND (SELECT sea_status FROM tickets WHERE ticket_no = dependencies.blocker_no) = 'failed_terminal'
"""

# Verbs. Each repeats the status that it was decided on.

REQUEUE: Final = """
UPDATE tickets SET sea_status = ?, queue_state = ?, next_eligible_at = ?, open_blockers = ?, failure_count_by_reason = ?
WHERE ticket_no = ? AND sea_status = ? AND queue_state <> 3
"""

FORGIVE: Final = """
UPDATE tickets SET attempts_forgiven = work_attempt_count, cost_forgiven_micro_usd = cost_micro_usd WHERE ticket_no = ?
"""

CANCEL: Final = """
UPDATE tickets SET sea_status = 'failed_terminal', queue_state = 0, next_eligible_at = NULL,
    last_resolution = 'failed_terminal', last_summary = ?, ended_at = coalesce(?, ended_at), worked_us = worked_us + ?,
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
WHERE ticket_no = ? AND sea_status = ?
"""

CLAIMED_AT: Final = "SELECT claimed_at FROM tickets WHERE ticket_no = ?"

REASSIGN: Final = """
UPDATE tickets SET assigned_to_actor_id = ? WHERE ticket_no = ? AND sea_status = ? AND queue_state <> 3
"""
