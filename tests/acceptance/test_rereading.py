"""SIGHUP: the runtime goes on by the configuration as it is now, with as few restarts as that takes."""

from __future__ import annotations

import signal

from kora.admin.client import Client
from tests.acceptance.home import PATIENCE_SECONDS, assert_each_completed_once, assert_sound, wait_until


def until(home, process, said, count=1):
    wait_until(home, lambda: home.log().count(said) >= count, process)


def reread(home, process, said):
    """What the runtime says of the configuration once it has said this."""
    process.send_signal(signal.SIGHUP)
    until(home, process, said)
    return [line.partition("configuration: ")[2] for line in home.log().splitlines() if "configuration: " in line]


def all_completed(home):
    return all(ticket["sea_status"] == "completed" for ticket in home.tickets())


def test_workers_come_and_go_while_tickets_are_worked_and_nothing_is_lost_or_done_twice(home):
    def configure(workers):
        home.configure(
            agent={"command": home.journal_command(0.3)},
            workers={"count": workers},
            **{"agents.last": {"command": home.journal_command(0.02, gated=True)}},
        )

    configure(2)
    home.add(15)
    home.add(1, agent="last")
    # However quickly the others are done: it is idle only after the last change.
    with home.shut() as open_the_gate:
        process = home.start("run", "--until-idle")
        until(home, process, "with 2 workers")
        configure(6)
        said = reread(home, process, "worker-6-1")
        assert [line for line in said if "added" in line] == [f"worker-{number}: added" for number in range(3, 7)]
        configure(1)
        said = reread(home, process, "worker-2: removed")
        removed = [line for line in said if "removed" in line]
        assert removed == [f"worker-{number}: removed" for number in range(6, 1, -1)]
        open_the_gate()
        assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert_sound(home)
    assert all_completed(home)


def test_another_agent_is_used_by_the_attempts_that_follow_and_restarts_nobody(home):
    home.configure(agent={"command": ["true"]})
    process = home.start("run")
    until(home, process, "with 2 workers")
    home.configure(
        agent={"command": ["sh", "-c", "echo from the other agent"]},
        notify={"command": ["true"]},
        supervisor={"max_retired": 3},
    )
    assert reread(home, process, "notify.command") == [
        "agent: changed for attempts that start from now on",
        "supervisor.max_retired: changed, and heeded with the next start",
        "notify.command: changed, and heeded with the next start",
    ]
    home.add(1)
    wait_until(home, lambda: all_completed(home), process)
    (ticket,) = home.tickets()
    assert "from the other agent" in home.kora("ticket", "log", ticket["ticket_id"]).stdout
    assert reread(home, process, "nothing has changed")[-1] == "nothing has changed"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0


def test_a_file_that_is_wrong_is_said_to_be_so_and_the_runtime_goes_on_as_before(home):
    home.configure()
    process = home.start("run")
    until(home, process, "with 2 workers")
    home.configure(workers={"count": -1}, agent={"command": None})
    process.send_signal(signal.SIGHUP)
    until(home, process, "the configuration was not followed")
    assert "workers.count: must be greater than or equal to 1, not -1" in home.log()
    home.configure(agent={"command": ["no-such-program"]})
    process.send_signal(signal.SIGHUP)
    until(home, process, "the configuration was not followed: agent.command: 'no-such-program'")
    home.configure()
    home.add(2)
    wait_until(home, lambda: all_completed(home), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    assert_each_completed_once(home)


def test_an_update_that_an_operator_asks_for_while_a_sighup_is_followed_comes_after_it(home):
    words = "trap '' TERM; touch begun-$KORA_TICKET_ID; until [ -e dawn ]; do sleep 0.1; done"
    stubborn = {"command": ["sh", "-c", words]}
    home.configure(agent=stubborn, workers={"count": 2})
    home.add(2)
    process = home.start("run")
    client = Client(home.folder / ".kora")
    wait_until(home, lambda: len(list(home.folder.glob("begun-*"))) == 2, process)
    home.configure(agent=stubborn, workers={"count": 1})
    # Its agent does not heed SIGTERM, and so this is not over before its grace is.
    assert "worker-2: removed" in reread(home, process, "worker-2: removed")
    assert client.post("/update") == {"changed": []}
    home.configure(agent=stubborn, workers={"count": 3})
    changed = client.post("/update")["changed"]
    assert [line for line in changed if "added" in line] == ["worker-2: added", "worker-3: added"]
    (home.folder / "dawn").touch()
    wait_until(home, lambda: all_completed(home), process)
    workers = [actor["name"] for actor in client.get("/status")["actors"] if actor["name"].startswith("worker-")]
    assert workers == ["worker-1", "worker-2", "worker-3"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    assert_sound(home)
