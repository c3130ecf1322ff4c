"""Processes as the kernel shows them: who descends from whom, and how to end them all.

Light on purpose, as `wire` is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_STATE_ONWARD = 2
_STATE = 0
_PPID = 1
_THREADS = 17
_START_TIME = 19
_STAT_BYTES = 4_096
_DRAIN_BYTES = 65_536
_STOP_PASSES = 8
_NEWEST = 32
_REAPED_AT_ONCE = 4_096

Process = tuple[int, bytes]
"""a process id with the moment it was started: unlike the id alone it never comes to mean another"""

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, or raise `OSError`."""
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_reaper(name: bytes) -> None:
    """From now on every orphan among this process's descendants becomes its child. `name` is what `ps` shows."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _libc.prctl(_PR_SET_NAME, name, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def wake_on_child() -> tuple[int, int]:
    """A pipe, its reading end first, that becomes readable whenever a child of this process changes."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reading, writing


def ended_children() -> Iterator[tuple[int, int]]:
    """Process id and status of children that ended, reaped as they are handed out.

    Bounded: what forks and exits faster than it is reaped must not keep the caller here.

    Raises:
        ChildProcessError: no child is left.
    """
    for _ in range(_REAPED_AT_ONCE):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        yield pid, status


def drain(descriptor: int) -> None:
    """Empty a non-blocking pipe, or nearly: once, so that nobody can keep the caller here by filling it."""
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, _DRAIN_BYTES)


def _stat(pid: int) -> list[bytes] | None:
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(descriptor, _STAT_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The name stands in parentheses and may itself hold spaces, parentheses and newlines: only the last one closes
    # it.
    return line[line.rindex(b")") + _STATE_ONWARD :].split()


def descendants(root: int, spare: frozenset[int] = frozenset()) -> dict[Process, bool]:
    """All that descend from `root`, without those in `spare` and theirs, each with whether it still lives.

    /proc is not read at one moment: a process that changes its parent meanwhile may be missing, so ask again until none
    is left, dead ones included. A direct child of the caller is never missing, for nobody else can reap it.
    """
    children: dict[int, list[tuple[Process, bool]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not light
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            # A zombie with threads is one whose first thread ended and whose others go on.
            lives = fields[_STATE] != b"Z" or int(fields[_THREADS]) > 1
            children.setdefault(int(fields[_PPID]), []).append(((int(name), fields[_START_TIME]), lives))
    found: dict[Process, bool] = {}
    parents = [root]
    while parents:
        for process, lives in children.pop(parents.pop(), ()):
            if process[0] not in spare:
                found[process] = lives
                parents.append(process[0])
    return found


def _stop_newest_children(root: int, spare: frozenset[int]) -> None:
    """Stop direct children at first sight: what forks and exits in a moment is gone before a whole look is over."""
    for name in reversed(os.listdir("/proc")[-_NEWEST:]):  # noqa: PTH208 - as above
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            pid = int(name)
            if int(fields[_PPID]) == root and pid not in spare:
                # A child that the caller has not reaped keeps its id.
                os.kill(pid, signal.SIGSTOP)


def send(process: Process, *numbers: int) -> None:
    """Signal exactly this process; nothing happens when it is gone, even if its id has come to mean another."""
    pid, started = process
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        fields = _stat(pid)
        if fields is not None and fields[_START_TIME] == started:
            for number in numbers:
                signal.pidfd_send_signal(descriptor, number)
    except OSError:
        # Gone meanwhile, or another user's (a set-uid program): whoever waits for its end learns by waiting.
        return
    finally:
        os.close(descriptor)


def terminate_all(root: int, told: set[Process]) -> None:
    """Ask every descendant of `root` that is not in `told` to end; a stopped one is woken, so that it can."""
    for process in descendants(root):
        if process not in told:
            told.add(process)
            send(process, signal.SIGTERM, signal.SIGCONT)


def kill_all(root: int, spare: frozenset[int] = frozenset()) -> bool:
    """Kill every descendant of `root`, which is the caller; True when there was none, dead or alive.

    They are stopped before they are killed, so that none forks away from, or starts anew, what is being killed. Reap,
    and call again, until it is done: a fork may have been under way.
    """
    stopped: set[Process] = set()
    for _ in range(_STOP_PASSES):
        _stop_newest_children(root, spare)
        found = descendants(root, spare)
        fresh = [process for process, lives in found.items() if lives and process not in stopped]
        if not fresh:
            break
        for process in fresh:
            send(process, signal.SIGSTOP)
        stopped.update(fresh)
    for process in stopped:
        send(process, signal.SIGKILL)
    return not found
