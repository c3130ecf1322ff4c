"""The statements of copying a board from or to a SQLite file.

Pages are read row by row, and no further than the reader wants: so nothing here says how large one may be.
"""

from __future__ import annotations

from typing import Final

from kora.store.sql.copy_parts import (
    ACTORS,
    ARCHIVES,
    CEILINGS,
    CHAINS,
    COMMANDS,
    DEPENDENCIES,
    EVENTS,
    IDENTITIES,
    MARKS,
    OBJECTIVES,
    OF_TICKETS,
    OPERATIONS,
    RUNTIMES,
    SPEND,
    STEERING,
    TABLES,
    TALLIES,
    TICKETS,
    Part,
    SourceStatements,
    TargetStatements,
    assigned,
    replaced,
)
from kora.store.sqlite.archive_statements import FORGET_EVENTS
from kora.store.sqlite.sets import BOARD, HISTORY
from kora.store.sqlite.statements import CLAIM_PERMISSION, UNFINISHED_COPY

_TICKET_NO: Final = "(SELECT ticket_no FROM tickets WHERE ticket_id = ?{place})"


def _page_of(part: Part) -> str:
    key, table = IDENTITIES[part], TABLES[part]
    places = ", ".join(f"?{place}" for place in range(2, 2 + len(part.begin)))
    return f"""
SELECT {key}, {part.listed} FROM {table} WHERE workspace_id = ?1 AND ({key}) > ({places})
ORDER BY {key} LIMIT ?{2 + len(part.begin)}
"""


def _places(part: Part) -> str:
    return ", ".join(f"?{place}" for place, _ in enumerate(part.columns, 1))


def _write_of(part: Part, table: str, identity: str) -> str:
    return f"""
INSERT INTO {table} ({part.listed}) VALUES ({_places(part)})
ON CONFLICT ({identity}) DO UPDATE SET {replaced(part, identity)} WHERE {table}.workspace_id = excluded.workspace_id
"""


_SOURCE: Final = SourceStatements(
    history=HISTORY,
    pages={
        TICKETS: f"""
SELECT ticket_no, {TICKETS.listed} FROM tickets INDEXED BY tickets_of_workspace
WHERE workspace_id = ?1 AND ticket_no > ?2 ORDER BY ticket_no LIMIT ?3
""",
        OBJECTIVES: """
SELECT t.ticket_no, t.ticket_id, o.ticket_objective
FROM tickets AS t INDEXED BY tickets_of_workspace CROSS JOIN objectives AS o ON o.ticket_no = t.ticket_no
WHERE t.workspace_id = ?1 AND t.ticket_no > ?2 ORDER BY t.ticket_no LIMIT ?3
""",
        DEPENDENCIES: """
SELECT d.ticket_no, d.blocker_no, t.ticket_id, b.ticket_id
FROM dependencies AS d CROSS JOIN tickets AS t ON t.ticket_no = d.ticket_no AND t.workspace_id = ?1
CROSS JOIN tickets AS b ON b.ticket_no = d.blocker_no
WHERE (d.ticket_no, d.blocker_no) > (?2, ?3) ORDER BY d.ticket_no, d.blocker_no LIMIT ?4
""",
        OPERATIONS: """
SELECT o.ticket_no, o.attempt, o.sequence_within_attempt, o.work_attempt_id, o.sequence_within_attempt, t.ticket_id,
       o.attempt, o.kora_operation_id, o.tool_name, o.operation_key, o.state, o.dispatch_result, o.dispatch_error,
       o.allocated_at, o.ended_at, o.charged_micro_usd
FROM operations AS o INDEXED BY operations_of_ticket
CROSS JOIN tickets AS t ON t.ticket_no = o.ticket_no AND t.workspace_id = ?1
WHERE o.ticket_no >= ?2 AND (o.ticket_no, o.attempt, o.sequence_within_attempt) > (?2, ?3, ?4)
ORDER BY o.ticket_no, o.attempt, o.sequence_within_attempt LIMIT ?5
""",
        EVENTS: """
SELECT e.seq, e.seq, e.event_id, e.event_type, e.occurred_at, e.workspace_id, t.ticket_id, e.payload, e.chain_id,
       e.chain_seq, e.prev_event_hash, e.this_event_hash
FROM events AS e LEFT JOIN tickets AS t ON t.ticket_no = e.ticket_no
WHERE e.workspace_id = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3
""",
        STEERING: f"""
SELECT workspace_id, {STEERING.listed} FROM workspaces WHERE workspace_id = ?1 AND workspace_id > ?2 LIMIT ?3
""",
        **{part: _page_of(part) for part in TABLES},
    },
    counts={
        TICKETS: "SELECT count(*) FROM tickets INDEXED BY tickets_of_workspace WHERE workspace_id = ?",
        EVENTS: "SELECT count(*) FROM events WHERE workspace_id = ?",
        STEERING: "SELECT count(*) FROM workspaces WHERE workspace_id = ?",
        **{
            part: f"""
SELECT count(*) FROM {table} AS o CROSS JOIN tickets AS t ON t.ticket_no = o.ticket_no AND t.workspace_id = ?
"""
            for part, table in OF_TICKETS.items()
        },
        **{part: f"SELECT count(*) FROM {table} WHERE workspace_id = ?" for part, table in TABLES.items()},
    },
    claim_permission=CLAIM_PERMISSION,
    held="""
SELECT t.ticket_id, t.holder, r.host, r.pid
FROM tickets AS t INDEXED BY tickets_held LEFT JOIN runtimes AS r ON r.runtime_id = t.holder
WHERE t.workspace_id = ? AND t.queue_state = 3 ORDER BY t.ticket_no LIMIT ?
""",
)

COPYING: Final = TargetStatements(
    board=BOARD,
    source=_SOURCE,
    writes={
        TICKETS: _write_of(TICKETS, "tickets", "ticket_id"),
        OBJECTIVES: f"""
INSERT INTO objectives (ticket_no, ticket_objective) VALUES ({_TICKET_NO.format(place=1)}, ?2)
ON CONFLICT (ticket_no) DO UPDATE SET ticket_objective = excluded.ticket_objective
""",
        DEPENDENCIES: f"""
INSERT INTO dependencies (ticket_no, blocker_no) VALUES ({_TICKET_NO.format(place=1)}, {_TICKET_NO.format(place=2)})
""",
        OPERATIONS: f"""
INSERT INTO operations (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id, tool_name,
                        operation_key, state, dispatch_result, dispatch_error, allocated_at, ended_at,
                        charged_micro_usd)
VALUES (?1, ?2, {_TICKET_NO.format(place=3)}, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (work_attempt_id, sequence_within_attempt) DO UPDATE SET state = excluded.state,
    dispatch_result = excluded.dispatch_result, dispatch_error = excluded.dispatch_error,
    allocated_at = excluded.allocated_at, ended_at = excluded.ended_at, charged_micro_usd = excluded.charged_micro_usd
WHERE ticket_no = excluded.ticket_no
""",
        EVENTS: f"""
INSERT INTO events (seq, event_id, event_type, occurred_at, workspace_id, ticket_no, payload, chain_id, chain_seq,
                    prev_event_hash, this_event_hash)
VALUES (?1, ?2, ?3, ?4, ?5, {_TICKET_NO.format(place=6)}, ?7, ?8, ?9, ?10, ?11)
""",
        ACTORS: _write_of(ACTORS, "actor_registry", "workspace_id, actor_id"),
        RUNTIMES: _write_of(RUNTIMES, "runtimes", "runtime_id"),
        CHAINS: _write_of(CHAINS, "chains", "workspace_id, chain_id"),
        TALLIES: _write_of(TALLIES, "tallies", "workspace_id, resolution, minute, chain_id"),
        ARCHIVES: _write_of(ARCHIVES, "archives", "workspace_id, file"),
        COMMANDS: _write_of(COMMANDS, "control_commands", "workspace_id, command_no"),
        MARKS: _write_of(MARKS, "control_marks", "workspace_id, command_id, holder"),
        SPEND: _write_of(SPEND, "spend", "workspace_id, month, chain_id"),
        CEILINGS: _write_of(CEILINGS, "ceilings", "workspace_id, reset_no, reached_at, ticket_id"),
        STEERING: f"UPDATE workspaces SET {assigned(STEERING, '?')} WHERE workspace_id = ?1",
    },
    unfinished=UNFINISHED_COPY,
    contents="""
SELECT EXISTS (SELECT 1 FROM tickets WHERE workspace_id = ?1),
       EXISTS (SELECT 1 FROM chains WHERE workspace_id = ?1),
       EXISTS (SELECT 1 FROM runtimes WHERE workspace_id = ?1)
""",
    begin="INSERT INTO unfinished_copies (workspace_id, source, source_state, progress) VALUES (?, ?, ?, ?)",
    move="UPDATE unfinished_copies SET source_state = ?, progress = ? WHERE workspace_id = ? AND progress = ?",
    permit="UPDATE workspaces SET claim_permission = ?2 WHERE workspace_id = ?1",
    finish="DELETE FROM unfinished_copies WHERE workspace_id = ?",
    # Of all workspaces: they share one order.
    last_seq="SELECT (SELECT coalesce(max(seq), 0) FROM events) FROM workspaces WHERE workspace_id = ?",
    forget_events=FORGET_EVENTS,
    discards={
        STEERING: """
UPDATE workspaces SET stop_level = 0, epoch = 1, pool_month = 0, baseline_micro_usd = 0, reconciled_micro_usd = 0,
    refreshed_at = NULL, ramp_until = 0, ramp_interval_us = 0, paced_at = 0
WHERE workspace_id = ?1 AND ?2 > 0 AND (stop_level > 0 OR epoch > 1 OR pool_month > 0 OR refreshed_at IS NOT NULL)
""",
        EVENTS: """
DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE workspace_id = ? ORDER BY seq LIMIT ?)
""",
        OPERATIONS: """
DELETE FROM operations WHERE (work_attempt_id, sequence_within_attempt) IN (
    SELECT o.work_attempt_id, o.sequence_within_attempt
    FROM operations AS o JOIN tickets AS t ON t.ticket_no = o.ticket_no AND t.workspace_id = ? LIMIT ?)
""",
        DEPENDENCIES: """
DELETE FROM dependencies WHERE (ticket_no, blocker_no) IN (
    SELECT d.ticket_no, d.blocker_no
    FROM dependencies AS d JOIN tickets AS t ON t.ticket_no = d.ticket_no AND t.workspace_id = ? LIMIT ?)
""",
        OBJECTIVES: """
DELETE FROM objectives WHERE ticket_no IN (
    SELECT o.ticket_no FROM objectives AS o JOIN tickets AS t ON t.ticket_no = o.ticket_no AND t.workspace_id = ?
    LIMIT ?)
""",
        TICKETS: """
DELETE FROM tickets WHERE ticket_no IN (SELECT ticket_no FROM tickets WHERE workspace_id = ? LIMIT ?)
""",
        **{
            part: f"""
DELETE FROM {table} WHERE workspace_id = ?1 AND ({IDENTITIES[part]}) IN (
    SELECT {IDENTITIES[part]} FROM {table} WHERE workspace_id = ?1 LIMIT ?2)
"""
            for part, table in TABLES.items()
        },
    },
)
