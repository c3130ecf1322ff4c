"""Notices: a command that is run when a person should know what happened."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.domain.events import Event, EventType
from kora.domain.resolution import Resolution
from kora.domain.state import PrimaryState
from kora.errors import StoreError

if TYPE_CHECKING:
    from kora.store.port import Reader

NOTICES_WAITING: Final = 100
CLOSE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_KILL_SECONDS: Final = 2.0
_TAIL_BYTES: Final = 4_096
_CHUNK_BYTES: Final = 65_536

_EVENT_TYPES: Final = {
    "blocked": EventType.BLOCKED,
    "paused": EventType.TRANSITIONED,
    "gave_up": EventType.SUPERVISOR_GAVE_UP,
    "poisoned": EventType.RESOLVED,
}
"""each notice, and the type of the events that may call for it"""


def notice_of(event: Event) -> str | None:
    """Which notice the event calls for; None for most."""
    said = event.payload
    match event.event_type:
        case EventType.BLOCKED:
            return "blocked"
        case EventType.SUPERVISOR_GAVE_UP:
            return "gave_up"
        case EventType.RESOLVED if said.get("resolution") == Resolution.FAILED_TERMINAL:
            return "poisoned"
        case EventType.TRANSITIONED if (
            said.get("to_primary_state") == PrimaryState.PAUSED != said.get("from_primary_state")
        ):
            return "paused"
    return None


class Notifier:
    """Tells a person, by the command, what a runtime's own events call for. Without a command it does nothing.

    It follows the log from where that ended when this was made, in a daemon thread and with a reading handle of its
    own, and runs one command at a time. Nobody waits for it, and whatever the command does (it fails, hangs, or is not
    there) is one WARNING. When more than `NOTICES_WAITING` notices wait, the oldest are left out.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        on: Sequence[str],
        timeout_seconds: float,
        open_reader: Callable[[], Reader],
        chain_id: str,
        workdir: Path,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._call = _Call(command, workdir=workdir, timeout_seconds=timeout_seconds)
        self._on = frozenset(on) if command else frozenset()
        self._open_reader = open_reader
        self._chain_id = chain_id
        self._look_seconds = look_seconds
        self._reader: Reader | None = None
        self._waiting: deque[tuple[str, Event]] = deque()
        self._store_failed = self._left_out = self._is_closed = False
        self._thread: threading.Thread | None = None
        self._seq = self._last_seq() if self._on else None

    def start(self) -> None:
        """Begin to follow the log; returns at once."""
        if self._on:
            self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Tell what stands in the log by now, for at most a few seconds, and end."""
        if self._is_closed:
            return
        self._is_closed = True
        self._call.end()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS + _KILL_SECONDS)
        if self._thread is None or not self._thread.is_alive():
            self._call.close()

    def _run(self) -> None:
        ended = False
        while not ended:
            # What is in the log when the end is asked for is still looked at.
            ended = self._call.wait_end(self._look_seconds)
            self._look()
            while self._waiting and not self._call.is_late():
                self._call(*self._waiting.popleft())
                self._look()
            self._left_out = False
        if self._waiting:
            logger.warning("the runtime ended before {} notices were told", len(self._waiting))
        self._drop_reader()

    def _last_seq(self) -> int | None:
        try:
            with closing(self._open_reader()) as reader:
                return reader.last_seq()
        except StoreError:
            return None

    def _look(self) -> None:
        try:
            self._read()
        except StoreError as error:
            # A handle that failed once is not asked again: the file may be another by now.
            self._drop_reader()
            if not self._store_failed:
                self._store_failed = True
                logger.warning("no notices as long as the store cannot be read: {}", error)
        else:
            self._store_failed = False

    def _read(self) -> None:
        if self._reader is None:
            self._reader = self._open_reader()
        elif not self._reader.changed():
            return
        if self._seq is None:
            self._seq = self._reader.last_seq()
        types = sorted({_EVENT_TYPES[notice] for notice in self._on})
        # Asked before the reading: what is older has been read then, also where nothing of it is to be told.
        last_seq = self._reader.last_seq()
        for event in self._reader.events(event_types=types, after_seq=self._seq):
            self._seq = event.seq
            notice = notice_of(event) if event.chain_id == self._chain_id else None
            if notice in self._on:
                self._take(notice, event)
        self._seq = max(self._seq, last_seq)

    def _take(self, notice: str, event: Event) -> None:
        if len(self._waiting) >= NOTICES_WAITING:
            self._waiting.popleft()
            if not self._left_out:
                self._left_out = True
                logger.warning("more than {} notices wait for notify.command: the oldest are left out", NOTICES_WAITING)
        self._waiting.append((notice, event))

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StoreError):
                reader.close()


class _Call:
    """Runs the command, once for each notice; `end` makes whatever is under way end within `CLOSE_SECONDS`."""

    def __init__(self, command: Sequence[str], *, workdir: Path, timeout_seconds: float) -> None:
        self._command = list(command)
        self._workdir = workdir
        self._timeout_seconds = timeout_seconds
        self._end_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._ends_at: float | None = None

    def __call__(self, notice: str, event: Event) -> None:
        """Run it to its end, or to the end of its time. What goes wrong is one WARNING."""
        try:
            fault = self._run(notice, event)
        except OSError as error:
            fault = f"it cannot be run: {error.strerror}: {error.filename or self._command[0]}"
        if fault:
            logger.bind(ticket=event.ticket_id).warning(
                "notify.command: nobody was told of a notice ({}, event {}): {}", notice, event.event_id, fault
            )

    def end(self) -> None:
        """Ask whatever is under way to end soon. For any thread."""
        if self._ends_at is None:
            self._ends_at = time.monotonic() + CLOSE_SECONDS
            os.eventfd_write(self._end_fd, 1)

    def is_late(self) -> bool:
        """Whether the time that `end` left is over."""
        return self._ends_at is not None and time.monotonic() >= self._ends_at

    def wait_end(self, seconds: float) -> bool:
        """Wait until `end` was called, for so long; whether it was."""
        poll = select.poll()
        poll.register(self._end_fd, select.POLLIN)
        return bool(poll.poll(seconds * 1_000))

    def close(self) -> None:
        """Give the descriptor back; nothing else may be called any more."""
        os.close(self._end_fd)

    def _run(self, notice: str, event: Event) -> str | None:
        reading, writing = os.pipe()
        said = _Tail(reading)
        try:
            with open(os.memfd_create("kora-notice"), "w+b", buffering=0) as document:  # noqa: PTH123 - a descriptor
                document.write(event.model_dump_json().encode() + b"\n")
                document.seek(0)
                process = subprocess.Popen(
                    self._command,
                    stdin=document,
                    stdout=subprocess.DEVNULL,
                    stderr=writing,
                    cwd=self._workdir,
                    env={**os.environ, "KORA_NOTICE": notice},
                    start_new_session=True,
                )
        except OSError:
            said.close()
            raise
        finally:
            os.close(writing)
        return self._outcome(process, said)

    def _outcome(self, process: subprocess.Popen[bytes], said: _Tail) -> str | None:
        """What went wrong, once it has ended; None if nothing did."""
        try:
            is_over = self._attend(process, said)
        finally:
            said.close()
            if process.poll() is None:
                # The process was not waited for yet, so its number still means its group.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_KILL_SECONDS)
        if not is_over:
            return f"it was killed after {self._timeout_seconds:g} s, or because the runtime ended"
        code = process.returncode
        ended = f"it exited with {code}" if code >= 0 else f"it died of signal {-code}"
        return None if code == 0 else f"{ended}{said}"

    def _attend(self, process: subprocess.Popen[bytes], said: _Tail) -> bool:
        """Wait for its end; False when its time is over first."""
        until = time.monotonic() + self._timeout_seconds
        pid_fd = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            for descriptor in (pid_fd, said.descriptor, self._end_fd):
                poll.register(descriptor, select.POLLIN)
            while True:
                if self._ends_at is not None:
                    until = min(until, self._ends_at)
                left = until - time.monotonic()
                if left <= 0:
                    return False
                ready = {descriptor for descriptor, _ in poll.poll(left * 1_000)}
                if self._end_fd in ready:
                    poll.unregister(self._end_fd)
                if said.descriptor in ready and not said.read():
                    poll.unregister(said.descriptor)
                if pid_fd in ready:
                    process.wait()
                    return True
        finally:
            os.close(pid_fd)


class _Tail:
    """The end of what a process says on stderr."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._bytes = b""
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Take in what there is; False when there will be no more."""
        try:
            chunk = os.read(self.descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._bytes = (self._bytes + chunk)[-_TAIL_BYTES:]
        return bool(chunk)

    def close(self) -> None:
        """Take in what is left, and read no more: a child of the process may have kept the other end."""
        self.read()
        os.close(self.descriptor)

    def __str__(self) -> str:
        lines = self._bytes.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last}" if last else ""
