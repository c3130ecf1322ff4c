"""A ticket's id is looked up beside its objective, which is never written again."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The owner, too, sees by the tables' policies only the workspaces that it was admitted to; here it has to see all.
_GUARDED: Final = ("tickets", "objectives")

# An index on a row that is written twice an attempt is written as often, whatever column it is of.
_MOVE: Final = (
    'ALTER TABLE kora.objectives ADD COLUMN ticket_id text COLLATE "C"',
    """
UPDATE kora.objectives AS o SET ticket_id = t.ticket_id FROM kora.tickets AS t WHERE t.ticket_no = o.ticket_no
""",
    "ALTER TABLE kora.objectives ALTER COLUMN ticket_id SET NOT NULL",
    "ALTER TABLE kora.objectives ADD CONSTRAINT objectives_ticket_id_key UNIQUE (ticket_id)",
    "ALTER TABLE kora.tickets DROP CONSTRAINT tickets_ticket_id_key",
)
# All that one turn allocates lies together, and ends together: so there has to be room for each row's second version.
_MAKE_ROOM: Final = "ALTER TABLE kora.operations SET (fillfactor = 45)"


def upgrade() -> None:
    """Every ticket's id is in its objective's row, and unique there: one index less to write with the ticket's own."""
    for table in _GUARDED:
        op.execute(f"ALTER TABLE kora.{table} NO FORCE ROW LEVEL SECURITY")
    for statement in (*_MOVE, _MAKE_ROOM):
        op.execute(statement)
    for table in _GUARDED:
        op.execute(f"ALTER TABLE kora.{table} FORCE ROW LEVEL SECURITY")
