"""Bytes to the admin socket and back, and a wait that ends by itself."""

import socket
import threading
import time
from contextlib import closing, suppress

PATIENCE_SECONDS = 60.0


def connected(path, timeout=PATIENCE_SECONDS):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect(str(path))
    return connection


def rest(connection):
    """What comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def said(path, content):
    """What is answered to these bytes, until the other side closes."""
    with closing(connected(path)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(content)
        return rest(connection)


def request(method, target, body=b"", *headers):
    """One request, after which the other side closes."""
    lines = [f"{method} {target} HTTP/1.1", "Host: kora", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


def until(is_so):
    """Return once that is so."""
    ends_at, nothing = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not is_so():
        assert time.monotonic() < ends_at, "it did not become so in time"
        nothing.wait(0.01)
