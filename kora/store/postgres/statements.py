"""The statements that the PostgreSQL store's parts share, by name; those of one part stand beside it.

Numbers beside `queue_state` are QueueState; they stand in the text because a partial index is used only for a condition
that can be read in the statement itself. Lists travel as one JSON array each. A text of several statements, with `;`
between them, is carried out one after the other, and the last one answers: each begins with a view of its own, so that
what an earlier one has locked is seen as whoever had the lock before has left it.

A workspace's tickets are numbered from its own number, shifted by 40 bits: so a number tells whose it is, wherever it
stands.
"""

from __future__ import annotations

from typing import Final

from kora.store.postgres.many import Many
from kora.store.sql.statements import DependentStatements, HistoryStatements, LogStatements

BASE: Final = "(SELECT workspace_no::bigint << 40 FROM kora.workspaces WHERE workspace_id = $1)"
"""what this workspace's numbers begin behind; the workspace is the statement's first value"""
LAST: Final = "(SELECT (workspace_no + 1)::bigint << 40 FROM kora.workspaces WHERE workspace_id = $1)"
"""what they end before"""

# Tickets as they are read

# Where no ticket of the workspace has a dependency, no ticket's are looked for.
_BLOCKED_BY: Final = """
CASE WHEN EXISTS (SELECT 1 FROM kora.dependencies AS any_of WHERE any_of.ticket_no > (t.ticket_no >> 40) << 40
                  AND any_of.ticket_no < ((t.ticket_no >> 40) + 1) << 40) THEN (
    SELECT coalesce(json_agg(b.ticket_id ORDER BY d.blocker_no), '[]')::text
    FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
    WHERE d.ticket_no = t.ticket_no
) END
"""

_COST_COUNTED: Final = "t.cost_micro_usd - t.cost_forgiven_micro_usd"

# The columns of `TicketRow`.
TICKET_SELECT: Final = f"""
SELECT t.ticket_no, t.ticket_id, t.workspace_id, t.ticket_title, o.ticket_objective, t.sea_status, t.rank,
       t.sea_idea_kind, t.sea_captured_at, t.created_at, t.assigned_to_actor_id, t.next_eligible_at, t.claim_count,
       t.work_attempt_count, t.failure_count_by_reason, t.last_resolution, t.last_summary, t.claim_fence_token,
       t.holder, t.lease_expires_at, t.work_attempt_id, t.agent, t.open_blockers, t.attempts_forgiven,
       {_COST_COUNTED}, {_BLOCKED_BY}
FROM kora.tickets AS t JOIN kora.objectives AS o ON o.ticket_no = t.ticket_no
"""

# The columns of `ReadyRow`.
READY_COLUMNS: Final = f"""
t.ticket_no, t.ticket_id, t.ticket_title,
(SELECT o.ticket_objective FROM kora.objectives AS o WHERE o.ticket_no = t.ticket_no),
t.rank, t.sea_idea_kind, t.sea_captured_at, t.created_at, t.next_eligible_at, t.claim_count, t.work_attempt_count,
t.failure_count_by_reason, t.last_resolution, t.last_summary, t.agent, t.attempts_forgiven, {_COST_COUNTED},
{_BLOCKED_BY}
"""

TICKET: Final = f"{TICKET_SELECT} WHERE o.ticket_id = $1 AND t.workspace_id = $2"

HELD_BY: Final = f"""
{TICKET_SELECT} WHERE t.workspace_id = $1 AND t.queue_state = 3 AND t.holder = $2 ORDER BY t.ticket_no
"""

KEYS_HELD_BY: Final = """
SELECT coalesce(json_agg(json_build_array(ticket_id, claim_fence_token, work_attempt_id)), '[]')::text
FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 3 AND holder = $2
"""

HOLDERS_AMONG: Final = """
SELECT DISTINCT holder FROM kora.tickets
WHERE workspace_id = $1 AND queue_state = 3 AND holder = ANY (ARRAY(SELECT json_array_elements_text($2::json)))
"""

TICKET_NOS: Final = """
SELECT t.ticket_id, t.ticket_no FROM kora.objectives AS o JOIN kora.tickets AS t ON t.ticket_no = o.ticket_no
WHERE o.ticket_id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND t.workspace_id = $2
"""

TICKET_NO: Final = """
SELECT t.ticket_no FROM kora.objectives AS o JOIN kora.tickets AS t ON t.ticket_no = o.ticket_no
WHERE o.ticket_id = $1 AND t.workspace_id = $2
"""

# The log

# A place in the order of arrival is the transaction's number and the event's place in it, so that what comes later to
# be seen never stands before what was seen. `seq_shift` is what a restored workspace's numbers are ahead of the
# server's. The chain's head is moved only once the last of a transaction's events is written.
APPEND_EVENTS: Final = Many(
    """
INSERT INTO kora.events (seq, occurred_at, workspace_id, chain_id, event_id, event_type, ticket_no, payload, chain_seq,
                         prev_event_hash, this_event_hash)
SELECT head.seq + column5, $1, $2, $3, column1, column2, nullif(column3, 0), column4, column5, column6, column7
FROM {rows},
     (SELECT ((pg_current_xact_id()::text::bigint + w.seq_shift) << 22) - c.last_chain_seq AS seq
      FROM kora.workspaces AS w, kora.chains AS c
      WHERE w.workspace_id = $2 AND c.workspace_id = $2 AND c.chain_id = $3 OFFSET 0) AS head
""",
    shared=3,
    types=("text", "text", "bigint", "text", "bigint", "bytea", "bytea"),
)

LOG: Final = LogStatements(
    append_events=APPEND_EVENTS,
    move_chain_head="""
UPDATE kora.chains SET last_chain_seq = $3, last_event_hash = $4 WHERE workspace_id = $1 AND chain_id = $2
""",
    known_events="""
SELECT event_id FROM kora.events
WHERE workspace_id = $3 AND event_id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND ticket_no IS NULL
UNION ALL
SELECT event_id FROM kora.events
WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($2::json)::bigint))
  AND event_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
""",
    tally="""
INSERT INTO kora.tallies AS t (workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace_id, resolution, minute, chain_id) DO UPDATE SET attempts = t.attempts + excluded.attempts,
    cost_micro_usd = t.cost_micro_usd + excluded.cost_micro_usd, worked_us = t.worked_us + excluded.worked_us
""",
)

EVENT: Final = """
SELECT e.seq, e.event_id, e.event_type, e.occurred_at, e.workspace_id, t.ticket_id, e.payload, e.chain_id, e.chain_seq,
       e.prev_event_hash, e.this_event_hash
FROM kora.events AS e LEFT JOIN kora.tickets AS t ON t.ticket_no = e.ticket_no
"""

HISTORY: Final = HistoryStatements(
    all_heads="""
SELECT chain_id, last_chain_seq, last_event_hash FROM kora.chains
WHERE workspace_id = $1 AND last_chain_seq > 0 ORDER BY chain_id
""",
    events_after=f"{EVENT} WHERE e.workspace_id = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3",
    anchors="""
SELECT chain_id, archived_chain_seq, archived_event_hash FROM kora.chains
WHERE workspace_id = $1 AND archived_chain_seq > 0
""",
    archives_written="""
SELECT file, archive_id, bytes, events, last_seq FROM kora.archives
WHERE workspace_id = $1 AND events > 0 ORDER BY last_seq
""",
)

# Tickets that wait for others. A blocker that failed counts as open: what waits for it is for an operator to free.

# By arrays, which keep PostgreSQL to keys: see `settle_statements`.
_ENDED: Final = "ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint))"
_WAIT_FOR_THEM: Final = f"""
ANY (ARRAY(SELECT of_ended.ticket_no FROM kora.dependencies AS of_ended WHERE of_ended.blocker_no = {_ENDED}))
"""

_LOCK_DEPENDENTS: Final = f"""
SELECT 1 FROM kora.tickets WHERE queue_state = 0 AND ticket_no = {_WAIT_FOR_THEM} ORDER BY ticket_no FOR NO KEY UPDATE
"""

DEPENDENTS: Final = DependentStatements(
    free_dependents=f"""
{_LOCK_DEPENDENTS};
UPDATE kora.tickets AS t SET (open_blockers, queue_state) = (
    SELECT still.open,
           CASE WHEN still.open > 0 OR t.sea_status NOT IN ('assigned', 'released', 'failed_retryable') THEN 0
                WHEN t.next_eligible_at > $2 THEN 2 ELSE 1 END
    FROM (SELECT count(*) AS open FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
          WHERE d.ticket_no = t.ticket_no AND b.sea_status <> 'completed') AS still)
WHERE t.queue_state = 0 AND t.ticket_no = {_WAIT_FOR_THEM}
""",
    dependents_of_failed=f"""
{_LOCK_DEPENDENTS};
SELECT t.ticket_no, t.ticket_id, b.ticket_id
FROM kora.tickets AS t
CROSS JOIN LATERAL (SELECT min(d.blocker_no) AS blocker_no FROM kora.dependencies AS d
                    WHERE d.ticket_no = t.ticket_no AND d.blocker_no = {_ENDED}) AS failed
JOIN kora.tickets AS b ON b.ticket_no = failed.blocker_no
WHERE t.queue_state = 0 AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
  AND t.ticket_no = {_WAIT_FOR_THEM}
ORDER BY t.ticket_no
""",
    block_dependents="""
UPDATE kora.tickets SET sea_status = 'blocked_needs_operator'
WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) AND queue_state = 0
""",
)
