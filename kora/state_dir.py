"""The state directory: one runtime at a time, and what is left of its predecessors.

`lock` is held by the runtime itself. `runtimes/RUNTIME_ID` stands from before the runtime's first claim until its
claims are known to be returned and its attempts charged; the runtime's spawner and guardians hold a shared lock on it.
Whoever can take that lock exclusively knows that the runtime and all its agents are gone. The locks belong to open
files, so no kill and no reboot leaves one behind. `paused` stands while an operator wants nothing more claimed.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from loguru import logger
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from kora.agents import meter
from kora.errors import RefusedError, StartError
from kora.files import keep_names, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_PAUSE_BYTES: Final = 4_096


class Pause(BaseModel):
    """An operator wants nothing more claimed."""

    model_config = ConfigDict(frozen=True)

    who: str
    at: AwareDatetime | None
    fault: str | None = None
    """why it cannot be told whether there is a pause, which counts as one"""

    def said(self) -> str:
        """Since when, and by whom."""
        if self.fault is not None:
            return self.fault
        return f"by {self.who}" if self.at is None else f"by {self.who} since {self.at:%Y-%m-%d %H:%M:%S} UTC"


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
        self._kept: dict[str, int] = {}
        """the locks of predecessors whose marks cannot be removed: as long as they are held, nobody is found there"""
        self._paused = path / "paused"
        self._pause_fault: str | None = None
        self._pausing = threading.Lock()
        self._unreadable = False
        self._unwritable = False
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._runtimes.mkdir(mode=0o700, exist_ok=True)
            self._lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(path, error) from None
        self._lock()

    def register(self, runtime_id: str) -> int:
        """Mark this runtime's presence; the descriptor, already locked, is for its spawner to inherit.

        Raises `StartError` when that cannot be written.
        """
        self._own = runtime_id
        try:
            self._own_fd = os.open(self._runtimes / runtime_id, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._own_fd, fcntl.LOCK_SH)
            for directory in (self._runtimes, self.path):
                keep_names(directory)
        except OSError as error:
            raise _unusable(self._runtimes, error) from None
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

    def is_settled(self) -> bool:
        """Whether no predecessor is left whose claims are to be returned, or attempts charged. For any thread.

        Where that cannot be told there is nothing to wait for.
        """
        try:
            names = [file.name for file in self._runtimes.iterdir()]
        except OSError:
            return True
        return all(name == self._own or name in self._kept for name in names)

    def forget(self, runtime_ids: Sequence[str]) -> None:
        """Their claims are returned, and their attempts charged: nothing of them remains to be done.

        A mark that cannot be removed stays locked, so that it is not found again; a successor finds it, to no harm.
        """
        for runtime_id in runtime_ids:
            meter.forget(self.path, runtime_id)
            fd = self._predecessors.pop(runtime_id, None)
            if fd is None:
                continue
            if self._remove(runtime_id):
                os.close(fd)
            else:
                self._kept[runtime_id] = fd

    def unregister(self) -> None:
        """This runtime holds nothing: there is nothing for a successor to return, unless it has yet to be charged."""
        if self._own is not None and meter.is_charged(self.path, self._own):
            self._remove(self._own)

    def pause(self, who: str, at: datetime) -> None:
        """From now on, and after every restart, nothing is claimed; a pause that there is already stays as it is.

        Raises `RefusedError` when that cannot be written: nothing was changed.
        """
        with self._pausing:
            if (pause := self.paused()) is None or pause.fault is not None:
                self._write_pause(Pause(who=who, at=at))

    def _write_pause(self, pause: Pause) -> None:
        try:
            write_whole(self._paused, pause.model_dump_json(exclude_none=True).encode())
        except OSError as error:
            raise _unwritten(self._paused, error) from None

    def resume(self) -> None:
        """Claims may be made again. Raises `RefusedError` when that cannot be written."""
        try:
            self._paused.unlink(missing_ok=True)
            keep_names(self.path)
        except OSError as error:
            raise _unwritten(self._paused, error) from None

    def paused(self) -> Pause | None:
        """The pause, if there is one; one with its `fault`, if that cannot be told. For any thread."""
        try:
            with self._paused.open("rb") as file:
                return Pause.model_validate_json(file.read(_PAUSE_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            fault = f"{self._paused} cannot be read ({why}), which counts as a pause; `resume` takes it away"
            return Pause(who="", at=None, fault=fault)

    def is_paused(self) -> bool:
        """Whether there is a pause; what cannot be read is one, and is said once."""
        pause = self.paused()
        fault = None if pause is None else pause.fault
        if fault is not None and fault != self._pause_fault:
            logger.warning("{}", fault)
        self._pause_fault = fault
        return pause is not None

    def close(self) -> None:
        """Leave."""
        if self._own_fd >= 0:
            os.close(self._own_fd)
        for fd in (*self._predecessors.values(), *self._kept.values()):
            os.close(fd)
        self._predecessors.clear()
        self._kept.clear()
        os.close(self._lock_fd)

    def _remove(self, runtime_id: str) -> bool:
        """Whether the runtime's mark is gone. One that stays is no reason to stop: said once, and left."""
        mark = self._runtimes / runtime_id
        try:
            mark.unlink(missing_ok=True)
        except OSError as error:
            if not self._unwritable:
                logger.warning("{}: cannot be removed: {}; make the directory writable", mark, error.strerror)
            self._unwritable = True
            return False
        return True

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
        try:
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._lock_fd)
            raise _unusable(self.path, error) from None


def _unusable(path: Path, error: OSError) -> StartError:
    return StartError(
        f"{path}: the state directory cannot be used: {error.strerror}. "
        "Make it writable, or set runtime.state_dir to a directory that can be written and has room."
    )


def _unwritten(path: Path, error: OSError) -> RefusedError:
    return RefusedError(f"{path}: cannot be written: {error.strerror}; make the directory writable, with room to spare")


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
