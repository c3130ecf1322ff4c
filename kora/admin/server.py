"""The admin API on its socket: bound once, served by a thread that may die and be replaced.

The listening socket outlives its servers, so whoever connects while one is replaced waits in the backlog.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loguru import logger
from uvicorn import Config, Server

from kora.admin import place
from kora.admin.api import Api
from kora.admin.counters import Counters
from kora.admin.port import AdminSettings, Console
from kora.admin.protocol import HEADER_BYTES, AdminProtocol, Gate
from kora.errors import AdminError, StartError

BACKLOG: Final = 128
STILL_SECONDS: Final = 5.0
"""how long the server's loop may not turn before it counts as standing still; it turns ten times a second"""
_GRACE_SECONDS: Final = 1
_JOIN_SECONDS: Final = 2.0
_ARRIVAL_SECONDS: Final = 0.3
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Listening:
    """The bound socket. It takes connections, into its backlog, whether anybody serves them or not."""

    path: Path
    state_dir: Path
    socket: socket.socket
    counters: Counters = field(default_factory=Counters)

    def close(self) -> None:
        """Nobody can connect any more; the socket's file is gone, and the folder if it was made for it."""
        self.socket.close()
        place.remove(self.path, self.state_dir)


def bind(state_dir: Path) -> Listening:
    """The admin socket, bound and listening, 0600 in a folder of 0700.

    For whoever holds the state directory's lock, and early, while few threads run: the umask is the process's. What a
    dead predecessor left is removed. Raises `StartError` when there can be no socket, with what to do.
    """
    path = place.prepare(state_dir)
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
    return Listening(path, state_dir, listener)


def serve(listening: Listening, console: Console, settings: AdminSettings, *, uid: int | None = None) -> Serving:
    """The API, served in a thread of its own from now on; for peers of this user (`uid`: the process's own)."""
    return Serving(listening, console, settings, os.geteuid() if uid is None else uid)


class Serving:
    """Implements `Served`."""

    def __init__(self, listening: Listening, console: Console, settings: AdminSettings, uid: int) -> None:
        listening.counters.servers += 1
        self._fault = ""
        self._api = Api(console, listening.counters, uid)
        gate = Gate(uid, settings, listening.counters)
        config = Config(
            self._api,
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
        self._server = _Server(config, self._api)
        self._suspected: float | None = None
        """when it had last turned, if the last check found that to be too long ago"""
        self._thread = threading.Thread(
            target=self._run, args=(listening.socket.dup(),), name="admin-server", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Nothing, while requests are answered. Raises `AdminError` when the thread has died or stands still.

        It stands still if it has not turned since the last check either: after the whole process was frozen, whoever
        checks may wake before it.
        """
        if not self._thread.is_alive():
            raise AdminError(f"the admin API's thread has ended{self._fault and ': '}{self._fault}")
        turned_at, suspected = self._server.turned_at, self._suspected
        still = time.monotonic() - turned_at
        self._suspected = turned_at if still > STILL_SECONDS else None
        if self._suspected is not None and suspected == turned_at:
            raise AdminError(f"the admin API's loop has not turned for {still:.0f} seconds")

    def close(self) -> None:
        """Answer what is under way, for a second at most, and end. The socket goes on taking connections."""
        self._server.should_exit = True
        self._thread.join(_GRACE_SECONDS + _JOIN_SECONDS)
        if self._thread.is_alive():
            logger.warning("the admin API's thread did not end in time, and is left to itself")

    def _run(self, listener: socket.socket) -> None:
        try:
            with listener:
                self._server.run(sockets=[listener])
        except BaseException as error:  # noqa: BLE001 - whatever it is, `check` tells it
            self._fault = repr(error)
            logger.opt(exception=error).error("the admin API's thread has died: {!r}", error)


class _Server(Server):
    """uvicorn's, which says that it turns, and leaves no connection behind."""

    def __init__(self, config: Config, api: Api) -> None:
        super().__init__(config)
        self.turned_at = time.monotonic()
        self._api = api

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second."""
        self.turned_at = time.monotonic()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, answer what is under way and who has just come, and drop who is left."""
        self._api.close()
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
