"""The watcher beside a real runtime: what ignores a STOP command is ended, with all that it has started."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing, suppress
from itertools import count

import psutil
import pytest

from kora.admin.client import Client
from kora.domain.control import NO_WATCHER, CommandStatus, StopLevel
from kora.errors import NoRuntimeError, StoreLockedError
from tests.acceptance.home import PATIENCE_SECONDS, assert_each_completed_once, assert_sound, wait_until

LIMIT_SECONDS = 1.0
SLACK_SECONDS = 5.0


def watched(home, watcher):
    """Wait until the watcher has said that it is there."""
    with home.reading() as reader:
        wait_until(home, lambda: reader.steering().watcher_seen_seconds is not None, watcher)


def freeze_and_stop(home, runtime, level):
    """The runtime stands still from now on, and is told to stop; frozen anew where it had the store's lock."""
    with home.store() as store, closing(store.board(is_patient=False)) as board:
        for _ in count():
            os.kill(runtime.pid, signal.SIGSTOP)
            try:
                return board.stop(level, reason="it must end", enforce_seconds=LIMIT_SECONDS, who="ann")
            except StoreLockedError:
                os.kill(runtime.pid, signal.SIGCONT)
    raise AssertionError


@pytest.mark.parametrize(
    ("home", "level"),
    [
        ("sqlite", StopLevel.ABORT_RELEASE_CLAIM),
        pytest.param("sqlite", StopLevel.DRAIN_CURRENT_FINISH, marks=pytest.mark.prove),
        pytest.param("postgres", StopLevel.ABORT_RELEASE_CLAIM, marks=pytest.mark.prove),
    ],
    indirect=["home"],
)
def test_a_frozen_runtime_that_ignores_a_stop_is_ended_in_time_with_its_agents_and_its_claim_is_free(home, level):
    home.configure(
        agent={"command": home.journal_command(600), "grace_seconds": 0.5},
        poller={"lease_seconds": 600},
        workers={"count": 1},
        control={"level_4_seconds": LIMIT_SECONDS},
    )
    home.add(1)
    runtime = home.start("run")
    wait_until(home, lambda: home.runs() == 1, runtime)
    watcher = home.start("watch")
    watched(home, watcher)
    stopped = freeze_and_stop(home, runtime, level)
    assert runtime.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    psutil.wait_procs([each for each in home.left_over() if each.pid != watcher.pid], timeout=20)
    assert [each.pid for each in home.left_over()] == [watcher.pid], "agents, guardians and the spawner are gone"
    with home.reading() as reader:
        wait_until(home, lambda: reader.commands()[0].status is CommandStatus.EXPIRED, watcher)
        last, first = reader.commands()
        assert (first.status, first.command_id, last.level) == (CommandStatus.ESCALATED, stopped.command_id, 4)
        [mark] = last.marks
        assert (mark.at - first.created_at).total_seconds() < 2 * LIMIT_SECONDS + SLACK_SECONDS
    assert home.log(1).count("escalated to level 4") == 1
    # Whatever is started under the command ends with 5, and changes nothing.
    assert home.start("run").wait(PATIENCE_SECONDS) == 5, home.log()
    # The operator's way back: a successor is sure that its predecessor's agents are gone, and returns the claim.
    with home.store() as store, closing(store.board()) as board:
        board.reset(reason="seen to", who="ann")
    home.configure(agent={"command": home.journal_command(0)})
    assert home.start("run", "--until-idle").wait(PATIENCE_SECONDS) == 0, home.log()
    assert_each_completed_once(home)
    assert_sound(home)
    watcher.send_signal(signal.SIGTERM)
    assert watcher.wait(PATIENCE_SECONDS) == 0
    with home.reading() as reader:
        assert reader.steering().watcher_seen_seconds is None


@pytest.mark.parametrize("home", ["sqlite", pytest.param("postgres", marks=pytest.mark.prove)], indirect=True)
def test_status_says_within_ten_seconds_that_the_watcher_is_gone_and_health_is_no_worse_for_it(home):
    client = Client(home.folder / ".kora")

    def is_watched():
        with suppress(NoRuntimeError):
            watcher = client.get("/status")["watcher"]
            return watcher is not None and watcher["is_alive"]
        return None

    runtime = home.start("run")
    watcher = home.start("watch")
    wait_until(home, is_watched, runtime)
    watcher.kill()
    watcher.wait(PATIENCE_SECONDS)
    killed_at = time.monotonic()
    wait_until(home, lambda: is_watched() is False, runtime)
    assert time.monotonic() - killed_at < 10
    assert f"watcher      {NO_WATCHER}" in home.kora("status").stdout
    found = home.kora("health")
    assert (found.returncode, f"watcher\tdegraded\t{NO_WATCHER}" in found.stdout) == (0, True)


def test_two_watchers_that_are_told_to_end_at_once_end_at_once(home):
    each = [home.start("watch"), home.start("watch")]
    for watcher in each:
        wait_until(home, lambda: "watching workspace" in home.log(0) and "watching workspace" in home.log(1), watcher)
        watcher.send_signal(signal.SIGTERM)
    assert [watcher.wait(PATIENCE_SECONDS) for watcher in each] == [0, 0]


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        ({"control": {"level_4": 1}}, 2, "control.level_4"),
        ({"runtime": {"store": "sqlite:///supervisor.toml"}}, 7, "database"),
    ],
)
def test_it_refuses_what_other_commands_refuse(home, sections, code, words):
    home.configure(**sections)
    refused = home.kora("watch")
    assert refused.returncode == code, refused.stderr
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
