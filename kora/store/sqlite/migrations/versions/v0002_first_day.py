"""Per-ticket agents, dependencies, keyed operations, tallies for the report, the machine's clock, archives."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TICKET_COLUMNS: Final = (
    "agent TEXT",
    # Blockers that are not completed; while there are any, `queue_state` is 0.
    "open_blockers INTEGER NOT NULL DEFAULT 0",
    # Attempts that an operator's unblocking has struck from the count towards `max_attempts`.
    "attempts_forgiven INTEGER NOT NULL DEFAULT 0",
    # When the present, or the last, attempt was claimed, and when its last refresh's progress was made.
    "claimed_at INTEGER",
    "progress_at INTEGER",
    # When the last attempt ended, and all ended attempts together.
    "ended_at INTEGER",
    "worked_us INTEGER NOT NULL DEFAULT 0",
    "cost_micro_usd INTEGER NOT NULL DEFAULT 0",
)

# Made anew, without their references to tickets: looking the ticket up for each new row cost a tenth of its writing,
# and whoever inserts it has just read the ticket's number from its row; tickets are never removed.
# `attempt` is the ticket's count of attempts, so that no clock decides which came first.
# `operation_key` is empty for the presence marks, which nobody asks for by key.
_OPERATIONS: Final = """
CREATE TABLE new_operations (
    work_attempt_id TEXT NOT NULL,
    sequence_within_attempt INTEGER NOT NULL CHECK (sequence_within_attempt >= 0),
    ticket_no INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kora_operation_id TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('allocated', 'dispatched', 'committed', 'abandoned')),
    dispatch_result TEXT,
    dispatch_error TEXT,
    allocated_at INTEGER NOT NULL,
    ended_at INTEGER,
    operation_key TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (work_attempt_id, sequence_within_attempt)
) STRICT, WITHOUT ROWID
"""

_OPERATION_COLUMNS: Final = """
work_attempt_id, sequence_within_attempt, ticket_no, kora_operation_id, tool_name, state, dispatch_result,
dispatch_error, allocated_at, ended_at
"""

# The last attempt has the ticket's count, and the present one is the last.
_COPY_OPERATIONS: Final = f"""
INSERT INTO new_operations (attempt, {_OPERATION_COLUMNS})
SELECT t.work_attempt_count + 1
           - dense_rank() OVER (PARTITION BY ticket_no ORDER BY o.work_attempt_id IS t.work_attempt_id DESC,
                                (SELECT p.allocated_at FROM operations AS p WHERE p.work_attempt_id = o.work_attempt_id
                                 ORDER BY p.sequence_within_attempt LIMIT 1) DESC, o.work_attempt_id DESC),
       o.*
FROM operations AS o JOIN tickets AS t USING (ticket_no)
"""  # noqa: S608 - constants only

# Without the presence marks, of which each attempt has one by its primary key: so an attempt's begin and end need not
# touch this index. Whoever asks for a ticket's rows, whatever their state, has the other one.
_OPERATIONS_ONCE: Final = """
CREATE UNIQUE INDEX operations_once ON operations (ticket_no, kora_operation_id)
WHERE sequence_within_attempt > 0 AND state <> 'abandoned'
"""

_OPERATIONS_OF_TICKET: Final = "CREATE INDEX operations_of_ticket ON operations (ticket_no)"

_EVENTS: Final = """
CREATE TABLE new_events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    workspace_id TEXT NOT NULL,
    ticket_no INTEGER,
    payload TEXT NOT NULL,
    chain_id TEXT NOT NULL,
    chain_seq INTEGER NOT NULL CHECK (chain_seq > 0),
    prev_event_hash BLOB NOT NULL CHECK (length(prev_event_hash) = 32),
    this_event_hash BLOB NOT NULL CHECK (length(this_event_hash) = 32)
) STRICT
"""

_EVENTS_OF_TICKET: Final = "CREATE INDEX events_of_ticket ON events (ticket_no) WHERE ticket_no IS NOT NULL"

_EVENTS_OF_NO_TICKET: Final = "CREATE UNIQUE INDEX events_of_no_ticket ON events (event_id) WHERE ticket_no IS NULL"

_MADE_ANEW: Final = (
    _OPERATIONS,
    _COPY_OPERATIONS,
    "DROP TABLE operations",
    "ALTER TABLE new_operations RENAME TO operations",
    _OPERATIONS_ONCE,
    _OPERATIONS_OF_TICKET,
    _EVENTS,
    "INSERT INTO new_events SELECT * FROM events",
    "DROP TABLE events",
    "ALTER TABLE new_events RENAME TO events",
    _EVENTS_OF_TICKET,
    _EVENTS_OF_NO_TICKET,
)

_DEPENDENCIES: Final = """
CREATE TABLE dependencies (
    ticket_no INTEGER NOT NULL REFERENCES tickets,
    blocker_no INTEGER NOT NULL REFERENCES tickets,
    PRIMARY KEY (ticket_no, blocker_no)
) STRICT, WITHOUT ROWID
"""

_DEPENDENTS: Final = "CREATE INDEX dependents ON dependencies (blocker_no, ticket_no)"

_BLOCKED: Final = """
CREATE INDEX tickets_blocked ON tickets (workspace_id, assigned_to_actor_id, open_blockers, sea_status, queue_state)
WHERE open_blockers > 0
"""

# For the report and the lists. The first is written only where a ticket is added; the others hold what is exceptional,
# so that a ticket that is claimed once, done and over writes none of them. No list of statuses (IN): see 0001.
_REPORT_INDEXES: Final = (
    "CREATE INDEX tickets_of_workspace ON tickets (workspace_id)",
    """
    CREATE INDEX tickets_exceptional ON tickets (workspace_id, sea_status)
    WHERE sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
    """,
    """
    CREATE INDEX tickets_for_a_person ON tickets (workspace_id, coalesce(ended_at, created_at))
    WHERE queue_state = 0 AND (sea_status = 'failed_terminal' OR sea_status = 'blocked_needs_operator')
    """,
    "CREATE INDEX tickets_longest ON tickets (workspace_id, worked_us) WHERE worked_us >= 100000",
    "CREATE INDEX tickets_flaky ON tickets (workspace_id, work_attempt_count) WHERE work_attempt_count > 1",
)

# One row a minute, writer and way of ending ("added" counts new tickets, "expired" attempts that nobody ended).
_TALLIES: Final = """
CREATE TABLE tallies (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    minute INTEGER NOT NULL,
    chain_id TEXT NOT NULL,
    resolution TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    cost_micro_usd INTEGER NOT NULL,
    worked_us INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, resolution, minute, chain_id)
) STRICT, WITHOUT ROWID
"""

# What is to be added to the boot clock, in microseconds, to get the store's time; for each boot of the machine.
_CLOCKS: Final = """
CREATE TABLE clocks (
    boot_id TEXT NOT NULL PRIMARY KEY,
    anchor_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

# Where each chain was cut: what stood before its first event that is still here.
_CHAIN_COLUMNS: Final = (
    "archived_chain_seq INTEGER NOT NULL DEFAULT 0",
    "archived_event_hash BLOB",
)

# `archive_id` is random and stands in the file too: what lies at the path may be another by now.
_ARCHIVES: Final = """
CREATE TABLE archives (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    file TEXT NOT NULL,
    archive_id TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    events INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, file)
) STRICT, WITHOUT ROWID
"""


# A Kora of before that still has the store open asks for `incarnation` at the start of every turn, and would go on with
# its own meaning of the tables: so it stops at its next turn instead.
_OLD_WRITERS_OUT: Final = "ALTER TABLE runtimes RENAME COLUMN incarnation TO last_incarnation"

# What was counted from the first day is counted for the days before it too, from the log and the ledger. An attempt's
# times are its presence mark's; the event after `resolved` is its `released`, which names the attempt.

_TIMES_OF_TICKETS: Final = """
UPDATE tickets SET
    claimed_at = (SELECT o.allocated_at FROM operations AS o WHERE o.ticket_no = tickets.ticket_no
                  AND o.sequence_within_attempt = 0 AND o.attempt = tickets.work_attempt_count),
    ended_at = past.ended_at,
    worked_us = past.worked_us
FROM (SELECT ticket_no, max(ended_at) AS ended_at, coalesce(sum(max(0, ended_at - allocated_at)), 0) AS worked_us
      FROM operations WHERE sequence_within_attempt = 0 GROUP BY ticket_no) AS past
WHERE tickets.ticket_no = past.ticket_no
"""

_LEGIBLE: Final = """
CREATE TEMP VIEW legible AS SELECT seq, event_type, occurred_at, workspace_id, ticket_no, chain_id,
    CASE WHEN json_valid(payload) THEN payload ELSE '{}' END AS payload FROM main.events
"""

_COST: Final = "min(1000000000000, CAST(round(coalesce(e.payload ->> 'cost_usd', 0) * 1000000) AS INTEGER))"

_COSTS_OF_TICKETS: Final = f"""
UPDATE tickets SET cost_micro_usd = past.cost_micro_usd
FROM (SELECT e.ticket_no, sum({_COST}) AS cost_micro_usd FROM legible AS e
      WHERE e.event_type = 'kora.sea_ticket.resolved' GROUP BY e.ticket_no) AS past
WHERE tickets.ticket_no = past.ticket_no
"""  # noqa: S608 - constants only

_TALLIES_OF_BEFORE: Final = f"""
INSERT INTO tallies (workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us)
SELECT workspace_id, occurred_at / 60000000, chain_id, ended, count(*), sum(cost),
       coalesce(sum(max(0, o.ended_at - o.allocated_at)), 0)
FROM (
    SELECT e.workspace_id, e.occurred_at, e.chain_id, 'added' AS ended, 0 AS cost, NULL AS attempt_id
    FROM legible AS e WHERE e.event_type = 'kora.operator.acted' AND e.payload ->> 'verb' = 'add'
    UNION ALL
    SELECT e.workspace_id, e.occurred_at, e.chain_id, 'expired', 0, e.payload ->> 'work_attempt_id'
    FROM legible AS e WHERE e.event_type = 'sea_ticket.claim_expired'
    UNION ALL
    SELECT e.workspace_id, e.occurred_at, e.chain_id, e.payload ->> 'resolution', {_COST},
           next.payload ->> 'work_attempt_id'
    FROM legible AS e LEFT JOIN legible AS next ON next.seq = e.seq + 1 AND next.ticket_no = e.ticket_no
        AND next.event_type = 'sea_ticket.claim_released'
    WHERE e.event_type = 'kora.sea_ticket.resolved' AND e.payload ->> 'resolution' IS NOT NULL
) AS past
LEFT JOIN operations AS o ON o.work_attempt_id = past.attempt_id AND o.sequence_within_attempt = 0
GROUP BY workspace_id, occurred_at / 60000000, chain_id, ended
"""  # noqa: S608 - constants only


def upgrade() -> None:
    """The ledger and the log as they were, in tables made anew; what now is counted, counted from them."""
    for table, columns in (("tickets", _TICKET_COLUMNS), ("chains", _CHAIN_COLUMNS)):
        for column in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    for statement in (
        _OLD_WRITERS_OUT,
        *_MADE_ANEW,
        _DEPENDENCIES,
        _DEPENDENTS,
        _BLOCKED,
        _TALLIES,
        _CLOCKS,
        _ARCHIVES,
        _TIMES_OF_TICKETS,
        _LEGIBLE,
        _COSTS_OF_TICKETS,
        _TALLIES_OF_BEFORE,
        "DROP VIEW temp.legible",
        *_REPORT_INDEXES,
    ):
        op.execute(statement)
