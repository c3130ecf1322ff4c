"""The first schema.

Times are microseconds since 1970. `queue_state` and `rank` are QueueState and the place of `sea_priority`: small
integers, because a status list in a partial index makes every update several times dearer.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WORKSPACES: Final = """
CREATE TABLE workspaces (
    workspace_id TEXT NOT NULL PRIMARY KEY,
    claim_permission TEXT NOT NULL DEFAULT 'normal' CHECK (claim_permission IN ('none', 'critical_only', 'normal')),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_ACTOR_REGISTRY: Final = """
CREATE TABLE actor_registry (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    actor_id TEXT NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind = 'kora'),
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, actor_id)
) STRICT, WITHOUT ROWID
"""

_RUNTIMES: Final = """
CREATE TABLE runtimes (
    runtime_id TEXT NOT NULL PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    incarnation INTEGER NOT NULL CHECK (incarnation > 0)
) STRICT, WITHOUT ROWID
"""

_TICKETS: Final = """
CREATE TABLE tickets (
    ticket_no INTEGER PRIMARY KEY,
    ticket_id TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    assigned_to_actor_id TEXT NOT NULL,
    queue_state INTEGER NOT NULL CHECK (queue_state BETWEEN 0 AND 3),
    rank INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 3),
    created_at INTEGER NOT NULL,
    next_eligible_at INTEGER CHECK (queue_state <> 2 OR next_eligible_at IS NOT NULL),
    sea_status TEXT NOT NULL,
    claim_count INTEGER NOT NULL DEFAULT 0,
    work_attempt_count INTEGER NOT NULL DEFAULT 0,
    claim_fence_token INTEGER,
    holder TEXT,
    lease_expires_at INTEGER,
    work_attempt_id TEXT,
    failure_count_by_reason TEXT NOT NULL DEFAULT '{}',
    last_resolution TEXT,
    last_summary TEXT,
    sea_idea_kind TEXT NOT NULL,
    sea_captured_at INTEGER NOT NULL,
    ticket_title TEXT NOT NULL,
    CHECK ((queue_state = 3) = (sea_status IN ('claimed', 'in_progress'))),
    CHECK ((queue_state = 3) = (claim_fence_token IS NOT NULL)),
    CHECK ((queue_state = 3) = (holder IS NOT NULL)),
    CHECK ((queue_state = 3) = (lease_expires_at IS NOT NULL)),
    CHECK ((queue_state = 3) = (work_attempt_id IS NOT NULL))
) STRICT
"""

# Apart from the ticket's row: up to a megabyte that no claim, refresh or settlement should have to write again.
_OBJECTIVES: Final = """
CREATE TABLE objectives (
    ticket_no INTEGER PRIMARY KEY REFERENCES tickets,
    ticket_objective TEXT NOT NULL
) STRICT
"""

# Each index is partial and yet holds `queue_state`: without it SQLite would look into the table's row to see it.

_READY: Final = """
CREATE INDEX tickets_ready ON tickets (workspace_id, assigned_to_actor_id, queue_state, rank, created_at)
WHERE queue_state = 1
"""

_WAITING: Final = """
CREATE INDEX tickets_waiting ON tickets (workspace_id, assigned_to_actor_id, queue_state, rank, next_eligible_at)
WHERE queue_state = 2
"""

_HELD: Final = """
CREATE INDEX tickets_held ON tickets (workspace_id, queue_state, lease_expires_at, holder, assigned_to_actor_id)
WHERE queue_state = 3
"""

_OPERATIONS: Final = """
CREATE TABLE operations (
    work_attempt_id TEXT NOT NULL,
    sequence_within_attempt INTEGER NOT NULL CHECK (sequence_within_attempt >= 0),
    ticket_no INTEGER NOT NULL REFERENCES tickets,
    kora_operation_id TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('allocated', 'dispatched', 'committed', 'abandoned')),
    dispatch_result TEXT,
    dispatch_error TEXT,
    allocated_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (work_attempt_id, sequence_within_attempt)
) STRICT, WITHOUT ROWID
"""

_OPERATIONS_ONCE: Final = """
CREATE UNIQUE INDEX operations_once ON operations (ticket_no, kora_operation_id) WHERE state <> 'abandoned'
"""

_EVENTS: Final = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    workspace_id TEXT NOT NULL,
    ticket_no INTEGER REFERENCES tickets,
    payload TEXT NOT NULL,
    chain_id TEXT NOT NULL,
    chain_seq INTEGER NOT NULL CHECK (chain_seq > 0),
    prev_event_hash BLOB NOT NULL CHECK (length(prev_event_hash) = 32),
    this_event_hash BLOB NOT NULL CHECK (length(this_event_hash) = 32)
) STRICT
"""

_EVENTS_OF_TICKET: Final = """
CREATE INDEX events_of_ticket ON events (ticket_no) WHERE ticket_no IS NOT NULL
"""

_EVENTS_OF_NO_TICKET: Final = """
CREATE UNIQUE INDEX events_of_no_ticket ON events (event_id) WHERE ticket_no IS NULL
"""

_CHAINS: Final = """
CREATE TABLE chains (
    workspace_id TEXT NOT NULL REFERENCES workspaces,
    chain_id TEXT NOT NULL,
    last_chain_seq INTEGER NOT NULL,
    last_event_hash BLOB NOT NULL CHECK (length(last_event_hash) = 32),
    PRIMARY KEY (workspace_id, chain_id)
) STRICT, WITHOUT ROWID
"""


def upgrade() -> None:
    """Everything, and Kora's mark in the file's header."""
    for table in (_WORKSPACES, _ACTOR_REGISTRY, _RUNTIMES, _TICKETS, _OBJECTIVES, _OPERATIONS, _EVENTS, _CHAINS):
        op.execute(table)
    for index in (_READY, _WAITING, _HELD, _OPERATIONS_ONCE, _EVENTS_OF_TICKET, _EVENTS_OF_NO_TICKET):
        op.execute(index)
    op.execute("PRAGMA application_id = 1265594977")
