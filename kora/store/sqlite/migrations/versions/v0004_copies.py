"""Which workspaces a board is still being copied to."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNFINISHED_COPIES: Final = """
CREATE TABLE unfinished_copies (
    workspace_id TEXT NOT NULL PRIMARY KEY REFERENCES workspaces,
    source TEXT NOT NULL,
    source_state TEXT NOT NULL,
    progress TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


def upgrade() -> None:
    """A table that is empty but while a board is copied here."""
    op.execute(_UNFINISHED_COPIES)
