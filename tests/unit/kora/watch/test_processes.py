"""Who is killed: a process that has open what only that runtime has, and nobody else."""

from __future__ import annotations

import os
import signal

import pytest

from kora.domain.ids import new_id
from kora.watch import processes as seen
from kora.watch.processes import Look
from tests.unit.kora.watch.conftest import PATIENCE_SECONDS, is_running


def test_a_process_with_the_runtimes_mark_and_its_lock_open_is_that_runtime(processes):
    runtime_id = new_id()
    process = processes.start(runtime_id)

    assert seen.look(process.pid, runtime_id) is Look.IS_IT
    assert seen.look(process.pid, new_id()) is Look.IS_NOT
    assert seen.look(os.getpid(), runtime_id) is Look.IS_NOT


def test_a_mark_that_was_removed_meanwhile_is_still_its_mark(processes, tmp_path):
    runtime_id = new_id()
    process = processes.start(runtime_id)
    (tmp_path / "runtimes" / runtime_id).unlink()

    assert seen.look(process.pid, runtime_id) is Look.IS_IT


def test_with_the_mark_alone_it_is_a_guardian_or_the_spawner_and_is_left_alone(processes):
    runtime_id = new_id()
    process = processes.start(runtime_id, lock="another")

    assert seen.look(process.pid, runtime_id) is Look.IS_NOT
    assert not seen.end(process.pid, runtime_id, 0.0)
    assert is_running(process)


@pytest.mark.parametrize("stopped", [False, True])
def test_it_is_ended_whether_it_runs_or_is_frozen(processes, stopped):
    runtime_id = new_id()
    process = processes.start(runtime_id)
    if stopped:
        process.send_signal(signal.SIGSTOP)

    assert seen.end(process.pid, runtime_id, PATIENCE_SECONDS)
    # Nobody has asked for its exit code: it is a zombie now, and gone all the same.
    assert seen.look(process.pid, runtime_id) is Look.IS_NOT
    assert not seen.end(process.pid, runtime_id, PATIENCE_SECONDS)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert seen.look(process.pid, runtime_id) is Look.IS_NOT
    assert not seen.end(process.pid, runtime_id, PATIENCE_SECONDS)


def test_the_id_that_another_process_has_now_is_not_signalled(processes):
    process = processes.start(new_id())

    assert not seen.end(process.pid, new_id(), 0.0)
    assert is_running(process)


def test_of_another_users_process_nothing_can_be_said_but_that_it_has_ended(processes, monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(seen, "_open_files", refuse)
    process = processes.start(new_id())

    assert seen.look(process.pid, new_id()) is Look.UNSURE
    assert not seen.end(process.pid, new_id(), 0.0)
    # The files of one that has ended, and was not asked for yet, are the superuser's to see.
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert seen.look(process.pid, new_id()) is Look.IS_NOT
