"""The statements of an operator's changes on PostgreSQL. Numbers beside `queue_state` are QueueState."""

from __future__ import annotations

from typing import Final

from kora.store.postgres.statements import BASE, DEPENDENTS, LAST, LOG, TICKET, TICKET_NO
from kora.store.postgres.steering_statements import STEERING_BOARD
from kora.store.sql.statements import BoardStatements

# Locked before anything else: so nobody else appends to the operators' chain, no two operators change one workspace's
# board at a time, and the transaction gets its number after the one before it. See OPEN_TURN.
OPEN_CHAIN: Final = """
SELECT locked.last_chain_seq, locked.last_event_hash, kora.now_us(), pg_current_xact_id()::text
FROM (SELECT last_chain_seq, last_event_hash FROM kora.chains WHERE workspace_id = $1 AND chain_id = $2
      FOR NO KEY UPDATE) AS locked
OFFSET 0
"""

WAKE: Final = "SELECT pg_notify($1, $2)"

# Of what new tickets wait for; a ticket's end waits for whoever adds what waits for it, and the other way round.
_LOCK_BLOCKERS: Final = """
SELECT 1 FROM kora.tickets WHERE ticket_no IN (SELECT blocker_no FROM kora.dependencies WHERE ticket_no > $1 AND
    ticket_no < (($1::bigint >> 40) + 1) << 40)
ORDER BY ticket_no FOR SHARE
"""

_NEW: Final = "d.ticket_no > $1 AND d.ticket_no < (($1::bigint >> 40) + 1) << 40"

# A ticket is locked behind what it waits for, as it is when one of those ends: in another order, the two would wait
# for each other.
BOARD: Final = BoardStatements(
    log=LOG,
    dependents=DEPENDENTS,
    steering=STEERING_BOARD,
    last_ticket_no=f"""
SELECT coalesce(max(ticket_no), {BASE}) FROM kora.tickets WHERE ticket_no > {BASE} AND ticket_no < {LAST}
  AND workspace_id = $1
""",
    taken="""
SELECT named.id FROM json_array_elements_text($1::json) AS named(id)
WHERE EXISTS (SELECT 1 FROM kora.objectives AS o WHERE o.ticket_id = named.id)
""",
    add_ticket="""
INSERT INTO kora.tickets (ticket_no, ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank, created_at,
                          next_eligible_at, sea_status, sea_idea_kind, sea_captured_at, ticket_title, agent)
VALUES ($1, $2, $3, $4, $5::smallint, $6::smallint, $7, $8, 'assigned', $9, $10, $11, $12)
""",
    add_objective="""
INSERT INTO kora.objectives (ticket_no, ticket_id, ticket_objective)
SELECT ticket_no, ticket_id, $2 FROM kora.tickets WHERE ticket_no = $1
""",
    blockers_named="""
SELECT t.ticket_id, t.ticket_no FROM json_array_elements_text($1::json) AS named(id)
JOIN kora.objectives AS o ON o.ticket_id = named.id
JOIN kora.tickets AS t ON t.ticket_no = o.ticket_no AND t.workspace_id = $2
""",
    add_dependency="INSERT INTO kora.dependencies (ticket_no, blocker_no) VALUES ($1, $2)",
    new_blockers="SELECT blocker_no FROM kora.dependencies WHERE ticket_no = $1 AND blocker_no > $2",
    too_many_dependents=f"""
SELECT b.ticket_id, count(*)
FROM (SELECT DISTINCT d.blocker_no FROM kora.dependencies AS d WHERE {_NEW}) AS named
JOIN kora.tickets AS b ON b.ticket_no = named.blocker_no
JOIN kora.dependencies AS d ON d.blocker_no = named.blocker_no
WHERE b.sea_status <> 'completed' GROUP BY b.ticket_id HAVING count(*) > $2 ORDER BY b.ticket_id
""",
    ids_of="""
SELECT t.ticket_id FROM json_array_elements_text($1::json) WITH ORDINALITY AS asked(no, place)
JOIN kora.tickets AS t ON t.ticket_no = asked.no::bigint ORDER BY asked.place
""",
    count_blockers=f"""
{_LOCK_BLOCKERS};
UPDATE kora.tickets AS t SET open_blockers = still.open,
    queue_state = CASE WHEN still.not_completed > 0 THEN 0 WHEN next_eligible_at > $2 THEN 2 ELSE 1 END
FROM (SELECT d.ticket_no, count(*) FILTER (WHERE b.sea_status <> 'completed') AS not_completed,
             count(*) FILTER (WHERE b.sea_status NOT IN ('completed', 'failed_terminal')) AS open
      FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
      WHERE {_NEW} GROUP BY d.ticket_no) AS still
WHERE t.ticket_no = still.ticket_no
""",
    failed_blockers=f"""
SELECT DISTINCT b.ticket_no FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
WHERE {_NEW} AND b.sea_status = 'failed_terminal' ORDER BY b.ticket_no
""",
    ticket=f"""
SELECT 1 FROM kora.tickets WHERE ticket_no IN (
    SELECT d.blocker_no FROM kora.dependencies AS d WHERE d.ticket_no = ({TICKET_NO})
) ORDER BY ticket_no FOR SHARE;
SELECT 1 FROM kora.tickets WHERE ticket_no = ({TICKET_NO}) FOR NO KEY UPDATE;
{TICKET}
""",
    open_blockers="""
SELECT b.ticket_id FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
WHERE d.ticket_no = $1 AND b.sea_status NOT IN ('completed', 'failed_terminal') ORDER BY d.blocker_no
""",
    drop_failed_blockers="""
DELETE FROM kora.dependencies AS d USING kora.tickets AS b
WHERE d.ticket_no = $1 AND b.ticket_no = d.blocker_no AND b.sea_status = 'failed_terminal'
""",
    requeue="""
UPDATE kora.tickets SET sea_status = $1, queue_state = $2::smallint, next_eligible_at = $3, open_blockers = $4::integer,
    failure_count_by_reason = $5
WHERE ticket_no = $6 AND sea_status = $7 AND queue_state <> 3
""",
    forgive="""
UPDATE kora.tickets SET attempts_forgiven = work_attempt_count, cost_forgiven_micro_usd = cost_micro_usd
WHERE ticket_no = $1
""",
    cancel="""
UPDATE kora.tickets SET sea_status = 'failed_terminal', queue_state = 0, next_eligible_at = NULL,
    last_resolution = 'failed_terminal', last_summary = $1, ended_at = coalesce($2, ended_at),
    worked_us = worked_us + $3, claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
WHERE ticket_no = $4 AND sea_status = $5
""",
    claimed_at="SELECT claimed_at FROM kora.tickets WHERE ticket_no = $1",
    abandon_attempt="""
UPDATE kora.operations SET state = 'abandoned', dispatch_error = $1, ended_at = $2
WHERE work_attempt_id = $3 AND state IN ('allocated', 'dispatched')
""",
    reassign="""
UPDATE kora.tickets SET assigned_to_actor_id = $1 WHERE ticket_no = $2 AND sea_status = $3 AND queue_state <> 3
""",
)
