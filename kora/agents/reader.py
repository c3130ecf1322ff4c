"""What an attempt is made of, and how its pipes and its lifeline are served until it has ended."""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kora.agents.hearing import Stream
from kora.agents.output import Output
from kora.agents.pipes import UNREAD_BYTES, Bell, Pipes
from kora.agents.wire import CHUNK_BYTES, MESSAGE_BYTES, STARTED, Fate, Report, load_report

if TYPE_CHECKING:
    from kora.agents.dialogue import Dialogue
    from kora.agents.meter import Meter
    from kora.agents.port import Lease
    from kora.clock import TimeSource

LOOK_SECONDS: Final = 1.0
"""The boot clock runs on through a suspend and poll's does not: no wait is longer than this."""

Kept = tuple[int, int] | None
"""stdout's reading end, and the file in which what is left there is kept when the runtime is gone; None: it is not"""
Launcher = Callable[[tuple[int, int, int], "Lease", Kept], socket.socket]
"""Starts the program on these three descriptors and hands back its lifeline; raises `AgentError`."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attempt is made of, beside its lease and its listener."""

    name: str
    """for logs"""
    document: Callable[[], bytes]
    """makes what is written to stdin"""
    launcher: Launcher
    output: Output
    dialogue: Dialogue | None = None
    """of its operations; None: it has none"""
    meter: Meter | None = None
    """of what it tells to have spent; None: it tells nothing"""
    timeout_seconds: float = 0.0
    stall_seconds: float = 0.0


class Reader:
    """Serves one lifeline and its pipes; `run` returns the lifeline's last word, when nothing of the agent is left."""

    def __init__(
        self,
        plan: Plan,
        lifeline: socket.socket,
        pipes: Pipes,
        bell: Bell,
        *,
        on_linger: Callable[[], None],
        on_over_budget: Callable[[], None],
        time_source: TimeSource,
    ) -> None:
        self._plan = plan
        self._on_linger = on_linger
        self._on_over_budget = on_over_budget
        self._time_source = time_source
        self._lifeline = lifeline
        self._pipes = pipes
        self._bell = bell
        self._streams: dict[int, Stream] = {pipes.stdout: "stdout", pipes.stderr: "stderr"}
        self._poll = select.poll()
        self._writing = False
        self._started = False
        self._has_lingered = False

    def run(self) -> Report:
        """Read what comes, and write what is to be told, until the lifeline has said how it went."""
        for descriptor in (self._lifeline.fileno(), self._bell.descriptor, *self._streams):
            self._poll.register(descriptor, select.POLLIN)
        report = None
        while report is None:
            self._talk()
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor in self._streams:
                    self._read(descriptor)
                elif descriptor == self._bell.descriptor:
                    self._bell.hear()
                elif descriptor == self._lifeline.fileno():
                    report = self._hear()
        for descriptor, stream in self._streams.items():
            self._feed(stream, self._pipes.read_left_over(descriptor, self._how_to_read(stream)))
        return report

    def _patience(self) -> int | None:
        """How many milliseconds to wait at most; a program whose time after its last word is over is ended."""
        ends_by = self._plan.output.hearing.ends_by
        if ends_by is None or self._has_lingered:
            return None
        left = ends_by - self._time_source.boot_seconds()
        if left <= 0:
            self._has_lingered = True
            self._on_linger()
            return None
        return int(min(left, LOOK_SECONDS) * 1_000) + 1

    def _talk(self) -> None:
        """Tell the agent what there is to tell, as far as it takes it now."""
        if self._plan.dialogue is not None:
            for line in self._plan.dialogue.pump():
                if not self._pipes.say(line):
                    logger.warning(
                        "%s: does not read what it is answered; its stdin is closed, with more than %s bytes unread",
                        self._plan.name,
                        f"{UNREAD_BYTES:,}",
                    )
        writing = not self._pipes.write()
        if writing == self._writing:
            return
        self._writing = writing
        if writing:
            self._poll.register(self._pipes.stdin, select.POLLOUT)
        else:
            self._poll.unregister(self._pipes.stdin)

    def _read(self, descriptor: int) -> None:
        stream = self._streams[descriptor]
        read = self._how_to_read(stream)
        chunk = read(descriptor) if read else os.read(descriptor, CHUNK_BYTES)
        self._feed(stream, chunk)
        if not chunk:
            self._poll.unregister(descriptor)

    def _how_to_read(self, stream: Stream) -> Callable[[int], bytes] | None:
        meter = self._plan.meter
        return meter.read if meter is not None and stream == "stdout" else None

    def _feed(self, stream: Stream, chunk: bytes) -> None:
        """Have it heard, and what that says of its cost kept, before anything more is read."""
        output, meter = self._plan.output, self._plan.meter
        output.feed(stream, chunk)
        if meter is not None and meter.tell(output.hearing.spent_usd):
            self._on_over_budget()

    def _hear(self) -> Report | None:
        message = receive(self._lifeline)
        if message != STARTED:
            return _report_in(message, started=self._started)
        self._started = True
        self._pipes.close_theirs()
        return None


def receive(lifeline: socket.socket) -> bytes:
    """The next message; empty at the line's end."""
    try:
        return lifeline.recv(MESSAGE_BYTES)
    except ConnectionResetError:
        # The other end went with orders unread. The kernel says so once, ahead of the report that may lie behind it.
        return lifeline.recv(MESSAGE_BYTES)


def _report_in(message: bytes, *, started: bool) -> Report:
    """What the line's last word says, or its end without one."""
    if message:
        return load_report(message)
    if started:
        return Report(Fate.UNKNOWN, text="the attempt's guardian and the spawner were both killed")
    return Report(Fate.UNSTARTED)
