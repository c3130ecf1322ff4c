"""A real runtime with its Console, whose agents are callables that the test lets go."""

from __future__ import annotations

import sys
import threading
import types
from contextlib import closing

import pytest
from loguru import logger

from kora.app import Runtime
from kora.config import load
from kora.domain.ticket import NewTicket
from tests.stores import open_new

# Its own first sink prints every line.
logger.remove()

PATIENCE_SECONDS = 30.0
WORKERS = 2


class Place:
    """A folder with a configuration, and the runtime that works it, driven by a thread of its own."""

    def __init__(self, folder, module):
        self.folder, self.path, self.module = folder, folder / "supervisor.toml", module
        self.going = threading.Event()
        """agents end once it is set"""
        self.keeps = threading.Event()
        self.keeps.set()
        """agents look whether they are to end only while it is set"""
        self.begun = threading.Semaphore(0)
        self.configure()
        self.runtime = self._driver = None
        self._ended = threading.Event()

    def configure(self, text="", workers=WORKERS, hang_seconds=60.0):
        self.path.write_text(
            "[runtime]\ntick_seconds = 0.1\n[poller]\npoll_interval_seconds = 0.2\n"
            f'[workers]\ncount = {workers}\n[agent]\nkind = "callable"\ncallable = "{self.module}:run"\n'
            f"grace_seconds = 2\n[supervisor]\nmax_restarts = 1000\n"
            f"[supervisor.children.poller]\nhang_seconds = {hang_seconds}\n{text}"
        )

    def run(self, _ticket, work):
        self.begun.release()
        while not self.going.wait(0.02):
            if self.keeps.wait(10):
                work.raise_if_lost()

    def begin(self, **arguments):
        self.runtime = Runtime(load(self.path, {}), **arguments)
        self.runtime.start()
        self._ended.clear()
        self._driver = threading.Thread(target=self._drive, daemon=True)
        self._driver.start()
        return self.runtime.console

    def _drive(self):
        while not self._ended.is_set() and not self.runtime.wait(0.02):
            pass

    def stop_driving(self):
        """From now on the test drives the runtime."""
        self._ended.set()
        self._driver.join(PATIENCE_SECONDS)
        return self.runtime

    def end(self, *, drain=True):
        if self.runtime is None:
            return
        self.stop_driving()
        self.going.set()
        if drain:
            assert self.runtime.drain()
        self.runtime.close()
        self.runtime = None

    def open_store(self):
        settings = load(self.path, {}).runtime
        return open_new(settings.store, workspace_id=settings.workspace, actor_id=settings.actor)

    def add(self, count):
        with self.open_store() as store, closing(store.board()) as board:
            return board.add([NewTicket(ticket_title=f"t{number}") for number in range(count)], who="test")

    def tickets(self):
        with self.open_store() as store, closing(store.reader()) as reader:
            return {ticket.ticket_id: ticket for ticket in reader.tickets()}

    def events(self, event_type=None):
        with self.open_store() as store, closing(store.reader()) as reader:
            assert reader.verify().fault is None
            return [event for event in reader.events() if event_type in {None, event.event_type}]

    def acted(self):
        """The verbs on record that are about the runtime, oldest first."""
        return [
            event.payload
            for event in self.events("kora.operator.acted")
            if event.payload["verb"] not in {"add", "import"}
        ]


@pytest.fixture
def eventually():
    def wait(condition, seconds=PATIENCE_SECONDS):
        never = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if found := condition():
                return found
            never.wait(0.02)
        raise AssertionError("it never came to be so")

    return wait


@pytest.fixture
def place(tmp_path):
    module = types.ModuleType("console_agents")
    place = Place(tmp_path, module.__name__)
    module.run = place.run
    sys.modules[module.__name__] = module
    yield place
    place.end(drain=False)
    del sys.modules[module.__name__]
