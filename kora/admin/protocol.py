"""One connection to the admin socket: who may have it, and how long they may take.

The peer's uid is judged before a byte is parsed. What uvicorn does not bound is bounded here: the time in which a
request arrives, and the time for which a client reads nothing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import orjson
from loguru import logger
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from kora.admin.counters import Counters
from kora.admin.faults import told
from kora.admin.port import AdminSettings
from kora.errors import BadRequestError, KoraError, TooBusyError

HEADER_BYTES: Final = 16_384
"""a request line and its headers may be longer, but not twice as long"""
_CREDENTIALS: Final = struct.Struct("3i")
_SAID_SECONDS: Final = 60.0
_ARRIVED: Final = frozenset({h11.DONE, h11.MUST_CLOSE, h11.CLOSED})


@dataclass(slots=True)
class Gate:
    """Who may come in, and how many."""

    uid: int | None
    """None: whoever can connect"""
    settings: AdminSettings
    counters: Counters
    bound: str = "admin.max_connections"
    """what says how many"""
    _said_at: float = field(default=-_SAID_SECONDS)

    def is_foreign(self, connection: socket.socket) -> bool:
        """Whether the peer is another user; counted, and logged once a minute at most."""
        if self.uid is None:
            return False
        pid, uid, _ = peer(connection)
        if uid == self.uid:
            return False
        self.counters.peers_refused += 1
        if time.monotonic() - self._said_at >= _SAID_SECONDS:
            self._said_at = time.monotonic()
            logger.warning(
                "admin socket: process {} of uid {} was sent away: only uid {} may come in ({} sent away so far); "
                "see to it that the folder's mode is 0700",
                *(pid, uid, self.uid, self.counters.peers_refused),
            )
        return True


def peer(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group at the other end, as the kernel has them from the connect (or the listen)."""
    content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(content)
    return pid, uid, gid


def refusal(error: KoraError, status: bytes) -> bytes:
    """A whole response that says why, and closes."""
    body = orjson.dumps(told(error))
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (
        status,
        len(body),
    )
    return head + body


class AdminProtocol(H11Protocol):
    """HTTP to one peer of the right user."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        gate: Gate,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._gate = gate
        self._is_admitted = False
        self._arrival: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has been asked on it yet."""
        return self.cycle is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Refuse or admit, before anything is read."""
        if self._gate.is_foreign(transport.get_extra_info("socket")):
            transport.abort()
            return
        limit = self._gate.settings.max_connections
        if len(self.connections) >= limit:
            self._gate.counters.connections_refused += 1
            error = TooBusyError(f"{limit} connections are open, and no more are taken ({self._gate.bound})")
            transport.write(refusal(error, b"503 Service Unavailable"))
            transport.close()
            return
        self._is_admitted = True
        self._gate.counters.connections += 1
        self._gate.counters.connections_open += 1
        super().connection_made(transport)
        self._time_arrival()

    def data_received(self, data: bytes) -> None:
        """Parse, unless the connection is on its way out."""
        # Bit by bit: headers of any length that come in one piece are not incomplete, and so not bounded by h11.
        for start in range(0, len(data), HEADER_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + HEADER_BYTES])
            self._time_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._is_admitted:
            self._gate.counters.connections_open -= 1
            self._cancel_arrival()
            self.resume_writing()
            super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request's time begins."""
        self._gate.counters.requests += 1
        super().on_response_complete()
        self._time_arrival()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, in JSON; where another response is under way already, the connection just ends."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE} and not (self.cycle and self.cycle.response_started):
            error = BadRequestError(f"that is no HTTP request: {msg}")
            self.transport.write(refusal(error, b"400 Bad Request"))
            self.transport.close()
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client does not keep up: it has so long to read anything."""
        super().pause_writing()
        if self._stall is None:
            self._watch_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _watch_reading(self, size: int) -> None:
        self._stall = self.loop.call_later(self._gate.settings.stall_seconds, self._on_stall, size)

    def _on_stall(self, size: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < size:
            self._watch_reading(left)
            return
        self._stall = None
        self._gate.counters.clients_dropped += 1
        self.transport.abort()

    def _time_arrival(self) -> None:
        if self.transport.is_closing() or self.conn.their_state in _ARRIVED:
            self._cancel_arrival()
        elif self._arrival is None:
            self._arrival = self.loop.call_later(self._gate.settings.request_seconds, self._on_late)

    def _cancel_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _on_late(self) -> None:
        self._arrival = None
        # One that has said nothing since its last answer is merely idle.
        if self.cycle is None or self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._gate.counters.requests_late += 1
        self.transport.abort()
