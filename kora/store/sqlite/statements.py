"""The statements that the SQLite store's parts share, by name; those of one part stand beside it.

The numbers 0 to 3 beside `queue_state` are QueueState; they stand in the text because SQLite uses a partial index only
for a condition that it can read in the statement itself. Lists travel as one JSON array each.
"""

from __future__ import annotations

from typing import Final

from kora.store.sqlite.many import Many

# Opening

LOOK: Final = """
SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_master)
"""

REVISION_OF_SCHEMA: Final = "SELECT version_num FROM alembic_version"

IS_REGISTERED: Final = """
SELECT EXISTS (SELECT 1 FROM workspaces WHERE workspace_id = :workspace_id)
   AND EXISTS (SELECT 1 FROM actor_registry WHERE workspace_id = :workspace_id AND actor_id = :actor_id)
   AND EXISTS (SELECT 1 FROM clocks WHERE boot_id = :boot_id)
"""

IS_ACTOR: Final = "SELECT EXISTS (SELECT 1 FROM actor_registry WHERE workspace_id = ? AND actor_id = ?)"

IS_WORKSPACE: Final = "SELECT EXISTS (SELECT 1 FROM workspaces WHERE workspace_id = ?)"

UNFINISHED_COPY: Final = "SELECT source, source_state, progress FROM unfinished_copies WHERE workspace_id = ?"

REGISTER_WORKSPACE: Final = """
INSERT INTO workspaces (workspace_id, created_at) VALUES (:workspace_id, :now) ON CONFLICT DO NOTHING
"""

REGISTER_ACTOR: Final = """
INSERT INTO actor_registry (workspace_id, actor_id, actor_kind, registered_at)
VALUES (:workspace_id, :actor_id, 'kora', :now) ON CONFLICT DO NOTHING
"""

# The machine's clock

ANCHOR: Final = "SELECT anchor_us FROM clocks WHERE boot_id = ?"

# A store that comes from the schema without clocks has none of any boot: what it holds may live, and keeps its leases.
END_LEASES_OF_FORMER_BOOTS: Final = """
UPDATE tickets SET lease_expires_at = min(lease_expires_at, ?)
WHERE queue_state = 3 AND EXISTS (SELECT 1 FROM clocks)
"""

MOVE_HELD: Final = """
UPDATE tickets SET lease_expires_at = lease_expires_at + ?1, claimed_at = claimed_at + ?1,
    progress_at = progress_at + ?1
WHERE queue_state = 3
"""

# An attempt took as long as it took, whatever the clock said meanwhile.
MOVE_PRESENCES: Final = """
UPDATE operations SET allocated_at = allocated_at + ?1
WHERE sequence_within_attempt = 0 AND work_attempt_id IN (SELECT work_attempt_id FROM tickets WHERE queue_state = 3)
"""

# Only these wait for a length of time; other dates are people's.
MOVE_DELAYS: Final = """
UPDATE tickets SET next_eligible_at = next_eligible_at + ?1
WHERE queue_state = 2 AND sea_status IN ('released', 'failed_retryable')
"""

MOVE_SEEN: Final = "UPDATE runtimes SET last_seen = last_seen + ?1 WHERE ended_at IS NULL"

# How claims are paced, and how long ago watchers were there.
MOVE_RAMPS: Final = """
UPDATE workspaces SET ramp_until = ramp_until + ?1, paced_at = CASE WHEN paced_at > 0 THEN paced_at + ?1 ELSE 0 END
WHERE ramp_until > 0
"""

MOVE_WATCHERS: Final = "UPDATE watchers SET seen_at = seen_at + ?1"

SET_ANCHOR: Final = """
INSERT INTO clocks (boot_id, anchor_us) VALUES (?, ?) ON CONFLICT (boot_id) DO UPDATE SET anchor_us = excluded.anchor_us
"""

FORGET_FORMER_BOOTS: Final = "DELETE FROM clocks WHERE boot_id <> ?"

# Runtimes

RAISE_INCARNATION: Final = """
INSERT INTO runtimes (runtime_id, workspace_id, host, pid, version, started_at, last_incarnation, last_seen)
VALUES (:runtime_id, :workspace_id, :host, :pid, :version, :now, 1, :now)
ON CONFLICT (runtime_id) DO UPDATE SET last_incarnation = last_incarnation + 1, last_seen = :now, ended_at = NULL
WHERE workspace_id = excluded.workspace_id AND revoked_at IS NULL
RETURNING last_incarnation
"""

REVOKED_AT: Final = "SELECT revoked_at FROM runtimes WHERE runtime_id = ? AND workspace_id = ?"

SAY_ENDED: Final = "UPDATE runtimes SET last_seen = ?1, ended_at = ?1 WHERE runtime_id = ?2 AND workspace_id = ?3"

HOLDERS_AMONG: Final = """
SELECT DISTINCT holder FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND holder IN (SELECT value FROM json_each(?))
"""

# Tickets as they are read

# Where the whole board has no dependency, no ticket's are looked for.
_BLOCKED_BY: Final = """
CASE WHEN EXISTS (SELECT 1 FROM dependencies) THEN (
    SELECT json_group_array(ticket_id) FROM (
        SELECT b.ticket_id FROM dependencies AS d JOIN tickets AS b ON b.ticket_no = d.blocker_no
        WHERE d.ticket_no = t.ticket_no ORDER BY d.blocker_no)
) || '' END
"""

_COST_COUNTED: Final = "t.cost_micro_usd - t.cost_forgiven_micro_usd"

# The columns of `TicketRow`.
TICKET_COLUMNS: Final = f"""
t.ticket_no, t.ticket_id, t.workspace_id, t.ticket_title, o.ticket_objective, t.sea_status, t.rank, t.sea_idea_kind,
t.sea_captured_at, t.created_at, t.assigned_to_actor_id, t.next_eligible_at, t.claim_count, t.work_attempt_count,
t.failure_count_by_reason, t.last_resolution, t.last_summary, t.claim_fence_token, t.holder, t.lease_expires_at,
t.work_attempt_id, t.agent, t.open_blockers, t.attempts_forgiven, {_COST_COUNTED},
{_BLOCKED_BY}
"""

# The columns of `ReadyRow`.
READY_COLUMNS: Final = f"""
t.ticket_no, t.ticket_id, t.ticket_title, o.ticket_objective, t.rank, t.sea_idea_kind, t.sea_captured_at, t.created_at,
t.next_eligible_at, t.claim_count, t.work_attempt_count, t.failure_count_by_reason, t.last_resolution, t.last_summary,
t.agent, t.attempts_forgiven, {_COST_COUNTED},
{_BLOCKED_BY}
"""

TICKET_SELECT: Final = f"""
SELECT {TICKET_COLUMNS} FROM tickets AS t JOIN objectives AS o ON o.ticket_no = t.ticket_no
"""  # noqa: S608 - constants only

TICKET: Final = f"{TICKET_SELECT} WHERE t.ticket_id = ? AND t.workspace_id = ?"

TICKETS_AFTER: Final = f"""
{TICKET_SELECT} WHERE t.workspace_id = ? AND t.ticket_no > ? ORDER BY t.ticket_no LIMIT ?
"""

HELD_BY: Final = f"""
{TICKET_SELECT} WHERE t.ticket_no IN (
    SELECT ticket_no FROM tickets WHERE workspace_id = ? AND queue_state = 3 AND holder = ?
) ORDER BY t.ticket_no
"""  # noqa: S608 - constants only

KEYS_HELD_BY: Final = """
SELECT json_group_array(json_array(ticket_id, claim_fence_token, work_attempt_id)) FROM tickets
WHERE workspace_id = ? AND queue_state = 3 AND holder = ?
"""

TICKET_NOS: Final = """
SELECT t.ticket_id, t.ticket_no FROM json_each(?) AS asked
CROSS JOIN tickets AS t ON t.ticket_id = asked.value AND t.workspace_id = ?
"""

TICKET_NO: Final = "SELECT ticket_no FROM tickets WHERE ticket_id = ? AND workspace_id = ?"

CLAIM_PERMISSION: Final = "SELECT claim_permission FROM workspaces WHERE workspace_id = ?"

# What waits for others is looked at only where nothing else is left; in the same statement, so as of the same moment.
OUTSTANDING: Final = """
SELECT ready, waiting, held, CASE WHEN ready OR waiting OR held THEN 0 ELSE EXISTS (
    WITH RECURSIVE awaited (ticket_no) AS (
        SELECT d.blocker_no FROM tickets AS t JOIN dependencies AS d ON d.ticket_no = t.ticket_no
        WHERE t.workspace_id = ?1 AND t.assigned_to_actor_id = ?2 AND t.open_blockers > 0
          AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
        UNION
        SELECT d.blocker_no FROM awaited JOIN tickets AS t ON t.ticket_no = awaited.ticket_no
        JOIN dependencies AS d ON d.ticket_no = t.ticket_no
        WHERE t.open_blockers > 0 AND t.sea_status IN ('assigned', 'released', 'failed_retryable')
    )
    SELECT 1 FROM awaited CROSS JOIN tickets AS b ON b.ticket_no = awaited.ticket_no WHERE b.queue_state IN (1, 2, 3)
) END
FROM (
    SELECT EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 1)
               AS ready,
           EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 2)
               AS waiting,
           EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1 AND assigned_to_actor_id = ?2 AND queue_state = 3)
               AS held
)
"""

# What else operators and turns share

ABANDON_ATTEMPT: Final = """
UPDATE operations SET state = 'abandoned', dispatch_error = ?, ended_at = ?
WHERE work_attempt_id = ? AND state IN ('allocated', 'dispatched')
"""

TALLY: Final = """
INSERT INTO tallies (workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workspace_id, minute, chain_id, resolution) DO UPDATE SET attempts = attempts + excluded.attempts,
    cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd, worked_us = worked_us + excluded.worked_us
"""

# The log

CHAIN_HEAD: Final = "SELECT last_chain_seq, last_event_hash FROM chains WHERE workspace_id = ? AND chain_id = ?"

MOVE_CHAIN_HEAD: Final = """
INSERT INTO chains (workspace_id, chain_id, last_chain_seq, last_event_hash) VALUES (?, ?, ?, ?)
ON CONFLICT (workspace_id, chain_id) DO UPDATE
SET last_chain_seq = excluded.last_chain_seq, last_event_hash = excluded.last_event_hash
"""

APPEND_EVENTS: Final = Many(
    """
INSERT OR FAIL INTO events (occurred_at, workspace_id, chain_id, event_id, event_type, ticket_no, payload, chain_seq,
                            prev_event_hash, this_event_hash)
VALUES {rows}
""",
    shared=3,
    width=7,
    row="(?1, ?2, ?3, ?, ?, nullif(?, 0), ?, ?, ?, ?)",
)

KNOWN_EVENTS: Final = """
SELECT e.event_id FROM json_each(?1) AS asked CROSS JOIN events AS e
    ON e.event_id = asked.value AND e.ticket_no IS NULL AND e.workspace_id = ?3
UNION ALL
SELECT e.event_id FROM json_each(?2) AS number CROSS JOIN events AS e ON e.ticket_no = number.value
WHERE e.event_id IN (SELECT value FROM json_each(?1))
"""

_EVENT: Final = """
SELECT e.seq, e.event_id, e.event_type, e.occurred_at, e.workspace_id, t.ticket_id, e.payload, e.chain_id, e.chain_seq,
       e.prev_event_hash, e.this_event_hash
FROM events AS e LEFT JOIN tickets AS t ON t.ticket_no = e.ticket_no
"""

# All that was committed: nobody else was writing meanwhile.
SETTLED_SEQ: Final = "SELECT 0x7fffffffffffffff FROM workspaces WHERE workspace_id = ?"

ALL_EVENTS_AFTER: Final = f"{_EVENT} WHERE e.workspace_id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"

EVENTS_AFTER: Final = f"{_EVENT} WHERE e.workspace_id = ? AND e.seq > ? AND e.seq < ? ORDER BY e.seq LIMIT ?"

EVENTS_OF_TYPES_AFTER: Final = f"""
{_EVENT} WHERE e.workspace_id = ? AND e.seq > ? AND e.seq < ? AND e.event_type IN (SELECT value FROM json_each(?))
ORDER BY e.seq LIMIT ?
"""  # noqa: S608 - constants only

EVENTS_OF_TICKET_AFTER: Final = f"""
{_EVENT} WHERE e.ticket_no = (SELECT ticket_no FROM tickets WHERE ticket_id = ? AND workspace_id = ?)
  AND e.seq > ? AND e.seq < ? AND (?5 IS NULL OR e.event_type IN (SELECT value FROM json_each(?5)))
ORDER BY e.seq LIMIT ?6
"""  # noqa: S608 - constants only

ALL_HEADS: Final = """
SELECT chain_id, last_chain_seq, last_event_hash FROM chains WHERE workspace_id = ? ORDER BY chain_id
"""
