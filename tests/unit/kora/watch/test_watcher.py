"""A round of a watcher, on a real store and with real processes. What is due in no time is late at once."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
from loguru import logger

from kora.domain.control import CommandStatus, NewMark, StopLevel
from kora.domain.ids import new_id
from kora.errors import StoreUnavailableError
from kora.store.port import RuntimeRecord, Turn
from kora.watch import watcher as watching
from kora.watch.lateness import awaited
from tests.unit.kora.watch.conftest import is_running

STATUS = CommandStatus
LONG_SECONDS = 3_600.0


@pytest.fixture
def said():
    lines = []
    sink = logger.add(lambda line: lines.append(line.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


def of_this_machine(world, processes, runtime_id=None):
    runtime_id = runtime_id or new_id()
    process = processes.start(runtime_id)
    world.runtime(runtime_id, process.pid)
    return runtime_id, process


def mark(world, runtime_id, command, status):
    with closing(world.store.writer(RuntimeRecord(runtime_id, "h", 1, "0.1.0"))) as writer:
        turn = Turn(marks=(NewMark(command.command_id, status, "no"),))
        writer.turn(writer.next_incarnation(), turn)


def test_it_says_that_it_is_there_and_that_it_has_ended(world):
    assert world.reader.steering().watcher_seen_seconds is None
    world.watcher.round()
    assert world.reader.steering().watcher_seen_seconds < 30
    world.watcher.end()
    assert world.reader.steering().watcher_seen_seconds is None


def test_a_command_that_is_not_late_is_left_alone(world, processes):
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel.ABORT_RELEASE_CLAIM, LONG_SECONDS)
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["stop"]
    assert is_running(process)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_late_command_is_escalated_once_and_then_who_ignores_that_is_revoked_and_killed(
    world, processes, level, said
):
    runtime_id, process = of_this_machine(world, processes)
    command = world.stop(StopLevel(level))
    world.watcher.round()
    assert is_running(process)
    [late, new] = world.commands()
    assert (late.status, late.escalated_by) == (STATUS.ESCALATED, new.command_id)
    assert (new.level, new.issuer_actor_kind, new.enforce_seconds) == (4, "watcher", 0.0)
    assert runtime_id in new.reason
    world.watcher.round()
    assert not is_running(process)
    world.watcher.round()
    [_, new] = world.commands()
    assert (new.status, [each.holder for each in new.marks]) == (STATUS.EXPIRED, [runtime_id])
    assert world.acted() == [
        ("stop", command.command_id),
        ("escalate", command.command_id),
        ("revoke", runtime_id),
        ("expire", new.command_id),
    ]
    assert len([line for line in said if line.startswith("escalated to level 4")]) == 1
    assert len([line for line in said if "was killed" in line]) == 1


def test_after_a_gap_nothing_is_done_about_it_yet(world, processes):
    of_this_machine(world, processes)
    world.stop(StopLevel.BLOCK_NEW_INTAKE)
    world.watcher.round(may_act=False)
    assert [verb for verb, _ in world.acted()] == ["stop"]
    assert world.reader.steering().watcher_seen_seconds is not None


def test_a_command_that_all_have_enforced_is_left_alone(world, processes):
    runtime_id, process = of_this_machine(world, processes)
    command = world.stop(StopLevel.DRAIN_CURRENT_FINISH)
    mark(world, runtime_id, command, STATUS.ENFORCED)
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["stop"]
    assert is_running(process)


def test_one_that_says_it_could_not_is_late_at_once(world, processes):
    runtime_id, _ = of_this_machine(world, processes)
    command = world.stop(StopLevel.ABORT_RELEASE_CLAIM, LONG_SECONDS)
    mark(world, runtime_id, command, STATUS.FAILED)
    world.watcher.round()
    assert world.commands()[0].status is STATUS.ESCALATED


def test_one_that_has_begun_under_the_command_has_its_seconds_from_then_on(world, processes):
    command = world.stop(StopLevel.BLOCK_NEW_INTAKE, LONG_SECONDS)
    runtime_id, _ = of_this_machine(world, processes)
    mark(world, runtime_id, command, STATUS.ACKNOWLEDGED)
    [command] = world.reader.commands()
    [seen] = world.reader.fleet()
    [each] = awaited(command, {runtime_id: seen})
    began_after = (seen.started_at - command.created_at).total_seconds()
    assert began_after > 0
    assert each.due_seconds == pytest.approx(began_after + LONG_SECONDS)


@pytest.mark.parametrize("set_by_seconds", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_makes_nothing_late_and_nothing_wait_longer(world, processes, set_by_seconds):
    runtime_id, _ = of_this_machine(world, processes)
    mark(world, runtime_id, world.stop(StopLevel.ABORT_RELEASE_CLAIM, LONG_SECONDS), STATUS.ENFORCING)
    world.watcher.round()
    world.set_clock(set_by_seconds)
    world.boot_seconds += LONG_SECONDS - 60
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["stop"]
    world.boot_seconds += 61
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["stop", "escalate"]


def test_after_a_reset_nothing_is_escalated_and_nobody_killed(world, processes):
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel.EXTERNAL_KILL)
    world.board.reset(reason="done", who="ann")
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["stop", "reset"]
    assert is_running(process)


def test_several_watchers_do_it_once(world, processes):
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel.ABORT_RELEASE_CLAIM)
    each = [world.watcher, world.another(), world.another()]
    for _ in range(3):
        for watcher in each:
            watcher.round()
    assert not is_running(process)
    assert [verb for verb, _ in world.acted()] == ["stop", "escalate", "revoke", "expire"]


def test_the_process_of_another_that_has_the_runtimes_id_now_is_left_alone(world, processes, monkeypatch):
    process = processes.start(new_id())
    runtime_id = world.runtime(new_id(), process.pid)
    world.stop(StopLevel.EXTERNAL_KILL)
    world.watcher.round()
    assert is_running(process)
    # It may merely run where this watcher does not see it: only after a silence it is sure.
    assert world.commands()[0].status is STATUS.CREATED
    monkeypatch.setattr(watching, "SILENT_SECONDS", -1.0)
    world.watcher.round()
    assert world.commands()[0].status is STATUS.EXPIRED
    assert is_running(process)
    assert runtime_id in str(world.commands()[0].marks)


def test_one_that_was_seen_here_and_is_there_no_more_is_gone_at_once(world, processes):
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel.BLOCK_NEW_INTAKE, LONG_SECONDS)
    world.watcher.round()
    process.kill()
    process.wait()
    world.watcher.round()
    assert world.commands()[0].status is STATUS.EXPIRED
    assert [verb for verb, _ in world.acted()] == ["stop", "expire"]


@pytest.mark.parametrize("level", [1, 3, 4])
def test_who_is_gone_is_waited_for_by_no_command_that_stands_open(world, processes, level):
    world.stop(StopLevel.ABORT_RELEASE_CLAIM, LONG_SECONDS)
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel(level), LONG_SECONDS)
    world.watcher.round()
    process.kill()
    process.wait()
    world.watcher.round()
    assert world.commands()[1].status is STATUS.EXPIRED


@pytest.mark.parametrize("level", [1, 3])
def test_a_command_given_under_another_is_escalated_like_any_and_only_one_is(world, processes, level):
    first = world.stop(StopLevel.ABORT_RELEASE_CLAIM, LONG_SECONDS)
    of_this_machine(world, processes)
    for _ in range(2):
        world.stop(StopLevel(level))
    world.watcher.round()
    world.watcher.round()
    assert [each.status for each in world.commands()].count(STATUS.ESCALATED) == 1
    assert [each.level for each in world.commands() if each.issuer_actor_kind == "watcher"] == [4]
    assert world.commands()[0].command_id == first.command_id
    assert world.commands()[0].escalated_by is None


@pytest.mark.parametrize("level", [4, 5])
def test_a_runtime_elsewhere_is_escalated_and_not_killed_and_at_level_5_revoked(world, level, said):
    runtime_id = world.runtime(new_id(), os.getpid(), host="elsewhere")
    world.stop(StopLevel(level))
    world.watcher.round()
    world.watcher.round()
    assert world.acted()[1:] == [("revoke", runtime_id)] * (level == 5)
    assert [line for line in said if "a watcher there has to end it" in line] != []
    assert len(said) == 1


def test_a_runtime_elsewhere_that_was_not_seen_since_before_the_command_is_gone(world):
    runtime_id = world.runtime(new_id(), 1, host="elsewhere")
    command = world.stop(StopLevel.BLOCK_NEW_INTAKE, LONG_SECONDS)
    mark(world, runtime_id, command, STATUS.ACKNOWLEDGED)
    file = sqlite3.connect(world.url.removeprefix("sqlite:///"), isolation_level=None)
    with closing(file):
        file.execute("UPDATE runtimes SET last_seen = last_seen - 3600000000, started_at = started_at - 7200000000")
    world.watcher.round()
    assert world.commands()[0].status is STATUS.EXPIRED


def pass_by(world, seconds):
    """With a round every few seconds."""
    for _ in range(int(seconds / 5)):
        world.boot_seconds += 5
        world.watcher.round()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_runtime_elsewhere_that_dies_under_a_command_is_shut_out_alone_and_awaited_until_its_leases_end(
    world, level, said
):
    runtime_id = world.runtime(new_id(), 1, host="elsewhere")
    world.claim(runtime_id)
    command = world.stop(StopLevel(level), 60.0)
    mark(world, runtime_id, command, STATUS.VISIBLE_TO_RUNTIME)
    world.watcher.round()
    pass_by(world, 55)
    assert world.acted()[-1][0] == "stop"
    pass_by(world, 30)
    assert world.acted()[-1] == ("revoke", runtime_id)
    assert [each.level for each in world.commands()] == [level]
    assert world.commands()[0].status is STATUS.VISIBLE_TO_RUNTIME
    world.end_leases()
    world.watcher.round()
    assert [each.status for each in world.commands()] == [STATUS.EXPIRED]
    assert len(said) == 2


def test_a_runtime_elsewhere_that_lives_and_ignores_a_command_is_escalated_in_time(world):
    runtime_id = world.runtime(new_id(), 1, host="elsewhere")
    world.claim(runtime_id)
    command = world.stop(StopLevel.ABORT_RELEASE_CLAIM, 60.0)
    for _ in range(12):
        pass_by(world, 5)
        # Its Ledger still turns.
        mark(world, runtime_id, command, STATUS.ENFORCING)
    assert [verb for verb, _ in world.acted()] == ["add", "stop"]
    pass_by(world, 5)
    assert [verb for verb, _ in world.acted()] == ["add", "stop", "escalate"]


def test_a_watcher_that_was_not_there_for_long_enough_takes_nobody_for_dead(world):
    runtime_id = world.runtime(new_id(), 1, host="elsewhere")
    world.claim(runtime_id)
    world.stop(StopLevel.ABORT_RELEASE_CLAIM, 0.0)
    world.watcher.round()
    assert [verb for verb, _ in world.acted()] == ["add", "stop", "escalate"]


def test_while_the_store_is_locked_a_runtime_late_with_both_is_killed_and_it_is_on_record_afterwards(world, processes):
    _, process = of_this_machine(world, processes)
    world.stop(StopLevel.ABORT_RELEASE_CLAIM)
    patient = world.another(level_4_seconds=LONG_SECONDS)
    locked = sqlite3.connect(world.url.removeprefix("sqlite:///"), isolation_level=None)
    with closing(locked):
        locked.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError):
            patient.round()
        assert is_running(process)
        with pytest.raises(StoreUnavailableError):
            world.watcher.round()
        assert not is_running(process)
        locked.execute("ROLLBACK")
    world.watcher.round()
    assert world.commands()[0].status is STATUS.EXPIRED
