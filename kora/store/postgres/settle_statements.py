"""The statements of a Ledger's turn about what it holds, on PostgreSQL: what is refreshed, and what is settled.

A claim's ticket is found by its presence mark, in a query of its own for each claim (OFFSET 0), and what is to be
locked or written is named besides: what is prepared while the tables are empty would else go through all that they come
to hold. Numbers beside `queue_state` are QueueState, as in `statements`.
"""

from __future__ import annotations

from typing import Final

from kora.store.postgres.many import ROWS, Many

_PRESENCE: Final = "SELECT ticket_no FROM kora.operations WHERE work_attempt_id = {} AND sequence_within_attempt = 0"

REFRESH: Final = f"""
WITH claim AS MATERIALIZED (
    SELECT said, ({_PRESENCE.format("said ->> 2")} AND state = 'allocated') AS ticket_no
    FROM json_array_elements($2::json) AS asked(said)
)
UPDATE kora.tickets AS t SET lease_expires_at = $1, progress_at = (claim.said ->> 3)::bigint
FROM claim
WHERE t.ticket_no = ANY (ARRAY(SELECT ticket_no FROM claim)) AND t.ticket_no = claim.ticket_no
  AND t.ticket_id = claim.said ->> 0 AND t.workspace_id = $3 AND t.claim_fence_token = (claim.said ->> 1)::bigint
  AND t.work_attempt_id = claim.said ->> 2 AND t.holder = $4 AND t.queue_state + 0 = 3 AND t.lease_expires_at > $5
"""

REFRESHED: Final = f"""
SELECT coalesce(json_agg(claim.place - 1), '[]')::text
FROM json_array_elements($2::json) WITH ORDINALITY AS claim(said, place)
CROSS JOIN LATERAL (
    SELECT 1 FROM kora.tickets AS t
    WHERE t.ticket_no = ({_PRESENCE.format("claim.said ->> 2")} AND state = 'allocated')
      AND t.ticket_id = claim.said ->> 0 AND t.workspace_id = $3 AND t.claim_fence_token = (claim.said ->> 1)::bigint
      AND t.work_attempt_id = claim.said ->> 2 AND t.holder = $4 AND t.queue_state + 0 = 3 AND t.lease_expires_at = $1
    OFFSET 0
) AS refreshed
"""

TO_SETTLE: Final = Many(
    f"""
SELECT 1 FROM kora.tickets WHERE workspace_id = $1
  AND ticket_no = ANY (ARRAY(SELECT ({_PRESENCE.format("column4")}) FROM {ROWS}))
ORDER BY ticket_no FOR NO KEY UPDATE;
SELECT coalesce(json_agg(json_build_array(column1, t.ticket_no, p.state, t.claimed_at, coalesce(
           t.claim_fence_token = column3 AND t.work_attempt_id = column4 AND t.holder = $2 AND t.queue_state = 3,
           false))), '[]')::text
FROM {ROWS}
CROSS JOIN LATERAL (SELECT ticket_no, state FROM kora.operations WHERE work_attempt_id = column4
                    AND sequence_within_attempt = 0 OFFSET 0) AS p
CROSS JOIN LATERAL (SELECT * FROM kora.tickets WHERE ticket_no = p.ticket_no AND ticket_id = column2
                    AND workspace_id = $1 OFFSET 0) AS t
""",
    shared=2,
    types=("bigint", "text", "bigint", "text"),
)

# The sum keeps PostgreSQL to the table's key: by the index of what is held it would compare each row with each.
SETTLE_TICKETS: Final = Many(
    """
UPDATE kora.tickets SET sea_status = $3, queue_state = $4::smallint, next_eligible_at = $5, last_resolution = $6,
    failure_count_by_reason = $7, attempts_forgiven = least(work_attempt_count, attempts_forgiven + $8::integer),
    last_summary = column4, cost_micro_usd = cost_micro_usd + column5,
    ended_at = $2, worked_us = worked_us + greatest(0, $2 - coalesce(claimed_at, $2)),
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
FROM {rows}
WHERE ticket_no = column1 AND claim_fence_token = column2 AND work_attempt_id = column3 AND holder = $1
  AND queue_state + 0 = 3
""",
    shared=8,
    types=("bigint", "bigint", "text", "text", "bigint"),
)

# Without a join: where PostgreSQL has not looked at the table for a while, it would take the wrong one for small. Each
# result is looked up in an object, since to find its place in an array takes longer the more there are.
SETTLE_PRESENCES: Final = Many(
    """
UPDATE kora.operations SET state = 'committed', ended_at = $1,
    dispatch_result = (SELECT jsonb_object($2::text[], $3::text[])) ->> work_attempt_id
WHERE work_attempt_id = ANY ($2::text[]) AND sequence_within_attempt = 0 AND state = 'allocated'
""",
    shared=1,
    types=("text", "text"),
)

# It also answers whether there is any dependency, which can be told only now that the tickets are locked: whoever was
# adding what waits for one of them has ended, and whoever comes to it later waits for this transaction.
END_OPERATIONS: Final = """
WITH ended AS (
    UPDATE kora.operations SET state = 'abandoned', dispatch_error = 'the attempt ended', ended_at = $1
    WHERE work_attempt_id = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
      AND sequence_within_attempt > 0 AND state IN ('allocated', 'dispatched')
)
SELECT EXISTS (
    SELECT 1 FROM (SELECT ticket_no >> 40 AS workspace_no FROM kora.operations
                   WHERE work_attempt_id = $2::json ->> 0 AND sequence_within_attempt = 0) AS ours
    JOIN kora.dependencies AS d ON d.ticket_no > ours.workspace_no << 40 AND d.ticket_no < (ours.workspace_no + 1) << 40
)
"""
