"""The admin API on its socket, and how the runtime is on a port: bound once, served by threads that may be replaced.

The listening sockets outlive their servers, so whoever connects while one is replaced waits in the backlog.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from loguru import logger
from uvicorn import Config, Server

from kora.admin import place
from kora.admin.api import Api
from kora.admin.counters import Counters
from kora.admin.health_face import HealthFace
from kora.admin.port import AdminSettings, Console, Served
from kora.admin.protocol import HEADER_BYTES, AdminProtocol, Gate
from kora.errors import AdminError, StartError

BACKLOG: Final = 128
_Socket = socket.socket
HEALTH_CONNECTIONS: Final = 16
"""at a time, to the port for health: whoever scrapes needs one"""
STILL_SECONDS: Final = 5.0
"""how long the server's loop may not turn before it counts as standing still; it turns ten times a second"""
_GRACE_SECONDS: Final = 1
_JOIN_SECONDS: Final = 2.0
_ARRIVAL_SECONDS: Final = 0.3
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Listening:
    """The bound sockets. They take connections, into their backlogs, whether anybody serves them or not."""

    path: Path
    state_dir: Path
    socket: socket.socket
    health: _Socket | None = None
    """where it is told how the runtime is, and nothing else"""
    counters: Counters = field(default_factory=Counters)

    def close(self) -> None:
        """Nobody can connect any more; the socket's file is gone, and the folder if it was made for it."""
        self.socket.close()
        if self.health is not None:
            self.health.close()
        place.remove(self.path, self.state_dir)


def bind(state_dir: Path, health_address: tuple[str, int] | None = None) -> Listening:
    """The admin socket, bound and listening, 0600 in a folder of 0700; and the port for health, if one is named.

    For whoever holds the state directory's lock, and early, while few threads run: the umask is the process's. What a
    dead predecessor left is removed. Raises `StartError` when there can be no socket, with what to do.
    """
    health = None if health_address is None else _bind_port(*health_address)
    try:
        path = place.prepare(state_dir)
        return Listening(path, state_dir, _bind_path(path), health)
    except BaseException:
        if health is not None:
            health.close()
        raise


def _bind_port(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Whoever was connected to a predecessor is no reason to refuse.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        said = f"{host} port {port}: cannot be listened at: {error.strerror}"
        raise StartError(f"{said}. Set admin.health_listen to another port, or to none.") from None
    if not port:
        logger.info("admin.health_listen: {} port {}", host, listener.getsockname()[1])
    return listener


def _bind_path(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"{path}: the admin socket cannot be bound: {error.strerror}") from None
    finally:
        os.umask(before)
    return listener


def serve(listening: Listening, console: Console, settings: AdminSettings, *, uid: int | None = None) -> Served:
    """The API, served in a thread of its own from now on; for peers of this user (`uid`: the process's own).

    Where there is a port for health, that is served too, to whoever can connect.
    """
    listening.counters.servers += 1
    own = os.geteuid() if uid is None else uid
    api = Serving(
        "admin", listening.socket, Api(console, listening.counters, own), Gate(own, settings, listening.counters)
    )
    if listening.health is None:
        return api
    bounds = replace(settings, max_connections=HEALTH_CONNECTIONS)
    gate = Gate(None, bounds, Counters(), f"the port for health takes {HEALTH_CONNECTIONS}")
    return Together((api, Serving("health", listening.health, HealthFace(console), gate)))


class Together:
    """Implements `Served` for all of these: when one has died, all are served anew."""

    def __init__(self, each: Sequence[Served]) -> None:
        self._each = each

    def check(self) -> None:
        """Nothing, while all of them answer. Raises `AdminError`."""
        for served in self._each:
            served.check()

    def close(self) -> None:
        """End them, the last one first."""
        for served in reversed(self._each):
            served.close()


class Serving:
    """Implements `Served` for one application on one socket."""

    def __init__(self, name: str, listener: socket.socket, app: Api | HealthFace, gate: Gate) -> None:
        self._name = name
        self._fault = ""
        config = Config(
            app,
            http=functools.partial(AdminProtocol, gate=gate),  # type: ignore[arg-type]  # all that uvicorn does is call it
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            # What it would say of a request, whoever may connect can make it say without end; the rest the API says.
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(config, app)
        self._suspected: float | None = None
        """when it had last turned, if the last check found that to be too long ago"""
        self._thread = threading.Thread(target=self._run, args=(listener.dup(),), name=f"{name}-server", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Nothing, while requests are answered. Raises `AdminError` when the thread has died or stands still.

        It stands still if it has not turned since the last check either: after the whole process was frozen, whoever
        checks may wake before it.
        """
        if not self._thread.is_alive():
            raise AdminError(f"the {self._name} API's thread has ended{self._fault and ': '}{self._fault}")
        turned_at, suspected = self._server.turned_at, self._suspected
        still = time.monotonic() - turned_at
        self._suspected = turned_at if still > STILL_SECONDS else None
        if self._suspected is not None and suspected == turned_at:
            raise AdminError(f"the {self._name} API's loop has not turned for {still:.0f} seconds")

    def close(self) -> None:
        """Answer what is under way, for a second at most, and end. The socket goes on taking connections."""
        self._server.should_exit = True
        self._thread.join(_GRACE_SECONDS + _JOIN_SECONDS)
        if self._thread.is_alive():
            logger.warning("the {} API's thread did not end in time, and is left to itself", self._name)

    def _run(self, listener: socket.socket) -> None:
        try:
            with listener:
                self._server.run(sockets=[listener])
        except BaseException as error:  # noqa: BLE001 - whatever it is, `check` tells it
            self._fault = repr(error)
            logger.opt(exception=error).error("the {} API's thread has died: {!r}", self._name, error)


class _Server(Server):
    """uvicorn's, which says that it turns, and leaves no connection behind."""

    def __init__(self, config: Config, app: Api | HealthFace) -> None:
        super().__init__(config)
        self.turned_at = time.monotonic()
        self._app = app

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second."""
        self.turned_at = time.monotonic()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, answer what is under way and who has just come, and drop who is left."""
        self._app.close()
        for server in self.servers:
            server.close()
        # Whoever is in already cannot wait for the successor: what they came to ask is in the socket by now, or soon.
        with suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVAL_SECONDS):
                while any(connection.is_fresh for connection in self._connections()):  # noqa: ASYNC110 - a poll of 0.3 s
                    await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)
        for connection in self._connections():
            connection.transport.abort()

    def _connections(self) -> list[AdminProtocol]:
        return [each for each in self.server_state.connections if isinstance(each, AdminProtocol)]


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartError(f"{path}: no socket, and in the admin socket's place. Move it away.")
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StartError(f"{path}: what a predecessor left cannot be removed: {error.strerror}") from None
