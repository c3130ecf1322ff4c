"""When each runtime was last seen, and whether it said that it ended."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHANGES: Final = (
    "ALTER TABLE runtimes ADD COLUMN last_seen INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runtimes ADD COLUMN ended_at INTEGER",
    # Nobody knows more of those of before.
    "UPDATE runtimes SET last_seen = started_at",
    "CREATE INDEX runtimes_seen ON runtimes (workspace_id, last_seen)",
)


def upgrade() -> None:
    """The runtimes as they were, each last seen when it started."""
    for statement in _CHANGES:
        op.execute(statement)
