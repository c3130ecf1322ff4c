"""Who was here before, and whether it is really gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from loguru import logger

from kora.domain.ids import new_id
from kora.errors import RefusedError, StartError
from kora.state_dir import StateDir

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
HOLD = "import sys, os, fcntl; fd = int(sys.argv[1]); print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def warnings():
    lines = []
    number = logger.add(lambda message: lines.append(message.record["message"]), level="WARNING")
    yield lines
    logger.remove(number)


def test_one_runtime_at_a_time(path):
    first = StateDir(path)
    with pytest.raises(StartError, match=rf"process {os.getpid()}\b"):
        StateDir(path)
    first.close()
    StateDir(path).close()


def test_what_is_made_is_for_its_owner_alone(path):
    state_dir = StateDir(path)
    state_dir.register(new_id())
    state_dir.pause("ann", AT)
    modes = {file.relative_to(path.parent).as_posix(): file.stat().st_mode & 0o777 for file in path.rglob("*")}
    state_dir.close()
    assert {mode for name, mode in modes.items() if name.count("/") == 2} == {0o600}
    assert (path.stat().st_mode & 0o777, modes["state/runtimes"], modes["state/lock"]) == (0o700, 0o700, 0o600)
    assert modes["state/paused"] == 0o600


def test_a_runtime_that_left_with_nothing_held_leaves_nothing_to_return(path):
    state_dir = StateDir(path)
    state_dir.register(new_id())
    state_dir.unregister()
    state_dir.close()
    successor = StateDir(path)
    assert successor.ended() == ()
    successor.close()


def test_a_predecessor_counts_as_ended_only_when_nobody_holds_its_lock_any_more(path):
    predecessor = StateDir(path)
    name = new_id()
    fd = predecessor.register(name)
    guardian = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(fd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd]
    )
    guardian.stdout.readline()
    predecessor.close()
    successor = StateDir(path)
    successor.register(new_id())
    assert successor.ended() == ()
    guardian.communicate()
    assert not successor.is_settled()
    assert successor.ended() == (name,)
    assert successor.ended() == (name,), "until it is forgotten"
    assert not successor.is_settled()
    successor.forget([name])
    assert successor.is_settled()
    assert successor.ended() == ()
    assert not (path / "runtimes" / name).exists()
    successor.close()


def test_a_place_that_cannot_be_used_is_refused_with_the_key_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"runtime\.state_dir"):
        StateDir(tmp_path / "file" / "state")


def test_a_state_directory_that_was_taken_away_is_no_reason_to_stop(path):
    state_dir = StateDir(path)
    (path / "runtimes").rmdir()
    assert state_dir.ended() == ()
    assert state_dir.ended() == ()
    state_dir.close()


def refuse_to_unlink(*_args, **_options):
    raise PermissionError(13, "Permission denied")


def test_marks_that_cannot_be_removed_are_said_once_and_not_found_again(path, monkeypatch, warnings):
    for name in ("one", "two"):
        predecessor = StateDir(path)
        predecessor.register(name)
        predecessor.close()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse_to_unlink)
        state_dir = StateDir(path)
        state_dir.register("three")
        assert sorted(state_dir.ended()) == ["one", "two"]
        state_dir.forget(["one", "two"])
        assert state_dir.ended() == (), "or each tick would return their claims once more"
        assert state_dir.is_settled(), "or a runtime that ends when it is idle would never end"
        state_dir.unregister()
        state_dir.close()
    [line] = warnings
    assert "cannot be removed: Permission denied" in line
    successor = StateDir(path)
    assert sorted(successor.ended()) == ["one", "three", "two"]
    successor.close()


def test_a_state_directory_that_was_taken_away_does_not_stop_the_leaving(path, warnings):
    state_dir = StateDir(path)
    state_dir.register("one")
    (path / "runtimes" / "one").unlink()
    (path / "runtimes").rmdir()
    (path / "runtimes").touch()
    state_dir.unregister()
    state_dir.close()
    [line] = warnings
    assert str(path / "runtimes" / "one") in line


def test_a_mark_that_cannot_be_made_is_refused_with_the_key_to_set(path):
    state_dir = StateDir(path)
    (path / "runtimes").rmdir()
    with pytest.raises(StartError, match=r"state/runtimes: .*runtime\.state_dir"):
        state_dir.register(new_id())
    state_dir.close()
    StateDir(path).close()


def test_a_pause_outlives_the_runtime_until_it_is_taken_back(path):
    first = StateDir(path)
    assert first.paused() is None
    first.pause("ann", AT)
    first.pause("bob", AT)
    first.close()
    second = StateDir(path)
    assert second.is_paused()
    assert (second.paused().who, second.paused().at) == ("ann", AT)
    assert second.paused().said() == "by ann since 2026-03-01 03:00:00 UTC"
    second.resume()
    second.resume()
    assert not second.is_paused()
    assert [file.name for file in path.glob("paused*")] == []
    second.close()


@pytest.mark.parametrize("content", ["", "{", '{"who": 1}', "x" * 100_000, '{"who":"a","at":"2026-03-01T03:00:00"}'])
def test_a_pause_that_cannot_be_read_is_one_and_that_is_said_once(path, warnings, content):
    state_dir = StateDir(path)
    (path / "paused").write_text(content)
    assert [state_dir.is_paused(), state_dir.is_paused()] == [True, True]
    [line] = warnings
    assert "damaged" in line
    assert "`resume`" in line
    state_dir.resume()
    assert not state_dir.is_paused()
    state_dir.close()


def test_a_pause_that_nobody_may_read_is_one(path, monkeypatch):
    state_dir = StateDir(path)
    state_dir.pause("ann", AT)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert state_dir.is_paused()
        assert "Permission denied" in state_dir.paused().fault
    state_dir.close()


def test_of_many_who_pause_at_once_one_does_and_none_is_refused(path, monkeypatch):
    state_dir, fsync = StateDir(path), os.fsync
    meeting = threading.Barrier(4)

    def meet(descriptor):
        # Whoever is in the midst of it waits for the others to come as far.
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meet)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(state_dir.pause, f"operator {number}", AT) for number in range(4)]
    assert [each.exception() for each in asked] == [None] * 4
    assert state_dir.paused().who.startswith("operator ")
    assert [file.name for file in path.glob("paused*")] == ["paused"]
    state_dir.close()


def test_a_pause_that_cannot_be_written_is_refused_and_changes_nothing(path, monkeypatch):
    state_dir = StateDir(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(RefusedError, match="No space left"):
            state_dir.pause("ann", AT)
    assert not state_dir.is_paused()
    state_dir.close()
