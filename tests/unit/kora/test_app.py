"""What the composition root works out for itself."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from kora.app import assembly
from kora.config import load
from kora.errors import StartError
from kora.signals import Signals


@pytest.fixture
def settings(tmp_path):
    def configured(text: str = ""):
        path = tmp_path / "supervisor.toml"
        path.write_text(f'[agent]\ncommand = ["true"]\n{text}')
        return load(path, {})

    return configured


@pytest.mark.parametrize(
    ("text", "tick"),
    [
        ("", 1.0),
        ("[runtime]\ntick_seconds = 0.2", 0.2),
        ("[poller]\nlease_seconds = 2.4", 0.2),
        ("[poller]\npoll_interval_seconds = 0.3", 0.3),
        ("[poller]\npoll_interval_seconds = 0.001", 0.01),
    ],
)
def test_the_clock_ticks_often_enough_for_every_interval(settings, text, tick):
    assert assembly._tick_seconds(settings(text)) == pytest.approx(tick)


@pytest.fixture
def descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_of_open_files_is_raised_as_far_as_the_workers_need(descriptors):
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, descriptors[1]))
    assembly.allow_descriptors(20, 10)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (388, descriptors[1])
    assembly.allow_descriptors(1, 1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (388, descriptors[1])


def test_more_workers_than_open_files_allow_are_refused_with_both_numbers_and_the_way_out(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    with pytest.raises(
        StartError, match=r"1000 workers and 100 admin clients need 12,328 open files.*4,096: raise .*workers\.count"
    ):
        assembly.allow_descriptors(1_000, 100)


def test_signals_are_counted_while_entered_and_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.count == 2
    assert signal.getsignal(signal.SIGTERM) is before
