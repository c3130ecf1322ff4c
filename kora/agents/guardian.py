"""One attempt's keeper: it starts the agent, ends it in time, and goes only when nothing of it is left.

A process of its own, forked by the spawner. Whatever the agent starts, in whatever session or environment, is this
process's child in the end, because it is a subreaper; so `ECHILD` is the proof that nothing is left. It needs nobody:
the lease is kept here, on the boot clock, whether the runtime is frozen, cut off, hung or dead. Killed itself, it
leaves its orphans to the spawner. When the runtime is gone, what the agent has printed and nobody has read goes into
a file, for the successor to read what it cost.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from kora.agents import proc
from kora.agents.wire import (
    CHUNK_BYTES,
    MESSAGE_BYTES,
    REST_BYTES,
    STARTED,
    TEXT_BYTES,
    EndedBy,
    Fate,
    Order,
    Report,
    Request,
    load_order,
)

_NOT_STARTED = 127
_IDLE_SECONDS = 1.0
"""The boot clock runs on through a suspend and poll's does not: no wait is longer than this."""
_TERM_LOOK_SECONDS = 0.25
_KILL_LOOK_SECONDS = 0.02
_KILL_LOOKS_DOUBLED = 5
_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
_NOT_DEFAULT = [
    *(number for number in signal.valid_signals() - _UNCATCHABLE if signal.getsignal(number) is not signal.SIG_DFL),
    *(signal.SIGINT, signal.SIGTERM, signal.SIGCHLD),
]
"""what an agent would inherit changed: what whoever started the runtime ignores, what Python does, what spawner and
guardian do"""


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Guardian:
    """Runs one request to its end: `run` returns when the agent is gone with all its descendants."""

    def __init__(
        self, lifeline: socket.socket, request: Request, stdio: tuple[int, int, int], kept: list[int] | None = None
    ) -> None:
        self._lifeline = lifeline
        self._request = request
        self._stdio = stdio
        self._kept = kept or []
        self._kept_bytes = -1
        self._deadline = request.deadline
        self._lease_seconds = request.lease_seconds
        self._orphaned = False
        self._ended_by = EndedBy.ITSELF
        self._main: int | None = None
        self._status: int | None = None
        self._terminating_since: float | None = None
        self._told: set[proc.Process] = set()
        self._killing = False
        self._kill_looks = 0
        self._faults = -1
        self._wake = -1

    def run(self) -> None:
        """Start the agent unless it is already to end, and see it and all it leaves behind to the end."""
        self._hear()
        self._look_at_clock()
        if self._ended_by is not EndedBy.ITSELF:
            self._say(Report(Fate.UNSTARTED, self._ended_by).dump())
            return
        self._say(STARTED)
        self._wake, _ = proc.wake_on_child()
        self._start()
        while self._reap():
            self._hear()
            self._look_at_clock()
            self._keep_unread()
            if self._killing:
                proc.kill_all(os.getpid())
                self._kill_looks += 1
            elif self._terminating_since is not None:
                proc.terminate_all(os.getpid(), self._told)
            self._wait()
        self._say(self._report().dump())
        self._await_takeover()

    def _start(self) -> None:
        self._faults, fault_writer = os.pipe2(os.O_CLOEXEC)
        guardian = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                _become_agent(self._request, self._stdio, guardian)
            except BaseException as error:  # noqa: BLE001 - a fork that is no agent must end here, and say why
                os.write(fault_writer, _why(error, self._request).encode(errors="replace")[:TEXT_BYTES])
            finally:
                os._exit(_NOT_STARTED)
        self._main = pid
        os.close(fault_writer)
        for descriptor in self._stdio:
            os.close(descriptor)

    def _reap(self) -> bool:
        """Take in who ended; False when no child is left, and with them no descendant."""
        try:
            for pid, status in proc.ended_children():
                if pid == self._main:
                    self._status = status
        except ChildProcessError:
            return False
        if self._status is not None:
            self._begin_to_end(EndedBy.ITSELF)
        return True

    def _begin_to_end(self, ended_by: EndedBy) -> None:
        if self._terminating_since is None:
            self._terminating_since = _boot_seconds()
        if self._status is None and self._ended_by is EndedBy.ITSELF:
            self._ended_by = ended_by

    def _hear(self) -> None:
        while not self._orphaned:
            try:
                message = self._lifeline.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                message = b""
            if not message:
                self._orphaned = True
                self._begin_to_end(EndedBy.ORPHANED)
                return
            order, deadline, lease_seconds = load_order(message)
            if order is Order.LEASE:
                if deadline > self._deadline:
                    self._deadline, self._lease_seconds = deadline, lease_seconds
            elif order is Order.TERMINATE:
                self._begin_to_end(EndedBy.TERMINATE)
            else:
                self._begin_to_end(EndedBy.KILL)
                self._killing = True

    def _await_takeover(self) -> None:
        """Stay until the runtime has taken in all that the agent has printed, or is gone and never will."""
        if not self._kept:
            return
        poll = select.poll()
        # The other end's closing is told of without being asked for.
        poll.register(self._lifeline, 0)
        poll.poll()
        self._keep_unread()

    def _is_runtime_gone(self) -> bool:
        """Whether nobody has the lifeline's other end; one that only tells nothing any more may still read the pipe."""
        poll = select.poll()
        poll.register(self._lifeline, 0)
        return any(flags & select.POLLHUP for _, flags in poll.poll(0))

    def _keep_unread(self) -> None:
        """Once the runtime is gone, put into the file what is in the pipe, behind what the runtime has put there."""
        if not self._kept or not self._is_runtime_gone():
            return
        pipe, file = self._kept
        try:
            if self._kept_bytes < 0:
                # The runtime may have been about to.
                os.ftruncate(file, os.lseek(file, 0, os.SEEK_CUR))
                self._kept_bytes = 0
            while self._kept_bytes < REST_BYTES:
                moved = os.splice(pipe, file, CHUNK_BYTES, flags=os.SPLICE_F_NONBLOCK)
                if not moved:
                    return
                self._kept_bytes += moved
        except OSError:
            # Nothing there now; or nothing can be kept, which is no reason not to end the agent.
            return

    def _kill_at(self) -> float:
        """When the present lease leaves no more time, or the grace is over."""
        kill_at = self._deadline - min(1.0, self._lease_seconds / 10)
        if self._terminating_since is None:
            return kill_at
        return min(kill_at, self._terminating_since + self._request.grace_seconds)

    def _terminate_at(self) -> float:
        return self._kill_at() - min(self._request.grace_seconds, self._lease_seconds / 4)

    def _look_at_clock(self) -> None:
        now = _boot_seconds()
        if self._terminating_since is None and now >= self._terminate_at():
            self._begin_to_end(EndedBy.LEASE)
        if self._terminating_since is not None and now >= self._kill_at():
            self._killing = True

    def _wait(self) -> None:
        if self._killing:
            # A process in an uninterruptible sleep takes its time to die: look less and less often.
            seconds = _KILL_LOOK_SECONDS * 2 ** min(self._kill_looks, _KILL_LOOKS_DOUBLED)
        else:
            terminating = self._terminating_since is not None
            due = self._kill_at() if terminating else self._terminate_at()
            seconds = min(_TERM_LOOK_SECONDS if terminating else _IDLE_SECONDS, max(0.0, due - _boot_seconds()))
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._orphaned:
            poll.register(self._lifeline, select.POLLIN)
        poll.poll(int(seconds * 1_000) + 1)
        proc.drain(self._wake)

    def _report(self) -> Report:
        # Every holder of the writing end is gone, so this cannot wait.
        fault = os.read(self._faults, TEXT_BYTES)
        if fault:
            return Report(Fate.FAULT, self._ended_by, text=fault.decode(errors="replace"))
        code = os.waitstatus_to_exitcode(self._status or 0)
        if code < 0:
            return Report(Fate.SIGNALED, self._ended_by, -code)
        return Report(Fate.EXITED, self._ended_by, code)

    def _say(self, message: bytes) -> None:
        try:
            self._lifeline.send(message, socket.MSG_DONTWAIT)
        except OSError:
            # The runtime is gone. The lifeline's end, heard next or already, is what counts.
            return


def _become_agent(request: Request, stdio: tuple[int, int, int], guardian: int) -> None:
    """Turn this fork into the agent. Returns only by an exception. Every other descriptor closes itself on exec."""
    os.setsid()
    # A second line of defence: should the guardian be killed, its agent goes at once, before the spawner ends what is
    # left.
    proc.prctl(proc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:
        os._exit(_NOT_STARTED)
    signal.set_wakeup_fd(-1)
    for number in _NOT_DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for target, descriptor in enumerate(stdio):
        os.dup2(descriptor, target)
    os.chdir(request.cwd)
    os.execvpe(request.argv[0], request.argv, request.env)  # noqa: S606 - an argument list and no shell: that is the contract


def _why(error: BaseException, request: Request) -> str:
    """Why the agent could not be started, for people."""
    program = os.fsdecode(request.argv[0])
    if not isinstance(error, OSError):
        return f"cannot run '{program}': {error!r}"
    if error.errno == errno.E2BIG:
        size = sum(len(word) + 1 for word in request.argv)
        return (
            f"the argument list is too long: {size:,} bytes of arguments for '{program}'. One argument may"
            " have 128 KiB on most machines;"
            " the agent can read the whole ticket from its standard input"
        )
    if error.filename == request.cwd:
        return f"cannot enter the working directory '{os.fsdecode(request.cwd)}': {error.strerror}"
    if error.errno == errno.ENOEXEC:
        return (
            f"cannot run '{program}': this machine knows no such kind of program (a script needs a first line with #!)"
        )
    if error.errno == errno.ENOENT and b"/" in request.argv[0] and os.path.exists(request.argv[0]):  # noqa: PTH110 - light imports
        return f"cannot run '{program}': the interpreter that its first line names does not exist"
    return f"cannot run '{program}': {error.strerror}"
