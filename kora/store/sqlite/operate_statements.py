"""The statements of operations, by name. Numbers beside `queue_state` are QueueState, as in `sqlite_statements`."""

from __future__ import annotations

from typing import Final

# Whether the claim of the parameters 1 to 5 (ticket, workspace, fence, attempt, holder) stands, lease run out or not.
_HELD: Final = """
t.ticket_id = ?1 AND t.workspace_id = ?2 AND t.claim_fence_token = ?3 AND t.work_attempt_id = ?4 AND t.holder = ?5
AND t.queue_state = 3
AND EXISTS (SELECT 1 FROM operations AS presence WHERE presence.work_attempt_id = ?4
            AND presence.sequence_within_attempt = 0 AND presence.state = 'allocated')
"""

_ROW: Final = """
{0}.work_attempt_id, {0}.sequence_within_attempt, {0}.kora_operation_id, {0}.tool_name, {0}.operation_key, {0}.state,
{0}.dispatch_result, {0}.dispatch_error, {0}.allocated_at, {0}.ended_at
"""

# For each of (ticket, fence, attempt, sequence, operation id): whether its claim stands, when the lease ends, the
# attempt's last number, the row of this number, and the row of this id that is not abandoned.
STANDING: Final = f"""
SELECT t.claim_fence_token = asked.value ->> 1 AND t.work_attempt_id = asked.value ->> 2 AND t.holder = ?3
       AND t.queue_state = 3
       AND EXISTS (SELECT 1 FROM operations AS presence WHERE presence.work_attempt_id = t.work_attempt_id
                   AND presence.sequence_within_attempt = 0 AND presence.state = 'allocated'),
       t.lease_expires_at,
       (SELECT max(numbered.sequence_within_attempt) FROM operations AS numbered
        WHERE numbered.work_attempt_id = asked.value ->> 2),
       {_ROW.format("own")}, {_ROW.format("same")}
FROM json_each(?1) AS asked
LEFT JOIN tickets AS t ON t.ticket_id = asked.value ->> 0 AND t.workspace_id = ?2
LEFT JOIN operations AS own ON own.work_attempt_id = asked.value ->> 2
    AND own.sequence_within_attempt = asked.value ->> 3 AND own.ticket_no = t.ticket_no
LEFT JOIN operations AS same ON same.ticket_no = t.ticket_no AND same.kora_operation_id = asked.value ->> 4
    AND same.sequence_within_attempt > 0 AND same.state <> 'abandoned'
ORDER BY asked.key
"""  # noqa: S608 - constants only

TAKE_OVER: Final = f"""
UPDATE operations SET state = 'abandoned', dispatch_error = 'a later attempt began it anew', ended_at = ?6
WHERE ticket_no = (SELECT t.ticket_no FROM tickets AS t WHERE {_HELD} AND t.lease_expires_at > ?6)
  AND kora_operation_id = ?7 AND work_attempt_id <> ?4
  AND sequence_within_attempt > 0 AND state <> 'abandoned' AND state IN ('allocated', 'dispatched')
"""  # noqa: S608 - constants only

BEGIN: Final = f"""
INSERT INTO operations (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id, tool_name,
                        operation_key, state, allocated_at)
SELECT ?4, ?8, t.ticket_no, t.work_attempt_count, ?7, ?9, ?10, 'dispatched', ?6 FROM tickets AS t
WHERE {_HELD} AND t.lease_expires_at > ?6
  AND ?8 = (SELECT max(sequence_within_attempt) + 1 FROM operations WHERE work_attempt_id = ?4)
"""  # noqa: S608 - constants only

END: Final = f"""
UPDATE operations SET state = ?9, dispatch_result = ?10, dispatch_error = ?11, ended_at = ?6
WHERE work_attempt_id = ?4 AND sequence_within_attempt = ?8 AND kora_operation_id = ?7 AND state = 'dispatched'
  AND ticket_no = (SELECT t.ticket_no FROM tickets AS t WHERE {_HELD})
"""  # noqa: S608 - constants only

# What a ticket's attempts left, the oldest attempt first; not by their times, as a clock may have been set back.

ATTEMPTS_OF_TICKET: Final = """
SELECT attempt, work_attempt_id, state, dispatch_result, dispatch_error, allocated_at, ended_at FROM operations
WHERE ticket_no = ? AND sequence_within_attempt = 0 ORDER BY attempt
"""

OPERATIONS_OF_TICKET: Final = f"""
SELECT {_ROW.format("o")} FROM operations AS o
WHERE o.ticket_no = ? AND o.sequence_within_attempt > 0 ORDER BY o.attempt, o.sequence_within_attempt
"""  # noqa: S608 - constants only
