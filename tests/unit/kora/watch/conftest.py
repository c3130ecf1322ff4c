"""A board of its own, and processes that have open what a runtime has open."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
from contextlib import closing, suppress

import pytest

from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.watch.watcher import Watcher
from tests.stores import open_new

ACTOR = "00000000-0000-5000-8000-000000000001"
HOLDS = 'exec 8<>"$1" 9<>"$2"; echo up; read _'
PATIENCE_SECONDS = 30


class Processes:
    """Each is ended with the test, and asked for by nobody but it: one that was killed stays as a zombie till then."""

    def __init__(self, folder):
        self._folder = folder
        self._started = []

    def start(self, runtime_id, *, lock="lock", of=None):
        """One with the mark of a runtime open, and the lock of its state directory."""
        (self._folder / "runtimes").mkdir(exist_ok=True)
        files = [self._folder / lock, self._folder / "runtimes" / (of or runtime_id)]
        for file in files:
            file.touch()
        process = subprocess.Popen(
            ["sh", "-c", HOLDS, "holder", *map(str, files)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"up\n"
        self._started.append(process)
        return process

    def end(self):
        for process in self._started:
            process.kill()
            process.wait(PATIENCE_SECONDS)
            process.stdin.close()
            process.stdout.close()


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path)
    yield started
    started.end()


def is_running(process):
    """Whether it has not ended, without asking for its exit code."""
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    return False


class World:
    """A store, a watcher of it, and the runtimes that the store knows."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/kora.db"
        self.store = open_new(self.url, workspace_id="w", actor_id=ACTOR)
        self.board, self.reader = self.store.board(), self.store.reader()
        self.boot_seconds = 1_000.0
        self.watcher = self.another()

    def another(self, level_4_seconds=0.0):
        return Watcher(
            new_id(),
            self.store.board(is_patient=False),
            self.store.reader(),
            level_4_seconds=level_4_seconds,
            boot_seconds=lambda: self.boot_seconds,
        )

    def set_clock(self, seconds):
        """As if it had been set by so much since the commands were given, and since all runtimes began."""
        file = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
        with closing(file):
            file.execute("UPDATE control_commands SET created_at = created_at - ?", (round(seconds * 1e6),))
            file.execute("UPDATE runtimes SET started_at = started_at - ?", (round(seconds * 1e6),))

    def runtime(self, runtime_id, pid, host=None):
        record = RuntimeRecord(runtime_id, host or socket.gethostname(), pid, "0.1.0")
        with closing(self.store.writer(record)) as writer:
            writer.next_incarnation()
        return runtime_id

    def claim(self, runtime_id):
        """A ticket is held by this runtime, which is seen by that."""
        self.board.add([NewTicket(ticket_title="held")], who="ann")
        with closing(self.store.writer(RuntimeRecord(runtime_id, "elsewhere", 1, "0.1.0"))) as writer:
            writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(1, 600.0)))

    def end_leases(self):
        file = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
        with closing(file):
            file.execute("UPDATE tickets SET lease_expires_at = claimed_at WHERE queue_state = 3")

    def stop(self, level, seconds=0.0):
        return self.board.stop(level, reason="enough", enforce_seconds=seconds, who="ann")

    def commands(self):
        """The oldest first."""
        return self.reader.commands()[::-1]

    def acted(self):
        """What was done, the oldest first: the verb, and what to."""
        acted = [event.payload for event in self.reader.events() if event.event_type == "kora.operator.acted"]
        return [(payload["verb"], payload["target"]) for payload in acted]

    def close(self):
        self.reader.close()
        self.board.close()
        self.store.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.close()
