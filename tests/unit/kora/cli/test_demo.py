"""The demo's own judgement: what it calls a success. The play itself is an acceptance test."""

import contextlib
from pathlib import Path

import pytest

from kora.cli import demo
from kora.store.port import ChainFault, ChainReport, Outstanding


class Failing(contextlib.nullcontext):
    """A runtime that fails as soon as it is started."""

    def start(self):
        pass

    def outstanding(self):
        return Outstanding(ready=True, waiting=False, held=False)

    def wait(self, timeout):
        return True

    def drain(self):
        return False

    def tell(self, name, message):
        raise AssertionError("nothing was completed, so nobody is to be crashed")

    def __enter__(self):
        return self


def test_a_runtime_that_fails_fails_the_demo_which_then_keeps_its_folder(kora, launcher):
    launcher.handle = Failing()

    done = kora("demo")

    assert done.code == 1
    folder = Path(done.err.split()[-1])
    assert (folder / "kora.db").exists()
    assert (folder / "demo.log").exists()
    assert "0 of 12 tickets completed" in done.out


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path, monkeypatch):
    class Interrupted(Failing):
        def wait(self, timeout):
            raise KeyboardInterrupt

    class Launcher:
        def open(self, settings):
            return Interrupted()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(KeyboardInterrupt):
        demo.perform(Launcher(), live=False)
    assert list(tmp_path.iterdir()) == []


def test_the_users_store_is_none_of_the_demos_business(kora, launcher, here, monkeypatch):
    monkeypatch.setenv("KORA_STORE", f"sqlite:///{here}/mine.db")
    monkeypatch.setenv("KORA_CONFIG", "nowhere.toml")
    launcher.handle = Failing()

    assert kora("demo").code == 1
    assert not (here / "mine.db").exists()


def test_a_broken_chain_or_an_actor_that_stays_away_is_no_success(capsys):
    whole = ChainReport(events=3, chains=1, fault=None)
    broken = ChainReport(events=3, chains=1, fault=ChainFault("c", 2, None, "changed"))
    back = demo.Seen(restarted=demo.Counter({demo.VICTIM: 1}))

    assert demo._tell([], back, whole) is False
    assert demo._tell([], demo.Seen(), whole) is False
    assert demo._tell([], back, broken) is False
    out = capsys.readouterr().out
    assert "was not seen to be restarted" in out
    assert "broken at 2 of chain c: changed" in out
