"""The first schema: what SQLite's has at its second, with row-level security and PostgreSQL's ways of staying fast."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The store's time, in one place, so that a test can put another in its stead. The clock's, not the transaction's: a
# transaction that waited for a lock goes by when it got it.
_NOW: Final = """
CREATE FUNCTION kora.now_us() RETURNS bigint LANGUAGE sql VOLATILE
AS 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint'
"""

# `workspace_no` numbers its tickets, see kora/store/postgres/statements.py; `seq_shift` its events.
_WORKSPACES: Final = """
CREATE TABLE kora.workspaces (
    workspace_id text COLLATE "C" PRIMARY KEY,
    workspace_no bigint GENERATED ALWAYS AS IDENTITY UNIQUE CHECK (workspace_no BETWEEN 1 AND 4000000),
    seq_shift bigint NOT NULL DEFAULT 0,
    claim_permission text NOT NULL DEFAULT 'normal' CHECK (claim_permission IN ('none', 'critical_only', 'normal')),
    created_at bigint NOT NULL
)
"""

# Which roles may see which workspace. Only whoever owns the schema writes it.
_WORKSPACE_ROLES: Final = """
CREATE TABLE kora.workspace_roles (
    role_name name NOT NULL,
    workspace_id text COLLATE "C" NOT NULL REFERENCES kora.workspaces,
    workspace_no bigint NOT NULL REFERENCES kora.workspaces (workspace_no),
    PRIMARY KEY (role_name, workspace_id)
)
"""

_ACTOR_REGISTRY: Final = """
CREATE TABLE kora.actor_registry (
    workspace_id text COLLATE "C" NOT NULL REFERENCES kora.workspaces,
    actor_id text COLLATE "C" NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind = 'kora'),
    registered_at bigint NOT NULL,
    PRIMARY KEY (workspace_id, actor_id)
)
"""

_RUNTIMES: Final = """
CREATE TABLE kora.runtimes (
    runtime_id text COLLATE "C" PRIMARY KEY,
    workspace_id text COLLATE "C" NOT NULL REFERENCES kora.workspaces,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at bigint NOT NULL,
    last_seen bigint NOT NULL,
    ended_at bigint,
    last_incarnation bigint NOT NULL
) WITH (fillfactor = 50)
"""

# A ticket's row is written twice an attempt, each time into other partial indexes; what is dead in them is what a claim
# has to step over. So there is room for versions beside each other, and vacuum comes early and works without pauses.
_TICKETS: Final = """
CREATE TABLE kora.tickets (
    ticket_no bigint PRIMARY KEY,
    next_eligible_at bigint,
    created_at bigint NOT NULL,
    claim_fence_token bigint,
    lease_expires_at bigint,
    claimed_at bigint,
    progress_at bigint,
    ended_at bigint,
    worked_us bigint NOT NULL DEFAULT 0,
    cost_micro_usd bigint NOT NULL DEFAULT 0,
    claim_count bigint NOT NULL DEFAULT 0,
    sea_captured_at bigint NOT NULL,
    work_attempt_count integer NOT NULL DEFAULT 0,
    open_blockers integer NOT NULL DEFAULT 0,
    attempts_forgiven integer NOT NULL DEFAULT 0,
    queue_state smallint NOT NULL CHECK (queue_state BETWEEN 0 AND 3),
    rank smallint NOT NULL CHECK (rank BETWEEN 0 AND 3),
    ticket_id text COLLATE "C" NOT NULL UNIQUE,
    workspace_id text COLLATE "C" NOT NULL,
    assigned_to_actor_id text COLLATE "C" NOT NULL,
    sea_status text COLLATE "C" NOT NULL,
    holder text COLLATE "C",
    work_attempt_id text COLLATE "C",
    agent text,
    failure_count_by_reason text NOT NULL DEFAULT '{}',
    last_resolution text,
    last_summary text,
    sea_idea_kind text NOT NULL,
    ticket_title text NOT NULL,
    CHECK (queue_state <> 2 OR next_eligible_at IS NOT NULL),
    CHECK ((queue_state = 3) = (sea_status IN ('claimed', 'in_progress'))),
    CHECK ((queue_state = 3) = (claim_fence_token IS NOT NULL)),
    CHECK ((queue_state = 3) = (holder IS NOT NULL)),
    CHECK ((queue_state = 3) = (lease_expires_at IS NOT NULL)),
    CHECK ((queue_state = 3) = (work_attempt_id IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05)
"""

# Apart from the ticket's row: up to a megabyte that no claim, refresh or settlement should have to write again.
_OBJECTIVES: Final = """
CREATE TABLE kora.objectives (ticket_no bigint PRIMARY KEY, ticket_objective text NOT NULL)
"""

# `once_id` keeps the row's state out of every index: so an attempt's end, which is a presence mark's, writes none.
_OPERATIONS: Final = """
CREATE TABLE kora.operations (
    ticket_no bigint NOT NULL,
    allocated_at bigint NOT NULL,
    ended_at bigint,
    sequence_within_attempt integer NOT NULL CHECK (sequence_within_attempt >= 0),
    attempt integer NOT NULL,
    work_attempt_id text COLLATE "C" NOT NULL,
    kora_operation_id text COLLATE "C" NOT NULL,
    tool_name text NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('allocated', 'dispatched', 'committed', 'abandoned')),
    dispatch_result text,
    dispatch_error text,
    operation_key text NOT NULL DEFAULT '',
    once_id text COLLATE "C" GENERATED ALWAYS AS (
        CASE WHEN sequence_within_attempt > 0 AND state <> 'abandoned' THEN kora_operation_id END) STORED,
    PRIMARY KEY (work_attempt_id, sequence_within_attempt)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)
"""

_EVENTS: Final = """
CREATE TABLE kora.events (
    seq bigint NOT NULL,
    occurred_at bigint NOT NULL,
    ticket_no bigint,
    chain_seq bigint NOT NULL CHECK (chain_seq > 0),
    workspace_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    chain_id text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    prev_event_hash bytea NOT NULL CHECK (length(prev_event_hash) = 32),
    this_event_hash bytea NOT NULL CHECK (length(this_event_hash) = 32),
    PRIMARY KEY (workspace_id, seq)
)
"""

_CHAINS: Final = """
CREATE TABLE kora.chains (
    workspace_id text COLLATE "C" NOT NULL REFERENCES kora.workspaces,
    chain_id text COLLATE "C" NOT NULL,
    last_chain_seq bigint NOT NULL,
    last_event_hash bytea NOT NULL CHECK (length(last_event_hash) = 32),
    archived_chain_seq bigint NOT NULL DEFAULT 0,
    archived_event_hash bytea,
    PRIMARY KEY (workspace_id, chain_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0)
"""

_DEPENDENCIES: Final = """
CREATE TABLE kora.dependencies (
    ticket_no bigint NOT NULL, blocker_no bigint NOT NULL, PRIMARY KEY (ticket_no, blocker_no),
    CHECK (ticket_no >> 40 = blocker_no >> 40)
)
"""

# One row a minute, writer and way of ending ("added" counts new tickets, "expired" attempts that nobody ended).
_TALLIES: Final = """
CREATE TABLE kora.tallies (
    workspace_id text COLLATE "C" NOT NULL,
    minute bigint NOT NULL,
    attempts bigint NOT NULL,
    cost_micro_usd bigint NOT NULL,
    worked_us bigint NOT NULL,
    chain_id text COLLATE "C" NOT NULL,
    resolution text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id, resolution, minute, chain_id)
) WITH (fillfactor = 50)
"""

_ARCHIVES: Final = """
CREATE TABLE kora.archives (
    workspace_id text COLLATE "C" NOT NULL,
    file text NOT NULL,
    archive_id text NOT NULL,
    bytes bigint NOT NULL,
    events bigint NOT NULL,
    last_seq bigint NOT NULL,
    until_us bigint NOT NULL,
    PRIMARY KEY (workspace_id, file)
)
"""

# While a board is copied to a workspace, nobody works there.
_UNFINISHED_COPIES: Final = """
CREATE TABLE kora.unfinished_copies (
    workspace_id text COLLATE "C" PRIMARY KEY REFERENCES kora.workspaces,
    source text NOT NULL,
    source_state text NOT NULL,
    progress text NOT NULL
)
"""

# The lease's end is in no index, so that a refresh writes none: what is held is little, and read whole.
_INDEXES: Final = (
    "CREATE INDEX runtimes_of_workspace ON kora.runtimes (workspace_id)",
    """
CREATE INDEX tickets_ready ON kora.tickets (workspace_id, assigned_to_actor_id, rank, created_at, ticket_no)
WHERE queue_state = 1
""",
    """
CREATE INDEX tickets_waiting ON kora.tickets (workspace_id, assigned_to_actor_id, rank, next_eligible_at)
WHERE queue_state = 2
""",
    "CREATE INDEX tickets_held ON kora.tickets (workspace_id, holder) WHERE queue_state = 3",
    """
CREATE INDEX tickets_blocked ON kora.tickets (workspace_id, assigned_to_actor_id) WHERE open_blockers > 0
""",
    """
CREATE INDEX tickets_exceptional ON kora.tickets (workspace_id, sea_status, ticket_no)
WHERE sea_status <> 'assigned' AND sea_status <> 'in_progress' AND sea_status <> 'completed'
""",
    """
CREATE INDEX tickets_for_a_person ON kora.tickets (workspace_id, coalesce(ended_at, created_at), ticket_no)
WHERE queue_state = 0 AND (sea_status = 'failed_terminal' OR sea_status = 'blocked_needs_operator')
""",
    "CREATE INDEX tickets_longest ON kora.tickets (workspace_id, worked_us, ticket_no) WHERE worked_us >= 100000",
    """
CREATE INDEX tickets_flaky ON kora.tickets (workspace_id, work_attempt_count, ticket_no) WHERE work_attempt_count > 1
""",
    """
CREATE UNIQUE INDEX operations_once ON kora.operations (ticket_no, once_id) WHERE once_id IS NOT NULL
""",
    "CREATE INDEX operations_of_ticket ON kora.operations (ticket_no)",
    "CREATE INDEX events_of_ticket ON kora.events (ticket_no, seq) WHERE ticket_no IS NOT NULL",
    "CREATE UNIQUE INDEX events_of_no_ticket ON kora.events (workspace_id, event_id) WHERE ticket_no IS NULL",
    "CREATE INDEX dependents ON kora.dependencies (blocker_no, ticket_no)",
)

_OWN_WORKSPACES: Final = """
workspace_id = ANY (ARRAY(SELECT r.workspace_id FROM kora.workspace_roles AS r WHERE r.role_name = current_user))
"""
_OWN_NUMBERS: Final = """
ticket_no >> 40 = ANY (ARRAY(SELECT r.workspace_no FROM kora.workspace_roles AS r WHERE r.role_name = current_user))
"""
_GUARDED: Final = {
    **dict.fromkeys(
        ("actor_registry", "runtimes", "events", "chains", "tallies", "archives", "unfinished_copies"),
        (_OWN_WORKSPACES, _OWN_WORKSPACES),
    ),
    # Also by its number: whoever could take another workspace's next one would keep it from adding tickets.
    "tickets": (_OWN_WORKSPACES, f"{_OWN_WORKSPACES} AND {_OWN_NUMBERS}"),
    **dict.fromkeys(("objectives", "operations", "dependencies"), (_OWN_NUMBERS, _OWN_NUMBERS)),
}
"""of which rows a role sees each table, and which it may write there"""


def upgrade() -> None:
    """Everything, and the rule that nobody, the owner included, sees another's workspace."""
    op.execute("CREATE SCHEMA IF NOT EXISTS kora")
    for statement in (
        _NOW,
        _WORKSPACES,
        _WORKSPACE_ROLES,
        _ACTOR_REGISTRY,
        _RUNTIMES,
        _TICKETS,
        _OBJECTIVES,
        _OPERATIONS,
        _EVENTS,
        _CHAINS,
        _DEPENDENCIES,
        _TALLIES,
        _ARCHIVES,
        _UNFINISHED_COPIES,
        *_INDEXES,
    ):
        op.execute(statement)
    for table, (seen, written) in _GUARDED.items():
        op.execute(f"ALTER TABLE kora.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE kora.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_workspace ON kora.{table} USING ({seen}) WITH CHECK ({written})")
    # These two their owner writes, when a workspace or a role is added; everybody else sees no row but their own.
    op.execute("ALTER TABLE kora.workspaces ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_workspace ON kora.workspaces USING ({_OWN_WORKSPACES}) WITH CHECK ({_OWN_WORKSPACES})"
    )
    op.execute("ALTER TABLE kora.workspace_roles ENABLE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY own_rows ON kora.workspace_roles FOR SELECT USING (role_name = current_user)")
