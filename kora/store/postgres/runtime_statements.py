"""The statements by which a runtime says that it is there, or has ended, on PostgreSQL."""

from __future__ import annotations

from typing import Final

# A share of the workspace's row first: see steering_statements.
RAISE_INCARNATION: Final = """
SELECT 1 FROM kora.workspaces WHERE workspace_id = $2 FOR SHARE;
INSERT INTO kora.runtimes AS r (runtime_id, workspace_id, host, pid, version, started_at, last_incarnation, last_seen)
VALUES ($1, $2, $3, $4, $5, kora.now_us(), 1, kora.now_us())
ON CONFLICT (runtime_id) DO UPDATE SET last_incarnation = r.last_incarnation + 1, last_seen = kora.now_us(),
    ended_at = NULL
WHERE r.workspace_id = excluded.workspace_id AND r.revoked_at IS NULL
RETURNING last_incarnation
"""

REVOKED_AT: Final = "SELECT revoked_at FROM kora.runtimes WHERE runtime_id = $1 AND workspace_id = $2"

SAY_ENDED: Final = """
UPDATE kora.runtimes SET last_seen = kora.now_us(), ended_at = kora.now_us()
WHERE runtime_id = $1 AND workspace_id = $2
"""
