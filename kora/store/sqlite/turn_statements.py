"""The statements of a turn, by name. Numbers beside `queue_state` are QueueState, as in `sqlite_statements`.

Those over many rows are `Many`. They say OR FAIL: a row that fails leaves what came before it to the savepoint, or to
the turn, that is then rolled back; so SQLite need not keep a journal of its own for each statement.
"""

from __future__ import annotations

from typing import Final

from kora.store.sqlite.many import Many
from kora.store.sqlite.statements import READY_COLUMNS

# All that a turn has to know first. What ran out or fell due by then is looked for only where there is any.
OPEN_TURN: Final = """
SELECT (SELECT last_incarnation FROM runtimes WHERE runtime_id = ?1 AND workspace_id = ?2),
       clock.anchor_us,
       chain.last_chain_seq, chain.last_event_hash,
       EXISTS (SELECT 1 FROM dependencies),
       EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?2 AND queue_state = 3
               AND lease_expires_at <= ?5 + clock.anchor_us),
       EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?2 AND assigned_to_actor_id = ?4 AND queue_state = 2
               AND rank = 0 AND next_eligible_at <= ?5 + clock.anchor_us)
       OR EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?2 AND assigned_to_actor_id = ?4 AND queue_state = 2
                  AND rank = 1 AND next_eligible_at <= ?5 + clock.anchor_us)
       OR EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?2 AND assigned_to_actor_id = ?4 AND queue_state = 2
                  AND rank = 2 AND next_eligible_at <= ?5 + clock.anchor_us)
       OR EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?2 AND assigned_to_actor_id = ?4 AND queue_state = 2
                  AND rank = 3 AND next_eligible_at <= ?5 + clock.anchor_us),
       (SELECT revoked_at FROM runtimes WHERE runtime_id = ?1 AND workspace_id = ?2),
       gate.stop_level, gate.ramp_until, gate.ramp_interval_us, gate.paced_at
FROM (SELECT 1) AS one
LEFT JOIN workspaces AS gate ON gate.workspace_id = ?2
LEFT JOIN clocks AS clock ON clock.boot_id = ?3
LEFT JOIN chains AS chain ON chain.workspace_id = ?2 AND chain.chain_id = ?1
"""

# Refresh and settle

# The signs make SQLite look each ticket up by its id, whatever indexes there are.
_STILL_REFRESHABLE: Final = """
tickets.ticket_id = claim.value ->> 0
  AND +tickets.workspace_id = ?3
  AND tickets.claim_fence_token = claim.value ->> 1
  AND tickets.work_attempt_id = claim.value ->> 2
  AND tickets.holder = ?4
  AND +tickets.queue_state = 3
  AND EXISTS (SELECT 1 FROM operations WHERE work_attempt_id = tickets.work_attempt_id
              AND sequence_within_attempt = 0 AND state = 'allocated')
"""

REFRESH: Final = f"""
UPDATE OR FAIL tickets SET lease_expires_at = ?1, progress_at = claim.value ->> 3
FROM json_each(?2) AS claim
WHERE {_STILL_REFRESHABLE} AND +tickets.lease_expires_at > ?5
"""  # noqa: S608 - constants only

# Which of these have the lease that they were just given; asked only when it was not all of them.
REFRESHED: Final = f"""
SELECT json_group_array(claim.key) FROM json_each(?2) AS claim CROSS JOIN tickets
WHERE {_STILL_REFRESHABLE} AND +tickets.lease_expires_at = ?1
"""  # noqa: S608 - constants only

# Only for what the writer does not remember having claimed, and where a settlement has failed.
TO_SETTLE: Final = Many(
    """
SELECT json_group_array(json_array(claim.column1, t.ticket_no, p.state, t.claimed_at,
       t.claim_fence_token = claim.column3 AND t.work_attempt_id = claim.column4 AND t.holder = ?2
       AND t.queue_state = 3))
FROM (VALUES {rows}) AS claim
CROSS JOIN tickets AS t ON t.ticket_id = claim.column2 AND t.workspace_id = ?1
CROSS JOIN operations AS p
    ON p.work_attempt_id = claim.column4 AND p.sequence_within_attempt = 0 AND +p.ticket_no = t.ticket_no
""",
    shared=2,
    width=4,
)

# For tickets that end alike: what they share is bound once, for SQLite copies a row's values several times over.
SETTLE_TICKETS: Final = Many(
    """
UPDATE OR FAIL tickets SET sea_status = ?3, queue_state = ?4, next_eligible_at = ?5, last_resolution = ?6,
    failure_count_by_reason = ?7, attempts_forgiven = min(work_attempt_count, attempts_forgiven + ?8),
    last_summary = ended.column4, cost_micro_usd = cost_micro_usd + ended.column5,
    ended_at = ?2, worked_us = worked_us + max(0, ?2 - coalesce(claimed_at, ?2)),
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
FROM (VALUES {rows}) AS ended
WHERE tickets.ticket_no = ended.column1 AND tickets.claim_fence_token = ended.column2
  AND tickets.work_attempt_id = ended.column3 AND tickets.holder = ?1 AND tickets.queue_state = 3
""",
    shared=8,
    width=5,
)

# Row 0 gets the attempt's end as its result; whatever else is open was not finished. Fence and holder are not in these
# rows: `SETTLE_TICKETS` compared them a moment before, under the same lock; had one been no claim of this runtime, its
# count would have undone all of them. So would that of the first of these, had an attempt no presence mark any more.
SETTLE_PRESENCES: Final = Many(
    """
UPDATE OR FAIL operations SET state = 'committed', dispatch_result = ended.column2, ended_at = ?1
FROM (VALUES {rows}) AS ended
WHERE operations.work_attempt_id = ended.column1 AND operations.sequence_within_attempt = 0
  AND operations.state = 'allocated'
""",
    shared=1,
    width=2,
)

END_OPERATIONS: Final = """
UPDATE OR FAIL operations SET state = 'abandoned', dispatch_error = 'the attempt ended', ended_at = ?
WHERE work_attempt_id IN (SELECT value FROM json_each(?)) AND sequence_within_attempt > 0
  AND state IN ('allocated', 'dispatched')
"""

# What is given back

RUN_OUT: Final = """
SELECT ticket_no, ticket_id, claim_fence_token, holder, work_attempt_id,
       work_attempt_count - attempts_forgiven, claimed_at FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND lease_expires_at <= ?
"""

# Also where this boot's clock has no row, which a turn is to set, and where the runtime was revoked, which a turn is to
# say.
ANY_RAN_OUT: Final = """
SELECT NOT EXISTS (SELECT 1 FROM clocks WHERE boot_id = ?3)
    OR EXISTS (SELECT 1 FROM runtimes WHERE runtime_id = ?4 AND revoked_at IS NOT NULL)
    OR EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND queue_state = 3
               AND lease_expires_at <= ?2 + (SELECT anchor_us FROM clocks WHERE boot_id = ?3))
"""

HELD_BY_ANY: Final = """
SELECT ticket_no, ticket_id, claim_fence_token, holder, work_attempt_id,
       work_attempt_count - attempts_forgiven, claimed_at FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND holder IN (SELECT value FROM json_each(?))
"""

RETURN_TICKETS: Final = Many(
    """
UPDATE OR FAIL tickets SET sea_status = returned.column4, queue_state = returned.column5, next_eligible_at = NULL,
    ended_at = ?1, worked_us = worked_us + returned.column6,
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
FROM (VALUES {rows}) AS returned
WHERE tickets.ticket_no = returned.column1 AND tickets.claim_fence_token = returned.column2
  AND tickets.holder = returned.column3 AND tickets.queue_state = 3
""",
    shared=1,
    width=6,
)

# Follows `RETURN_TICKETS`, as `SETTLE_OPERATIONS` follows `SETTLE_TICKETS`: each of these claims was just ended by its
# fence and holder.
ABANDON_ATTEMPTS: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = ?, ended_at = ?
WHERE work_attempt_id IN (SELECT value FROM json_each(?)) AND state IN ('allocated', 'dispatched')
"""

# Tickets that wait for others. A blocker that failed counts as open: what waits for it is for an operator to free.

FREE_DEPENDENTS: Final = """
UPDATE tickets SET open_blockers = still.open,
    queue_state = CASE WHEN still.open > 0 OR sea_status NOT IN ('assigned', 'released', 'failed_retryable') THEN 0
                       WHEN next_eligible_at > ?2 THEN 2 ELSE 1 END
FROM (SELECT ended.ticket_no,
             (SELECT count(*) FROM dependencies AS d JOIN tickets AS b ON b.ticket_no = d.blocker_no
              WHERE d.ticket_no = ended.ticket_no AND b.sea_status <> 'completed') AS open
      FROM (SELECT DISTINCT d.ticket_no FROM json_each(?1) AS blocker
            CROSS JOIN dependencies AS d ON d.blocker_no = blocker.value) AS ended) AS still
WHERE tickets.ticket_no = still.ticket_no AND tickets.queue_state = 0
"""

DEPENDENTS_OF_FAILED: Final = """
SELECT t.ticket_no, t.ticket_id, b.ticket_id
FROM (SELECT d.ticket_no, min(d.blocker_no) AS blocker_no FROM json_each(?) AS blocker
      CROSS JOIN dependencies AS d ON d.blocker_no = blocker.value GROUP BY d.ticket_no) AS failed
CROSS JOIN tickets AS t ON t.ticket_no = failed.ticket_no
CROSS JOIN tickets AS b ON b.ticket_no = failed.blocker_no
WHERE t.queue_state = 0 AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
"""

BLOCK_DEPENDENTS: Final = """
UPDATE tickets SET sea_status = 'blocked_needs_operator'
WHERE ticket_no IN (SELECT value FROM json_each(?)) AND queue_state = 0
"""

# Claim

PROMOTE: Final = """
UPDATE tickets SET queue_state = 1 WHERE ticket_no IN (
    SELECT ticket_no FROM (SELECT ticket_no FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2
        AND rank = 0 AND queue_state = 2 AND next_eligible_at <= ?3 ORDER BY next_eligible_at LIMIT ?4)
    UNION ALL
    SELECT ticket_no FROM (SELECT ticket_no FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2
        AND rank = 1 AND queue_state = 2 AND next_eligible_at <= ?3 ORDER BY next_eligible_at LIMIT ?4)
    UNION ALL
    SELECT ticket_no FROM (SELECT ticket_no FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2
        AND rank = 2 AND queue_state = 2 AND next_eligible_at <= ?3 ORDER BY next_eligible_at LIMIT ?4)
    UNION ALL
    SELECT ticket_no FROM (SELECT ticket_no FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2
        AND rank = 3 AND queue_state = 2 AND next_eligible_at <= ?3 ORDER BY next_eligible_at LIMIT ?4)
)
"""

# One value, a JSON array of `ReadyRow`s: one step, however many tickets.
READY: Final = f"""
SELECT '[' || coalesce(group_concat(ticket), '') || ']' FROM (
    SELECT json_array({READY_COLUMNS}) AS ticket FROM tickets AS t JOIN objectives AS o ON o.ticket_no = t.ticket_no
    WHERE t.workspace_id = ?1 AND t.assigned_to_actor_id = ?2 AND t.queue_state = 1
    ORDER BY t.rank, t.created_at, t.ticket_no LIMIT ?3
)
"""  # noqa: S608 - constants only

# The exception: where some are to be passed over, without reading their objectives.
READY_BUT: Final = READY.replace(
    "queue_state = 1", "queue_state = 1 AND t.ticket_id NOT IN (SELECT value FROM json_each(?4))"
)

CRITICAL: Final = READY.replace("queue_state = 1", "queue_state = 1 AND t.rank = 0")
CRITICAL_BUT: Final = READY_BUT.replace("queue_state = 1", "queue_state = 1 AND t.rank = 0")

# Counted per ticket and never reset: every later fence of a ticket is higher.
CLAIM_TICKETS: Final = Many(
    """
UPDATE OR FAIL tickets SET sea_status = 'in_progress', queue_state = 3, claim_count = claim_count + 1,
    work_attempt_count = work_attempt_count + 1, claim_fence_token = claim_count + 1, holder = ?1,
    lease_expires_at = ?2, work_attempt_id = claimed.column2, claimed_at = ?3, progress_at = NULL
FROM (VALUES {rows}) AS claimed
WHERE tickets.ticket_no = claimed.column1 AND tickets.queue_state = 1
""",
    shared=3,
    width=2,
)

# Of tickets that `READY` found in nobody's hands, under the same lock; were one not, `CLAIM_TICKETS` would count too
# few, and all of it be undone.
ABANDON_EARLIER: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = 'a later attempt began', ended_at = ?
WHERE ticket_no IN (SELECT value FROM json_each(?)) AND state <> 'abandoned' AND state IN ('allocated', 'dispatched')
"""

ALLOCATE: Final = Many(
    """
INSERT OR FAIL INTO operations (tool_name, state, allocated_at, sequence_within_attempt, work_attempt_id, ticket_no,
                                attempt, kora_operation_id)
VALUES {rows}
""",
    shared=2,
    width=4,
    row="(?1, 'allocated', ?2, 0, ?, ?, ?, ?)",
)

EARLIER_ATTEMPTS: Final = """
SELECT ticket_no, json_group_array(json_array(attempt, work_attempt_id, dispatch_result, dispatch_error)) FROM (
    SELECT ticket_no, attempt, work_attempt_id, dispatch_result, dispatch_error,
           row_number() OVER (PARTITION BY ticket_no ORDER BY attempt DESC) AS newest
    FROM operations WHERE ticket_no IN (SELECT value FROM json_each(?1)) AND sequence_within_attempt = 0
)
WHERE newest <= ?2 GROUP BY ticket_no
"""

# By their keys alone, so that no result is read that is not handed on; 1 is the newest.
EARLIER_OPERATIONS: Final = """
SELECT ticket_no, json_group_array(json_array(newest, work_attempt_id, sequence_within_attempt)) FROM (
    SELECT ticket_no, work_attempt_id, sequence_within_attempt,
           row_number() OVER (PARTITION BY ticket_no ORDER BY attempt DESC, sequence_within_attempt DESC) AS newest
    FROM operations WHERE ticket_no IN (SELECT value FROM json_each(?1)) AND sequence_within_attempt > 0
      AND state IN ('committed', 'abandoned')
)
WHERE newest <= ?2 GROUP BY ticket_no
"""

# In the order of the keys, without sorting: whoever has enough of them reads no further.
OPERATIONS_BY_KEY: Final = """
SELECT length(CAST(o.dispatch_result AS BLOB)), o.work_attempt_id, o.sequence_within_attempt, o.kora_operation_id,
       o.tool_name, o.operation_key, o.state, o.dispatch_result, o.dispatch_error, o.allocated_at, o.ended_at
FROM json_each(?) AS key CROSS JOIN operations AS o
    ON o.work_attempt_id = key.value ->> 1 AND o.sequence_within_attempt = key.value ->> 2
"""

NEXT_ELIGIBLE: Final = """
SELECT min(due) FROM (
    SELECT min(next_eligible_at) AS due FROM tickets
    WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND rank = 0 AND queue_state = 2
    UNION ALL SELECT min(next_eligible_at) FROM tickets
    WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND rank = 1 AND queue_state = 2
    UNION ALL SELECT min(next_eligible_at) FROM tickets
    WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND rank = 2 AND queue_state = 2
    UNION ALL SELECT min(next_eligible_at) FROM tickets
    WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND rank = 3 AND queue_state = 2
)
"""

# Who is there

SEEN: Final = "UPDATE runtimes SET last_seen = ? WHERE runtime_id = ? AND workspace_id = ?"

# Whoever rehearses has the write lock.
REHEARSAL_NO: Final = """
SELECT (SELECT coalesce(max(ticket_no), 0) + 1 FROM tickets) FROM workspaces WHERE workspace_id = ?
"""
