"""Compare the notes with the changes and with what was announced: Kora's `verify`, and a command of its own.

It knows nothing of the agent. Exit code 0: every release's notes name each of its changes once, under the number of the
one announcement of it. Else it says what is wrong, and exits with 1.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENTRY = re.compile(r"- (.*) \(announcement (\d+)\)")


def faults() -> list[str]:
    """Return what is wrong, a line each."""
    with closing(sqlite3.connect(HERE / "announcements.db")) as database:
        announced = database.execute("SELECT number, text FROM announcements").fetchall()
    found = []
    for notes in sorted((HERE / "notes").glob("*.md")):
        version = notes.stem
        entries = ENTRY.findall(notes.read_text(encoding="utf-8"))
        changes = sorted(path.read_text(encoding="utf-8").strip() for path in (HERE / "changes" / version).glob("*.md"))
        if sorted(text for text, _ in entries) != changes:
            found.append(f"{notes.name} does not name each change once")
        for text, number in entries:
            if [said for said, line in announced if line == f"{version}: {text}"] != [int(number)]:
                found.append(f"{notes.name}: not announced once, as number {number}: {text}")
    return found


if __name__ == "__main__":
    wrong = faults()
    print("\n".join(wrong) or "all notes are right, and each change was announced once")
    sys.exit(1 if wrong else 0)
