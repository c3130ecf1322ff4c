"""The admin API's client: for commands that are over at once, so it imports little."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from kora.admin import place
from kora.admin.faults import raised
from kora.errors import AdminError, NoAnswerError, NoRuntimeError

TIMEOUT_SECONDS: Final = 30.0
SILENCE_SECONDS: Final = 35.0
"""of a stream, which says something every ten seconds"""
_POLL_SECONDS: Final = 0.02
_CREDENTIALS: Final = struct.Struct("3i")
_REFUSED: Final = 400

Parameters = Mapping[str, str | int | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that came on a stream: `event` is its kind (`log`, `event`, `traced`, `state`, or `missed`)."""

    id: int
    event: str
    data: dict[str, Any]


class Client:
    """Asks the runtime of this state directory. Each request has a connection of its own; for any thread.

    All raise `NoRuntimeError` when none listens, `NoAnswerError` when none answers in time, and what the runtime
    raised, with its exit code.
    """

    def __init__(self, state_dir: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._state_dir = state_dir
        self._timeout_seconds = timeout_seconds

    def get(self, path: str, parameters: Parameters | None = None) -> Any:  # noqa: ANN401 - what JSON says
        """What the path shows."""
        return self._ask("GET", _with(path, parameters))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, timeout_seconds: float | None = None) -> Any:  # noqa: ANN401 - what JSON says
        """What came of doing that."""
        return self._ask("POST", path, body, timeout_seconds)

    def delete(self, path: str) -> Any:  # noqa: ANN401 - what JSON says
        """What came of forgetting that."""
        return self._ask("DELETE", path)

    def restart(self, name: str) -> Any:  # noqa: ANN401 - what JSON says
        """As `post` to the actor's `restart`; returns when the successor has answered, also of `admin` itself."""
        began = time.monotonic()
        said = self.post(f"/actors/{segment(name)}/restart")
        if said["seconds"] is not None:
            return said
        while (generation := self._generation(name)) <= said["generation"]:
            if time.monotonic() - began > self._timeout_seconds:
                raise NoAnswerError(f"{name}: no successor has answered within {self._timeout_seconds:g} seconds")
            time.sleep(_POLL_SECONDS)
        return said | {"generation": generation, "seconds": time.monotonic() - began}

    def stream(self, path: str, parameters: Parameters | None = None, *, after: int | None = None) -> Stream:
        """What comes, until the runtime or the caller ends it; `after`: what follows the item of this id.

        The request is made at once; what it raises, it raises here. An end of the stream is an end of the iteration:
        to go on is the caller's affair, from the last id.
        """
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        connection = self._connected(SILENCE_SECONDS)
        with ExitStack() as stack:
            stack.enter_context(closing(connection))
            response = _sent(connection, "GET", _with(path, parameters), None, headers)
            if response.status >= _REFUSED:
                raise raised(response.status, _document(response))
            stack.pop_all()
        return Stream(connection, response)

    def _ask(
        self, method: str, target: str, body: Mapping[str, Any] | None = None, timeout_seconds: float | None = None
    ) -> Any:  # noqa: ANN401 - what JSON says
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        with closing(self._connected(seconds)) as connection:
            return _answer(connection, method, target, None if body is None else json.dumps(body).encode())

    def _generation(self, name: str) -> int:
        # The old server may go with the question in its hands; its successor is asked again. The socket is the
        # runtime's own: where that takes no connection, there will be no successor.
        with closing(self._connected(self._timeout_seconds)) as connection, suppress(NoRuntimeError):
            return int(_answer(connection, "GET", f"/actors/{segment(name)}", None)["generation"])
        return -1

    def _connected(self, timeout_seconds: float) -> http.client.HTTPConnection:
        path = place.find(self._state_dir)
        with ExitStack() as stack:
            connection = stack.enter_context(closing(_Connection("kora", timeout=timeout_seconds)))
            try:
                connection.reach(path)
            except TimeoutError:
                raise NoAnswerError(f"{path}: the runtime takes no connection") from None
            except OSError as error:
                raise NoRuntimeError(
                    f"{path}: no runtime answers there ({error.strerror}). Start one with `kora-actors run`, "
                    "or name its configuration with --config."
                ) from None
            stack.pop_all()
        return connection


class Stream(Iterator[Item]):
    """What comes on a stream. To be closed; it closes itself at its end."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.last_id: int | None = None
        """where the stream stands: what to go on after, also when nothing has come yet"""
        self._connection = connection
        self._response = response

    def __next__(self) -> Item:
        """The next item, once it comes. A runtime that goes away ends the stream, however it goes."""
        event, data = "", ""
        # What a closed connection, or one that is torn in the middle of a line, makes of itself.
        with suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._response.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                match name:
                    case "id":
                        self.last_id = int(value)
                    case "event":
                        event = value
                    case "data":
                        data = value
                    case "" if data and not value:
                        return Item(self.last_id or 0, event, json.loads(data))
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The server learns of it at once."""
        self._response.close()
        self._connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def reach(self, path: Path) -> None:
        """Connect, to a process of this user's. Raises `AdminError` for any other."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(path))
        content = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(content)
        if uid != os.geteuid():
            raise AdminError(
                f"{path}: listened to by uid {uid}, and not by this user ({os.geteuid()}): nothing was sent. "
                "Run this command as the user whose runtime it is."
            )


def segment(name: str) -> str:
    """A name, fit to stand in a path."""
    return quote(name, safe="")


def _with(path: str, parameters: Parameters | None) -> str:
    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _sent(
    connection: http.client.HTTPConnection, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    with _answering(f"{method} {target}"):
        # One that is refused at once may be answered before it is sent whole.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, content, dict(headers))
        return connection.getresponse()


def _answer(connection: http.client.HTTPConnection, method: str, target: str, content: bytes | None) -> Any:  # noqa: ANN401 - what JSON says
    response = _sent(connection, method, target, content, {})
    answer = _document(response)
    if response.status >= _REFUSED:
        raise raised(response.status, answer)
    return answer


def _document(response: http.client.HTTPResponse) -> Any:  # noqa: ANN401 - what JSON says
    with _answering("the question"):
        content = response.read()
    try:
        return json.loads(content)
    except ValueError:
        return None


@contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise NoAnswerError(f"the runtime has not answered {what} in time") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoRuntimeError(
            f"the runtime went away before it had answered {what}: {error or type(error).__name__}"
        ) from None
