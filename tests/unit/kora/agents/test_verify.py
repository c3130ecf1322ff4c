"""A success counts only when its check passes: real programs, and an inner agent that a test plays."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.meter import Meters
from kora.agents.port import RunningAgent
from kora.agents.record import Record, plain_path
from kora.agents.verify import VERIFY_BYTES, VerifiedAgent, last_output
from kora.clock import SystemTime
from kora.domain.claim import EarlierAttempt
from kora.domain.resolution import AgentResult, Outcome, Resolution, StopReason, settle
from tests.operations import MemoryLedger

from .conftest import TANGLE_WORDS, WAIT_SECONDS, Run, a_claim, a_lease, kept, sh, tangle


class Played:
    """An attempt, and an agent, that end when and how a test says."""

    timeout_seconds = 7.0
    stall_seconds = 8.0
    started_at = 1.0
    progress_at = 2.0
    tool_since = 3.0

    def __init__(self, outcome=None):
        self.outcome = outcome
        self.on_end = None
        self.orders = []

    def start(self, _claim, _lease, on_end, _operations):
        self.on_end = on_end
        if self.outcome is not None:
            on_end()
        return self

    def end(self, outcome):
        self.outcome = outcome
        self.on_end()

    def lingering(self):
        return frozenset({"lingers"})

    def extend(self, lease):
        self.orders.append(lease.lease_seconds)

    def stop(self, reason):
        self.orders.append(("stop", reason))

    def kill(self, reason):
        self.orders.append(("kill", reason))


@pytest.fixture
def agent_with(containment, tmp_path):
    def makes(inner, *check, **settings):
        if isinstance(inner, tuple):
            chosen = CommandSettings(inner, tmp_path, grace_seconds=0.2)
            inner = CommandAgent(chosen, containment, state_dir=tmp_path / "state", meters=Meters(tmp_path / "meters"))
        return VerifiedAgent(
            inner,
            check,
            containment=containment,
            state_dir=tmp_path / "state",
            time_source=SystemTime(),
            **{"workdir": tmp_path, "env_allow": ("PATH",), "grace_seconds": 0.2, **settings},
        )

    return makes


@pytest.fixture
def verify(agent_with):
    """Starts an inner agent, a command or one that is played, with this check."""

    def starts(inner, *check, lease=None, **settings):
        run = Run(threading.Event())
        agent = agent_with(inner, *check, **settings)
        run.running = agent.start(a_claim(), lease or a_lease(), run.on_end, run.ledger)
        return run

    return starts


def verdict(outcome):
    settlement = settle(a_claim(), outcome, max_attempts=10)
    return settlement and (settlement.resolution, settlement.summary, settlement.failure_count_by_reason)


SAYS_COMPLETED = '{"kora":"result","resolution":"completed","summary":"did it","cost_usd":0.5}'


def test_a_success_whose_check_passes_is_the_agent_s_own(verify, tmp_path):
    run = verify(("/bin/echo", SAYS_COMPLETED), *sh("echo checking; echo closely >&2"))
    outcome = run.wait()
    assert (outcome.exit_code, outcome.verify_fault) == (0, None)
    assert verdict(outcome)[:2] == (Resolution.COMPLETED, "did it")
    assert sorted(kept(tmp_path / "state")) == [("verify", "checking"), ("verify", "closely")]
    assert len(run.ends) == 1


def test_a_success_whose_check_fails_is_a_failure_that_says_its_last_line(verify, tmp_path):
    run = verify(sh("echo working"), *sh("echo out; echo ' 3 failed ' >&2; exit 4"))
    outcome = run.wait()
    assert outcome.verify_fault == "verify failed: /bin/sh exited with 4: 3 failed"
    assert verdict(outcome) == (Resolution.FAILED_RETRYABLE, outcome.verify_fault, {"verify_failed": 1})
    assert ("stdout", "working") in kept(tmp_path / "state")
    assert ("verify", " 3 failed ") in kept(tmp_path / "state")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (sh("kill -9 $$"), "verify failed: /bin/sh died by signal 9"),
        (("no-such-program",), "verify failed: cannot run 'no-such-program': No such file or directory"),
        (("./missing", "x"), "verify failed: cannot run '{tmp_path}/missing': No such file or directory"),
    ],
)
def test_a_check_that_cannot_say_0_is_a_failure(verify, tmp_path, check, said):
    outcome = verify(("/bin/true",), *check).wait()
    assert outcome.verify_fault == said.format(tmp_path=tmp_path)
    assert verdict(outcome)[0] is Resolution.FAILED_RETRYABLE


def test_what_an_agent_has_said_is_kept_when_its_check_fails(verify):
    outcome = verify(("/bin/echo", SAYS_COMPLETED), "/bin/false").wait()
    assert settle(a_claim(), outcome, max_attempts=10).cost_usd == 0.5


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(exit_code=1),
        Outcome(signal=9),
        Outcome(raised="E"),
        Outcome(fault="f"),
        Outcome(protocol_fault="p", exit_code=0),
        Outcome(stop_reason=StopReason.STALLED),
        Outcome(exit_code=0, result=AgentResult(resolution=Resolution.RELEASED)),
    ],
)
def test_what_is_no_success_is_not_checked(verify, tmp_path, outcome):
    run = verify(Played(outcome), *sh("echo checked > checked"))
    assert run.wait() is outcome
    assert len(run.ends) == 1
    assert not (tmp_path / "checked").exists()


@pytest.mark.parametrize("late", [False, True])
def test_any_kind_of_agent_is_checked_whenever_it_ends(verify, late):
    inner = Played(None if late else Outcome())
    run = verify(inner, *sh("exit 3"))
    if late:
        inner.end(Outcome())
    assert "exited with 3" in run.wait().verify_fault
    assert len(run.ends) == 1


def test_the_check_runs_where_and_as_the_agent_would(verify, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    (tmp_path / "there").mkdir()
    show = (
        "import os, sys; print(os.getcwd(), sorted(k for k in os.environ if k != 'LC_CTYPE'), sys.stdin.read() == '')"
    )
    verify(Played(Outcome()), sys.executable, "-c", show, workdir=tmp_path / "there").wait()
    names = ["KORA_TICKET_ID", "KORA_WORKSPACE_ID", "KORA_WORK_ATTEMPT_ID", "PATH"]
    assert kept(tmp_path / "state") == [("verify", f"{tmp_path / 'there'} {names} True")]


def test_nothing_that_a_check_prints_speaks_to_kora(verify, tmp_path):
    outcome = verify(Played(Outcome()), "/bin/echo", '{"kora":"result","resolution":"failed_terminal"}').wait()
    assert outcome == Outcome()
    assert kept(tmp_path / "state") == [("verify", '{"kora":"result","resolution":"failed_terminal"}')]


def test_the_check_is_kept_also_when_the_agent_has_printed_too_much(verify, tmp_path):
    run = verify(sh("yes abcdefgh | head -c 30000000"), *sh("echo why; yes | head -c 3000000"))
    assert run.wait().exit_code == 0
    lines = kept(tmp_path / "state")
    assert ("verify", "why") in lines
    assert [text for stream, text in lines if stream == "kora"][1] == (
        f"[cut: more than {VERIFY_BYTES:,} bytes were printed]"
    )


def test_while_the_check_runs_a_tool_is_at_work_and_before_that_the_agent_says(verify, leash):
    inner = Played()
    run = verify(inner, *tangle(leash))
    assert (run.started_at, run.progress_at, run.tool_since) == (1.0, 2.0, 3.0)
    assert (run.timeout_seconds, run.stall_seconds) == (7.0, 8.0)
    before = SystemTime().boot_seconds()
    inner.end(Outcome())
    leash.wait_for(TANGLE_WORDS)
    assert before <= run.tool_since <= SystemTime().boot_seconds()
    assert run.progress_at == run.tool_since
    assert run.started_at == 1.0
    assert run.outcome is None
    run.kill(StopReason.DRAINED)
    run.wait()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_check_that_is_stopped_leaves_nothing_and_its_reason_counts(verify, leash, how):
    run = verify(("/bin/echo", SAYS_COMPLETED), *tangle(leash))
    leash.wait_for(TANGLE_WORDS)
    getattr(run.running, how)(StopReason.TIMED_OUT)
    run.kill(StopReason.DRAINED)
    outcome = run.wait()
    assert leash.is_free()
    assert outcome.stop_reason is StopReason.TIMED_OUT
    assert verdict(outcome)[2] == {"timed_out": 1}
    assert len(run.ends) == 1


def test_a_check_ends_with_its_lease_and_writes_nothing(verify, leash):
    run = verify(("/bin/true",), *tangle(leash), lease=a_lease(3.0))
    leash.wait_for(TANGLE_WORDS)
    outcome = run.wait()
    assert leash.is_free()
    assert outcome.stop_reason is StopReason.LEASE_LOST
    assert settle(a_claim(), outcome, max_attempts=10) is None


def test_a_lease_that_was_extended_before_holds_for_the_check(verify, leash):
    inner = Played()
    run = verify(inner, *tangle(leash), lease=a_lease(-1.0))
    longer = a_lease(600.0)
    run.extend(longer)
    assert inner.orders == [longer.lease_seconds]
    inner.end(Outcome())
    leash.wait_for(TANGLE_WORDS)
    run.extend(a_lease(900.0))
    run.kill(StopReason.LEASE_LOST)
    assert run.wait().stop_reason is StopReason.LEASE_LOST


def test_a_lease_that_is_extended_while_the_check_runs_lets_it_go_on(verify, leash):
    lease = a_lease(3.0)
    run = verify(Played(Outcome()), *sh('exec 9>"$1"; echo up >&9; sleep 3.2', str(leash.path)), lease=lease)
    leash.wait_for(1)
    run.extend(a_lease(600.0))
    assert run.wait() == Outcome()
    assert SystemTime().boot_seconds() > lease.deadline


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_agent_that_was_stopped_and_calls_itself_done_is_not_checked(verify, tmp_path, how):
    inner = Played()
    run = verify(inner, *sh("echo checked > checked"))
    getattr(run.running, how)(StopReason.DRAINED)
    assert inner.orders == [(how, StopReason.DRAINED)]
    inner.end(Outcome(exit_code=0, result=AgentResult(resolution=Resolution.COMPLETED)))
    outcome = run.wait()
    assert outcome.stop_reason is StopReason.DRAINED
    assert verdict(outcome)[0] is Resolution.RELEASED
    assert not (tmp_path / "checked").exists()


def test_a_machine_that_cannot_start_the_check_is_nobody_s_blame(verify, monkeypatch):
    inner = Played()
    run = verify(inner, "/bin/true")

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    inner.end(Outcome())
    outcome = run.wait()
    assert "can't start new thread" in outcome.fault
    assert verdict(outcome)[0] is Resolution.RELEASED
    assert len(run.ends) == 1


def test_a_listener_that_raises_does_no_harm(agent_with, tmp_path, caplog):
    called = threading.Event()

    def on_end():
        called.set()
        raise RuntimeError("no")

    running: RunningAgent = agent_with(Played(Outcome(exit_code=1)), "/bin/true").start(
        a_claim(), a_lease(), on_end, MemoryLedger()
    )
    assert called.wait(WAIT_SECONDS)
    assert running.outcome == Outcome(exit_code=1)


def test_who_lingers_is_the_inner_agent_s_to_say(agent_with):
    assert agent_with(Played(), "/bin/true").lingering() == frozenset({"lingers"})


def test_nothing_is_left_open(verify):
    def open_now():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_now()
    for _ in range(5):
        verify(("/bin/true",), "/bin/true").wait()
    assert open_now() <= before


def earlier(*names):
    return [EarlierAttempt(name, number, "failed_retryable", "") for number, name in enumerate(names, 1)]


def test_what_the_check_printed_last_is_found_again_for_the_next_attempt(verify, tmp_path):
    verify(sh("echo done"), *sh("echo first; echo second; exit 1")).wait()
    kept(tmp_path / "state")

    assert last_output(tmp_path / "state", earlier("attempt-1"), characters=100) == "first\nsecond"
    assert last_output(tmp_path / "state", earlier("attempt-1"), characters=8) == "t\nsecond"


def test_the_newest_attempt_whose_check_said_anything_is_the_one_that_is_quoted(tmp_path):
    for name, stream in (("a", "verify"), ("b", "verify"), ("c", "stdout")):
        record = Record(plain_path(tmp_path, name), SystemTime())
        record.write(stream, [name.encode()])
        record.close()

    assert last_output(tmp_path, earlier("a", "b", "c", "swept"), characters=100) == "b"
    assert last_output(tmp_path, earlier("c"), characters=100) == ""
    assert last_output(tmp_path, [], characters=100) == ""


def test_a_record_that_cannot_be_read_costs_the_prompt_what_stood_there_and_no_more(tmp_path, caplog):
    plain_path(tmp_path, "a").mkdir(parents=True)

    assert last_output(tmp_path, earlier("a"), characters=100) == ""
    assert "what the check printed in attempt a is not told" in caplog.text
