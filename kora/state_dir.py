"""The state directory: one runtime at a time, and what is left of its predecessors.

`lock` is held by the runtime itself. `runtimes/RUNTIME_ID` stands from before the runtime's first claim until its
claims are known to be returned; the runtime's spawner and guardians hold a shared lock on it. Whoever can take that
lock exclusively knows that the runtime and all its agents are gone. The locks belong to open files, so no kill and no
reboot leaves one behind.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from loguru import logger

from kora.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class StateDir:
    """A state directory in use by this process.

    Raises `StartError` when another runtime uses it, or it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runtimes = path / "runtimes"
        self._own: str | None = None
        self._own_fd = -1
        self._predecessors: dict[str, int] = {}
        self._unreadable = False
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._runtimes.mkdir(mode=0o700, exist_ok=True)
            self._lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(
                f"{path}: the state directory cannot be used: {error.strerror}. "
                "Set runtime.state_dir to a directory that can be written."
            ) from None
        self._lock()

    def register(self, runtime_id: str) -> int:
        """Mark this runtime's presence; the descriptor, already locked, is for its spawner to inherit."""
        self._own = runtime_id
        self._own_fd = os.open(self._runtimes / runtime_id, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._own_fd, fcntl.LOCK_SH)
        for directory in (self._runtimes, self.path):
            _sync(directory)
        return self._own_fd

    def ended(self) -> Sequence[str]:
        """The predecessors of which it is sure that no agent is left; the same ones again until they are forgotten."""
        try:
            for file in self._runtimes.iterdir():
                # This runtime's own file is locked by itself, and those seized before are locked by this very process.
                if (fd := _seize(file)) is not None:
                    self._predecessors[file.name] = fd
        except OSError as error:
            # Their leases run out by themselves: no reason to stop the work.
            if not self._unreadable:
                logger.warning("{}: cannot look for dead predecessors: {}", self._runtimes, error.strerror)
            self._unreadable = True
        return tuple(self._predecessors)

    def forget(self, runtime_ids: Sequence[str]) -> None:
        """Their claims are returned: nothing of them remains to be done."""
        for runtime_id in runtime_ids:
            fd = self._predecessors.pop(runtime_id, None)
            if fd is not None:
                (self._runtimes / runtime_id).unlink(missing_ok=True)
                os.close(fd)

    def unregister(self) -> None:
        """This runtime holds nothing: there is nothing for a successor to return."""
        if self._own is not None:
            (self._runtimes / self._own).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave."""
        if self._own is not None:
            os.close(self._own_fd)
        for fd in self._predecessors.values():
            os.close(fd)
        self._predecessors.clear()
        os.close(self._lock_fd)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock_fd)
            msg = (
                f"{self.path}: in use by another runtime (process {holder}). "
                "Stop that one first, or give this one a runtime.state_dir of its own."
            )
            raise StartError(msg) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)


def _seize(path: Path) -> int | None:
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return fd
    return None


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
