"""What an agent says of its secrets stands nowhere that Kora shows: the log, events, summaries, the records, `info`."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

import pytest

from tests.acceptance.home import wait_until

AGENT = Path(__file__).with_name("secretive.py")
SECRETS = {
    # Of no shape that anybody knows, so that only the environment tells what they are.
    "ANTHROPIC_API_KEY": "Anchor7Halyard9Bowline3Capstan",
    "OPENAI_API_KEY": "Windlass4Gunwale8Taffrail2",
    "GEMINI_API_KEY": "Mizzen5Jib6Spanker1Topsail",
}
TITLES = ("result", "long", "fault", "denied", "temporary", "verify")
BEGINNINGS = re.compile("|".join(secret[:8] for secret in SECRETS.values()))


def leaks(where, text):
    """Where the text holds a secret, or the first part of one that it was cut in."""
    found = [text[max(0, match.start() - 40) : match.end() + 30] for match in BEGINNINGS.finditer(text)]
    return [(where, each) for each in found]


@pytest.fixture
def secret_home(home, monkeypatch):
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    home.configure(
        agent={
            "command": [sys.executable, "-I", "-S", str(AGENT)],
            "env_allow": ["PATH", *SECRETS],
            "verify": ["sh", "-c", "test ! -e said || { cat said; cat said >&2; rm said; exit 1; }"],
        },
        workers={"count": 1},
        runtime={"log_level": "DEBUG"},
    )
    for title in TITLES:
        home.add(1, ticket_title=title)
    return home


def test_an_agents_secrets_are_nowhere_that_kora_shows(secret_home):
    home = secret_home
    process = home.start("run")
    wait_until(home, lambda: all(ticket["last_summary"] is not None for ticket in home.tickets()), process)
    found = leaks("info", home.kora("info", "worker-1", "--json").stdout)
    found += leaks("tail", home.kora("tail", "--json").stdout)
    process.terminate()
    process.wait(60)

    tickets = home.tickets()
    found += leaks("tickets", json.dumps(tickets))
    found += leaks("events", json.dumps(home.events()))
    found += leaks("log", home.log())
    for ticket in tickets[:1]:
        found += leaks("ticket show", home.kora("ticket", "show", ticket["ticket_id"]).stdout)
        found += leaks("ticket log", home.kora("ticket", "log", ticket["ticket_id"]).stdout)
    with home.reading() as reader:
        # What it recorded for later attempts is its own data, and is handed back as it was given.
        operations = reader.operations(tickets[0]["ticket_id"])
        found += leaks("attempts", repr([reader.attempts(ticket["ticket_id"]) for ticket in tickets]))
    records = [gzip.decompress(path.read_bytes()).decode() for path in (home.folder / ".kora/attempts").glob("*.gz")]
    found += leaks("records", "".join(records))

    assert found == []
    assert {ticket["ticket_title"]: ticket["last_summary"] for ticket in tickets}["result"] == "with *** *** ***"
    assert operations[0].dispatch_result == {"token": SECRETS["ANTHROPIC_API_KEY"]}
    assert "I am ***!" in "".join(records), "what is no secret is kept"
