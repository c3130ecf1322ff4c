"""The statements of archiving on PostgreSQL."""

from __future__ import annotations

from typing import Final

from kora.store.postgres.board_statements import BOARD
from kora.store.postgres.statements import HISTORY
from kora.store.sql.statements import ArchiveStatements

ARCHIVING: Final = ArchiveStatements(
    board=BOARD,
    history=HISTORY,
    page_of_times="""
SELECT seq, occurred_at FROM kora.events WHERE workspace_id = $1 AND seq > $2
  AND seq < (pg_snapshot_xmin(pg_current_snapshot())::text::bigint
             + (SELECT seq_shift FROM kora.workspaces WHERE workspace_id = $1)) << 22
ORDER BY seq LIMIT $3
""",
    newest_archive="""
SELECT file, bytes, events FROM kora.archives WHERE workspace_id = $1 ORDER BY last_seq DESC, events LIMIT 1
""",
    archive="SELECT bytes, events, archive_id FROM kora.archives WHERE workspace_id = $1 AND file = $2",
    begin_archive="""
INSERT INTO kora.archives (workspace_id, file, archive_id, bytes, events, last_seq, until_us)
VALUES ($1, $2, $3, 0, 0, $4, 0)
""",
    move_anchor="""
UPDATE kora.chains SET archived_chain_seq = $1, archived_event_hash = $2
WHERE workspace_id = $3 AND chain_id = $4 AND archived_chain_seq = $5
""",
    forget_events="DELETE FROM kora.events WHERE workspace_id = $1 AND seq BETWEEN $2 AND $3",
    extend_archive="""
UPDATE kora.archives SET bytes = $1, events = $2, last_seq = $3, until_us = greatest(until_us, $4)
WHERE workspace_id = $5 AND file = $6 AND bytes = $7
""",
)
