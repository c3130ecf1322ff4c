"""The runtime's side of containment: asks the spawner for guardians, and starts another spawner when it dies."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from kora.agents.wire import LAUNCH, LAUNCH_METERED, Request
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.port import Lease

_TRIES: Final = 2
_ANSWER_SECONDS: Final = 10.0
_REAP_SECONDS: Final = 5.0


class Containment:
    """Starts programs so that nothing of them outlives its lifeline. For any thread.

    `lock_fd` is the runtime's lock file with a shared flock on it: the spawner and every guardian hold it too, no
    agent does. Who can lock that file exclusively knows that nothing of this runtime is left. It stays the caller's
    to close.

    Raises:
        AgentError: this is not Linux, or the spawner cannot be started.
    """

    def __init__(self, lock_fd: int) -> None:
        if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
            raise AgentError(
                "agents need Linux 5.3 or newer: only there can Kora promise that no process of theirs is left behind"
            )
        self._lock_fd = lock_fd
        self._lock = threading.Lock()
        self._closed = False
        self._control, self._spawner = self._start_spawner()

    @property
    def spawner_pid(self) -> int:
        """The process id of the present spawner."""
        return self._spawner.pid

    def launch(
        self,
        *,
        argv: Sequence[bytes],
        env: Mapping[bytes, bytes],
        cwd: bytes,
        stdio: tuple[int, int, int],
        grace_seconds: float,
        lease: Lease,
        kept: tuple[int, int] | None = None,
    ) -> socket.socket:
        """The lifeline of a new attempt: close it to end that; once it ends by itself, nothing of it is left.

        The descriptors in `stdio` and `kept` stay the caller's to close. The latter are stdout's reading end, and the
        file in which the guardian keeps what is left there when this process is gone.

        Raises:
            AgentError: the request cannot be put to any spawner; nothing was started.
        """
        if any(b"\0" in word for word in (cwd, *argv, *env.values())):
            raise AgentError(
                "an argument or an environment variable holds a NUL character, which no program can be given"
            )
        request = Request(
            argv=list(argv),
            env=dict(env),
            cwd=cwd,
            deadline=lease.deadline,
            lease_seconds=lease.lease_seconds,
            grace_seconds=grace_seconds,
        )
        with contextlib.ExitStack() as stack:
            try:
                request_fd = os.memfd_create("kora-request", os.MFD_CLOEXEC)
                stack.callback(os.close, request_fd)
                _write_all(request_fd, request.dump())
                near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            except OSError as error:
                raise AgentError(f"no attempt could be prepared: {error}") from error
            stack.callback(far.close)
            try:
                self._ask(LAUNCH if kept is None else LAUNCH_METERED, [far.fileno(), request_fd, *stdio, *(kept or ())])
            except AgentError:
                near.close()
                raise
        near.settimeout(0)
        return near

    def close(self, timeout_seconds: float = 30.0) -> bool:
        """Take no more launches, and wait for the spawner: True once no guardian and no agent is left.

        Whoever still holds a lifeline keeps its agent running within its lease.
        """
        with self._lock:
            self._closed = True
            self._wake_spawner()
            self._control.close()
        try:
            self._spawner.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _ask(self, message: bytes, descriptors: list[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with self._lock:
            for tries_left in reversed(range(_TRIES)):
                if self._closed:
                    raise AgentError("the runtime is ending; no agent is started any more")
                try:
                    self._wake_spawner()
                    self._control.sendmsg([message], ancillary)
                except TimeoutError as error:
                    raise AgentError(
                        f"the spawner (process {self._spawner.pid}) has not answered for {_ANSWER_SECONDS:g} s"
                    ) from error
                except ConnectionError as error:
                    if not tries_left:
                        raise AgentError(f"the spawner does not stay up ({self._end_of_spawner()})") from error
                    self._restart_spawner()
                except OSError as error:
                    raise AgentError(f"the spawner could not be asked: {error}") from error
                else:
                    return

    def _wake_spawner(self) -> None:
        """Should somebody have stopped it. Nothing else would: it ignores what can be ignored, and has no terminal."""
        self._spawner.send_signal(signal.SIGCONT)

    def _restart_spawner(self) -> None:
        self._control.close()
        self._end_of_spawner()
        self._control, self._spawner = self._start_spawner()

    def _end_of_spawner(self) -> str:
        try:
            return f"ended with {self._spawner.wait(_REAP_SECONDS)}"
        except subprocess.TimeoutExpired:
            return "hangs"

    def _start_spawner(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        try:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise AgentError(f"the spawner could not be started: {error}") from error
        with far:
            near.settimeout(_ANSWER_SECONDS)
            try:
                spawner = subprocess.Popen(
                    [sys.executable, "-P", "-m", "kora.agents.spawner", str(far.fileno()), str(self._lock_fd)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=None if _is_open(2) else subprocess.DEVNULL,
                    close_fds=True,
                    pass_fds=(far.fileno(), self._lock_fd),
                    start_new_session=True,
                )
            except OSError as error:
                near.close()
                raise AgentError(f"the spawner could not be started: {error}") from error
        return near, spawner


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
