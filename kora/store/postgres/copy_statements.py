"""The statements of copying a board from or to a PostgreSQL database.

An answer comes as a whole: so a page ends by itself once its texts have come to `PAGE_BYTES`.
"""

from __future__ import annotations

from typing import Final

from kora.store.postgres.archive_statements import ARCHIVING
from kora.store.postgres.board_statements import BOARD
from kora.store.postgres.schema import UNFINISHED_COPY
from kora.store.postgres.statements import BASE, HISTORY, LAST
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
    PAGE_BYTES,
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

_TICKET_NO: Final = "(SELECT ticket_no FROM kora.objectives WHERE ticket_id = ${place})"
_OWN: Final = f"ticket_no > {BASE} AND ticket_no < {LAST}"
# A chain stands in every database of this kind before it has an event.
_BEGUN: Final = {CHAINS: "AND last_chain_seq > 0"}


def _page_of(part: Part) -> str:
    key, table = IDENTITIES[part], TABLES[part]
    places = ", ".join(f"${place}" for place in range(2, 2 + len(part.begin)))
    return f"""
SELECT {key}, {part.listed} FROM kora.{table} WHERE workspace_id = $1 AND ({key}) > ({places}) {_BEGUN.get(part, "")}
ORDER BY {key} LIMIT ${2 + len(part.begin)}
"""


def _bounded(key: str, columns: str, size: str, rows: str) -> str:
    """Of the rows, those before whose texts have come to `PAGE_BYTES`; at least one."""
    return f"""
SELECT {key}, {columns}
FROM (SELECT page.*, sum({size}) OVER (ORDER BY {key} ROWS UNBOUNDED PRECEDING) - {size} AS bytes_before
      FROM ({rows}) AS page) AS measured
WHERE bytes_before < {PAGE_BYTES} ORDER BY {key}
"""


def _places(part: Part) -> str:
    return ", ".join(f"${place}" for place, _ in enumerate(part.columns, 1))


def _write_of(part: Part, table: str, identity: str) -> str:
    return f"""
INSERT INTO kora.{table} AS known ({part.listed}) VALUES ({_places(part)})
ON CONFLICT ({identity}) DO UPDATE SET {replaced(part, identity)} WHERE known.workspace_id = excluded.workspace_id
"""


_SOURCE: Final = SourceStatements(
    history=HISTORY,
    pages={
        TICKETS: f"""
SELECT ticket_no, {TICKETS.listed} FROM kora.tickets
WHERE workspace_id = $1 AND ticket_no > greatest($2::bigint, {BASE}) AND ticket_no < {LAST} ORDER BY ticket_no LIMIT $3
""",
        OBJECTIVES: _bounded(
            "ticket_no",
            OBJECTIVES.listed,
            "octet_length(ticket_objective)",
            f"""
SELECT o.ticket_no, o.ticket_id, o.ticket_objective FROM kora.objectives AS o
WHERE o.ticket_no > greatest($2::bigint, {BASE}) AND o.ticket_no < {LAST}
ORDER BY o.ticket_no LIMIT $3
""",
        ),
        DEPENDENCIES: f"""
SELECT d.ticket_no, d.blocker_no, t.ticket_id, b.ticket_id
FROM kora.dependencies AS d JOIN kora.tickets AS t ON t.ticket_no = d.ticket_no
JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
WHERE t.workspace_id = $1 AND d.ticket_no >= greatest($2::bigint, {BASE}) AND d.ticket_no < {LAST}
  AND (d.ticket_no, d.blocker_no) > ($2, $3) ORDER BY d.ticket_no, d.blocker_no LIMIT $4
""",
        OPERATIONS: _bounded(
            "ticket_no, attempt, sequence_within_attempt",
            OPERATIONS.listed,
            "coalesce(octet_length(dispatch_result), 0)",
            f"""
SELECT o.*, t.ticket_id FROM kora.operations AS o JOIN kora.tickets AS t ON t.ticket_no = o.ticket_no
WHERE t.workspace_id = $1 AND o.ticket_no >= greatest($2::bigint, {BASE}) AND o.ticket_no < {LAST}
  AND (o.ticket_no, o.attempt, o.sequence_within_attempt) > ($2, $3, $4)
ORDER BY o.ticket_no, o.attempt, o.sequence_within_attempt LIMIT $5
""",
        ),
        EVENTS: _bounded(
            "seq",
            EVENTS.listed,
            "octet_length(payload)",
            """
SELECT e.*, t.ticket_id FROM kora.events AS e LEFT JOIN kora.tickets AS t ON t.ticket_no = e.ticket_no
WHERE e.workspace_id = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3
""",
        ),
        STEERING: f"""
SELECT workspace_id, {STEERING.listed} FROM kora.workspaces WHERE workspace_id = $1 AND workspace_id > $2 LIMIT $3
""",
        **{part: _page_of(part) for part in TABLES},
    },
    counts={
        TICKETS: f"SELECT count(*) FROM kora.tickets WHERE {_OWN} AND workspace_id = $1",
        EVENTS: "SELECT count(*) FROM kora.events WHERE workspace_id = $1",
        STEERING: "SELECT count(*) FROM kora.workspaces WHERE workspace_id = $1",
        **{part: f"SELECT count(*) FROM kora.{table} WHERE {_OWN}" for part, table in OF_TICKETS.items()},
        **{
            part: f"SELECT count(*) FROM kora.{table} WHERE workspace_id = $1 {_BEGUN.get(part, '')}"
            for part, table in TABLES.items()
        },
    },
    claim_permission="SELECT claim_permission FROM kora.workspaces WHERE workspace_id = $1",
    held="""
SELECT t.ticket_id, t.holder, r.host, r.pid
FROM kora.tickets AS t LEFT JOIN kora.runtimes AS r ON r.runtime_id = t.holder
WHERE t.workspace_id = $1 AND t.queue_state = 3 ORDER BY t.ticket_no LIMIT $2
""",
)

COPYING: Final = TargetStatements(
    board=BOARD,
    source=_SOURCE,
    writes={
        TICKETS: f"""
WITH numbered AS (
    INSERT INTO kora.objectives AS known (ticket_no, ticket_id, ticket_objective)
    SELECT coalesce((SELECT max(ticket_no) FROM kora.tickets WHERE ticket_no > w.workspace_no << 40
                     AND ticket_no < (w.workspace_no + 1) << 40), w.workspace_no << 40) + 1, $1, ''
    FROM kora.workspaces AS w WHERE w.workspace_id = $2
    ON CONFLICT (ticket_id) DO UPDATE SET ticket_id = excluded.ticket_id
    WHERE known.ticket_no >> 40 = excluded.ticket_no >> 40
    RETURNING ticket_no
)
INSERT INTO kora.tickets AS known (ticket_no, {TICKETS.listed})
SELECT numbered.ticket_no, said.*
FROM (VALUES ($1::text, $2::text, $3::text, $4::smallint, $5::smallint, $6::bigint, $7::bigint, $8::text, $9::text,
              $10::bigint, $11::text, $12::text, $13::bigint, $14::integer, $15::text, $16::text, $17::text,
              $18::integer, $19::integer, $20::bigint, $21::bigint, $22::bigint, $23::bigint, $24::bigint,
              $25::bigint)) AS said,
     numbered
ON CONFLICT (ticket_no) DO UPDATE SET {replaced(TICKETS, "ticket_id")} WHERE known.workspace_id = excluded.workspace_id
""",
        OBJECTIVES: "UPDATE kora.objectives SET ticket_objective = $2 WHERE ticket_id = $1",
        DEPENDENCIES: f"""
INSERT INTO kora.dependencies (ticket_no, blocker_no)
VALUES ({_TICKET_NO.format(place=1)}, {_TICKET_NO.format(place=2)})
""",
        OPERATIONS: f"""
INSERT INTO kora.operations AS known (work_attempt_id, sequence_within_attempt, ticket_no, attempt, kora_operation_id,
    tool_name, operation_key, state, dispatch_result, dispatch_error, allocated_at, ended_at, charged_micro_usd)
VALUES ($1, $2, {_TICKET_NO.format(place=3)}, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (work_attempt_id, sequence_within_attempt) DO UPDATE SET state = excluded.state,
    dispatch_result = excluded.dispatch_result, dispatch_error = excluded.dispatch_error,
    allocated_at = excluded.allocated_at, ended_at = excluded.ended_at, charged_micro_usd = excluded.charged_micro_usd
WHERE known.ticket_no = excluded.ticket_no
""",
        EVENTS: f"""
INSERT INTO kora.events (seq, event_id, event_type, occurred_at, workspace_id, ticket_no, payload, chain_id, chain_seq,
                         prev_event_hash, this_event_hash)
VALUES ($1, $2, $3, $4, $5, {_TICKET_NO.format(place=6)}, $7, $8, $9, $10, $11)
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
        STEERING: f"UPDATE kora.workspaces SET {assigned(STEERING, '$')} WHERE workspace_id = $1",
    },
    unfinished=UNFINISHED_COPY,
    contents="""
SELECT EXISTS (SELECT 1 FROM kora.tickets WHERE workspace_id = $1),
       EXISTS (SELECT 1 FROM kora.chains WHERE workspace_id = $1 AND last_chain_seq > 0),
       EXISTS (SELECT 1 FROM kora.runtimes WHERE workspace_id = $1)
""",
    begin="INSERT INTO kora.unfinished_copies (workspace_id, source, source_state, progress) VALUES ($1, $2, $3, $4)",
    move="""
UPDATE kora.unfinished_copies SET source_state = $1, progress = $2 WHERE workspace_id = $3 AND progress = $4
""",
    permit="""
UPDATE kora.workspaces AS w SET claim_permission = $2, seq_shift = greatest(seq_shift,
    (SELECT max(e.seq) >> 22 FROM kora.events AS e WHERE e.workspace_id = $1) - pg_current_xact_id()::text::bigint + 1)
WHERE w.workspace_id = $1
""",
    # The operators' chain has its row at all times, also where all that was copied is gone.
    finish="""
INSERT INTO kora.chains (workspace_id, chain_id, last_chain_seq, last_event_hash)
VALUES ($1, 'workspace:' || $1, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
DELETE FROM kora.unfinished_copies WHERE workspace_id = $1
""",
    last_seq="SELECT coalesce(max(seq), 0) FROM kora.events WHERE workspace_id = $1",
    forget_events=ARCHIVING.forget_events,
    discards={
        STEERING: """
UPDATE kora.workspaces SET stop_level = 0, epoch = 1, pool_month = 0, baseline_micro_usd = 0, reconciled_micro_usd = 0,
    refreshed_at = NULL, ramp_until = 0, ramp_interval_us = 0, paced_at = 0
WHERE workspace_id = $1 AND (stop_level > 0 OR epoch > 1 OR pool_month > 0 OR refreshed_at IS NOT NULL)
""",
        EVENTS: """
DELETE FROM kora.events WHERE workspace_id = $1 AND seq IN (
    SELECT seq FROM kora.events WHERE workspace_id = $1 ORDER BY seq LIMIT $2)
""",
        **{
            part: f"""
DELETE FROM kora.{table} WHERE ctid IN (SELECT ctid FROM kora.{table} WHERE {_OWN} LIMIT $2)
"""
            for part, table in (*OF_TICKETS.items(), (TICKETS, "tickets"))
        },
        # Together: a copy that goes on would not find a ticket again whose objective is gone.
        OBJECTIVES: f"""
WITH gone AS (
    DELETE FROM kora.objectives WHERE ctid IN (SELECT ctid FROM kora.objectives WHERE {_OWN} LIMIT $2)
    RETURNING ticket_no
)
DELETE FROM kora.tickets WHERE ticket_no IN (SELECT ticket_no FROM gone)
""",
        **{
            part: f"""
DELETE FROM kora.{table} WHERE ctid IN (SELECT ctid FROM kora.{table} WHERE workspace_id = $1 LIMIT $2)
"""
            for part, table in TABLES.items()
        },
    },
)
