"""What the runtime, the spawner and a guardian say to one another.

Light on purpose: the spawner imports this, and every guardian is a fork of the spawner. Both ends run the same code
on the same machine, so the shapes are native and carry no version.
"""

from __future__ import annotations

import struct
from enum import IntEnum

MESSAGE_BYTES = 8_192
"""more than any message here has"""
TEXT_BYTES = 4_000
STARTED = b"\0"
"""A guardian's first word, said before it forks its agent: a lifeline that ends without it belongs to an agent that
never was."""
CHUNK_BYTES = 65_536
REST_BYTES = 4 * 1_024 * 1_024
"""of what an agent has printed, how much is kept for a successor when its runtime is gone"""
LAUNCH = b"L"
"""Asks the spawner for a guardian. Goes with descriptors: the guardian's end of the lifeline, the request, stdin,
stdout, stderr."""
LAUNCH_METERED = b"M"
"""The same, with two more: stdout's reading end, and the file into which what is left there goes when the runtime is
gone."""
LAUNCH_DESCRIPTORS = {LAUNCH: 5, LAUNCH_METERED: 7}

_ORDER = struct.Struct("=Bdd")
_REPORT = struct.Struct("=BBi")
_REQUEST = struct.Struct("=dddI")


class Order(IntEnum):
    """What the runtime may tell a guardian. End of file says: the runtime is gone."""

    LEASE = 1
    TERMINATE = 2
    KILL = 3


class EndedBy(IntEnum):
    """What a guardian had begun to do when its agent's main process ended."""

    ITSELF = 0
    LEASE = 1
    TERMINATE = 2
    KILL = 3
    ORPHANED = 4


class Fate(IntEnum):
    """How the agent's main process ended."""

    EXITED = 0
    SIGNALED = 1
    FAULT = 2
    """it could not be started"""
    UNSTARTED = 3
    """the order to end it came first"""
    UNKNOWN = 4
    """its guardian died, or could not be"""


class Report:
    """A guardian's last word: nothing of the attempt is left, and this is how it went."""

    __slots__ = ("ended_by", "fate", "text", "value")

    def __init__(self, fate: Fate, ended_by: EndedBy = EndedBy.ITSELF, value: int = 0, text: str = "") -> None:
        self.fate = fate
        self.ended_by = ended_by
        self.value = value
        self.text = text

    def dump(self) -> bytes:
        """The report as one message."""
        return _REPORT.pack(self.fate, self.ended_by, self.value) + self.text.encode(errors="replace")[:TEXT_BYTES]


def load_report(message: bytes) -> Report:
    """The report that a guardian sent."""
    fate, ended_by, value = _REPORT.unpack_from(message)
    return Report(Fate(fate), EndedBy(ended_by), value, message[_REPORT.size :].decode(errors="replace"))


def dump_order(order: Order, deadline: float = 0.0, lease_seconds: float = 0.0) -> bytes:
    """An order as one message."""
    return _ORDER.pack(order, deadline, lease_seconds)


def load_order(message: bytes) -> tuple[Order, float, float]:
    """The order, and for a lease its deadline and its length."""
    order, deadline, lease_seconds = _ORDER.unpack(message)
    return Order(order), deadline, lease_seconds


class Request:
    """What a guardian is to run, and under which lease. Nothing in it may hold a NUL byte."""

    __slots__ = ("argv", "cwd", "deadline", "env", "grace_seconds", "lease_seconds")

    def __init__(
        self,
        *,
        argv: list[bytes],
        env: dict[bytes, bytes],
        cwd: bytes,
        deadline: float,
        lease_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.deadline = deadline
        self.lease_seconds = lease_seconds
        self.grace_seconds = grace_seconds

    def dump(self) -> bytes:
        """The request as the bytes of a file; of any size."""
        head = _REQUEST.pack(self.deadline, self.lease_seconds, self.grace_seconds, len(self.argv))
        return head + b"\0".join([self.cwd, *self.argv, *(name + b"=" + value for name, value in self.env.items())])


def load_request(dumped: bytes) -> Request:
    """The request that the runtime wrote."""
    deadline, lease_seconds, grace_seconds, count = _REQUEST.unpack_from(dumped)
    cwd, *words = dumped[_REQUEST.size :].split(b"\0")
    pairs = (word.partition(b"=") for word in words[count:])
    return Request(
        argv=words[:count],
        env={name: value for name, _, value in pairs},
        cwd=cwd,
        deadline=deadline,
        lease_seconds=lease_seconds,
        grace_seconds=grace_seconds,
    )
