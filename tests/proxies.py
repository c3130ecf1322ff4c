"""Proxies between a client and a PostgreSQL server: one loses commits, one pools transactions.

Both speak version 3 of the protocol as far as they have to: simple and extended queries, pipelines, COPY as a simple
query. Neither encrypts.
"""

from __future__ import annotations

import asyncio
import random
import re
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60.0
CHUNK = 65_536
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80_877_103, 80_877_104, 80_877_102
PROTOCOL = 196_608
COMMITTED = b"C" + struct.pack("!i", 11) + b"COMMIT\0"
"""the server's CommandComplete"""
COMMIT = re.compile(rb"\bCOMMIT\s*;?\s*\Z", re.IGNORECASE)
"""the end of what a client asks"""
# What pgbouncer knows; all else in a startup packet it refuses.
STARTUP_PARAMETERS = {
    *("user", "database", "application_name", "client_encoding"),
    *("DateStyle", "datestyle", "TimeZone", "timezone", "standard_conforming_strings"),
}


def asks_commit(message: bytes) -> bool:
    """Whether this message of a client is a COMMIT: as a query of its own, or behind others in one."""
    match message[:1]:
        case b"Q":
            return COMMIT.search(message[5:-1]) is not None
        case b"P":
            return COMMIT.search(message[5:].split(b"\0", 2)[1]) is not None
    return False


def confirms_commit(message: bytes) -> bool:
    """Whether this message of a server says that a transaction is committed."""
    return message == COMMITTED


class Peer:
    """One end of a connection, read message by message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = bytearray()

    @classmethod
    async def of(cls, port: int) -> Self:
        """Connect to a server."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def startup(self) -> bytes:
        """The first packet, without its length; encryption is declined."""
        while True:
            (length,) = struct.unpack("!i", await self._reader.readexactly(4))
            packet = await self._reader.readexactly(length - 4)
            if struct.unpack_from("!i", packet)[0] not in {SSL_REQUEST, GSS_REQUEST}:
                return packet
            self._writer.write(b"N")

    async def messages(self) -> list[bytes]:
        """The messages that have come, at least one; none once the connection has ended."""
        while True:
            found = list(self._cut())
            if found:
                return found
            said = await self._reader.read(CHUNK)
            if not said:
                return []
            self._rest += said

    def _cut(self) -> Iterator[bytes]:
        begin = 0
        while len(self._rest) >= begin + 5:
            end = begin + 1 + int.from_bytes(self._rest[begin + 1 : begin + 5])
            if len(self._rest) < end:
                break
            yield bytes(self._rest[begin:end])
            begin = end
        del self._rest[:begin]

    async def send(self, *messages: bytes) -> None:
        """Send these, and wait while too much is on its way."""
        self.push(*messages)
        await self.drain()

    async def drain(self) -> None:
        """Wait while too much is on its way."""
        await self._writer.drain()

    def push(self, *messages: bytes) -> None:
        """Send these, without a chance for anything else to happen meanwhile."""
        self._writer.write(b"".join(messages))

    def close(self) -> None:
        """End the connection behind what was sent."""
        self._writer.close()


class Proxy(ABC):
    """A proxy on a port of its own, served by a thread of its own while the context lasts."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=type(self).__name__)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(PATIENCE_SECONDS):
            raise TimeoutError("the proxy does not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def url(self, database: str, *, user: str = "postgres") -> str:
        """The address of a database by way of this proxy."""
        return f"postgresql://{user}@{HOST}:{self.port}/{database}"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        listening = await asyncio.start_server(self._accept, HOST, 0)
        self.port = listening.sockets[0].getsockname()[1]
        self._listening.set()
        await self._over.wait()
        listening.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(reader, writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                startup = await client.startup()
                if struct.unpack_from("!i", startup)[0] != CANCEL_REQUEST:
                    await self._serve(client, startup)
        except asyncio.CancelledError:
            # The proxy ends. A task of asyncio's streams that ends so would be reported as a failure.
            return
        finally:
            client.close()

    @abstractmethod
    async def _serve(self, client: Peer, startup: bytes) -> None:
        """Serve a client until it, or its connection, ends."""


class DroppingProxy(Proxy):
    """Passes everything on, but cuts some connections at their COMMIT, on both sides at once.

    With `loses="reply"` the transaction is committed and the client never hears of it; with `loses="commit"` the server
    never gets the COMMIT, and the client cannot tell it from the other. Whether, is drawn for each COMMIT.
    """

    def __init__(
        self, server_port: int, *, probability: float, seed: int, loses: Literal["reply", "commit"] = "reply"
    ) -> None:
        super().__init__(server_port)
        self.commits = 0
        """commits that came by"""
        self.dropped = 0
        """how many of them it cut"""
        self._probability = probability
        self._random = random.Random(seed)
        self._loses = loses

    async def _serve(self, client: Peer, startup: bytes) -> None:
        server = await Peer.of(self._server_port)
        server.push(packet(startup))
        ways = [
            asyncio.create_task(self._pass(client, server, asks_commit if self._loses == "commit" else None)),
            asyncio.create_task(self._pass(server, client, confirms_commit if self._loses == "reply" else None)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server.close()

    async def _pass(self, source: Peer, target: Peer, is_commit: Callable[[bytes], bool] | None) -> None:
        while messages := await source.messages():
            for place, message in enumerate(messages):
                if is_commit and is_commit(message) and self._drops():
                    await target.send(*messages[:place])
                    return
            await target.send(*messages)

    def _drops(self) -> bool:
        self.commits += 1
        drops = self._random.random() < self._probability
        self.dropped += drops
        return drops


class PoolingProxy(Proxy):
    """Lends each transaction one of a few server connections, as pgbouncer does with `pool_mode = transaction`.

    Nothing of a session holds: the connections to the server go round, so that the next transaction gets another one.
    What a client sets, or prepares by name, stays on whichever connection it had then; nobody hears a notification;
    startup parameters that a pool cannot keep are refused. (pgbouncer before 1.21: later ones follow prepared
    statements.) A cancel request is ignored.
    """

    def __init__(self, server_port: int, *, size: int = 2) -> None:
        super().__init__(server_port)
        self._size = size
        self._pools: dict[tuple[bytes, bytes], Pool] = {}

    async def _serve(self, client: Peer, startup: bytes) -> None:
        words = startup[4:].split(b"\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        parameters.pop(b"", None)
        unknown = [name.decode() for name in parameters if name.decode() not in STARTUP_PARAMETERS]
        if unknown:
            await client.send(fatal("08P01", f"unsupported startup parameter: {unknown[0]}"))
            return
        user = parameters[b"user"]
        key = (user, parameters.get(b"database", user))
        pool = self._pools.setdefault(key, Pool(self._server_port, *key, self._size))
        session = Session(client, pool)
        try:
            await session.greet()
            await session.serve()
        except ServerAwayError as error:
            await client.send(fatal("08006", str(error)))
        finally:
            session.leave()


class ServerAwayError(Exception):
    """The server takes no connection; the message says what it said."""


class Session:
    """A client of the pool, and the server connection that it has while a transaction of its goes on."""

    def __init__(self, client: Peer, pool: Pool) -> None:
        self.client = client
        self._pool = pool
        self._link: Link | None = None
        self._unanswered = 0
        """how many times the server has yet to say that it is ready"""
        self._unsynced = False
        """whether a Sync is still to come"""

    async def greet(self) -> None:
        """Answer the startup packet in the server's place."""
        self._pool.take_back(await self._pool.lend(self))
        secret = message(b"K", struct.pack("!ii", 1, 1))
        await self.client.send(message(b"R", struct.pack("!i", 0)), *self._pool.greeting, secret, READY)

    async def serve(self) -> None:
        """Pass on what the client asks, until it leaves."""
        while (asked := await self.client.messages()) and asked[0][:1] != b"X":
            if self._link is None:
                if all(one[:1] == b"H" for one in asked):
                    continue
                self._link = await self._pool.lend(self)
            link = self._link
            for one in asked:
                kind = one[:1]
                if kind == b"X":
                    return
                if kind in {b"Q", b"F", b"S"}:
                    self._unanswered += 1
                # A Flush opens nothing: psycopg sends one behind the last Sync of a pipeline.
                if kind in {b"P", b"B", b"D", b"E", b"C", b"S"}:
                    self._unsynced = kind != b"S"
            await link.server.send(*asked)

    async def hear(self, said: list[bytes]) -> None:
        """Pass on what the server says; between two transactions the connection goes back."""
        for one in said:
            if one[:1] == b"Z":
                self._unanswered -= 1
            if one == READY and not self._unanswered and not self._unsynced:
                link, self._link = self._link, None
                self._pool.take_back(link)
        # pgbouncer hands a notification to whoever has the connection then: here nobody gets any.
        self.client.push(*(one for one in said if one[:1] != b"A"))
        # A client that left is no reason to end the server's connection.
        with suppress(OSError):
            await self.client.drain()

    def leave(self) -> None:
        """The client is gone: what it left open ends with the connection."""
        if self._link is not None:
            self._link.end()
            self._pool.take_back(self._link)


class Link:
    """A connection to the server, and who has it just now."""

    def __init__(self, server: Peer) -> None:
        self.server = server
        self.session: Session | None = None
        self.gone = False
        self._task = asyncio.create_task(self._listen())

    def end(self) -> None:
        """Close it: nobody is lent it any more."""
        self.gone = True
        self.server.close()

    async def _listen(self) -> None:
        try:
            with suppress(OSError):
                while said := await self.server.messages():
                    if self.session is not None:
                        await self.session.hear(said)
        finally:
            self.end()
            if self.session is not None:
                self.session.client.close()


class Pool:
    """The server connections of one user to one database, lent in turn."""

    def __init__(self, server_port: int, user: bytes, database: bytes, size: int) -> None:
        self.greeting: list[bytes] = []
        """what the server told of its parameters"""
        self._server_port = server_port
        self._startup = b"\0".join((struct.pack("!i", PROTOCOL) + b"user", user, b"database", database, b"", b""))
        self._turns: asyncio.Queue[Link | None] = asyncio.Queue()
        """for None, a connection is yet to be made"""
        for _ in range(size):
            self._turns.put_nowait(None)

    async def lend(self, session: Session) -> Link:
        """The next connection, once one is free."""
        link = await self._turns.get()
        if link is None or link.gone:
            try:
                link = Link(await self._connect())
            except BaseException:
                self._turns.put_nowait(None)
                raise
        link.session = session
        return link

    def take_back(self, link: Link) -> None:
        """It may be lent to another."""
        link.session = None
        self._turns.put_nowait(link)

    async def _connect(self) -> Peer:
        try:
            server = await Peer.of(self._server_port)
        except OSError as error:
            raise ServerAwayError(str(error)) from error
        server.push(packet(self._startup))
        greeting = []
        while said := await server.messages():
            for one in said:
                if one[:1] == b"E":
                    server.close()
                    raise ServerAwayError(one[5:].split(b"\0M")[1].split(b"\0")[0].decode())
                if one[:1] == b"S":
                    greeting.append(one)
                if one == READY:
                    self.greeting = greeting
                    return server
        server.close()
        raise ServerAwayError("the server ended the connection")


def packet(body: bytes) -> bytes:
    """It with its length before it."""
    return struct.pack("!i", len(body) + 4) + body


def message(kind: bytes, body: bytes) -> bytes:
    """A message of this kind."""
    return kind + packet(body)


def fatal(code: str, text: str) -> bytes:
    """An error that ends the session."""
    fields = ("SFATAL", "VFATAL", f"C{code}", f"M{text}", "", "")
    return message(b"E", "\0".join(fields).encode())


READY = message(b"Z", b"I")
"""the server awaits a query, outside any transaction"""
