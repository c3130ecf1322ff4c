"""A store that cannot grow while its runtime works: a full disk, and a limit to the size of its files."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path
from typing import Protocol

DISK_BYTES = 12 * 1_048_576
"""more than a write-ahead log takes before it is folded in (4 MiB), with what else stands there"""


class Scarcity(Protocol):
    """Something that makes a running program's store unable to grow, and able again."""

    cause: str
    """what the program must say"""

    def begin(self, process: subprocess.Popen[str]) -> None: ...

    def end(self) -> None: ...


class FullDisk:
    """A small disk, and one big file on it."""

    cause = "has no room left on its disk (SQLITE_FULL); make room"

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def begin(self, _process: subprocess.Popen[str]) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            size = 65_536
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def end(self) -> None:
        self._ballast.unlink()


class SizeLimit:
    """A limit to the size of every file that the runtime writes (`ulimit -f`), set while it runs."""

    cause = "a limit to the size of files (ulimit -f)"
    bytes = 65_536
    """more than the program's log comes to; less than the store has, so that folding its log in is no way out"""

    def __init__(self, folder: Path) -> None:
        self._store = folder / "kora.db"
        self._process: subprocess.Popen[str] | None = None

    def begin(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._store.stat().st_size > self.bytes
        self._limit(self.bytes)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def full_disk(folder: Path) -> Scarcity:
    """A disk of its own on this folder; where mounting is refused, the limit does its duty."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        return FullDisk(folder)
    print("mounting is not permitted here: the file-size limit stands in for the full disk")
    return SizeLimit(folder)


def leave(folder: Path) -> None:
    """Take the disk away again; nobody may use it any more."""
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)
