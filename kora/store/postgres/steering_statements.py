"""The statements by which a workspace is steered on PostgreSQL: commands, the credit pool, the epoch, watchers.

Who changes what a turn's gate says (`OPEN_TURN`) locks the workspace's row, then every runtime's: so what was under way
has ended, and what begins waits, and then finds the gate as it is by then. Who registers a runtime takes a share of the
workspace's row first. A turn never waits for that row, and so nobody waits for one another.
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
(SELECT command_no FROM kora.control_commands WHERE workspace_id = $1 AND level = 0 ORDER BY command_no DESC LIMIT 1)
"""

# A command holds until the next reset.
_COMMAND: Final = """
SELECT c.command_no, c.command_id, c.level, c.reason, c.issuer, c.issuer_actor_kind, c.created_at, c.enforce_us,
       CASE WHEN c.level > 0 THEN (
           SELECT r.command_id FROM kora.control_commands AS r
           WHERE r.workspace_id = c.workspace_id AND r.command_no > c.command_no AND r.level = 0
           ORDER BY r.command_no LIMIT 1) END,
       (SELECT e.command_id FROM kora.control_commands AS e
        WHERE e.workspace_id = c.workspace_id AND e.escalates = c.command_id ORDER BY e.command_no LIMIT 1)
FROM kora.control_commands AS c
"""

_NAMED: Final = "ANY (ARRAY(SELECT json_array_elements_text($2::json)))"

_CONTROL: Final = ControlStatements(
    commands=f"{_COMMAND} WHERE c.workspace_id = $1 AND c.command_no > $2 ORDER BY c.command_no DESC LIMIT $3",
    command=f"{_COMMAND} WHERE c.workspace_id = $1 AND c.command_id = $2",
    marks=f"""
SELECT m.command_id, m.holder, m.status, m.marked_at, m.detail, r.ended_at
FROM kora.control_marks AS m LEFT JOIN kora.runtimes AS r ON r.runtime_id = m.holder
WHERE m.workspace_id = $1 AND m.command_id = {_NAMED} ORDER BY m.marked_at, m.holder
""",
)

_STEERING: Final = f"""
SELECT w.claim_permission, w.stop_level, w.epoch, coalesce(reset.command_no, 0),
       EXISTS (SELECT 1 FROM (SELECT reached_at - lag(reached_at, 2) OVER (ORDER BY reached_at) AS within
                              FROM kora.ceilings
                              WHERE workspace_id = $1 AND reset_no = coalesce(reset.command_no, 0)) AS reached
               WHERE within <= {CEILING_US}),
       w.pool_month, w.baseline_micro_usd, w.reconciled_micro_usd, w.refreshed_at, w.ramp_until,
       (SELECT coalesce(sum(micro_usd), 0)::bigint FROM kora.spend WHERE workspace_id = $1 AND month = $2::integer),
       (SELECT max(seen_at) FROM kora.watchers WHERE workspace_id = $1)
FROM kora.workspaces AS w
LEFT JOIN kora.control_commands AS reset
    ON reset.workspace_id = w.workspace_id AND reset.command_no = {_RESET}
WHERE w.workspace_id = $1
"""

_FREE_DEFERRED: Final = """
UPDATE kora.tickets SET sea_status = 'assigned', queue_state = CASE WHEN open_blockers > 0 THEN 0 ELSE 1 END,
    next_eligible_at = NULL
WHERE workspace_id = $1 AND sea_status = 'deferred_cost_limit'
  AND sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
"""

_MARK: Final = """
INSERT INTO kora.control_marks AS known (workspace_id, command_id, holder, status, stage, marked_at, detail)
SELECT $1::text, $2::text, $3::text, $4::text, $5::integer, $6::bigint, $7::text FROM kora.control_commands AS c
WHERE c.workspace_id = $1 AND c.command_id = $2 AND c.level > 0 AND NOT EXISTS (
    SELECT 1 FROM kora.control_commands AS r WHERE r.workspace_id = $1 AND r.command_no > c.command_no AND r.level = 0)
ON CONFLICT (workspace_id, command_id, holder) DO UPDATE SET status = excluded.status, stage = excluded.stage,
    marked_at = excluded.marked_at, detail = excluded.detail
WHERE excluded.stage > known.stage
"""

STEERING_READ: Final = SteeringReadStatements(
    control=_CONTROL,
    steering=_STEERING,
    heads="""
SELECT chain_id, last_chain_seq, last_event_hash FROM kora.chains
WHERE workspace_id = $2 AND chain_id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND last_chain_seq > 0
ORDER BY chain_id
""",
    spend="""
SELECT month, sum(micro_usd)::bigint FROM kora.spend WHERE workspace_id = $1 GROUP BY month ORDER BY month DESC
""",
)

STEERING_BOARD: Final = SteeringBoardStatements(
    control=_CONTROL,
    hold_turns="""
SELECT 1 FROM kora.workspaces WHERE workspace_id = $1 FOR NO KEY UPDATE;
SELECT 1 FROM kora.runtimes WHERE workspace_id = $1 AND ended_at IS NULL ORDER BY runtime_id FOR NO KEY UPDATE
""",
    steering=_STEERING,
    add_command="""
INSERT INTO kora.control_commands (workspace_id, command_no, command_id, level, reason, issuer, issuer_actor_kind,
                                   created_at, enforce_us, escalates)
SELECT $1::text, coalesce(max(command_no), 0) + 1, $2::text, $3::integer, $4::text, $5::text, $6::text, $7::bigint,
       $8::bigint, $9::text
FROM kora.control_commands WHERE workspace_id = $1
""",
    await_present="""
INSERT INTO kora.control_marks (workspace_id, command_id, holder, status, stage, marked_at, detail)
SELECT $1::text, $2::text, r.runtime_id, $3::text, $4::integer, $5::bigint, '' FROM kora.runtimes AS r
WHERE r.workspace_id = $1 AND r.ended_at IS NULL AND (r.last_seen >= $6::bigint OR r.runtime_id IN (
    SELECT holder FROM kora.tickets WHERE workspace_id = $1 AND queue_state = 3))
""",
    set_stop_level="UPDATE kora.workspaces SET stop_level = $2::integer WHERE workspace_id = $1",
    expire=f"{_MARK} AND known.status <> 'enforced'",
    revoked_at="SELECT revoked_at FROM kora.runtimes WHERE workspace_id = $1 AND runtime_id = $2",
    revoke="""
UPDATE kora.runtimes SET revoked_at = $3 WHERE workspace_id = $1 AND runtime_id = $2 AND revoked_at IS NULL
""",
    watch="""
INSERT INTO kora.watchers AS known (workspace_id, watcher_id, host, pid, seen_at)
VALUES ($1, $2, $3, $4::integer, $5)
ON CONFLICT (workspace_id, watcher_id) DO UPDATE SET host = excluded.host, pid = excluded.pid,
    seen_at = excluded.seen_at
""",
    unwatch="DELETE FROM kora.watchers WHERE workspace_id = $1 AND (watcher_id = $2 OR seen_at < $3)",
    set_pool="""
UPDATE kora.workspaces SET pool_month = $2::integer, baseline_micro_usd = $3, reconciled_micro_usd = $4
WHERE workspace_id = $1
""",
    refresh_pool="""
UPDATE kora.workspaces SET pool_month = $2::integer, baseline_micro_usd = $3, reconciled_micro_usd = 0,
    refreshed_at = $4, ramp_until = $5, ramp_interval_us = $6, paced_at = 0
WHERE workspace_id = $1
""",
    free_deferred=_FREE_DEFERRED,
    bump_epoch="UPDATE kora.workspaces SET epoch = epoch + 1 WHERE workspace_id = $1",
    forgive_all="""
UPDATE kora.tickets SET attempts_forgiven = work_attempt_count
WHERE workspace_id = $1 AND sea_status NOT IN ('completed', 'failed_terminal')
  AND attempts_forgiven < work_attempt_count
""",
)

_PRESENCE: Final = "work_attempt_id = asked.said ->> 1 AND sequence_within_attempt = 0"

STEERING_TURN: Final = SteeringTurnStatements(
    mark=_MARK,
    level_of="SELECT level FROM kora.control_commands WHERE workspace_id = $1 AND command_id = $2",
    note_ceilings=f"""
INSERT INTO kora.ceilings (workspace_id, reset_no, reached_at, ticket_id)
SELECT $1::text, coalesce({_RESET}, 0), $2::bigint, reached.id FROM json_array_elements_text($3::json) AS reached(id)
ON CONFLICT DO NOTHING
""",
    # By presence marks, each in a query of its own: see `settle_statements`.
    charged=f"""
SELECT 1 FROM kora.tickets WHERE workspace_id = $1 AND ticket_no = ANY (ARRAY(
    SELECT (SELECT ticket_no FROM kora.operations WHERE {_PRESENCE})
    FROM json_array_elements($2::json) AS asked(said)))
ORDER BY ticket_no FOR NO KEY UPDATE;
SELECT t.ticket_id, o.work_attempt_id, t.ticket_no, coalesce(o.charged_micro_usd, 0), o.state, o.dispatch_result
FROM json_array_elements($2::json) AS asked(said)
CROSS JOIN LATERAL (SELECT * FROM kora.operations WHERE {_PRESENCE} OFFSET 0) AS o
CROSS JOIN LATERAL (SELECT ticket_id, ticket_no FROM kora.tickets WHERE ticket_no = o.ticket_no
                    AND ticket_id = asked.said ->> 0 AND workspace_id = $1 OFFSET 0) AS t
""",
    charge="""
UPDATE kora.operations AS o SET charged_micro_usd = (charge.said ->> 1)::bigint
FROM json_array_elements($1::json) AS charge(said)
WHERE o.work_attempt_id = ANY (ARRAY(SELECT each.said ->> 0 FROM json_array_elements($1::json) AS each(said)))
  AND o.work_attempt_id = charge.said ->> 0 AND o.sequence_within_attempt = 0
""",
    add_cost="""
UPDATE kora.tickets AS t SET cost_micro_usd = cost_micro_usd + more.cost
FROM (SELECT (said ->> 0)::bigint AS ticket_no, sum((said ->> 1)::bigint)::bigint AS cost
      FROM json_array_elements($1::json) AS of_each(said) GROUP BY 1) AS more
WHERE t.ticket_no = more.ticket_no
""",
    add_spend="""
INSERT INTO kora.spend AS known (workspace_id, month, chain_id, micro_usd) VALUES ($1, $2::integer, $3, $4)
ON CONFLICT (workspace_id, month, chain_id) DO UPDATE SET micro_usd = known.micro_usd + excluded.micro_usd
""",
    pace="""
UPDATE kora.workspaces SET paced_at = $2
WHERE workspace_id = (SELECT workspace_id FROM kora.workspaces WHERE workspace_id = $1 FOR NO KEY UPDATE SKIP LOCKED)
  AND (paced_at <= $2 - ramp_interval_us OR paced_at > $2)
""",
    unpace="UPDATE kora.workspaces SET paced_at = $2 WHERE workspace_id = $1",
    lock_pool="SELECT refreshed_at FROM kora.workspaces WHERE workspace_id = $1 FOR NO KEY UPDATE SKIP LOCKED",
    hold_turns_at_rest="""
WITH at_rest AS MATERIALIZED (
    SELECT runtime_id FROM kora.runtimes WHERE workspace_id = $1 AND ended_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
)
SELECT (SELECT count(*) FROM at_rest)
       = (SELECT count(*) FROM kora.runtimes WHERE workspace_id = $1 AND ended_at IS NULL)
""",
    resume_pool="""
UPDATE kora.workspaces SET
    baseline_micro_usd = CASE WHEN pool_month = $2::integer THEN baseline_micro_usd ELSE 0 END,
    reconciled_micro_usd = CASE WHEN pool_month = $2::integer THEN reconciled_micro_usd ELSE 0 END,
    pool_month = $2::integer, refreshed_at = $3, ramp_until = $4, ramp_interval_us = $5, paced_at = 0
WHERE workspace_id = $1
""",
    free_deferred=_FREE_DEFERRED,
    free_too_late="""
UPDATE kora.tickets SET sea_status = 'assigned', queue_state = CASE WHEN open_blockers > 0 THEN 0 ELSE 1 END,
    next_eligible_at = NULL
WHERE ticket_no = ANY (ARRAY(SELECT json_array_elements_text($3::json)::bigint))
  AND sea_status || '' = 'deferred_cost_limit'
  AND claimed_at < greatest($2, (SELECT refreshed_at FROM kora.workspaces WHERE workspace_id = $1))
""",
)
