"""What steers a workspace, as SQLite's 0005 has it: STOP commands, marks, the credit pool, the epoch, watchers.

A turn reads what bounds its claims through `kora.gate`, once it has its runtime's row: a volatile function looks at the
moment at which it is called, while the statement around it still sees what was so before it waited.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WORKSPACES: Final = """
ALTER TABLE kora.workspaces
    ADD COLUMN stop_level integer NOT NULL DEFAULT 0 CHECK (stop_level BETWEEN 0 AND 5),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
    ADD COLUMN pool_month integer NOT NULL DEFAULT 0,
    ADD COLUMN baseline_micro_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN reconciled_micro_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN refreshed_at bigint,
    ADD COLUMN ramp_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN ramp_interval_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN paced_at bigint NOT NULL DEFAULT 0
"""

_RUNTIMES: Final = "ALTER TABLE kora.runtimes ADD COLUMN revoked_at bigint"
_OPERATIONS: Final = "ALTER TABLE kora.operations ADD COLUMN charged_micro_usd bigint"

_CONTROL_COMMANDS: Final = """
CREATE TABLE kora.control_commands (
    workspace_id text COLLATE "C" NOT NULL REFERENCES kora.workspaces,
    command_no bigint NOT NULL CHECK (command_no > 0),
    command_id text COLLATE "C" NOT NULL UNIQUE,
    level integer NOT NULL CHECK (level BETWEEN 0 AND 5),
    reason text NOT NULL,
    issuer text NOT NULL,
    issuer_actor_kind text NOT NULL CHECK (issuer_actor_kind IN ('operator', 'watcher')),
    created_at bigint NOT NULL,
    enforce_us bigint NOT NULL CHECK (enforce_us >= 0),
    escalates text COLLATE "C",
    PRIMARY KEY (workspace_id, command_no),
    CHECK ((issuer_actor_kind = 'watcher') = (escalates IS NOT NULL))
)
"""

# No foreign keys here: each row that a turn writes would lock the one row of its workspace.

_CONTROL_MARKS: Final = """
CREATE TABLE kora.control_marks (
    workspace_id text COLLATE "C" NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    status text NOT NULL,
    stage integer NOT NULL,
    marked_at bigint NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (workspace_id, command_id, holder)
)
"""

_ESCALATIONS: Final = """
CREATE INDEX control_escalations ON kora.control_commands (workspace_id, escalates) WHERE escalates IS NOT NULL
"""

_SPEND: Final = """
CREATE TABLE kora.spend (
    workspace_id text COLLATE "C" NOT NULL,
    month integer NOT NULL,
    chain_id text COLLATE "C" NOT NULL,
    micro_usd bigint NOT NULL,
    PRIMARY KEY (workspace_id, month, chain_id)
) WITH (fillfactor = 50)
"""

_CEILINGS: Final = """
CREATE TABLE kora.ceilings (
    workspace_id text COLLATE "C" NOT NULL,
    reset_no bigint NOT NULL,
    reached_at bigint NOT NULL,
    ticket_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id, reset_no, reached_at, ticket_id)
)
"""

_WATCHERS: Final = """
CREATE TABLE kora.watchers (
    workspace_id text COLLATE "C" NOT NULL,
    watcher_id text COLLATE "C" NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (workspace_id, watcher_id)
) WITH (fillfactor = 50)
"""

# The level; until when, and how far apart, claims are paced; when the last such was made.
_GATE: Final = """
CREATE FUNCTION kora.gate(workspace text) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN (SELECT ARRAY[w.stop_level, w.ramp_until, w.ramp_interval_us, w.paced_at] FROM kora.workspaces AS w
            WHERE w.workspace_id = workspace);
END
$$
"""

_SPENT_SO_FAR: Final = """
INSERT INTO kora.spend (workspace_id, month, chain_id, micro_usd)
SELECT workspace_id, to_char(to_timestamp(minute * 60) AT TIME ZONE 'UTC', 'YYYYMM')::integer AS month, chain_id,
       sum(cost_micro_usd)
FROM kora.tallies GROUP BY workspace_id, month, chain_id HAVING sum(cost_micro_usd) > 0
"""

_OWN_WORKSPACES: Final = """
workspace_id = ANY (ARRAY(SELECT r.workspace_id FROM kora.workspace_roles AS r WHERE r.role_name = current_user))
"""


def upgrade() -> None:
    """Nothing is stopped, the first epoch, and what was spent in each month as the tallies have it."""
    for change in (_WORKSPACES, _RUNTIMES, _OPERATIONS, _GATE):
        op.execute(change)
    for table in (_CONTROL_COMMANDS, _ESCALATIONS, _CONTROL_MARKS, _SPEND, _CEILINGS, _WATCHERS):
        op.execute(table)
    # Of every workspace: for as long as this transaction, in which nobody else gets at these tables, their owner sees
    # them all.
    op.execute("ALTER TABLE kora.tallies NO FORCE ROW LEVEL SECURITY")
    op.execute(_SPENT_SO_FAR)
    op.execute("ALTER TABLE kora.tallies FORCE ROW LEVEL SECURITY")
    for table in ("control_commands", "control_marks", "spend", "ceilings", "watchers"):
        op.execute(f"ALTER TABLE kora.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE kora.{table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_workspace ON kora.{table} USING ({_OWN_WORKSPACES}) WITH CHECK ({_OWN_WORKSPACES})"
        )
