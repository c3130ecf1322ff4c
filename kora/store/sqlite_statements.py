"""Every statement that the SQLite store runs, by name.

The numbers 0 to 3 beside `queue_state` are QueueState; they stand in the text because SQLite uses a partial index only
for a condition that it can read in the statement itself. Lists travel as one JSON array each.
"""

from __future__ import annotations

from typing import Final

# Opening

LOOK: Final = """
SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_master)
"""

REVISION_OF_SCHEMA: Final = "SELECT version_num FROM alembic_version"

IS_REGISTERED: Final = """
SELECT EXISTS (SELECT 1 FROM workspaces WHERE workspace_id = :workspace_id)
   AND EXISTS (SELECT 1 FROM actor_registry WHERE workspace_id = :workspace_id AND actor_id = :actor_id)
"""

REGISTER_WORKSPACE: Final = """
INSERT INTO workspaces (workspace_id, created_at) VALUES (:workspace_id, :now) ON CONFLICT DO NOTHING
"""

REGISTER_ACTOR: Final = """
INSERT INTO actor_registry (workspace_id, actor_id, actor_kind, registered_at)
VALUES (:workspace_id, :actor_id, 'kora', :now) ON CONFLICT DO NOTHING
"""

# Runtimes

RAISE_INCARNATION: Final = """
INSERT INTO runtimes (runtime_id, workspace_id, host, pid, version, started_at, incarnation)
VALUES (:runtime_id, :workspace_id, :host, :pid, :version, :now, 1)
ON CONFLICT (runtime_id) DO UPDATE SET incarnation = incarnation + 1 WHERE workspace_id = excluded.workspace_id
RETURNING incarnation
"""

INCARNATION: Final = "SELECT incarnation FROM runtimes WHERE runtime_id = ? AND workspace_id = ?"

HOLDERS_AMONG: Final = """
SELECT DISTINCT holder FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND holder IN (SELECT value FROM json_each(?))
"""

# Tickets as they are read

_TICKET: Final = """
SELECT t.ticket_no, t.ticket_id, t.workspace_id, t.ticket_title, o.ticket_objective, t.sea_status, t.rank,
       t.sea_idea_kind, t.sea_captured_at, t.created_at, t.assigned_to_actor_id, t.next_eligible_at, t.claim_count,
       t.work_attempt_count,
       t.failure_count_by_reason, t.last_resolution, t.last_summary, t.claim_fence_token, t.holder, t.lease_expires_at,
       t.work_attempt_id
FROM tickets AS t JOIN objectives AS o ON o.ticket_no = t.ticket_no
"""

TICKET: Final = f"{_TICKET} WHERE t.ticket_id = ? AND t.workspace_id = ?"

TICKETS_AFTER: Final = f"""
{_TICKET} WHERE t.workspace_id = ? AND t.ticket_no > ? ORDER BY t.ticket_no LIMIT ?
"""

TICKETS_OF_STATUS_AFTER: Final = f"""
{_TICKET} WHERE t.workspace_id = ? AND t.ticket_no > ? AND t.sea_status IN (SELECT value FROM json_each(?))
ORDER BY t.ticket_no LIMIT ?
"""  # noqa: S608 - constants only

HELD_BY: Final = f"{_TICKET} WHERE t.workspace_id = ? AND t.queue_state = 3 AND t.holder = ? ORDER BY t.ticket_no"

READY: Final = f"""
{_TICKET} WHERE t.workspace_id = ? AND t.assigned_to_actor_id = ? AND t.queue_state = 1
ORDER BY t.rank, t.created_at, t.ticket_no LIMIT ?
"""

TICKET_NO: Final = "SELECT ticket_no FROM tickets WHERE ticket_id = ? AND workspace_id = ?"

CLAIM_PERMISSION: Final = "SELECT claim_permission FROM workspaces WHERE workspace_id = ?"

OUTSTANDING: Final = """
SELECT EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 1),
       EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 2),
       EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 3)
"""

# Adding tickets

LAST_TICKET_NO: Final = "SELECT coalesce(max(ticket_no), 0) FROM tickets"

ADD_TICKET: Final = """
INSERT INTO tickets (ticket_no, ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank, created_at,
                     next_eligible_at, sea_status, sea_idea_kind, sea_captured_at, ticket_title)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'assigned', ?, ?, ?)
"""

ADD_OBJECTIVE: Final = "INSERT INTO objectives (ticket_no, ticket_objective) VALUES (?, ?)"

# A turn: refresh and settle

REFRESH: Final = """
UPDATE tickets SET lease_expires_at = ?1
FROM json_each(?2) AS claim
WHERE tickets.ticket_id = claim.value ->> 0
  AND tickets.workspace_id = ?3
  AND tickets.claim_fence_token = claim.value ->> 1
  AND tickets.work_attempt_id = claim.value ->> 2
  AND tickets.holder = ?4
  AND tickets.queue_state = 3
  AND tickets.lease_expires_at > ?5
  AND EXISTS (SELECT 1 FROM operations WHERE work_attempt_id = tickets.work_attempt_id
              AND sequence_within_attempt = 0 AND state = 'allocated')
RETURNING ticket_id, claim_fence_token, work_attempt_id
"""

TO_SETTLE: Final = """
SELECT claim.key, t.ticket_no, o.state,
       t.claim_fence_token = claim.value ->> 1 AND t.work_attempt_id = claim.value ->> 2 AND t.holder = ?
       AND t.queue_state = 3
FROM json_each(?) AS claim
CROSS JOIN tickets AS t ON t.ticket_id = claim.value ->> 0 AND t.workspace_id = ?
CROSS JOIN operations AS o
    ON o.work_attempt_id = claim.value ->> 2 AND o.sequence_within_attempt = 0 AND o.ticket_no = t.ticket_no
"""

SETTLE_TICKET: Final = """
UPDATE tickets SET sea_status = ?, queue_state = ?, next_eligible_at = ?, last_resolution = ?, last_summary = ?,
    failure_count_by_reason = ?,
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
WHERE ticket_no = ? AND claim_fence_token = ? AND holder = ? AND work_attempt_id = ? AND queue_state = 3
"""

COMMIT_PRESENCE: Final = """
UPDATE operations SET state = 'committed', dispatch_result = ?, ended_at = ?
WHERE work_attempt_id = ? AND sequence_within_attempt = 0 AND state = 'allocated'
"""

ABANDON_REST: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = 'the attempt ended', ended_at = ?
WHERE work_attempt_id IN (SELECT value FROM json_each(?)) AND state IN ('allocated', 'dispatched')
"""

# A turn: what is given back

RUN_OUT: Final = """
SELECT ticket_no, ticket_id, claim_fence_token, holder, work_attempt_id, work_attempt_count FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND lease_expires_at <= ?
"""

HELD_BY_ANY: Final = """
SELECT ticket_no, ticket_id, claim_fence_token, holder, work_attempt_id, work_attempt_count FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND holder IN (SELECT value FROM json_each(?))
"""

RETURN_TICKET: Final = """
UPDATE tickets SET sea_status = ?, queue_state = ?, next_eligible_at = NULL,
    claim_fence_token = NULL, holder = NULL, lease_expires_at = NULL, work_attempt_id = NULL
WHERE ticket_no = ? AND claim_fence_token = ? AND holder = ? AND queue_state = 3
"""

ABANDON_ATTEMPT: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = ?, ended_at = ?
WHERE work_attempt_id = ? AND state IN ('allocated', 'dispatched')
"""

# A turn: claim

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

CLAIM_TICKET: Final = """
UPDATE tickets SET sea_status = 'in_progress', queue_state = 3, claim_count = ?, work_attempt_count = ?,
    claim_fence_token = ?, holder = ?, lease_expires_at = ?, work_attempt_id = ?
WHERE ticket_no = ? AND queue_state = 1
"""

ABANDON_EARLIER: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = 'a later attempt began', ended_at = ?
WHERE ticket_no IN (SELECT value FROM json_each(?)) AND state <> 'abandoned' AND state IN ('allocated', 'dispatched')
"""

ALLOCATE: Final = """
INSERT INTO operations (work_attempt_id, sequence_within_attempt, ticket_no, kora_operation_id, tool_name, state,
                        allocated_at)
VALUES (?, 0, ?, ?, ?, 'allocated', ?)
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

# The log

CHAIN_HEAD: Final = "SELECT last_chain_seq, last_event_hash FROM chains WHERE workspace_id = ? AND chain_id = ?"

MOVE_CHAIN_HEAD: Final = """
INSERT INTO chains (workspace_id, chain_id, last_chain_seq, last_event_hash) VALUES (?, ?, ?, ?)
ON CONFLICT (workspace_id, chain_id) DO UPDATE
SET last_chain_seq = excluded.last_chain_seq, last_event_hash = excluded.last_event_hash
"""

APPEND_EVENT: Final = """
INSERT INTO events (event_id, event_type, occurred_at, workspace_id, ticket_no, payload, chain_id, chain_seq,
                    prev_event_hash, this_event_hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

IS_IN_LOG: Final = "SELECT count(*) FROM events WHERE event_id = ? AND ticket_no IS NULL"

IS_IN_LOG_OF_TICKET: Final = "SELECT count(*) FROM events WHERE event_id = ? AND ticket_no = ?"

_EVENT: Final = """
SELECT e.seq, e.event_id, e.event_type, e.occurred_at, e.workspace_id, t.ticket_id, e.payload, e.chain_id, e.chain_seq,
       e.prev_event_hash, e.this_event_hash
FROM events AS e LEFT JOIN tickets AS t ON t.ticket_no = e.ticket_no
"""

EVENTS_AFTER: Final = f"{_EVENT} WHERE e.workspace_id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"

EVENTS_OF_TYPES_AFTER: Final = f"""
{_EVENT} WHERE e.workspace_id = ? AND e.seq > ? AND e.event_type IN (SELECT value FROM json_each(?))
ORDER BY e.seq LIMIT ?
"""  # noqa: S608 - constants only

EVENTS_OF_TICKET_AFTER: Final = f"""
{_EVENT} WHERE e.ticket_no = (SELECT ticket_no FROM tickets WHERE ticket_id = ? AND workspace_id = ?) AND e.seq > ?
  AND (?4 IS NULL OR e.event_type IN (SELECT value FROM json_each(?4)))
ORDER BY e.seq LIMIT ?5
"""  # noqa: S608 - constants only

ALL_EVENTS: Final = f"{_EVENT} WHERE e.workspace_id = ? ORDER BY e.seq"

ALL_HEADS: Final = """
SELECT chain_id, last_chain_seq, last_event_hash FROM chains WHERE workspace_id = ? ORDER BY chain_id
"""
