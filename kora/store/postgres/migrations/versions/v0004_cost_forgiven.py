"""What of a ticket's cost counts no more, since an operator let it go on; as SQLite's 0006 has it."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is forgiven yet."""
    op.execute("ALTER TABLE kora.tickets ADD COLUMN cost_forgiven_micro_usd bigint NOT NULL DEFAULT 0")
