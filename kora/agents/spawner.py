"""Forks a guardian for every attempt, and ends what a killed guardian leaves behind.

Exec'd once by the runtime, so that it is small and single-threaded and a fork of it is cheap and safe. It keeps its
own copy of each guardian's end of the lifeline until the guardian is reaped and its orphans, if any, are ended: end
of file at the runtime's end means that nothing is left. When the runtime goes, it waits for its guardians, which end
their agents, and goes too. Killed itself, its guardians go on; the runtime starts another.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import sys

from kora.agents import proc
from kora.agents.guardian import Guardian
from kora.agents.wire import LAUNCH_DESCRIPTORS, Fate, Report, load_request

_STRAYS_LOOK_MS = 20
_GUARDIAN_BROKEN = 70


class Spawner:
    """Serves launch requests until the runtime is gone; `run` returns when the last guardian is gone too."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._lifelines: dict[int, socket.socket] = {}
        self._broken: list[tuple[socket.socket, int]] = []
        self._wake = proc.wake_on_child()

    def run(self) -> None:
        """Fork, reap and clean up until there is nothing left to do."""
        while self._control is not None or self._lifelines or self._broken:
            self._wait()
            self._wake_stopped()
            self._reap()
            self._end_strays()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wake[0], select.POLLIN)
        if self._control is not None:
            poll.register(self._control, select.POLLIN)
        ready = poll.poll(_STRAYS_LOOK_MS if self._broken else None)
        proc.drain(self._wake[0])
        if self._control is not None and any(descriptor == self._control.fileno() for descriptor, _ in ready):
            self._serve(self._control)

    def _serve(self, control: socket.socket) -> None:
        descriptors = array.array("i")
        room = socket.CMSG_SPACE(max(LAUNCH_DESCRIPTORS.values()) * descriptors.itemsize)
        try:
            message, ancillary, _, _ = control.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            message, ancillary = b"", []
        if not message:
            control.close()
            self._control = None
            return
        for _, _, payload in ancillary:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
        if not descriptors:
            return
        lifeline = socket.socket(fileno=descriptors.pop(0))
        try:
            # The kernel passes fewer when this process may open no more.
            self._fork(lifeline, list(descriptors), complete=len(descriptors) == LAUNCH_DESCRIPTORS[message] - 1)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, lifeline: socket.socket, descriptors: list[int], *, complete: bool) -> None:
        try:
            if not complete:
                raise OSError("too many open files")  # noqa: TRY301 - one way out for all that keeps a guardian from being
            pid = os.fork()
        except OSError as error:
            self._close(lifeline, Report(Fate.UNKNOWN, text=f"no guardian could be started: {error}"))
            return
        if pid == 0:
            self._become_guardian(lifeline, descriptors)
        self._lifelines[pid] = lifeline

    def _become_guardian(self, lifeline: socket.socket, descriptors: list[int]) -> None:
        """Never returns. The spawner's own goes: a lifeline kept open here would hide another attempt's end."""
        try:
            os.setsid()
            proc.become_reaper(b"kora-guardian")
            signal.set_wakeup_fd(-1)
            for descriptor in self._wake:
                os.close(descriptor)
            for other in (self._control, *self._lifelines.values(), *(broken for broken, _ in self._broken)):
                if other is not None:
                    other.close()
            request_file, stdin, stdout, stderr, *kept = descriptors
            request = load_request(os.pread(request_file, os.fstat(request_file).st_size, 0))
            os.close(request_file)
            Guardian(lifeline, request, (stdin, stdout, stderr), kept).run()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it was, the spawner ends what this guardian leaves
            os.write(2, f"kora-guardian: {error!r}\n".encode(errors="replace"))
        finally:
            os._exit(_GUARDIAN_BROKEN)

    def _wake_stopped(self) -> None:
        """Let stopped guardians go on: one that stands still does not keep the lease."""
        with contextlib.suppress(ChildProcessError):
            while (stopped := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG)) is not None:
                if stopped.si_pid in self._lifelines:
                    os.kill(stopped.si_pid, signal.SIGCONT)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            for pid, status in proc.ended_children():
                lifeline = self._lifelines.pop(pid, None)
                if lifeline is not None and status == 0:
                    lifeline.close()
                elif lifeline is not None:
                    self._broken.append((lifeline, os.waitstatus_to_exitcode(status)))

    def _end_strays(self) -> None:
        """End the orphans of killed guardians. Whose each was cannot be told: all go before any is reported."""
        if not self._broken or not proc.kill_all(os.getpid(), frozenset(self._lifelines)):
            return
        for lifeline, code in self._broken:
            how = f"was killed by signal {-code}" if code < 0 else f"failed with {code}"
            self._close(lifeline, Report(Fate.UNKNOWN, text=f"the attempt's guardian {how}; what it guarded was ended"))
        self._broken.clear()

    @staticmethod
    def _close(lifeline: socket.socket, report: Report) -> None:
        try:
            lifeline.send(report.dump(), socket.MSG_DONTWAIT)
        except OSError:
            pass
        finally:
            lifeline.close()


def main(arguments: list[str]) -> None:
    """Run on two descriptors: the control socket, and the runtime's lock file, which is only to be held."""
    control_fd, lock_fd = (int(argument) for argument in arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # An agent must inherit neither: a lock that it held would say for ever that something is left.
    os.set_inheritable(lock_fd, False)  # noqa: FBT003 - takes no keyword
    os.set_inheritable(control_fd, False)  # noqa: FBT003 - takes no keyword
    proc.become_reaper(b"kora-spawner")
    # What is here now lives as long as this process: uncollected, its pages stay shared with every fork.
    gc.freeze()
    Spawner(socket.socket(fileno=control_fd)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
