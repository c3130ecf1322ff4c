"""The file that archived events are appended to: found or made, locked, cut to what the store knows of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from kora.errors import StoreUnavailableError, StoreUnusableError
from kora.store.archive_file import may_go_on
from kora.store.sql.place import Connection, Place
from kora.store.sql.statements import ArchiveStatements

_NAME_CHARACTERS_MAX: Final = 100


@dataclass(slots=True)
class OpenArchive:
    """A file under this process's lock, as long as the store knows it to be."""

    path: Path
    archive_id: str
    file: FileIO
    size: int
    events: int

    def append(self, data: bytes) -> int:
        """Write and sync; where the file ends now. Nothing counts of it before the store has recorded that.

        Raises `StoreUnusableError`, the file being as it was, when there is no room or it cannot be written; and when
        what was written does not stand at the path any more.
        """
        try:
            self.file.seek(self.size)
            left = memoryview(data)
            while left:
                left = left[self.file.write(left) :]
            os.fsync(self.file.fileno())
        except OSError as error:
            with suppress(OSError):
                self.file.truncate(self.size)
            raise StoreUnusableError(
                f"{self.path} cannot be written: {error.strerror}; what is not in it stands in the store as before:"
                " make room, or name another directory, and archive again"
            ) from error
        end = self.size + len(data)
        if not self._stands_there(end):
            raise StoreUnusableError(
                f"{self.path} was removed, replaced or changed while it was being written; what was last written to it"
                " stands in the store as before: put the file back there if it was moved away, since what was archived"
                " earlier may be in it, and archive again"
            )
        return end

    def _stands_there(self, size: int) -> bool:
        """Whether the path leads to the file that is open, and it is so long: else its events would be nowhere."""
        opened = os.fstat(self.file.fileno())
        try:
            found = self.path.stat()
        except OSError:
            return False
        there = (found.st_dev, found.st_ino, found.st_size)
        return there == (opened.st_dev, opened.st_ino, size) and opened.st_size == size


def made(directory: Path) -> Path:
    """The directory's absolute path; it is there, and was made (0700) if need be. Raises `StoreUnusableError`."""
    absolute = directory.absolute()
    try:
        os.fspath(absolute).encode()
        absolute.mkdir(mode=0o700, parents=True, exist_ok=True)
    except UnicodeError:
        raise StoreUnusableError("the archive's directory has a name that is no text; name another one") from None
    except OSError as error:
        raise StoreUnusableError(
            f"{absolute} cannot be made for the archive: {error.strerror}; name another directory"
        ) from error
    return absolute


@contextmanager
def open_archive(
    connection: Connection, place: Place, say: ArchiveStatements, directory: Path, *, first_seq: int, file_bytes: int
) -> Iterator[OpenArchive]:
    """The file that was written to last, if it lies in this directory and has room; else a new one.

    Raises `StoreUnusableError` when it cannot be opened or made, `StoreUnavailableError` when another archiving has it.
    """
    with connection.translated():
        newest = connection.execute(say.newest_archive, (place.workspace_id,)).fetchone()
    opened = None
    if newest is not None and Path(newest[0]).parent == directory and newest[1] < file_bytes:
        opened = _continued(connection, place, say, Path(newest[0]))
    if opened is None:
        opened = _begun(connection, place, say, directory, first_seq)
    with opened.file:
        yield opened


def _continued(connection: Connection, place: Place, say: ArchiveStatements, path: Path) -> OpenArchive | None:
    """The file, cut to what the store knows of it. None when it is not what the store knows, and must be left alone.

    Cut off is only what is no whole member: no store has recorded that. A whole one may have been recorded by another
    copy of this store, which cannot be told from a move of this one that was killed at its very end.
    """
    try:
        file = FileIO(path, "r+")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be written: {error.strerror}; name another directory") from error
    try:
        _lock(file, path)
        with connection.translated():
            known, events, archive_id = connection.execute(say.archive, (place.workspace_id, str(path))).fetchone()
        if os.fstat(file.fileno()).st_size < known or not may_go_on(file, known, archive_id):
            file.close()
            return None
        file.truncate(known)
    except BaseException:
        file.close()
        raise
    return OpenArchive(path, archive_id, file, known, events)


def _begun(
    connection: Connection, place: Place, say: ArchiveStatements, directory: Path, first_seq: int
) -> OpenArchive:
    """A new file that the store knows of before anything is written to it: one that it does not know is never ours."""
    file, path = _created(connection, place, say, directory, first_seq)
    archive_id = uuid4().hex
    try:
        _lock(file, path)
        with connection.writing():
            connection.execute(say.begin_archive, (place.workspace_id, str(path), archive_id, first_seq - 1))
    except BaseException:
        file.close()
        raise
    return OpenArchive(path, archive_id, file, 0, 0)


def _created(
    connection: Connection, place: Place, say: ArchiveStatements, directory: Path, first_seq: int
) -> tuple[FileIO, Path]:
    workspace = quote(place.workspace_id, safe="")[:_NAME_CHARACTERS_MAX]
    for number in count(1):
        again = "" if number == 1 else f"-{number}"
        path = directory / f"{workspace}-{first_seq}{again}.jsonl.gz"
        with connection.translated():
            if connection.execute(say.archive, (place.workspace_id, str(path))).fetchone() is not None:
                continue
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            _sync_directory(directory)
        except FileExistsError:
            continue
        except OSError as error:
            raise StoreUnusableError(
                f"{path} cannot be made: {error.strerror}; name a directory that this user may write to"
            ) from error
        return FileIO(descriptor, "r+"), path
    raise AssertionError("numbers do not end")


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreUnavailableError(f"{path} is being written by another archiving; wait for its end") from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
