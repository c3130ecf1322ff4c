"""The statements by which a workspace is steered: commands, the credit pool, the epoch, watchers.

One writes at a time: so nothing is held here while something else is read, and nothing is passed over.
"""

from __future__ import annotations

from typing import Final

from kora.store.sql.steering_statements import (
    CEILING_US,
    ControlStatements,
    SteeringBoardStatements,
    SteeringReadStatements,
    SteeringTurnStatements,
)

_RESET: Final = """
(SELECT command_no FROM control_commands WHERE workspace_id = {} AND level = 0 ORDER BY command_no DESC LIMIT 1)
"""

# A command holds until the next reset.
_COMMAND: Final = """
SELECT c.command_no, c.command_id, c.level, c.reason, c.issuer, c.issuer_actor_kind, c.created_at, c.enforce_us,
       CASE WHEN c.level > 0 THEN (
           SELECT r.command_id FROM control_commands AS r
           WHERE r.workspace_id = c.workspace_id AND r.command_no > c.command_no AND r.level = 0
           ORDER BY r.command_no LIMIT 1) END,
       (SELECT e.command_id FROM control_commands AS e
        WHERE e.workspace_id = c.workspace_id AND e.escalates = c.command_id ORDER BY e.command_no LIMIT 1)
FROM control_commands AS c
"""

_CONTROL: Final = ControlStatements(
    commands=f"{_COMMAND} WHERE c.workspace_id = ? AND c.command_no > ? ORDER BY c.command_no DESC LIMIT ?",
    command=f"{_COMMAND} WHERE c.workspace_id = ? AND c.command_id = ?",
    marks="""
SELECT m.command_id, m.holder, m.status, m.marked_at, m.detail, r.ended_at
FROM json_each(?2) AS asked CROSS JOIN control_marks AS m ON m.workspace_id = ?1 AND m.command_id = asked.value
LEFT JOIN runtimes AS r ON r.runtime_id = m.holder ORDER BY m.marked_at, m.holder
""",
)

_STEERING: Final = f"""
SELECT w.claim_permission, w.stop_level, w.epoch, coalesce(reset.command_no, 0),
       EXISTS (SELECT 1 FROM (SELECT reached_at - lag(reached_at, 2) OVER (ORDER BY reached_at) AS within
                              FROM ceilings WHERE workspace_id = ?1 AND reset_no = coalesce(reset.command_no, 0))
               WHERE within <= {CEILING_US}),
       w.pool_month, w.baseline_micro_usd, w.reconciled_micro_usd, w.refreshed_at, w.ramp_until,
       (SELECT coalesce(sum(micro_usd), 0) FROM spend WHERE workspace_id = ?1 AND month = ?2),
       (SELECT max(seen_at) FROM watchers WHERE workspace_id = ?1)
FROM workspaces AS w
LEFT JOIN control_commands AS reset ON reset.workspace_id = w.workspace_id AND reset.command_no = {_RESET.format("?1")}
WHERE w.workspace_id = ?1
"""  # noqa: S608 - constants only

# Where a board has tickets by the million, those that are deferred are found by their index.
_FREE_DEFERRED: Final = """
UPDATE tickets SET sea_status = 'assigned', queue_state = CASE WHEN open_blockers > 0 THEN 0 ELSE 1 END,
    next_eligible_at = NULL
WHERE workspace_id = ? AND sea_status = 'deferred_cost_limit'
  AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
"""

_MARK: Final = """
INSERT INTO control_marks (workspace_id, command_id, holder, status, stage, marked_at, detail)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM control_commands AS c
WHERE c.workspace_id = ?1 AND c.command_id = ?2 AND c.level > 0 AND NOT EXISTS (
    SELECT 1 FROM control_commands AS r WHERE r.workspace_id = ?1 AND r.command_no > c.command_no AND r.level = 0)
ON CONFLICT (workspace_id, command_id, holder) DO UPDATE SET status = excluded.status, stage = excluded.stage,
    marked_at = excluded.marked_at, detail = excluded.detail
WHERE excluded.stage > control_marks.stage
"""

STEERING_READ: Final = SteeringReadStatements(
    control=_CONTROL,
    steering=_STEERING,
    heads="""
SELECT chain_id, last_chain_seq, last_event_hash FROM chains
WHERE workspace_id = ?2 AND chain_id IN (SELECT value FROM json_each(?1)) AND last_chain_seq > 0 ORDER BY chain_id
""",
    spend="""
SELECT month, sum(micro_usd) FROM spend WHERE workspace_id = ? GROUP BY month ORDER BY month DESC
""",
)

STEERING_BOARD: Final = SteeringBoardStatements(
    control=_CONTROL,
    hold_turns="SELECT 1 FROM workspaces WHERE workspace_id = ?",
    steering=_STEERING,
    add_command="""
INSERT INTO control_commands (workspace_id, command_no, command_id, level, reason, issuer, issuer_actor_kind,
                              created_at, enforce_us, escalates)
VALUES (?1, (SELECT coalesce(max(command_no), 0) + 1 FROM control_commands WHERE workspace_id = ?1),
        ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
""",
    await_present="""
INSERT INTO control_marks (workspace_id, command_id, holder, status, stage, marked_at, detail)
SELECT ?1, ?2, r.runtime_id, ?3, ?4, ?5, '' FROM (
    SELECT runtime_id FROM runtimes INDEXED BY runtimes_seen WHERE workspace_id = ?1 AND last_seen >= ?6
    UNION
    SELECT holder FROM tickets INDEXED BY tickets_held WHERE workspace_id = ?1 AND queue_state = 3
) AS there CROSS JOIN runtimes AS r ON r.runtime_id = there.runtime_id AND r.ended_at IS NULL
""",
    set_stop_level="UPDATE workspaces SET stop_level = ?2 WHERE workspace_id = ?1",
    expire=f"{_MARK} AND control_marks.status <> 'enforced'",
    revoked_at="SELECT revoked_at FROM runtimes WHERE workspace_id = ? AND runtime_id = ?",
    revoke="""
UPDATE runtimes SET revoked_at = ?3 WHERE workspace_id = ?1 AND runtime_id = ?2 AND revoked_at IS NULL
""",
    watch="""
INSERT INTO watchers (workspace_id, watcher_id, host, pid, seen_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (workspace_id, watcher_id) DO UPDATE SET host = excluded.host, pid = excluded.pid,
    seen_at = excluded.seen_at
""",
    unwatch="DELETE FROM watchers WHERE workspace_id = ? AND (watcher_id = ? OR seen_at < ?)",
    set_pool="""
UPDATE workspaces SET pool_month = ?2, baseline_micro_usd = ?3, reconciled_micro_usd = ?4 WHERE workspace_id = ?1
""",
    refresh_pool="""
UPDATE workspaces SET pool_month = ?2, baseline_micro_usd = ?3, reconciled_micro_usd = 0, refreshed_at = ?4,
    ramp_until = ?5, ramp_interval_us = ?6, paced_at = 0
WHERE workspace_id = ?1
""",
    free_deferred=_FREE_DEFERRED,
    bump_epoch="UPDATE workspaces SET epoch = epoch + 1 WHERE workspace_id = ?",
    forgive_all="""
UPDATE tickets SET attempts_forgiven = work_attempt_count
WHERE workspace_id = ? AND sea_status NOT IN ('completed', 'failed_terminal') AND attempts_forgiven < work_attempt_count
""",
)

STEERING_TURN: Final = SteeringTurnStatements(
    mark=_MARK,
    level_of="SELECT level FROM control_commands WHERE workspace_id = ? AND command_id = ?",
    note_ceilings=f"""
INSERT INTO ceilings (workspace_id, reset_no, reached_at, ticket_id)
SELECT ?1, coalesce({_RESET.format("?1")}, 0), ?2, value FROM json_each(?3) WHERE true ON CONFLICT DO NOTHING
""",  # noqa: S608 - constants only
    charged="""
SELECT t.ticket_id, o.work_attempt_id, t.ticket_no, coalesce(o.charged_micro_usd, 0), o.state, o.dispatch_result
FROM json_each(?2) AS asked CROSS JOIN tickets AS t ON t.ticket_id = asked.value ->> 0 AND t.workspace_id = ?1
CROSS JOIN operations AS o
    ON o.work_attempt_id = asked.value ->> 1 AND o.sequence_within_attempt = 0 AND +o.ticket_no = t.ticket_no
""",
    charge="""
UPDATE operations SET charged_micro_usd = charge.value ->> 1 FROM json_each(?) AS charge
WHERE operations.work_attempt_id = charge.value ->> 0 AND operations.sequence_within_attempt = 0
""",
    add_cost="""
UPDATE tickets SET cost_micro_usd = cost_micro_usd + more.cost
FROM (SELECT value ->> 0 AS ticket_no, sum(value ->> 1) AS cost FROM json_each(?) GROUP BY 1) AS more
WHERE tickets.ticket_no = more.ticket_no
""",
    add_spend="""
INSERT INTO spend (workspace_id, month, chain_id, micro_usd) VALUES (?, ?, ?, ?)
ON CONFLICT (workspace_id, month, chain_id) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd
""",
    pace="""
UPDATE workspaces SET paced_at = ?2
WHERE workspace_id = ?1 AND (paced_at <= ?2 - ramp_interval_us OR paced_at > ?2)
""",
    unpace="UPDATE workspaces SET paced_at = ?2 WHERE workspace_id = ?1",
    lock_pool="SELECT refreshed_at FROM workspaces WHERE workspace_id = ?",
    hold_turns_at_rest="SELECT 1 FROM workspaces WHERE workspace_id = ?",
    resume_pool="""
UPDATE workspaces SET
    baseline_micro_usd = CASE WHEN pool_month = ?2 THEN baseline_micro_usd ELSE 0 END,
    reconciled_micro_usd = CASE WHEN pool_month = ?2 THEN reconciled_micro_usd ELSE 0 END,
    pool_month = ?2, refreshed_at = ?3, ramp_until = ?4, ramp_interval_us = ?5, paced_at = 0
WHERE workspace_id = ?1
""",
    free_deferred=_FREE_DEFERRED,
    free_too_late="""
UPDATE tickets SET sea_status = 'assigned', queue_state = CASE WHEN open_blockers > 0 THEN 0 ELSE 1 END,
    next_eligible_at = NULL
WHERE ticket_no IN (SELECT value FROM json_each(?3)) AND sea_status || '' = 'deferred_cost_limit'
  AND claimed_at < max(?2, coalesce((SELECT refreshed_at FROM workspaces WHERE workspace_id = ?1), 0))
""",
)
