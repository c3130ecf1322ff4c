"""What the agents' tests share: claims, a containment, attempts that can be waited for, leashes that show who lives."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.containment import Containment
from kora.agents.meter import FOLDER, Meters
from kora.agents.port import Lease, RunningAgent
from kora.agents.record import await_closed
from kora.agents.records import read
from kora.clock import SystemTime
from kora.domain.claim import Claim
from kora.domain.cost import NO_CAPS, Caps
from kora.domain.resolution import Outcome
from tests import claims
from tests.operations import MemoryLedger

WAIT_SECONDS = 60.0
TICKET_ID = "0190b3a0-0000-7000-8000-000000000001"
"""of tickets that have operations: those are named after it"""


def a_claim(
    objective: str = "Do it",
    title: str = "A ticket",
    attempt_id: str = "attempt-1",
    ticket_id: str = "ticket-1",
) -> Claim:
    return claims.a_claim(
        attempts=2,
        fence=7,
        attempt_id=attempt_id,
        ticket_id=ticket_id,
        ticket_title=title,
        ticket_objective=objective,
    )


def kept(state_dir: Path, attempt_id: str = "attempt-1") -> list[tuple[str, str]]:
    """Stream and text of every line that was kept of an attempt that has ended."""
    assert await_closed(WAIT_SECONDS), "a record was not closed"
    return [(line.stream, line.text) for line in read(state_dir, attempt_id)]


def a_lease(seconds: float = 600.0) -> Lease:
    return Lease(SystemTime().boot_seconds() + seconds, seconds)


def sh(script: str, *arguments: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script, "sh", *arguments)


# Each grandchild is orphaned, in a session of its own, without environment, and deaf to SIGTERM. Only descriptor 9
# tells of it.
TANGLE = """
exec 9>"$1"
for _ in 1 2 3; do
    (setsid env -i /bin/sh -c 'trap "" TERM; echo up >&9; while :; do /bin/sleep 1000; done' &)
done
"""
TANGLE_WORDS = 3
STAY = "trap '' TERM; while :; do sleep 1000; done"


def tangle(leash, then=STAY):
    return sh(TANGLE + then, str(leash.path))


@dataclass
class Run:
    """One attempt, and the moment of its end."""

    ended: threading.Event
    ends: list[int] = field(default_factory=list)
    running: RunningAgent | None = None
    ledger: MemoryLedger = field(default_factory=MemoryLedger)

    def on_end(self) -> None:
        self.ends.append(threading.get_ident())
        self.ended.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.running, name)

    def wait(self) -> Outcome:
        assert self.ended.wait(WAIT_SECONDS), "the attempt did not end"
        assert self.running is not None
        assert self.running.outcome is not None
        return self.running.outcome


class Leash:
    """A FIFO whose writing end an agent's descendants all inherit, on descriptor 9: its end says that all are gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._seen = b""

    def wait_for(self, words: int) -> list[str]:
        """The first words that were written, once there are so many."""
        while len(self._seen.split()) < words or not self._seen.endswith(b"\n"):
            assert select.select([self._fd], [], [], WAIT_SECONDS)[0], f"only heard {self._seen!r}"
            said = os.read(self._fd, 4_096)
            assert said, f"all are gone, and only said {self._seen!r}"
            self._seen += said
        return self._seen.decode().split()

    def is_free(self) -> bool:
        """True when nobody holds the other end: asked without waiting."""
        try:
            while chunk := os.read(self._fd, 4_096):
                self._seen += chunk
        except BlockingIOError:
            return False
        return True

    def wait_until_free(self) -> None:
        while not self.is_free():
            assert select.select([self._fd], [], [], WAIT_SECONDS)[0], "somebody still lives"

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    return tmp_path / "runtime.lock"


@pytest.fixture
def containment(lock_path: Path) -> Iterator[Containment]:
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        made = Containment(lock.fileno())
        yield made
        assert made.close(WAIT_SECONDS), "the spawner did not end"


@pytest.fixture
def start(containment: Containment, tmp_path: Path) -> Callable[..., Run]:
    def starts(
        *command: str,
        claim: Claim | None = None,
        lease: Lease | None = None,
        environ: dict[bytes, bytes] | None = None,
        ledger: MemoryLedger | None = None,
        caps: Caps = NO_CAPS,
        **settings: Any,
    ) -> Run:
        chosen = CommandSettings(command=command, **{"workdir": tmp_path, "grace_seconds": 0.2, **settings})
        meters = Meters(tmp_path / "state" / FOLDER / "runtime-1", caps)
        agent = CommandAgent(chosen, containment, state_dir=tmp_path / "state", meters=meters, environ=environ)
        run = Run(threading.Event(), ledger=ledger or MemoryLedger())
        run.running = agent.start(claim or a_claim(), lease or a_lease(), run.on_end, run.ledger)
        return run

    return starts


@pytest.fixture
def leash(tmp_path: Path) -> Iterator[Leash]:
    made = Leash(tmp_path / "leash")
    yield made
    made.close()
