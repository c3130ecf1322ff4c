"""The program called in this process, on a board of its own."""

import contextlib
import json
import re
import shutil
import time

import pytest

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from kora.cli import main
from kora.cli.invocation import Invocation
from kora.config import load
from kora.domain.control import CommandStatus, NewMark
from kora.store.open import open_store
from kora.store.port import RuntimeRecord, Turn
from tests.unit.kora.admin.stand_in import StandIn

SHIP = "0199c2f0-6d1e-7a3b-8c4d-00000000ea01"
CONFIGURATION = '[runtime]\nworkspace = "w"\n[agent]\ncommand = ["true"]\n'


class RecordedLauncher:
    """Stands in for the running system: records what it was asked to run."""

    def __init__(self):
        self.runs = []
        self.code = 0
        self.handle = None
        self.checked = None

    def run(self, settings, *, until_idle):
        self.runs.append((settings, until_idle))
        return self.code

    def check(self, settings):
        return self.checked

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


class Runtime:
    """What the commands find at the state directory: the real server on its socket, over a stand-in for the rest."""

    def __init__(self, folder):
        self.state_dir = folder / ".kora"
        self.console = StandIn(f"sqlite:///{folder}/kora.db")
        self.console.on_restart_admin = self._replace
        self._listening = None
        self._serving = None

    @property
    def client(self):
        return Client(self.state_dir)

    def start(self):
        self._listening = bind(self.state_dir)
        self._serving = serve(self._listening, self.console, AdminSettings())

    def stop(self):
        if self._listening is not None:
            self._serving.close()
            self._listening.close()
            self._listening = None

    def _replace(self):
        self._serving.close()
        self._serving = serve(self._listening, self.console, AdminSettings())

    def close(self):
        self.stop()
        self.console.close()


@pytest.fixture(scope="session")
def empty_board(tmp_path_factory):
    """A store with no tickets, made once: to make one takes longer than most tests."""
    path = tmp_path_factory.mktemp("board") / "kora.db"
    open_store(f"sqlite:///{path}", workspace_id="w", actor_id="00000000-0000-5000-8000-000000000001").close()
    return path


@pytest.fixture
def away(here, empty_board):
    """A runtime that is not started yet."""
    shutil.copy(empty_board, here)
    with contextlib.closing(Runtime(here)) as runtime:
        yield runtime


@pytest.fixture
def runtime(away):
    """A runtime that answers."""
    away.start()
    return away


@pytest.fixture
def store(here):
    runtime = load(here / "supervisor.toml", {}).runtime
    with open_store(runtime.store, workspace_id="w", actor_id=runtime.actor) as store:
        yield store


class Ship:
    """A runtime, as far as the store can tell."""

    def __init__(self, store, writer):
        self.store = store
        self.writer = writer
        self.incarnation = writer.next_incarnation()

    def turn(self, **parts):
        return self.writer.turn(self.incarnation, Turn(**parts))

    @property
    def newest(self):
        """The command that was given last."""
        with contextlib.closing(self.store.reader()) as reader:
            return reader.commands(1)[0].command_id

    def mark(self, status, detail=""):
        """Say how far it has come with that."""
        self.turn(marks=[NewMark(self.newest, CommandStatus(status), detail)])


@pytest.fixture
def ship(store):
    with contextlib.closing(store.writer(RuntimeRecord(SHIP, "ship", 4711, "0.1.0"))) as writer:
        yield Ship(store, writer)


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


@contextlib.contextmanager
def boarding(store):
    """An operator's handle on the store."""
    with contextlib.closing(store.board()) as board:
        yield board


def newest(kora):
    """The command that was given last, as programs get it."""
    return kora("control", "list", "--json").document[0]
