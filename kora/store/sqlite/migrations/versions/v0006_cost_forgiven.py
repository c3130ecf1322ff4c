"""What of a ticket's cost counts no more, since an operator let it go on."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is forgiven yet."""
    op.execute("ALTER TABLE tickets ADD COLUMN cost_forgiven_micro_usd INTEGER NOT NULL DEFAULT 0")
