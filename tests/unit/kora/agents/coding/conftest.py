"""What the coding agents' tests share: attempts of a program that replays a stream."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from pathlib import Path

import pytest

from kora.agents.coding.agent import CodingAgent
from kora.agents.meter import Meters
from kora.clock import SystemTime
from kora.domain.cost import NO_CAPS
from kora.domain.resolution import settle
from tests.operations import MemoryLedger
from tests.unit.kora.agents.conftest import Run, a_claim, a_lease, containment, lock_path  # noqa: F401 - fixtures

REPLAY = Path(__file__).parent / "replay.py"


@pytest.fixture
def replay(containment, tmp_path):  # noqa: F811 - the fixture
    """Starts an attempt whose program replays this."""

    def starts(
        recorded, *, end=None, seed=0, transcript=None, claim=None, ledger=None, lease=None, caps=NO_CAPS, **settings
    ):
        name, how = transcript or recorded.path, end or recorded.end
        program = tmp_path / "program"
        words = [sys.executable, "-I", "-S", REPLAY, name, seed, how]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        program.chmod(0o755)
        chosen = recorded.settings(
            **{"executable": str(program), "workdir": tmp_path, "grace_seconds": 0.2, **settings}
        )
        marks = []
        agent = CodingAgent(
            chosen,
            containment,
            state_dir=tmp_path / "state",
            meters=Meters(tmp_path / "meters", caps),
            time_source=SystemTime(),
            watch=lambda _, mark: mark and marks.append(mark),
        )
        run = Run(threading.Event(), ledger=ledger or MemoryLedger())
        run.marks = marks
        run.running = agent.start(claim or a_claim(), lease or a_lease(), run.on_end, run.ledger)
        return run

    return starts


@pytest.fixture
def asked(tmp_path):
    """What the program was called with and asked."""
    return lambda: json.loads((tmp_path / "asked.json").read_text())


def settled(outcome, claim=None):
    return settle(claim or a_claim(), outcome, max_attempts=10)
