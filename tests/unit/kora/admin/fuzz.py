"""Bytes by the thousand at a socket, many connections at a time, and what may have come of them."""

import json
import random
import re
import selectors
import socket
import time
from urllib.parse import quote

IN_FLIGHT = 100
PATIENCE_SECONDS = 120.0
SENTINEL = b"GET /ping HTTP/1.1\r\nHost: kora\r\nConnection: close\r\n\r\n"
"""behind everything, so that whoever has read it all answers and closes"""

TELL = b'{"message": {"kind": "Poll"}}'
ASK = b'{"message": {"kind": "Describe", "depth": 3}, "timeout_seconds": 5}'
BODIES = {"tell": TELL, "ask": ASK, "drain": b'{"seconds": 5}', "shutdown": b'{"at_once": true}'}
TARGETS = [
    *("GET /", "GET /status", "GET /tree", "GET /actors/poller", "GET /actors/poller/mailbox?limit=2", "GET /stack"),
    *("GET /actors/poller/kinds", "GET /claims", "GET /tickets?status=assigned&status=completed&limit=5", "GET /stats"),
    *("GET /tickets/019b0000-0000-7000-8000-000000000001", "GET /events?after=0&limit=3", "GET /log?limit=9"),
    *("GET /log/stream", "GET /events/stream?type=kora.boot.ready", "GET /actors/poller/trace", "GET /cost"),
    *("POST /actors/poller/tell", "POST /actors/ledger/ask", "POST /actors/poller/stop", "POST /actors/poller/start"),
    *("POST /actors/clock/restart", "POST /pause", "POST /resume", "POST /drain", "POST /reread", "POST /update"),
    *("POST /shutdown", "POST /tickets/x/release", "POST /deadletters/7/resend", "DELETE /deadletters/7"),
    "DELETE /deadletters",
]


def chunked(body, chance):
    cut = chance.randrange(len(body) + 1)
    parts = [part for part in (body[:cut], body[cut:]) if part]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def valid(chance, targets=TARGETS):
    """One request that is as it should be."""
    target = chance.choice(targets)
    body = BODIES.get(target.rpartition("/")[2], b"") if target.startswith("POST") else b""
    head = f"{target} HTTP/1.1\r\nHost: kora\r\n".encode()
    if chance.random() < 0.2:
        head += b"".join(b"X-%d: %s\r\n" % (number, b"y" * chance.randrange(200)) for number in range(9))
    if body and chance.random() < 0.3:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, chance)
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def mutated(content, chance, targets=TARGETS):
    """The bytes, spoilt in a few places."""
    spoilt = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(spoilt) + 1)
        match chance.randrange(7):
            case 0:
                spoilt[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del spoilt[place : place + chance.randrange(1, 20)]
            case 2:
                spoilt[place:place] = chance.randbytes(chance.randrange(1, 20))
            case 3:
                spoilt[place:place] = spoilt[place : place + 30]
            case 4:
                spoilt[place : place + 1] = chance.choice(
                    (
                        b"\r\n",
                        b"\0",
                        b"%00",
                        b"%2f",
                        b"{",
                        b"[" * 40,
                        b'"',
                        b"\xff",
                        b"-1",
                        b"9" * 30,
                        b"..",
                        b";",
                        b"\r\n\r\n",
                    )
                )
            case 5:
                if place < len(spoilt):
                    spoilt[place] ^= 1 << chance.randrange(8)
            case 6:
                other = valid(chance, targets)
                spoilt[place:] = other[chance.randrange(len(other)) :]
    return bytes(spoilt)


def sequence(chance, targets=TARGETS):
    """What one connection is sent."""
    kind = chance.random()
    if kind < 0.55:
        return mutated(valid(chance, targets), chance, targets)
    if kind < 0.70:
        return b"".join(valid(chance, targets) for _ in range(chance.randrange(1, 5)))
    if kind < 0.80:
        return b"".join(mutated(valid(chance, targets), chance, targets) for _ in range(chance.randrange(2, 4)))
    if kind < 0.90:
        content = valid(chance, targets)
        return content[: chance.randrange(len(content))]
    if kind < 0.97:
        return chance.randbytes(chance.randrange(300))
    return b"GET /status HTTP/1.1\r\nX: " + b"y" * chance.randrange(100_000) + b"\r\n\r\n"


class Barrage:
    """Sends sequences to a socket, `IN_FLIGHT` at a time, and says which met an error of the server's."""

    def __init__(self, path):
        self._path = str(path)
        self._selector = selectors.DefaultSelector()
        self.answered = 0
        self.statuses = {}

    def run(self, sequences):
        """Send them all; every connection is over at the end. Returns the sequences that were answered with a 500."""
        faults, left = [], iter(sequences)
        while True:
            while len(self._selector.get_map()) < IN_FLIGHT and (content := next(left, None)) is not None:
                self._begin(content)
            if not self._selector.get_map():
                return faults
            for key, _ in self._selector.select(1.0):
                faults += self._advance(key.fileobj, key.data)
            now = time.monotonic()
            late = [key for key in self._selector.get_map().values() if now - key.data["at"] > PATIENCE_SECONDS]
            assert not late, f"never answered, and never closed: {late[0].data['content'][:2_000]!r}"

    def close(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _begin(self, content):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self._path)
        connection.settimeout(0)
        state = {"content": content, "unsent": memoryview(content + SENTINEL), "answer": b"", "at": time.monotonic()}
        self._selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, state)

    def _advance(self, connection, state):
        try:
            if state["unsent"]:
                state["unsent"] = state["unsent"][connection.send(state["unsent"]) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            state["unsent"] = b""
        if not state["unsent"]:
            self._selector.modify(connection, selectors.EVENT_READ, state)
        try:
            part = connection.recv(262_144)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            part = b""
        state["answer"] += part
        if part and b"text/event-stream" not in state["answer"]:
            return []
        self._selector.unregister(connection)
        connection.close()
        found = re.findall(rb"HTTP/1\.1 (\d\d\d) ", state["answer"])
        self.answered += bool(found)
        for status in found:
            self.statuses[status] = self.statuses.get(status, 0) + 1
        return [state["content"]] if b"500" in found else []


def batches(seed, count, targets=TARGETS, size=500):
    """So many sequences, the same for the same seed."""
    chance = random.Random(seed)
    for start in range(0, count, size):
        yield [sequence(chance, targets) for _ in range(min(size, count - start))]


def was_asked_for(change, contents):
    """Whether any of these bytes, read in the simplest way there is, ask for this change in full."""
    verb, *args, _ = change
    line = _line(verb, args)
    return any(line.search(content) and _has_content(verb, args, content) for content in contents)


def _line(verb, args):
    match verb:
        case "tell" | "ask" | "start" | "stop" | "restart":
            target = f"POST /actors/{args[0]}/{verb}"
        case "release":
            target = f"POST /tickets/{args[0]}/release"
        case "resend":
            target = f"POST /deadletters/{args[0]}/resend"
        case "drop":
            target = "DELETE /deadletters" if args[0] is None else f"DELETE /deadletters/{args[0]}"
        case _:
            target = f"POST /{verb}"
    plain, spelt = re.escape(target.encode()), re.escape(quote(target, safe="/ ").encode())
    # A number may have zeros before it.
    loose = re.sub(rb"(?<=/)(\d+)", rb"0*\1", plain)
    return re.compile(rb"(?:%s|%s|%s)\??[ ]HTTP/1\.[01]\r?\n" % (plain, spelt, loose))


def _has_content(verb, args, content):
    match verb, args:
        case "tell" | "ask", [_, message]:
            return any(found.get("message") == message for found in _objects(content))
        case "drain", [seconds]:
            return seconds is None or any(found.get("seconds") == seconds for found in _objects(content))
        case "shutdown", [at_once]:
            return not at_once or any(found.get("at_once") for found in _objects(content))
    return True


def _objects(content):
    for text in (content, re.sub(rb"\r\n[0-9a-fA-F]+[^\r\n]*\r\n", b"", content)):
        plain = text.decode("utf-8", "replace")
        for start in (match.start() for match in re.finditer(r"\{", plain)):
            try:
                found, _ = json.JSONDecoder().raw_decode(plain, start)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
