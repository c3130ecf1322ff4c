"""Coding agents in whole runtimes: what they come to, and that nothing of them is left however they end."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from actors.names import worker_names
from tests.acceptance.home import PATIENCE_SECONDS, Home, assert_sound, wait_until
from tests.acceptance.in_process import work_the_board
from tests.acceptance.test_crashes import Poison
from tests.unit.kora.agents.coding.recorded import BY_NAME, DEAD
from tests.unit.kora.agents.conftest import Leash

HERE = Path(__file__).parent
REPLAY = HERE.parent / "unit" / "kora" / "agents" / "coding" / "replay.py"
WORKERS = 4
DESCENDANTS = 2

# Each descendant is orphaned, in a session of its own, without environment, and deaf to SIGTERM. Only descriptor 9
# tells of it. Tried again, the agent is content.
TANGLED = """\
#!/bin/sh
cat > /dev/null
if [ -e "been-$KORA_TICKET_ID" ]; then
    echo '{"type":"result","is_error":false,"result":"Done"}'
    exit
fi
touch "been-$KORA_TICKET_ID"
exec 9> LEASH
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"on it"}]}}'
for _ in 1 2; do
    (setsid env -i /bin/sh -c 'trap "" TERM; echo up >&9; while :; do /bin/sleep 1000; done' &)
done
trap "" TERM
while :; do sleep 1000; done
"""


def a_program(home: Home, name: str, *words: object) -> str:
    program = home.folder / name
    program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
    program.chmod(0o755)
    return f"./{name}"


def coding(**more):
    """An `[agent]` that is no command any more."""
    return {"kind": "claude", "command": None, "grace_seconds": 0.2, **more}


def test_each_ticket_comes_to_what_its_agents_stream_says(home):
    names = ("claude_ok_partial", "claude_max_turns", "codex_ok", "gemini_ok")
    sections = {
        f"agents.{name}": {
            "kind": BY_NAME[name].kind,
            "executable": a_program(
                home, name, sys.executable, "-I", "-S", REPLAY, BY_NAME[name].path, 1, BY_NAME[name].end
            ),
            "grace_seconds": 0.2,
        }
        for name in names
    }
    sections["agents.codex_ok"] |= {"model": "gpt-5", "resume": True}
    prices = {"input_usd_per_million": 1.25, "cached_input_usd_per_million": 0.125, "output_usd_per_million": 10.0}
    home.configure(**sections, **{'agents.codex_ok.prices."gpt-5"': prices})
    for name in names:
        home.add(1, agent=name)
    process = home.start("run")
    wait_until(home, lambda: sum(e["event_type"] == "kora.sea_ticket.resolved" for e in home.events()) == 4, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()

    for ticket in home.tickets():
        recorded = BY_NAME[ticket["agent"]]
        assert (ticket["sea_status"], ticket["last_summary"]) == (recorded.resolution, recorded.summary)
        [said] = [
            event["payload"]
            for event in home.events()
            if event["event_type"] == "kora.sea_ticket.resolved" and event["ticket_id"] == ticket["ticket_id"]
        ]
        # Only codex has prices here, so what gemini costs is not known.
        assert said.get("cost_usd") == (None if recorded.kind == "gemini" else pytest.approx(recorded.cost_usd))
        if recorded.kind == "codex":
            with home.reading() as reader:
                [operation] = reader.operations(ticket["ticket_id"])
            assert (operation.tool_name, operation.dispatch_result) == (
                "codex.session",
                {"session_id": recorded.session_id},
            )


def test_a_refusal_of_the_provider_is_known_to_control_and_costs_the_ticket_nothing(home):
    recorded = BY_NAME["claude_401"]
    program = a_program(home, "claude", sys.executable, "-I", "-S", REPLAY, recorded.path, 1, recorded.end)
    home.configure(agent=coding(executable=program), control={"max_attempts": 1})
    home.add(1)
    process = home.start("run")
    wait_until(home, lambda: "the provider of the default agent refused (auth)" in home.log(), process)
    wait_until(home, lambda: home.tickets()[0]["claim"] is None, process)

    [ticket] = home.tickets()
    assert (ticket["sea_status"], ticket["failure_count_by_reason"]) == ("released", {"provider_fault": 1})
    said = home.kora("ask", "control", '{"kind":"Describe"}', "--json")
    assert recorded.summary in said.stdout, said.stderr


def test_one_that_hangs_with_a_live_timer_loses_its_lease_and_one_that_stalls_is_stopped(home):
    timer = '{"type":"error","message":"Reconnecting... 2/5"}'
    words = [sys.executable, "-I", "-S", REPLAY, BY_NAME["codex_deadnet"].path, 1, f"beat:{timer}"]
    program = a_program(home, "codex", *words)
    home.configure(
        # Time enough for the other one to speak, and to stall.
        poller={"lease_seconds": 4},
        **{
            "agents.hangs": {"kind": "codex", "executable": program, "stall_seconds": 0, "grace_seconds": 0.2},
            "agents.stalls": {"kind": "codex", "executable": program, "stall_seconds": 1.5, "grace_seconds": 0.2},
        },
    )
    home.add(1, agent="hangs")
    home.add(1, agent="stalls")
    process = home.start("run")
    wait_until(home, lambda: any(e["event_type"] == "sea_ticket.claim_expired" for e in home.events()), process)
    wait_until(home, lambda: any(e["event_type"] == "kora.sea_ticket.resolved" for e in home.events()), process)

    hangs, stalls = sorted(home.tickets(), key=lambda ticket: ticket["agent"])
    [expired, *_] = [event for event in home.events() if event["event_type"] == "sea_ticket.claim_expired"]
    assert expired["ticket_id"] == hangs["ticket_id"]
    assert (stalls["sea_status"], stalls["failure_count_by_reason"]) == ("failed_retryable", {"stalled": 1})
    assert stalls["last_summary"] in {"made no progress: Reconnecting... 2/5", f"made no progress: {DEAD}"}


# --- what is left of them ---


@pytest.fixture
def leash(home):
    made = Leash(home.folder / "LEASH")
    yield made
    made.close()


def tangled(home: Home, **sections) -> None:
    program = home.folder / "claude"
    program.write_text(TANGLED)
    program.chmod(0o755)
    agent = coding(executable="./claude") | sections.pop("agent", {})
    home.configure(workers={"count": WORKERS}, agent=agent, runtime={"log_level": "ERROR"}, **sections)


def lost(home: Home, leash: Leash) -> None:
    """Leases run out."""
    tangled(home, poller={"lease_seconds": 0.5})
    home.add(WORKERS)
    work_the_board(home, until=lambda runtime: runtime.is_idle() and leash.is_free())


def timed_out(home: Home, leash: Leash) -> None:
    """Attempts take too long."""
    # Time enough for each to have said that it has been there.
    tangled(home, agent={"timeout_seconds": 1.5})
    home.add(WORKERS)
    work_the_board(
        home,
        until=lambda _: {ticket["sea_status"] for ticket in home.tickets()} == {"failed_retryable"} and leash.is_free(),
    )


def crashed(home: Home, leash: Leash) -> None:
    """Worker actors crash."""
    tangled(home, supervisor={"max_restarts": 1_000_000})
    home.add(WORKERS)
    victims = list(worker_names(WORKERS))

    def crash(runtime):
        leash.wait_for(WORKERS * DESCENDANTS)
        if victims:
            runtime.tell(victims.pop(), Poison())

    work_the_board(home, until=lambda runtime: runtime.is_idle() and leash.is_free(), between=crash)


def shut_down(home: Home, leash: Leash) -> None:
    """The runtime is told to end, twice."""
    tangled(home)
    home.add(WORKERS)
    process = home.start("run")
    leash.wait_for(WORKERS * DESCENDANTS)
    # Two of the same in one breath may be one.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 1
    assert leash.is_free()
    assert home.left_over() == []


def killed(home: Home, leash: Leash) -> None:
    """The runtime is killed."""
    tangled(home)
    home.add(WORKERS)
    process = home.start("run")
    leash.wait_for(WORKERS * DESCENDANTS)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    leash.wait_until_free()
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []


@pytest.mark.parametrize("how", [lost, timed_out, crashed, shut_down, killed])
@pytest.mark.parametrize("attempts", [WORKERS, pytest.param(1_000, marks=pytest.mark.prove)])
def test_nothing_is_left_of_agents_that_do_all_to_stay(tmp_path, how, attempts):
    for number in range(attempts // WORKERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        home, leash = Home(folder), None
        try:
            home.configure()
            leash = Leash(folder / "LEASH")
            how(home, leash)
            assert 0 < len(leash.wait_for(0)) <= WORKERS * DESCENDANTS
            assert leash.is_free()
            assert len(list(folder.glob("been-*"))) == WORKERS
            assert_sound(home)
        finally:
            home.end()
            if leash is not None:
                leash.close()


# --- when there is no time for anybody ---


@pytest.mark.prove
@pytest.mark.parametrize("seconds", [60, 600])
def test_agents_that_burn_all_cores_lose_no_lease(home, seconds):
    workers, each = 8, 20
    program = a_program(home, "claude", sys.executable, "-I", "-S", HERE / "burning_agent.py", each)
    home.configure(
        agent=coding(executable=program),
        workers={"count": workers},
        poller={"lease_seconds": 30},
        runtime={"tick_seconds": 1.0, "log_level": "WARNING"},
    )
    home.add(workers * seconds // each)
    process = home.start("run", "--until-idle")
    assert process.wait(10 * seconds) == 0, home.log()

    assert Counter(ticket["sea_status"] for ticket in home.tickets()) == {"completed": workers * seconds // each}
    assert [event for event in home.events() if event["event_type"] == "sea_ticket.claim_expired"] == []
    assert json.dumps(home.log()).count("lease is lost") == 0
