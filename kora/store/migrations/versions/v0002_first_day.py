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

# Empty for the presence marks, which nobody asks for by key.
_OPERATION_KEY: Final = "operation_key TEXT NOT NULL DEFAULT ''"

_DEPENDENCIES: Final = """
CREATE TABLE dependencies (
    ticket_no INTEGER NOT NULL REFERENCES tickets,
    blocker_no INTEGER NOT NULL REFERENCES tickets,
    PRIMARY KEY (ticket_no, blocker_no)
) STRICT, WITHOUT ROWID
"""

_DEPENDENTS: Final = "CREATE INDEX dependents ON dependencies (blocker_no, ticket_no)"

_BLOCKED: Final = """
CREATE INDEX tickets_blocked ON tickets (workspace_id, assigned_to_actor_id, open_blockers) WHERE open_blockers > 0
"""

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
    PRIMARY KEY (workspace_id, minute, chain_id, resolution)
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

_ARCHIVES: Final = """
CREATE TABLE archives (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    file TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    events INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, file)
) STRICT, WITHOUT ROWID
"""


def upgrade() -> None:
    """New columns at their defaults, new tables empty."""
    for table, columns in (("tickets", _TICKET_COLUMNS), ("operations", (_OPERATION_KEY,)), ("chains", _CHAIN_COLUMNS)):
        for column in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    for statement in (_DEPENDENCIES, _DEPENDENTS, _BLOCKED, _TALLIES, _CLOCKS, _ARCHIVES):
        op.execute(statement)
