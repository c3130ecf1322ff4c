"""The statements of a Ledger's turn on PostgreSQL. Numbers beside `queue_state` are QueueState, as in `statements`."""

from __future__ import annotations

from typing import Final

from kora.store.postgres.many import Many
from kora.store.postgres.operate_statements import BEGIN, END, STANDING, TAKE_OVER
from kora.store.postgres.settle_statements import (
    END_OPERATIONS,
    REFRESH,
    REFRESHED,
    SETTLE_PRESENCES,
    SETTLE_TICKETS,
    TO_SETTLE,
)
from kora.store.postgres.statements import (
    DEPENDENTS,
    HELD_BY,
    HOLDERS_AMONG,
    KEYS_HELD_BY,
    LAST,
    LOG,
    READY_COLUMNS,
    TICKET_NOS,
)
from kora.store.postgres.steering_statements import STEERING_TURN
from kora.store.sql.statements import TurnStatements

_DUE: Final = " OR ".join(
    f"""EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $3 AND queue_state = 2
        AND rank = {rank} AND next_eligible_at <= opened.now_us)"""
    for rank in range(4)
)

# The runtime's row is locked before anything else: so its incarnation stays what it is, nobody else appends to its
# chain, and the transaction gets its number, by which its events are placed, after the one before it. What is computed
# of the locked rows stands in a query of its own, because PostgreSQL would else compute it before the wait.
OPEN_TURN: Final = f"""
SELECT opened.last_incarnation, opened.now_us, opened.xact_id, opened.last_chain_seq, opened.last_event_hash,
       {_DUE},
       opened.revoked_at, opened.gate
FROM (SELECT locked.*, kora.now_us() AS now_us, kora.gate($1) AS gate, pg_current_xact_id()::text AS xact_id
      FROM (SELECT r.last_incarnation, r.revoked_at, c.last_chain_seq, c.last_event_hash
            FROM kora.runtimes AS r JOIN kora.chains AS c
                ON c.workspace_id = r.workspace_id AND c.chain_id = r.runtime_id
            WHERE r.runtime_id = $2 AND r.workspace_id = $1
            FOR NO KEY UPDATE) AS locked
      OFFSET 0) AS opened
"""

# Also where the runtime was revoked: then a turn is to say so.
ANY_RAN_OUT: Final = """
SELECT EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 3
               AND lease_expires_at <= kora.now_us())
    OR EXISTS (SELECT 1 FROM kora.runtimes WHERE runtime_id = $2 AND revoked_at IS NOT NULL)
"""

MAKE_CHAIN: Final = """
INSERT INTO kora.chains (workspace_id, chain_id, last_chain_seq, last_event_hash)
VALUES ($1, $2, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING
"""

# Far behind those that `add` gives, so that it waits for none, nor the other way round.
REHEARSAL_NO: Final = f"SELECT {LAST} - 1 - floor(random() * 1000000000)::bigint"

# What is given back

_HELD: Final = """
SELECT ticket_no, ticket_id, claim_fence_token, holder, work_attempt_id, work_attempt_count - attempts_forgiven,
       claimed_at
FROM kora.tickets
"""

# What somebody else has locked, its holder's refresh or another's sweep, is theirs; the next tick looks again.
_RUN_OUT: Final = f"""
{_HELD} WHERE workspace_id = $1 AND queue_state = 3 AND lease_expires_at <= $2
ORDER BY ticket_no FOR NO KEY UPDATE SKIP LOCKED
"""

_HELD_BY_ANY: Final = f"""
{_HELD} WHERE workspace_id = $1 AND queue_state = 3 AND holder = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
ORDER BY ticket_no FOR NO KEY UPDATE
"""

_RETURN_TICKETS: Final = Many(
    """
UPDATE kora.tickets SET sea_status = column4, queue_state = column5::smallint, next_eligible_at = NULL,
    ended_at = $1, worked_us = worked_us + column6,
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
FROM {rows}
WHERE ticket_no = column1 AND claim_fence_token = column2 AND holder = column3
  AND queue_state + 0 = 3
""",
    shared=1,
    types=("bigint", "bigint", "text", "text", "integer", "bigint"),
)

_ABANDON_ATTEMPTS: Final = """
UPDATE kora.operations SET state = 'abandoned', dispatch_error = $1, ended_at = $2
WHERE work_attempt_id = ANY (ARRAY(SELECT json_array_elements_text($3::json))) AND state IN ('allocated', 'dispatched')
"""

# Claim

_PROMOTABLE: Final = " UNION ALL ".join(
    f"""
    SELECT ticket_no FROM (
        SELECT ticket_no FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $2 AND rank = {rank}
            AND queue_state = 2 AND next_eligible_at <= $3
        ORDER BY next_eligible_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED) AS of_rank_{rank}
"""
    for rank in range(4)
)

_PROMOTE: Final = f"""
WITH due AS MATERIALIZED (SELECT ticket_no FROM ({_PROMOTABLE}) AS of_each_rank)
UPDATE kora.tickets AS t SET queue_state = 1 FROM due WHERE t.ticket_no = due.ticket_no
"""

# Its columns are those that were locked: somebody else may have claimed it and given it back since the statement began,
# and read from the table once more it would be as it was before that.
_READY: Final = f"""
WITH pick AS MATERIALIZED (
    SELECT * FROM kora.tickets
    WHERE workspace_id = $1 AND assigned_to_actor_id = $2 AND queue_state = 1
    ORDER BY rank, created_at, ticket_no LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
)
SELECT coalesce(json_agg(json_build_array({READY_COLUMNS}) ORDER BY t.rank, t.created_at, t.ticket_no), '[]')::text
FROM pick AS t
"""

_READY_BUT: Final = _READY.replace(
    "AND queue_state = 1\n",
    "AND queue_state = 1\n      AND ticket_id NOT IN (SELECT json_array_elements_text($4::json))\n",
)

_CRITICAL: Final = _READY.replace("queue_state = 1\n", "queue_state = 1 AND rank = 0\n")
_CRITICAL_BUT: Final = _READY_BUT.replace("queue_state = 1\n", "queue_state = 1 AND rank = 0\n")

_CLAIM_TICKETS: Final = Many(
    """
UPDATE kora.tickets SET sea_status = 'in_progress', queue_state = 3, claim_count = claim_count + 1,
    work_attempt_count = work_attempt_count + 1, claim_fence_token = claim_count + 1, holder = $1,
    lease_expires_at = $2, work_attempt_id = column2, claimed_at = $3, progress_at = NULL
FROM {rows}
WHERE ticket_no = column1 AND queue_state + 0 = 1
""",
    shared=3,
    types=("bigint", "text"),
)

_ABANDON_EARLIER: Final = """
UPDATE kora.operations SET state = 'abandoned', dispatch_error = 'a later attempt began', ended_at = $1
WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($2::json)::bigint))
  AND state IN ('allocated', 'dispatched')
"""

_ALLOCATE: Final = Many(
    """
INSERT INTO kora.operations (tool_name, state, allocated_at, sequence_within_attempt, work_attempt_id, ticket_no,
                             attempt, kora_operation_id)
SELECT $1, 'allocated', $2, 0, column1, column2, column3, column4 FROM {rows}
""",
    shared=2,
    types=("text", "bigint", "integer", "text"),
)

_EARLIER_ATTEMPTS: Final = """
SELECT ticket_no, json_agg(json_build_array(attempt, work_attempt_id, dispatch_result, dispatch_error))::text FROM (
    SELECT ticket_no, attempt, work_attempt_id, dispatch_result, dispatch_error,
           row_number() OVER (PARTITION BY ticket_no ORDER BY attempt DESC) AS newest
    FROM kora.operations
    WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) AND sequence_within_attempt + 0 = 0
) AS numbered
WHERE newest <= $2 GROUP BY ticket_no
"""

_EARLIER_OPERATIONS: Final = """
SELECT ticket_no, json_agg(json_build_array(newest, work_attempt_id, sequence_within_attempt))::text FROM (
    SELECT ticket_no, work_attempt_id, sequence_within_attempt,
           row_number() OVER (PARTITION BY ticket_no ORDER BY attempt DESC, sequence_within_attempt DESC) AS newest
    FROM kora.operations
    WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) AND sequence_within_attempt > 0
      AND state IN ('committed', 'abandoned')
) AS numbered
WHERE newest <= $2 GROUP BY ticket_no
"""

_OPERATIONS_BY_KEY: Final = """
SELECT octet_length(o.dispatch_result), o.work_attempt_id, o.sequence_within_attempt, o.kora_operation_id,
       o.tool_name, o.operation_key, o.state, o.dispatch_result, o.dispatch_error, o.allocated_at, o.ended_at
FROM json_array_elements($1::json) WITH ORDINALITY AS key(said, place)
CROSS JOIN LATERAL (SELECT * FROM kora.operations WHERE work_attempt_id = key.said ->> 1
                    AND sequence_within_attempt = (key.said ->> 2)::integer OFFSET 0) AS o
ORDER BY key.place
"""

_NEXT_ELIGIBLE: Final = "SELECT min(due) FROM ({}) AS of_each_rank".format(
    " UNION ALL ".join(
        f"""
    (SELECT next_eligible_at AS due FROM kora.tickets WHERE workspace_id = $1 AND assigned_to_actor_id = $2
        AND rank = {rank} AND queue_state = 2 ORDER BY next_eligible_at LIMIT 1)
"""
        for rank in range(4)
    )
)

TURN: Final = TurnStatements(
    log=LOG,
    dependents=DEPENDENTS,
    steering=STEERING_TURN,
    refresh=REFRESH,
    refreshed=REFRESHED,
    to_settle=TO_SETTLE,
    settle_tickets=SETTLE_TICKETS,
    settle_presences=SETTLE_PRESENCES,
    end_operations=END_OPERATIONS,
    run_out=_RUN_OUT,
    held_by_any=_HELD_BY_ANY,
    return_tickets=_RETURN_TICKETS,
    abandon_attempts=_ABANDON_ATTEMPTS,
    ticket_nos=TICKET_NOS,
    standing=STANDING,
    take_over=TAKE_OVER,
    begin=BEGIN,
    end=END,
    promote=_PROMOTE,
    ready=_READY,
    ready_but=_READY_BUT,
    critical=_CRITICAL,
    critical_but=_CRITICAL_BUT,
    claim_tickets=_CLAIM_TICKETS,
    abandon_earlier=_ABANDON_EARLIER,
    allocate=_ALLOCATE,
    earlier_attempts=_EARLIER_ATTEMPTS,
    earlier_operations=_EARLIER_OPERATIONS,
    operations_by_key=_OPERATIONS_BY_KEY,
    next_eligible=_NEXT_ELIGIBLE,
    seen="UPDATE kora.runtimes SET last_seen = $1 WHERE runtime_id = $2 AND workspace_id = $3",
    rehearsal_no=REHEARSAL_NO,
    held_by=HELD_BY,
    keys_held_by=KEYS_HELD_BY,
    holders_among=HOLDERS_AMONG,
)
