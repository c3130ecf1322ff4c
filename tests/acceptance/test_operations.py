"""An operation keyed by its id brings its effect about once, wherever the runtime is killed around it."""

from __future__ import annotations

import os
import select
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from tests.acceptance.home import PATIENCE_SECONDS, Home

AGENT = Path(__file__).with_name("effects_agent.py")
AROUND_SECONDS = 0.03
"""the operation, its effect and its commit take less than this from the word that it is about to begin"""


def prepare(home: Home) -> None:
    shutil.copy(AGENT, home.folder / "effects.py")
    home.configure(
        agent={"kind": "callable", "callable": "effects:run", "command": None},
        workers={"count": 1},
        control={"max_attempts": 1_000},
        poller={"lease_seconds": 60, "poll_interval_seconds": 0.2},
    )
    with closing(sqlite3.connect(home.folder / "effects.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE effects (ticket TEXT, operation TEXT PRIMARY KEY)")
        database.execute("CREATE TABLE handed (ticket TEXT, charged TEXT)")
    for name in ("beginning", "go"):
        os.mkfifo(home.folder / name)


class Listener:
    """Hears of each operation that is about to begin, and gives the word for it: none begins behind its back."""

    def __init__(self, home: Home) -> None:
        self._fd = os.open(home.folder / "beginning", os.O_RDWR | os.O_NONBLOCK)
        self._go = os.open(home.folder / "go", os.O_RDWR | os.O_NONBLOCK)
        self._rest = b""
        self.known: set[str] = set()

    def next_ticket(self) -> bool:
        """Let the first operation begin of a ticket that was not heard of before; False if none comes."""
        while select.select([self._fd], [], [], PATIENCE_SECONDS)[0]:
            *lines, self._rest = (self._rest + os.read(self._fd, 65_536)).split(b"\n")
            fresh = {line.decode() for line in lines} - self.known
            self.known |= fresh
            os.write(self._go, b"!" * len(lines))
            if fresh:
                return True
        return False

    def forget(self) -> None:
        """Whoever asked was killed: nobody asks, and nobody was given the word."""
        self._rest = b""
        for pipe in (self._fd, self._go):
            with suppress(BlockingIOError):
                os.read(pipe, 65_536)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._go)


def kill_around(home: Home, kills: int, seed: int) -> None:
    prepare(home)
    # One more than kills: something is left for the last runtime to begin.
    tickets = kills + 1
    home.add(tickets)
    random = Random(seed)
    with closing(Listener(home)) as listener:
        for _ in range(kills):
            process = home.start("run")
            assert listener.next_ticket(), home.log()
            # The moment itself is what is drawn by lot here.
            select.select([], [], [], random.uniform(0, AROUND_SECONDS))
            process.kill()
            process.wait()
            listener.forget()
    last = home.start("run", "--until-idle")
    assert last.wait(PATIENCE_SECONDS) == 0, home.log()
    assert_once(home, tickets)


def assert_once(home: Home, count: int) -> None:
    tickets = home.tickets()
    assert {ticket["sea_status"] for ticket in tickets} == {"completed"}
    with closing(sqlite3.connect(home.folder / "effects.db")) as database:
        effects = dict(database.execute("SELECT ticket, operation FROM effects").fetchall())
        (rows,) = database.execute("SELECT count(*) FROM effects").fetchone()
        handed = database.execute("SELECT ticket, charged FROM handed").fetchall()
    assert len(effects) == rows == len(tickets) == count
    for ticket, charged in handed:
        assert charged == effects[ticket]
    assert all(sum(ticket == each for each, _ in handed) >= 3 for ticket in effects)
    verified = home.kora("events", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(("kills", "homes"), [(4, 1), pytest.param(500, 2, marks=pytest.mark.prove)])
def test_killed_around_an_operation_its_effect_is_there_once(tmp_path, kills, homes):
    folders = [tmp_path / str(number) for number in range(homes)]
    for folder in folders:
        folder.mkdir()
    made = [Home(folder) for folder in folders]
    try:
        with ThreadPoolExecutor(homes) as pool:
            list(pool.map(lambda item: kill_around(item[1], kills // homes, item[0]), enumerate(made)))
    finally:
        for home in made:
            home.end()
