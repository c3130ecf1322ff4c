"""A provider that refuses, from end to end: nothing more is claimed, then one attempt shows that it serves again."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import closing

import pytest

from kora.admin.client import Client
from tests.acceptance.home import wait_until
from tests.acceptance.test_coding_agents import REPLAY, coding
from tests.unit.kora.agents.coding.recorded import BY_NAME

# While there is a file `refuses` the provider does. Later the agent waits to be let go before its first word, unless
# there is a file `open`.
AGENT = """\
#!/bin/sh
cat > /dev/null
[ -e refuses ] && exec {refuses}
touch begun
[ -e open ] || read _ < gate
echo '{{"type":"assistant","message":{{"content":[{{"type":"text","text":"on it"}}]}}}}'
echo '{{"type":"result","is_error":false,"result":"Done"}}'
"""
WORKERS, TICKETS = 2, 12


@pytest.mark.parametrize("home", ["postgres", pytest.param("sqlite", marks=pytest.mark.prove)], indirect=True)
def test_while_a_provider_refuses_nothing_is_claimed_and_one_attempt_shows_that_it_serves_again(home):
    recorded = BY_NAME["claude_401"]
    refuses = shlex.join(map(str, [sys.executable, "-I", "-S", REPLAY, recorded.path, 1, recorded.end]))
    program = home.folder / "claude"
    program.write_text(AGENT.format(refuses=refuses))
    program.chmod(0o755)
    os.mkfifo(home.folder / "gate")
    (home.folder / "refuses").touch()
    home.configure(agent=coding(executable="./claude"), workers={"count": WORKERS})
    home.add(TICKETS)
    client = Client(home.folder / ".kora")
    runtime = home.start("run")

    def claims(after=0):
        return [
            event["seq"]
            for event in home.events()
            if event["event_type"] == "sea_ticket.claimed_for_edit" and event["seq"] > after
        ]

    def statuses():
        return [ticket["sea_status"] for ticket in home.tickets()]

    def is_paused():
        found = client.get("/status")
        return found["operational_state"]["claim_permission"] == "none" and found["claims_held"] == 0

    wait_until(home, lambda: "the provider of the default agent refused (auth)" in home.log(), runtime)
    wait_until(home, is_paused, runtime)
    refused = statuses().count("released")
    assert 0 < refused == len(claims()) < TICKETS - WORKERS

    (home.folder / "refuses").unlink()
    with home.store() as store, closing(store.board()) as board, closing(store.reader()) as reader:
        paused_at = reader.last_seq()
        # What pauses for a provider ends with an operator's reset.
        board.reset(reason="the key was renewed", who="ann")
        wait_until(home, (home.folder / "begun").exists, runtime)
        assert len(claims(paused_at)) == 1, "one attempt, whatever else there is to do"
        (home.folder / "open").touch()
        (home.folder / "gate").write_text("go on\n")
    wait_until(home, lambda: statuses().count("completed") == TICKETS - refused, runtime)
    assert "a provider that refused serves again" in home.log()
    assert {ticket["failure_count_by_reason"].get("provider_fault", 0) for ticket in home.tickets()} == {0, 1}
