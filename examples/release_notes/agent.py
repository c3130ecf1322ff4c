"""Announce a release's changes, and write its notes: an agent for Kora that is a Python function.

The ticket's objective is the version. Each file of `changes/VERSION` is one change. It is announced, which must happen
once, and so is an operation of its own; and then all of them become `notes/VERSION.md`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from kora.work import AgentResult, Resolution, Ticket, Work

HERE = Path(__file__).resolve().parent


def run(ticket: Ticket, work: Work) -> AgentResult:
    """Work one ticket. Whatever is raised fails the attempt, which is tried again, up to three times."""
    version = ticket.ticket_objective.strip()
    changes = sorted((HERE / "changes").glob(f"{version}/*.md")) if version.replace(".", "").isdigit() else []
    if not changes:
        # Nothing that another attempt could do better: said so, it is not tried again.
        return AgentResult(resolution=Resolution.FAILED_TERMINAL, summary=f"there are no changes for '{version}'")

    lines = []
    for path in changes:
        # Ends here when the runtime stops, or when the ticket is no longer this attempt's.
        work.raise_if_lost()
        text = path.read_text(encoding="utf-8").strip()
        # The key is the same in every attempt, and with it the operation's id.
        with work.operation("announce", key=f"{version}/{path.stem}") as operation:
            if operation.done:
                work.log(f"{path.stem}: announced before, as number {operation.result}")
            else:
                operation.commit(announce(operation.id, f"{version}: {text}"))
                work.log(f"{path.stem}: announced as number {operation.result}")
        lines.append(f"- {text} (announcement {operation.result})\n")

    write_notes(version, lines)
    return AgentResult(resolution=Resolution.COMPLETED, summary=f"{version}: {len(lines)} changes announced")


def announce(announcement_id: str, text: str) -> int:
    """Post it, and return its number. Posted twice under one id, it is one announcement.

    This stands for a service of somebody else's that takes an idempotency key. A crash may lie between its answer and
    Kora's record of it: the next attempt then calls again, with the same id, and is given the same number.
    """
    with closing(sqlite3.connect(HERE / "announcements.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS announcements (number INTEGER PRIMARY KEY, id UNIQUE, text)")
        database.execute("INSERT OR IGNORE INTO announcements (id, text) VALUES (?, ?)", (announcement_id, text))
        found = database.execute("SELECT number FROM announcements WHERE id = ?", (announcement_id,)).fetchone()
    return int(found[0])


def write_notes(version: str, lines: list[str]) -> None:
    """Put the notes in their place, whole or not at all. Done again it comes to the same, so it is no operation."""
    notes = HERE / "notes"
    notes.mkdir(exist_ok=True)
    part = notes / f"{version}.part"
    part.write_text(f"# {version}\n\n{''.join(lines)}", encoding="utf-8")
    part.replace(notes / f"{version}.md")
