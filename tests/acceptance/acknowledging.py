"""A callable that writes down, outside the store, each operation that the ledger has acknowledged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from kora.domain.resolution import AgentResult, Resolution

ACKNOWLEDGED = Path(__file__).with_name("acknowledged")
PAUSE_SECONDS = 0.03


def run(ticket, work):
    """Commit one operation, note it, and take a little while."""
    with work.operation("note", key="it") as operation:
        operation.commit({"of": ticket.ticket_id})
    line = f"{ticket.ticket_id} {operation.id}\n"
    descriptor = os.open(ACKNOWLEDGED, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    threading.Event().wait(PAUSE_SECONDS)
    return AgentResult(resolution=Resolution.COMPLETED, summary=f"noted {operation.id}")
