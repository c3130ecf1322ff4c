"""A callable whose one effect is a row in another database, keyed by the operation's id."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from kora.domain.resolution import AgentResult, Resolution

HERE = Path(__file__).parent
FURTHER_ATTEMPTS = 3


def run(ticket, work):
    """Bring the effect about once; then let three further attempts be handed the recorded result."""
    with sqlite3.connect(HERE / "effects.db", timeout=30, isolation_level=None) as database:
        _tell(ticket.ticket_id)
        with work.operation("charge", key="the card") as operation:
            if not operation.done:
                database.execute("INSERT OR IGNORE INTO effects VALUES (?, ?)", (ticket.ticket_id, operation.id))
                operation.commit({"charged": operation.id})
            recorded, handed_back = operation.result, operation.done
        if handed_back:
            database.execute("INSERT INTO handed VALUES (?, ?)", (ticket.ticket_id, recorded["charged"]))
        (count,) = database.execute("SELECT count(*) FROM handed WHERE ticket = ?", (ticket.ticket_id,)).fetchone()
    database.close()
    if count < FURTHER_ATTEMPTS:
        return AgentResult(resolution=Resolution.RELEASED, summary="once more", next_eligible_offset_seconds=0)
    return None


def _tell(ticket_id: str) -> None:
    """Say that the operation is about to begin, if somebody listens, and wait for their word."""
    try:
        pipe = os.open(HERE / "beginning", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(pipe, f"{ticket_id}\n".encode())
    os.close(pipe)
    word = os.open(HERE / "go", os.O_RDONLY)
    os.read(word, 1)
    os.close(word)
