"""Plays the runtime, to be killed or frozen: LOCK STATE_DIR LEASE_SECONDS GRACE_SECONDS COMMAND…"""

import fcntl
import os
import sys
import threading
from pathlib import Path

from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.containment import Containment
from kora.agents.meter import FOLDER, Meters
from tests.operations import MemoryLedger
from tests.unit.kora.agents.conftest import a_claim, a_lease

lock_path, state_dir, lease_seconds, grace_seconds, *command = sys.argv[1:]
# "@" stands for this process.
command = [str(os.getpid()) if word == "@" else word for word in command]
with Path(lock_path).open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_SH)
    containment = Containment(lock.fileno())
    settings = CommandSettings(tuple(command), Path(state_dir), grace_seconds=float(grace_seconds))
    agent = CommandAgent(
        settings, containment, state_dir=Path(state_dir), meters=Meters(Path(state_dir) / FOLDER / "runtime-1")
    )
    ended = threading.Event()
    lease = a_lease(float(lease_seconds))
    attempt = agent.start(a_claim(), lease, ended.set, MemoryLedger())
    sys.stdout.write(f"{lease.deadline!r} {containment.spawner_pid}\n")
    sys.stdout.flush()
    ended.wait()
    sys.stdout.write(f"{attempt.outcome}\n")
    sys.stdout.flush()
    sys.stdin.read()
