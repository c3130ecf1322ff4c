"""The program called in this process, on a board of its own."""

import contextlib
import json
import re
import time

import pytest

from kora.cli import main
from kora.cli.invocation import Invocation

CONFIGURATION = '[runtime]\nworkspace = "w"\n[agent]\ncommand = ["true"]\n'


class RecordedLauncher:
    """Stands in for the running system: records what it was asked to run."""

    def __init__(self):
        self.runs = []
        self.code = 0
        self.handle = None

    def run(self, settings, *, until_idle):
        self.runs.append((settings, until_idle))
        return self.code

    def open(self, settings):
        return self.handle


class Finished:
    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def document(self):
        return json.loads(self.out)


@pytest.fixture
def launcher():
    return RecordedLauncher()


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "supervisor.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name in ("KORA_CONFIG", "KORA_STORE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def kora(here, launcher, capsysbinary):
    def kora(*arguments):
        code = main(launcher, list(arguments))
        captured = capsysbinary.readouterr()
        return Finished(code, captured.out.decode(), captured.err.decode())

    return kora


@pytest.fixture
def reads(monkeypatch):
    """Have the commands read from this object instead of a store."""

    def reads(reader):
        monkeypatch.setattr(Invocation, "reader", lambda self, settings=None: contextlib.nullcontext(reader))

    return reads


@pytest.fixture
def utc(monkeypatch):
    """The zone of this machine is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def on_terminal(monkeypatch):
    """Make stdout a terminal of this width; the result tells what it has shown, without colours."""

    def on_terminal(width):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)

    return on_terminal


def plain(text):
    """The lines of what a terminal was sent, without colours and trailing blanks."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
