"""What steers a workspace: STOP commands and their marks, the credit pool, the epoch, watchers."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The credit pool stands in the workspace's own row, which a turn reads with its first statement: what is to be taken
# off what was counted in `pool_month`, what reconciling has added, and how claims are paced until `ramp_until`.
_WORKSPACES: Final = (
    "ALTER TABLE workspaces ADD COLUMN stop_level INTEGER NOT NULL DEFAULT 0 CHECK (stop_level BETWEEN 0 AND 5)",
    "ALTER TABLE workspaces ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1 CHECK (epoch > 0)",
    "ALTER TABLE workspaces ADD COLUMN pool_month INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE workspaces ADD COLUMN baseline_micro_usd INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE workspaces ADD COLUMN reconciled_micro_usd INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE workspaces ADD COLUMN refreshed_at INTEGER",
    "ALTER TABLE workspaces ADD COLUMN ramp_until INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE workspaces ADD COLUMN ramp_interval_us INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE workspaces ADD COLUMN paced_at INTEGER NOT NULL DEFAULT 0",
)

_RUNTIMES: Final = "ALTER TABLE runtimes ADD COLUMN revoked_at INTEGER"

# Of a presence mark: what its attempt was charged; null where it was charged nothing.
_OPERATIONS: Final = "ALTER TABLE operations ADD COLUMN charged_micro_usd INTEGER"

# Never changed: what becomes of a command stands in its marks, and in the commands after it.
_CONTROL_COMMANDS: Final = """
CREATE TABLE control_commands (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    command_no INTEGER NOT NULL CHECK (command_no > 0),
    command_id TEXT NOT NULL UNIQUE,
    level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 5),
    reason TEXT NOT NULL,
    issuer TEXT NOT NULL,
    issuer_actor_kind TEXT NOT NULL CHECK (issuer_actor_kind IN ('operator', 'watcher')),
    created_at INTEGER NOT NULL,
    enforce_us INTEGER NOT NULL CHECK (enforce_us >= 0),
    escalates TEXT,
    PRIMARY KEY (workspace_id, command_no),
    CHECK ((issuer_actor_kind = 'watcher') = (escalates IS NOT NULL))
) STRICT, WITHOUT ROWID
"""

_ESCALATIONS: Final = """
CREATE INDEX control_escalations ON control_commands (workspace_id, escalates) WHERE escalates IS NOT NULL
"""

# `stage` is the status's rank, by which a mark only ever moves up.
_CONTROL_MARKS: Final = """
CREATE TABLE control_marks (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    command_id TEXT NOT NULL,
    holder TEXT NOT NULL,
    status TEXT NOT NULL,
    stage INTEGER NOT NULL,
    marked_at INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (workspace_id, command_id, holder)
) STRICT, WITHOUT ROWID
"""

_SPEND: Final = """
CREATE TABLE spend (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    month INTEGER NOT NULL,
    chain_id TEXT NOT NULL,
    micro_usd INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, month, chain_id)
) STRICT, WITHOUT ROWID
"""

# Tickets that ran into `max_attempts`, by the reset that stood last (0: none): so the next one clears them all.
_CEILINGS: Final = """
CREATE TABLE ceilings (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    reset_no INTEGER NOT NULL,
    reached_at INTEGER NOT NULL,
    ticket_id TEXT NOT NULL,
    PRIMARY KEY (workspace_id, reset_no, reached_at, ticket_id)
) STRICT, WITHOUT ROWID
"""

_WATCHERS: Final = """
CREATE TABLE watchers (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    watcher_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, watcher_id)
) STRICT, WITHOUT ROWID
"""

_SPENT_SO_FAR: Final = """
INSERT INTO spend (workspace_id, month, chain_id, micro_usd)
SELECT workspace_id, CAST(strftime('%Y%m', minute * 60, 'unixepoch') AS INTEGER) AS month, chain_id, sum(cost_micro_usd)
FROM tallies GROUP BY workspace_id, month, chain_id HAVING sum(cost_micro_usd) > 0
"""


def upgrade() -> None:
    """Nothing is stopped, the first epoch, and what was spent in each month as the tallies have it."""
    for change in (*_WORKSPACES, _RUNTIMES, _OPERATIONS):
        op.execute(change)
    for table in (_CONTROL_COMMANDS, _ESCALATIONS, _CONTROL_MARKS, _SPEND, _CEILINGS, _WATCHERS):
        op.execute(table)
    op.execute(_SPENT_SO_FAR)
