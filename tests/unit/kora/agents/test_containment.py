from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from kora.agents.containment import Containment
from kora.agents.wire import MESSAGE_BYTES, STARTED, EndedBy, Order, dump_order, load_report
from kora.clock import SystemTime
from kora.domain.resolution import Outcome, StopReason
from kora.errors import AgentError

from .conftest import TANGLE_WORDS, WAIT_SECONDS, a_claim, a_lease, sh, tangle


def test_what_an_agent_left_behind_is_ended_after_its_own_end(start, leash):
    run = start(*tangle(leash, then="exit 3"))
    assert run.wait() == Outcome(exit_code=3)
    assert leash.is_free()


def test_leftovers_that_heed_sigterm_get_their_grace(start, leash):
    script = """
    exec 9>"$1" 2>/dev/null
    (trap 'echo bye >&9; exit' TERM; echo up >&9; : >"$2"; while :; do sleep 0.1; done) &
    while [ ! -e "$2" ]; do sleep 0.01; done
    """
    run = start(*sh(script, str(leash.path), str(leash.path) + ".up"), grace_seconds=WAIT_SECONDS)
    assert run.wait() == Outcome(exit_code=0)
    assert leash.wait_for(2) == ["up", "bye"]
    assert leash.is_free()


@pytest.mark.parametrize("order", ["stop", "kill"])
def test_nothing_outlives_an_order_to_end(start, leash, order):
    run = start(*tangle(leash))
    leash.wait_for(TANGLE_WORDS)
    getattr(run, order)(StopReason.DRAINED)
    run.kill(StopReason.TIMED_OUT) if order == "kill" else run.stop(StopReason.TIMED_OUT)
    assert run.wait() == Outcome(signal=signal.SIGKILL, stop_reason=StopReason.DRAINED)
    assert leash.is_free()
    assert len(run.ends) == 1


def test_an_agent_that_heeds_sigterm_ends_by_its_own_way(start, leash):
    script = 'exec 9>"$1" 2>/dev/null; trap "echo bye; exit 5" TERM; echo up >&9; while :; do sleep 0.05; done'
    run = start(*sh(script, str(leash.path)), grace_seconds=WAIT_SECONDS)
    leash.wait_for(1)
    run.stop(StopReason.STALLED)
    assert run.wait() == Outcome(exit_code=5, stop_reason=StopReason.STALLED, last_output="bye")


def test_a_kill_hastens_a_stop_and_the_first_reason_stays(start, leash):
    run = start(*tangle(leash), grace_seconds=10 * WAIT_SECONDS)
    leash.wait_for(TANGLE_WORDS)
    run.stop(StopReason.DRAINED)
    run.kill(StopReason.TIMED_OUT)
    assert run.wait().stop_reason is StopReason.DRAINED
    assert leash.is_free()


def test_a_stopped_agent_can_be_ended(start, leash):
    run = start(*sh('exec 9>"$1"; echo up >&9; kill -STOP $$; exit 4', str(leash.path)), grace_seconds=WAIT_SECONDS)
    leash.wait_for(1)
    run.stop(StopReason.DRAINED)
    assert run.wait().stop_reason in (StopReason.DRAINED, None)
    assert leash.is_free()


def test_nothing_outlives_the_lease(start, leash):
    lease = a_lease(4.0)
    run = start(*tangle(leash), lease=lease)
    leash.wait_for(TANGLE_WORDS)
    leash.wait_until_free()
    assert SystemTime().boot_seconds() < lease.deadline
    assert run.wait() == Outcome(signal=signal.SIGKILL, stop_reason=StopReason.LEASE_LOST)


def test_a_lease_that_is_over_before_the_start_starts_nothing(start, tmp_path):
    assert start("/bin/touch", "ran", lease=a_lease(-1.0)).wait() == Outcome(stop_reason=StopReason.LEASE_LOST)
    assert not (tmp_path / "ran").exists()


def test_an_extended_lease_lets_it_go_on_and_an_earlier_deadline_changes_nothing(start, leash):
    run = start(*sh('exec 9>"$1"; echo up >&9; exec sleep 1000', str(leash.path)), lease=a_lease(1.5))
    leash.wait_for(1)
    run.extend(a_lease(600.0))
    run.extend(a_lease(0.1))
    # Longer than the first lease; no condition to wait for, as nothing is to happen.
    assert not run.ended.wait(2.0)
    run.kill(StopReason.DRAINED)
    assert run.wait().stop_reason is StopReason.DRAINED


def test_a_fork_bomb_is_caught_in_the_act(start, leash):
    script = """
    exec 9>"$1"
    bomb() { echo up >&9; [ "$1" -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; sleep 1000; }
    bomb 7
    """
    run = start(*sh(script, str(leash.path)), grace_seconds=0)
    leash.wait_for(10)
    run.kill(StopReason.DRAINED)
    assert run.wait().signal == signal.SIGKILL
    assert leash.is_free()


def test_a_process_that_runs_away_by_forking_is_caught(start, leash):
    run_away = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.dup2(os.open(sys.argv[1], os.O_WRONLY), 9)\n"
        "os.write(9, b'up\\n')\n"
        "for _ in range(200_000):\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
    )
    run = start(sys.executable, "-S", "-c", run_away, str(leash.path), grace_seconds=10 * WAIT_SECONDS)
    leash.wait_for(1)
    run.kill(StopReason.DRAINED)
    run.wait()
    assert leash.is_free()


def the_guardian(containment):
    (guardian,) = psutil.Process(containment.spawner_pid).children()
    return guardian


def test_a_killed_guardian_leaves_nothing_and_the_outcome_says_so(start, containment, leash):
    run = start(*tangle(leash))
    leash.wait_for(TANGLE_WORDS)
    guardian = the_guardian(containment)
    assert guardian.name() == "kora-guardian"
    guardian.kill()
    outcome = run.wait()
    assert outcome == Outcome(fault=outcome.fault)
    assert "guardian was killed by signal 9" in outcome.fault
    assert leash.is_free()


def test_another_attempt_does_not_suffer_for_a_killed_guardian(start, containment, leash, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    other = start(*sh('echo up >"$1"; read _ <"$1"; echo whole', str(go)), claim=a_claim(attempt_id="other"))
    assert go.read_text() == "up\n"
    bystander = the_guardian(containment)
    run = start(*tangle(leash))
    leash.wait_for(TANGLE_WORDS)
    (guardian,) = set(psutil.Process(containment.spawner_pid).children()) - {bystander}
    guardian.kill()
    run.wait()
    assert leash.is_free()
    go.write_text("go\n")
    assert other.wait() == Outcome(exit_code=0, last_output="whole")


def test_a_killed_spawner_is_replaced_and_the_running_attempt_goes_on(start, containment, leash):
    os.mkfifo(f"{leash.path}.go")
    run = start(*sh('exec 9>"$1"; echo up >&9; read _ <"$2"; echo whole', str(leash.path), f"{leash.path}.go"))
    leash.wait_for(1)
    first = containment.spawner_pid
    os.kill(first, signal.SIGKILL)
    assert start("/bin/true", claim=a_claim(attempt_id="next")).wait() == Outcome(exit_code=0)
    assert containment.spawner_pid != first
    Path(f"{leash.path}.go").write_text("go\n")
    assert run.wait() == Outcome(exit_code=0, last_output="whole")


def test_attempts_survive_a_spawner_that_is_killed_again_and_again(start, containment):
    runs = []
    for number in range(20):
        runs.append(start("/bin/true", claim=a_claim(attempt_id=f"attempt-{number}")))
        if number % 4 == 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(containment.spawner_pid, signal.SIGKILL)
    outcomes = [run.wait() for run in runs]
    # A guardian that was forked already goes on; an attempt that got none is asked for once more, then it is a fault.
    assert all(outcome.exit_code == 0 or "spawner" in outcome.fault for outcome in outcomes)


@pytest.fixture
def launch():
    """Launches on bare descriptors, without an attempt's thread; hands back the lifeline."""
    lifelines = []
    with open(os.devnull, "r+b") as null:  # noqa: PTH123 - a descriptor

        def launches(containment, *argv, lease):
            stdio = (null.fileno(),) * 3
            words = [word.encode() for word in argv]
            lifelines.append(
                containment.launch(argv=words, env={}, cwd=b"/", stdio=stdio, grace_seconds=0.2, lease=lease)
            )
            return lifelines[-1]

        yield launches
    for lifeline in lifelines:
        lifeline.close()


def test_a_spawner_that_does_not_stay_up_is_an_error(lock_path, launch, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with lock_path.open("w") as lock:
        containment = Containment(lock.fileno())
        monkeypatch.setattr(Containment, "_restart_spawner", Containment._end_of_spawner)
        containment._end_of_spawner()
        with pytest.raises(AgentError, match=r"does not stay up \(ended with 1\)"):
            launch(containment, "/bin/true", lease=a_lease())
        assert containment.close()


def test_a_guardian_ignores_an_earlier_deadline(containment, launch):
    lifeline = launch(containment, "/bin/sleep", "1000", lease=a_lease(1.5))
    lifeline.settimeout(WAIT_SECONDS)
    lifeline.send(dump_order(Order.LEASE, a_lease(600.0).deadline, 600.0))
    lifeline.send(dump_order(Order.LEASE, a_lease(0.1).deadline, 0.1))
    assert lifeline.recv(MESSAGE_BYTES) == STARTED
    # No condition to wait for, as nothing is to happen.
    assert select.select([lifeline], [], [], 2.0)[0] == []
    lifeline.send(dump_order(Order.KILL))
    assert load_report(lifeline.recv(MESSAGE_BYTES)).ended_by is EndedBy.KILL
    assert lifeline.recv(MESSAGE_BYTES) == b""


def test_an_interpreter_that_is_not_there_is_an_error(lock_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with lock_path.open("w") as lock, pytest.raises(AgentError, match="spawner could not be started"):
        Containment(lock.fileno())


def test_another_system_than_linux_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(AgentError, match=r"need Linux 5\.3"):
        Containment(0)


def test_spawner_and_guardian_ignore_the_signals_that_ask_the_runtime_to_drain(start, containment, leash):
    os.mkfifo(f"{leash.path}.go")
    run = start(*sh('exec 9>"$1"; echo up >&9; read _ <"$2"', str(leash.path), f"{leash.path}.go"))
    leash.wait_for(1)
    spawner = psutil.Process(containment.spawner_pid)
    for process in (spawner, the_guardian(containment)):
        assert os.getsid(process.pid) == process.pid
        process.send_signal(signal.SIGINT)
        process.terminate()
    Path(f"{leash.path}.go").write_text("go\n")
    assert run.wait() == Outcome(exit_code=0)
    assert spawner.name() == "kora-spawner"
    assert spawner.is_running()


def test_200_attempts_leak_neither_descriptors_nor_threads_nor_processes(start, containment):
    others = set(threading.enumerate())
    start("/bin/true").wait()
    spawner = psutil.Process(containment.spawner_pid)

    def counts():
        # An attempt has ended before its thread has: that still compresses the record, with two descriptors.
        for thread in set(threading.enumerate()) - others:
            thread.join(WAIT_SECONDS)
        psutil.wait_procs(spawner.children(), timeout=WAIT_SECONDS)
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before, spawners = counts(), spawner.num_fds()
    for batch in range(20):
        runs = [start(*sh("echo hello"), claim=a_claim(attempt_id=f"{batch}-{number}")) for number in range(9)]
        runs.append(start("./nope", claim=a_claim(attempt_id=f"{batch}-nope")))
        for run in runs:
            run.wait()
    assert counts() == before
    # Its last guardians' lifelines go with its next turn: one more attempt is one more turn.
    start("/bin/true").wait()
    counts()
    assert spawner.num_fds() <= spawners + 1
