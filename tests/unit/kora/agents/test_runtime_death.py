from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kora.agents.command import CommandSettings
from kora.agents.kinds import told_in
from kora.agents.meter import left_by
from kora.clock import SystemTime

from .conftest import TANGLE_WORDS, WAIT_SECONDS, a_claim, sh, tangle

ROOT = Path(__file__).parents[4]


@pytest.fixture
def runtime(lock_path, tmp_path):
    """Starts a runtime in a process of its own; hands back the process, its deadline and its spawner."""
    started = []

    def starts(command, lease_seconds=600.0, grace_seconds=0.2):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.unit.kora.agents.a_runtime"),
                *(lock_path, tmp_path, str(lease_seconds), str(grace_seconds), *command),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        deadline, spawner_pid = process.stdout.readline().split()
        return process, float(deadline), psutil.Process(int(spawner_pid))

    yield starts
    for process in started:
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)


def wait_for_exclusive_lock(path):
    """Waits until nobody holds the file, bounded; a thread may not be, so another program waits."""
    subprocess.run(["flock", "--exclusive", "--wait", str(WAIT_SECONDS), path, "true"], check=True)


def test_a_killed_runtime_leaves_nothing_and_its_lock_tells_when(runtime, leash, lock_path):
    process, _, spawner = runtime(tangle(leash), grace_seconds=0.5)
    leash.wait_for(TANGLE_WORDS)
    guardian = spawner.children()
    process.kill()
    with lock_path.open() as lock:
        if not leash.is_free():
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    wait_for_exclusive_lock(lock_path)
    assert leash.is_free()
    assert psutil.wait_procs([spawner, *guardian], timeout=WAIT_SECONDS)[1] == []


# A shell complains of what is ended under it, and of a killed runtime's stderr it would die.
TELLS = """exec 2>/dev/null; trap 'echo "$3"; exit 0' TERM; echo "$2"; echo told >&9; while :; do sleep 0.02; done"""
FREEZES = "kill -STOP $4; while grep -q '^State:.[RSD]' /proc/$4/task/*/status; do :; done"
COST = '{"kora":"progress","signal":"tool_call_boundary","cost_usd":%s}'


@pytest.mark.parametrize("unread", [False, True], ids=["read", "unread"])
def test_what_a_killed_runtime_s_agent_told_of_its_cost_is_left_whether_it_was_read_or_not(
    runtime, leash, lock_path, tmp_path, unread
):
    command = sh(f'exec 9>"$1"; echo up >&9; {TELLS}', str(leash.path), COST % 1.25, COST % 2.5)
    if unread:
        command = sh(f'exec 9>"$1"; echo up >&9; {FREEZES}; {TELLS}', *command[4:], "@")
    process, _, _ = runtime(command, grace_seconds=WAIT_SECONDS)
    leash.wait_for(2)
    while not unread and next(left_by(tmp_path, "runtime-1")).spent_usd is None:
        assert process.poll() is None
    process.kill()
    wait_for_exclusive_lock(lock_path)
    [left] = left_by(tmp_path, "runtime-1")
    assert left.key == a_claim().key
    told = told_in(CommandSettings(command, tmp_path), left.unheard)
    assert told == 2.5, "what it said last, when it was told to end"
    assert unread is (left.spent_usd is None)


def test_a_runtime_killed_with_its_spawner_leaves_nothing_either(runtime, leash, lock_path):
    process, _, spawner = runtime(tangle(leash))
    leash.wait_for(TANGLE_WORDS)
    spawner.kill()
    process.kill()
    wait_for_exclusive_lock(lock_path)
    assert leash.is_free()


def test_a_frozen_runtime_s_agent_is_dead_by_the_lease_s_end(runtime, leash):
    process, deadline, _ = runtime(tangle(leash), lease_seconds=4.0, grace_seconds=1.0)
    leash.wait_for(TANGLE_WORDS)
    process.send_signal(signal.SIGSTOP)
    leash.wait_until_free()
    assert SystemTime().boot_seconds() < deadline
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    assert "LEASE_LOST" in process.stdout.readline()


def test_the_agent_does_not_hold_the_runtime_s_lock(runtime, lock_path):
    process, _, spawner = runtime(sh(f"ls -l /proc/self/fd | grep -c {lock_path.name}"))
    assert "last_output='0'" in process.stdout.readline()
    process.kill()
    psutil.wait_procs([spawner], timeout=WAIT_SECONDS)
    wait_for_exclusive_lock(lock_path)


def test_what_an_agent_told_that_ended_by_itself_is_left_though_its_runtime_dies_before_it_reads_it(
    runtime, leash, lock_path, tmp_path
):
    ends = sh(f'exec 9>"$1"; echo up >&9; {FREEZES}; echo "$2"; exit 0', str(leash.path), COST % 1.25, "", "@")
    process, _, spawner = runtime(ends)
    leash.wait_for(1)
    leash.wait_until_free()
    # The guardian has said how it went, and nobody heard.
    psutil.wait_procs([each for each in spawner.children(recursive=True) if each.name() == "sh"], WAIT_SECONDS)
    process.kill()
    wait_for_exclusive_lock(lock_path)
    [left] = left_by(tmp_path, "runtime-1")
    assert told_in(CommandSettings(ends, tmp_path), left.unheard) == 1.25
