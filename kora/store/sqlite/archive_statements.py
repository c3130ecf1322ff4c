"""The statements of archiving, by name."""

from __future__ import annotations

from typing import Final

# What is to be moved: a page of the log at a time, so that no snapshot of it stands open for long.
PAGE_OF_TIMES: Final = """
SELECT seq, occurred_at FROM events WHERE workspace_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""

ANCHORS: Final = """
SELECT chain_id, archived_chain_seq, archived_event_hash FROM chains WHERE workspace_id = ? AND archived_chain_seq > 0
"""

NEWEST_ARCHIVE: Final = """
SELECT file, bytes, events FROM archives WHERE workspace_id = ? ORDER BY last_seq DESC, events LIMIT 1
"""

ARCHIVE: Final = "SELECT bytes, events, archive_id FROM archives WHERE workspace_id = ? AND file = ?"

ARCHIVES_WRITTEN: Final = """
SELECT file, archive_id, bytes, events, last_seq FROM archives WHERE workspace_id = ? AND events > 0 ORDER BY last_seq
"""

BEGIN_ARCHIVE: Final = """
INSERT INTO archives (workspace_id, file, archive_id, bytes, events, last_seq, until_us) VALUES (?, ?, ?, 0, 0, ?, 0)
"""

# One move. Each repeats what it was decided on: of two at work at once, one finds its own already done.

MOVE_ANCHOR: Final = """
UPDATE chains SET archived_chain_seq = ?, archived_event_hash = ?
WHERE workspace_id = ? AND chain_id = ? AND archived_chain_seq = ?
"""

FORGET_EVENTS: Final = "DELETE FROM events WHERE workspace_id = ? AND seq BETWEEN ? AND ?"

EXTEND_ARCHIVE: Final = """
UPDATE archives SET bytes = ?, events = ?, last_seq = ?, until_us = max(until_us, ?)
WHERE workspace_id = ? AND file = ? AND bytes = ?
"""
