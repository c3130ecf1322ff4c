"""What SQLite's own errors mean to Kora: a person must act, or it is worth another try."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kora.errors import StoreError, StoreFullError, StoreLockedError, StoreUnavailableError, StoreUnusableError

ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
)
"""what one row's own content can cause, as against the disk, the lock or the file"""

_PRIMARY_CODE: Final = 0xFF

_UNUSABLE: Final = {
    sqlite3.SQLITE_NOTADB: "is not a database; name another file, or move this one away",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup",
    sqlite3.SQLITE_READONLY: "is read-only; make the file and its directory writable for this user",
    sqlite3.SQLITE_PERM: "may not be opened by this user; see to the permissions of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; see that its directory exists and is writable for this user",
    sqlite3.SQLITE_ERROR: "does not have the tables that Kora made; restore it from a backup",
}

_LOCKED: Final = {
    sqlite3.SQLITE_BUSY: "is being written by another process",
    sqlite3.SQLITE_LOCKED: "is being written by another process",
    sqlite3.SQLITE_PROTOCOL: "is being opened by too many processes at once",
}

_FULL: Final = {
    sqlite3.SQLITE_FULL: "has no room left on its disk",
    # All but a full disk itself: a limit (EFBIG), a quota (EDQUOT), or really a fault.
    sqlite3.SQLITE_IOERR_WRITE: "cannot grow: a quota, a limit to the size of files (ulimit -f), or a bad disk",
    sqlite3.SQLITE_IOERR_SHMSIZE: "has no room for its -shm file: the disk is full, or there is a limit (ulimit -f)",
}
"""by the extended code"""

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_IOERR: "met an error of its disk",
    sqlite3.SQLITE_NOMEM: "got no memory",
    sqlite3.SQLITE_INTERRUPT: "was interrupted",
}


def translate(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The same fault in Kora's words; None for what only a fault in Kora itself can cause."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        undecodable = isinstance(error, sqlite3.OperationalError)
        return StoreUnusableError(f"{path} is damaged; restore it from a backup ({error})") if undecodable else None
    if code in _FULL:
        what = f"{_FULL[code]} ({error.sqlite_errorname}); make room, and a runtime at work goes on by itself"
        return StoreFullError(f"{path} {what}")
    primary = code & _PRIMARY_CODE
    if primary in _LOCKED:
        return StoreLockedError(f"{path} {_LOCKED[primary]} ({error.sqlite_errorname})")
    if primary in _UNAVAILABLE:
        return StoreUnavailableError(f"{path} {_UNAVAILABLE[primary]} ({error.sqlite_errorname})")
    if primary in _UNUSABLE:
        return StoreUnusableError(f"{path} {_UNUSABLE[primary]} ({error.sqlite_errorname}: {error})")
    return None


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Whatever SQLite raises inside leaves as `StoreUnusableError` or `StoreUnavailableError`."""
    try:
        yield
    except sqlite3.Error as error:
        known = translate(error, path)
        if known is None:
            raise
        raise known from error
