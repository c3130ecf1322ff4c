"""From what a configuration says to agents that can be started."""

import sys
import threading
from pathlib import Path

import pytest

from kora.agents.callable import CallableSettings
from kora.agents.command import CommandSettings
from kora.agents.kinds import build, check
from kora.agents.meter import Left, Meters
from kora.agents.port import Lease
from kora.clock import SystemTime
from kora.domain.cost import Caps
from kora.domain.resolution import Resolution, StopReason, settle
from kora.domain.ticket import Status
from kora.errors import AgentError
from tests.claims import a_claim
from tests.operations import MemoryLedger

WAIT_SECONDS = 60.0
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def path_is_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def a_command(**more):
    return CommandSettings(**{"command": ("/bin/true",), "workdir": HERE, **more})


def a_callable(**more):
    return CallableSettings(**{"function": "a_callable:many", "folder": HERE, "workdir": HERE, **more})


@pytest.mark.parametrize("spec", [a_command(), a_callable(), a_callable(verify=("true",))])
def test_what_can_be_had_passes(spec):
    check(spec, key="agent")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            a_command(command=("no-such-program",)),
            r"agents\.review\.command: 'no-such-program' is not to be found on PATH",
        ),
        (a_command(command=("./no-such",)), rf"agents\.review\.command: '{HERE}/no-such' does not exist"),
        (a_command(workdir=HERE / "no"), rf"agents\.review\.workdir: '{HERE}/no' is no directory"),
        (a_callable(workdir=HERE / "no"), rf"agents\.review\.workdir: '{HERE}/no' is no directory"),
        (
            a_command(workspace="worktree", workdir=HERE / "no"),
            rf"agents\.review\.repository: '{HERE}/no' is no directory",
        ),
        (a_callable(function="no_such:run"), r"agents\.review\.callable: there is no module 'no_such'"),
        (a_callable(function="a_callable:sleeps"), r"agents\.review\.callable: 'sleeps' .* is async"),
        (a_callable(function="a_callable:number"), r"agents\.review\.callable: 'number' .* not a function"),
        (a_callable(verify=("no-such-check",)), r"agents\.review\.verify: 'no-such-check' is not to be found on PATH"),
        (a_command(verify=("./no-check",)), rf"agents\.review\.verify: '{HERE}/no-check' does not exist"),
    ],
)
def test_what_cannot_be_had_is_told_under_its_key(spec, said):
    with pytest.raises(AgentError, match=f"^{said}"):
        check(spec, key="agents.review")


def test_the_search_path_is_what_the_agent_will_have(monkeypatch, tmp_path):
    program = tmp_path / "my-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))

    check(a_command(command=("my-agent",)), key="agent")
    with pytest.raises(AgentError, match="is not to be found"):
        check(a_command(command=("my-agent",), env_allow=("HOME",)), key="agent")


def test_worktrees_need_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AgentError, match=r'^agent\.workdir: "worktree" needs git and flock: .git. is not to be found'):
        check(a_command(workspace="worktree"), key="agent")
    check(a_command(workspace="fresh"), key="agent")


@pytest.fixture
def agents(containment, tmp_path):
    made = build(
        a_callable(),
        {
            "fails": a_command(command=("/bin/false",)),
            "checked": a_callable(verify=("/bin/false",)),
            "fine": a_callable(verify=("/bin/true",)),
        },
        containment=containment,
        state_dir=tmp_path / "state",
        meters=Meters(tmp_path / "meters"),
        time_source=SystemTime(),
    )
    yield made
    made.close()


def resolution_of(agents, name):
    ended = threading.Event()
    claim = a_claim(agent=name)
    running = agents.start(claim, Lease(SystemTime().boot_seconds() + 600, 600), ended.set, MemoryLedger())
    assert ended.wait(WAIT_SECONDS)
    return settle(claim, running.outcome, max_attempts=10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, Resolution.COMPLETED),
        ("fails", Resolution.FAILED_RETRYABLE),
        ("checked", Resolution.FAILED_RETRYABLE),
        ("fine", Resolution.COMPLETED),
    ],
)
def test_the_ticket_chooses_its_agent(agents, name, expected):
    assert resolution_of(agents, name).resolution is expected


def test_an_agent_that_is_not_in_the_configuration_is_a_fault_and_no_blame(agents):
    settlement = resolution_of(agents, "reviewer")

    assert settlement.resolution is Resolution.RELEASED
    assert settlement.summary == "there is no [agents.reviewer] in this runtime's configuration"


def test_an_attempt_that_never_ran_takes_every_order(agents):
    ends = []
    running = agents.start(a_claim(agent="no-such"), Lease(1.0, 1.0), lambda: ends.append(True), MemoryLedger())
    before = running.outcome
    running.extend(Lease(2.0, 1.0))
    running.stop(StopReason.DRAINED)
    running.kill(StopReason.DRAINED)

    assert (running.outcome, ends) == (before, [True])
    assert (running.progress_at, running.tool_since, running.timeout_seconds, running.stall_seconds) == (
        None,
        None,
        0.0,
        0.0,
    )


def test_a_callable_that_cannot_be_loaded_is_refused_when_it_is_built(containment, tmp_path):
    with pytest.raises(AgentError, match="no module"):
        build(
            a_callable(function="no_such:run"),
            {},
            containment=containment,
            state_dir=tmp_path,
            meters=Meters(tmp_path / "meters"),
            time_source=SystemTime(),
        )


class Lingers:
    """An agent of which something goes on."""

    def __init__(self, *tickets):
        self._tickets = frozenset(tickets)

    def lingering(self):
        return self._tickets


def test_what_lingers_of_any_agent_lingers(agents):
    assert agents.lingering() == frozenset()

    agents._agents = {None: Lingers("a"), "one": Lingers("b", "c"), "other": Lingers()}

    assert agents.lingering() == {"a", "b", "c"}


def test_a_ticket_that_has_cost_what_it_may_is_not_begun(agents):
    agents.adopt(a_callable(), {}, Caps(ticket_usd=2.0))
    ended = []
    claim = a_claim()._replace(spent_micro_usd=2_000_000)
    running = agents.start(
        claim, Lease(SystemTime().boot_seconds() + 600.0, 600.0), lambda: ended.append(True), MemoryLedger()
    )
    assert ended == [True]
    settlement = settle(claim, running.outcome, max_attempts=10, caps=agents.caps)
    assert settlement.sea_status is Status.BLOCKED_NEEDS_OPERATOR
    assert settlement.summary.startswith(
        "waits for an operator: its attempts have cost 2.00 USD, where they may cost 2.00"
    )


def test_what_is_left_of_an_attempt_whose_agent_is_gone_is_what_was_heard(agents):
    left = Left(a_claim().key, "removed", 0.5, b"unheard")
    assert agents.cost_of(left) == 0.5
