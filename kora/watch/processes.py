"""Whether a process of this machine is the runtime that it is taken for, and how that is ended.

A process id alone proves nothing: the kernel gives it to somebody else in time. A runtime has two files open that
together nobody else has: the mark of its own id in `state_dir/runtimes`, and the lock of that state directory.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_DELETED: Final = " (deleted)"
_ENDED: Final = frozenset("ZX")
"""what /proc says of a process that has ended, and for which its parent has not asked yet"""


class Look(Enum):
    """What is found at a process id."""

    IS_IT = "is it"
    IS_NOT = "is not"
    """no process has this id, or it is another"""
    UNSURE = "unsure"
    """a process of another user: its files cannot be seen"""


def look(pid: int, runtime_id: str) -> Look:
    """Whether the process is this runtime."""
    try:
        if _has_ended(pid):
            return Look.IS_NOT
        files = _open_files(pid)
    except PermissionError:
        return Look.UNSURE
    except OSError:
        # It has gone meanwhile.
        return Look.IS_NOT
    mark = f"/runtimes/{runtime_id}"
    state_dirs = {file.removesuffix(mark) for file in files if file.endswith(mark)}
    return Look.IS_IT if any(f"{each}/lock" in files for each in state_dirs) else Look.IS_NOT


def end(pid: int, runtime_id: str, patience_seconds: float) -> bool:
    """SIGKILL, if the process is this runtime; whether it is known to have ended within that time.

    No other process is ever signalled: the one that is looked at is held meanwhile, so that its id cannot become
    another's. Raises `PermissionError` when it is another user's.
    """
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if look(pid, runtime_id) is not Look.IS_IT:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(held, signal.SIGKILL)
        ended = select.poll()
        ended.register(held, select.POLLIN)
        return bool(ended.poll(patience_seconds * 1_000))
    finally:
        os.close(held)


def _has_ended(pid: int) -> bool:
    # The name in parentheses may hold anything, parentheses and blanks included.
    state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2][:1].decode()
    return state in _ENDED


def _open_files(pid: int) -> frozenset[str]:
    directory = _PROC / str(pid) / "fd"
    found = set()
    for name in os.listdir(directory):  # noqa: PTH208 - the names alone are wanted
        with suppress(FileNotFoundError):
            found.add(os.readlink(directory / name).removesuffix(_DELETED))  # noqa: PTH115 - it may name no path
    return frozenset(found)
