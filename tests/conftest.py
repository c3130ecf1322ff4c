"""The tests start from the dispositions of a shell's foreground, however they were started themselves."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import Server

# Nothing of what is collected goes before the end: to look for garbage among it took a quarter of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on garbage is looked for, but not among the tests themselves."""
    gc.freeze()
    gc.enable()


# How long an example takes is the machine's affair.
settings.register_profile("kora", deadline=None)
settings.load_profile("kora")

# What is started as `python3` is this interpreter: a shim that looks for one each time takes ten times as long.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

# What nohup or a shell's `&` ignores, every process started by a test would ignore as well.
for number in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The PostgreSQL server of this test process. A test that crashes or freezes one starts its own."""
    with Server() as server:
        yield server


@pytest.fixture
def database(postgres) -> Iterator[str]:
    """The name of a fresh database, gone after the test."""
    name = postgres.database()
    yield name
    postgres.drop(name)
