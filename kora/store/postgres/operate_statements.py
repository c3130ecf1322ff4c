"""The statements of operations on PostgreSQL. Numbers beside `queue_state` are QueueState, as in `statements`."""

from __future__ import annotations

from typing import Final

# Whether the claim of the values 1 to 5 (ticket, workspace, fence, attempt, holder) stands, lease run out or not. The
# nought that is added to a number, here and below, keeps PostgreSQL from the index of that, and so to the key.
_HELD: Final = """
t.ticket_no = (SELECT presence.ticket_no FROM kora.operations AS presence WHERE presence.work_attempt_id = $4
               AND presence.sequence_within_attempt = 0 AND presence.state = 'allocated')
AND t.ticket_id = $1 AND t.workspace_id = $2 AND t.claim_fence_token = $3 AND t.work_attempt_id = $4 AND t.holder = $5
AND t.queue_state + 0 = 3
"""

ROW: Final = """
{0}.work_attempt_id, {0}.sequence_within_attempt, {0}.kora_operation_id, {0}.tool_name, {0}.operation_key, {0}.state,
{0}.dispatch_result, {0}.dispatch_error, {0}.allocated_at, {0}.ended_at
"""

# As arrays, of which a few are expected; of a list in JSON a hundred, for which the whole of a small board is read. And
# each row in a query of its own (OFFSET 0): see `settle_statements`.
STANDING: Final = f"""
SELECT 1 FROM kora.tickets WHERE workspace_id = $2 AND ticket_no = ANY (ARRAY(
    SELECT o.ticket_no FROM kora.objectives AS o WHERE o.ticket_id = ANY (ARRAY(
        SELECT asked.said ->> 0 FROM json_array_elements($1::json) AS asked(said)))))
ORDER BY ticket_no FOR NO KEY UPDATE;
SELECT coalesce(
           t.claim_fence_token = (asked.said ->> 1)::bigint AND t.work_attempt_id = asked.said ->> 2 AND t.holder = $3
           AND t.queue_state = 3
           AND (SELECT presence.state FROM kora.operations AS presence
                WHERE presence.work_attempt_id = t.work_attempt_id AND presence.sequence_within_attempt = 0)
               = 'allocated', false),
       t.lease_expires_at,
       (SELECT max(numbered.sequence_within_attempt) FROM kora.operations AS numbered
        WHERE numbered.work_attempt_id = asked.said ->> 2),
       {ROW.format("own")}, {ROW.format("same")}
FROM json_array_elements($1::json) WITH ORDINALITY AS asked(said, place)
LEFT JOIN LATERAL (SELECT held.* FROM kora.tickets AS held WHERE held.workspace_id = $2 AND held.ticket_no =
                   (SELECT o.ticket_no FROM kora.objectives AS o WHERE o.ticket_id = asked.said ->> 0) OFFSET 0
                  ) AS t ON true
LEFT JOIN LATERAL (SELECT * FROM kora.operations WHERE work_attempt_id = asked.said ->> 2
                   AND sequence_within_attempt = (asked.said ->> 3)::integer AND ticket_no + 0 = t.ticket_no OFFSET 0
                  ) AS own ON true
LEFT JOIN LATERAL (SELECT * FROM kora.operations WHERE ticket_no = t.ticket_no AND once_id = asked.said ->> 4 OFFSET 0
                  ) AS same ON true
ORDER BY asked.place
"""

TAKE_OVER: Final = f"""
UPDATE kora.operations SET state = 'abandoned', dispatch_error = 'a later attempt began it anew', ended_at = $6
WHERE ticket_no = (SELECT t.ticket_no FROM kora.tickets AS t WHERE {_HELD} AND t.lease_expires_at > $6)
  AND kora_operation_id = $7 AND work_attempt_id <> $4
  AND sequence_within_attempt > 0 AND state IN ('allocated', 'dispatched')
"""

BEGIN: Final = f"""
INSERT INTO kora.operations (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id, tool_name,
                             operation_key, state, allocated_at)
SELECT $4, $8::integer, t.ticket_no, t.work_attempt_count, $7, $9, $10, 'dispatched', $6 FROM kora.tickets AS t
WHERE {_HELD} AND t.lease_expires_at > $6
  AND $8::integer = (SELECT max(sequence_within_attempt) + 1 FROM kora.operations WHERE work_attempt_id = $4)
"""

END: Final = f"""
UPDATE kora.operations SET state = $9, dispatch_result = $10, dispatch_error = $11, ended_at = $6
WHERE work_attempt_id = $4 AND sequence_within_attempt = $8::integer AND kora_operation_id = $7 AND state = 'dispatched'
  AND ticket_no + 0 = (SELECT t.ticket_no FROM kora.tickets AS t WHERE {_HELD})
"""
