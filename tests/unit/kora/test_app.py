"""What the composition root works out for itself."""

from __future__ import annotations

import os
import resource
import signal

import pytest
from loguru import logger

from kora.app import assembly, foreground
from kora.app.boot import gates
from kora.config import load
from kora.errors import StartError, StoreUnreachableError, StoreUnusableError
from kora.signals import Signals
from kora.store.open import open_store


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


class Away:
    """A store whose server is out of reach for the first so many openings."""

    def __init__(self, monkeypatch, times, then=lambda: None):
        self.times, self.tried, self.then = times, 0, then
        monkeypatch.setattr(gates, "open_store", self.open)

    def open(self, url, **named):
        self.tried += 1
        if self.tried <= self.times:
            if self.tried == self.times:
                self.then()
            raise StoreUnreachableError("postgresql://ada:***@db/kora: no server answers there")
        return open_store(url, **named)


AT_ONCE = "[boot]\nretry_seconds = 0\n"


def test_a_runtime_whose_server_is_away_tries_again_in_place_and_says_so_once(settings, monkeypatch, capfd):
    away = Away(monkeypatch, times=20)

    assert foreground.run(settings(AT_ONCE), until_idle=True) == 0

    said = capfd.readouterr().err
    assert away.tried == 21
    assert said.count("no server answers there; this runtime tries again") == 1
    assert "nothing is left to do" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runtime_that_waits_for_its_server_ends_at_once_when_told(settings, monkeypatch, capfd, number):
    away = Away(monkeypatch, times=3, then=lambda: os.kill(os.getpid(), number))

    assert foreground.run(settings(AT_ONCE), until_idle=False) == 0

    assert away.tried == 3
    assert "told to end before it began" in capfd.readouterr().err


def test_a_store_that_needs_a_person_is_not_tried_again(settings, monkeypatch):
    def unusable(*_, **__):
        raise StoreUnusableError("kora.db is a directory")

    monkeypatch.setattr(gates, "open_store", unusable)

    with pytest.raises(StoreUnusableError):
        foreground.run(settings(), until_idle=True)


def test_a_folder_beside_the_file_that_is_called_as_the_word_that_workdir_says_is_warned_of(tmp_path):
    (tmp_path / "fresh").mkdir()
    path = tmp_path / "supervisor.toml"
    path.write_text('[agent]\ncommand = ["true"]\n[agents.review]\ncommand = ["true"]\nworkdir = "fresh"\n')
    said: list[str] = []
    sink = logger.add(said.append, format="{level} {message}")

    try:
        assembly.check_agents(load(path, {}))
    finally:
        logger.remove(sink)

    expected = f"WARNING agents.review.workdir: \"fresh\" is not the folder '{tmp_path}/fresh', which is there, too"
    assert [line.partition(":")[0] for line in said] == ["WARNING agents.review.workdir"]
    assert said[0].startswith(expected)
    assert said[0].endswith('say "./fresh"\n')
