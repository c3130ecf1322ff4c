"""Making a SQLite file ready: created 0600, recognised, in WAL, at this revision; safe when several start at once."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from kora.errors import StoreLockedError, StoreUnusableError
from kora.store.sql.unfinished import check_finished
from kora.store.sqlite.clock import now_for_writing_us
from kora.store.sqlite.connection import PATIENT_SECONDS, WRITER_SECONDS, connect, snapshot, writing
from kora.store.sqlite.errors import translated
from kora.store.sqlite.place import SqlitePlace
from kora.store.sqlite.statements import (
    IS_ACTOR,
    IS_REGISTERED,
    IS_WORKSPACE,
    LOOK,
    REGISTER_ACTOR,
    REGISTER_WORKSPACE,
    REVISION_OF_SCHEMA,
    UNFINISHED_COPY,
)
from kora.store.views import Look

REVISION: Final = "0006"
KNOWN_REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", REVISION)
APPLICATION_ID: Final = 0x4B6F7261
"""'Kora' in SQLite's header, so that a database of something else is never taken for ours"""

_OLDEST_SQLITE: Final = (3, 38, 0)
_RETRY_SECONDS: Final = 0.02
_ANY_WRITE_BIT: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

# Closing any descriptor of a file drops the process's POSIX locks on it, SQLite's too:
# no thread may connect while another still has the descriptor by which it made the file.
_preparing = threading.Lock()

T = TypeVar("T")


def prepare(path: Path) -> tuple[str | None, str]:
    """The file is a Kora store at this revision; the result tells from which revision it came (None: it was new).

    Raises `StoreUnusableError` for a file that is no database, read-only, of something else or of a newer Kora, and
    changes nothing about it; `StoreUnavailableError` when others kept it locked all the time, or there is no room.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnusableError(f"Python's SQLite is {sqlite3.sqlite_version}; a store needs 3.38 or later")
    with _preparing:
        _admit(path)
        return patiently(lambda: (_bring_up(path), REVISION))


def register(place: SqlitePlace) -> None:
    """The workspace, the actor and this boot's clock have their rows. Takes the write lock only when one is missing.

    Raises `StoreUnusableError` for a workspace that a board is still being copied to.
    """
    patiently(lambda: _register(place, is_copied_to=False))


def register_to_copy(place: SqlitePlace) -> None:
    """As `register`, for a workspace that a board is to be copied to, or is being copied to already."""
    patiently(lambda: _register(place, is_copied_to=True))


def look(path: Path, *, workspace_id: str, actor_id: str) -> Look:
    """How the file stands; nothing is made, migrated, registered or locked. Raises what `prepare` raises."""
    if not path.exists():
        folder = path.parent
        if not folder.is_dir():
            raise StoreUnusableError(f"{path} cannot be made: there is no directory {folder}; create it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreUnusableError(f"{path} cannot be made: {folder} is not writable for this user")
        return Look(None, REVISION, is_registered=False)
    _admit(path)
    return patiently(lambda: _look(path, workspace_id, actor_id))


def _look(path: Path, workspace_id: str, actor_id: str) -> Look:
    with closing(connect(path, wait_seconds=WRITER_SECONDS, query_only=True)) as connection:
        revision = _revision(connection, path)
        if revision != REVISION:
            return Look(revision, REVISION, is_registered=False)
        with translated(path):
            check_finished(connection, UNFINISHED_COPY, name=str(path), workspace_id=workspace_id)
            is_registered = connection.execute(IS_ACTOR, (workspace_id, actor_id)).fetchone() == (1,)
    return Look(revision, REVISION, is_registered=is_registered)


def check_source(path: Path, workspace_id: str) -> None:
    """The file is a store of this revision, and has this workspace. It is only looked at.

    Raises `StoreUnusableError` for any other, `StoreUnavailableError` when others kept it locked all the time.
    """
    if not path.exists():
        raise StoreUnusableError(f"{path}: there is no such file, and so no board to be copied")
    _admit(path)
    patiently(lambda: _check_source(path, workspace_id))


def _check_source(path: Path, workspace_id: str) -> None:
    with closing(connect(path, wait_seconds=WRITER_SECONDS, query_only=True)) as connection:
        revision = _revision(connection, path)
        if revision != REVISION:
            raise StoreUnusableError(
                f"{path} is of schema revision {revision or 'none'}, and this Kora copies from {REVISION}; run"
                " `kora-actors migrate` on it first"
            )
        with translated(path):
            if connection.execute(IS_WORKSPACE, (workspace_id,)).fetchone() == (0,):
                raise StoreUnusableError(f"{path}: has no workspace {workspace_id}; see [runtime] workspace")
            check_finished(connection, UNFINISHED_COPY, name=str(path), workspace_id=workspace_id)


def patiently(action: Callable[[], T]) -> T:
    """The action's result, tried again while the store is locked, for `PATIENT_SECONDS` at most."""
    give_up_at = time.monotonic() + PATIENT_SECONDS
    while True:
        try:
            return action()
        except StoreLockedError:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_RETRY_SECONDS)


def _admit(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        _create(path)
        return
    except (OSError, ValueError) as error:
        raise StoreUnusableError(f"{path} cannot be opened: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreUnusableError(f"{path} is {what}; name a file for the store")
    if not found.st_mode & _ANY_WRITE_BIT or not os.access(path, os.W_OK):
        raise StoreUnusableError(f"{path} is read-only; make it writable for this user (chmod u+w)")
    if not os.access(path, os.R_OK):
        raise StoreUnusableError(f"{path} may not be read by this user; see to its permissions")


def _create(path: Path) -> None:
    try:
        # Before SQLite sees the file: its -wal and -shm take their mode from it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except FileNotFoundError as error:
        raise StoreUnusableError(
            f"{path} cannot be made: there is no directory {path.parent}; create it first"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreUnusableError(f"{path} cannot be made: {getattr(error, 'strerror', None) or error}") from error


def _bring_up(path: Path) -> str | None:
    with closing(connect(path, wait_seconds=WRITER_SECONDS)) as connection:
        revision = _revision(connection, path)
        with translated(path):
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if revision != REVISION:
        _upgrade(path)
    return revision


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    with snapshot(connection, path):
        application_id, tables = connection.execute(LOOK).fetchone()
        if application_id == 0 and tables == 0:
            return None
        if application_id != APPLICATION_ID:
            raise StoreUnusableError(f"{path} is a database of something else; name another file for the store")
        row = connection.execute(REVISION_OF_SCHEMA).fetchone()
    revision = str(row[0]) if row else "none"
    if revision not in KNOWN_REVISIONS:
        raise StoreUnusableError(
            f"{path} is of schema revision {revision}, newer than this Kora's {REVISION};"
            " use the Kora that wrote it, or a later one"
        )
    return revision


def _upgrade(path: Path) -> None:
    from kora.store.sqlite.migrations.run import upgrade  # noqa: PLC0415 - SQLAlchemy costs 200 ms that only an old schema is to pay

    with translated(path):
        upgrade(lambda: connect(path, wait_seconds=WRITER_SECONDS))


def _register(place: SqlitePlace, *, is_copied_to: bool) -> None:
    both = {"workspace_id": place.workspace_id, "actor_id": place.actor_id, "boot_id": place.time.boot_id()}
    with closing(place.connect_bare(wait_seconds=WRITER_SECONDS)) as connection:
        with translated(place.path):
            if not is_copied_to:
                check_finished(connection, UNFINISHED_COPY, name=place.name, workspace_id=place.workspace_id)
            if connection.execute(IS_REGISTERED, both).fetchone() == (1,):
                return
        with writing(connection, place.path):
            row = {**both, "now": now_for_writing_us(connection, place.time)}
            connection.execute(REGISTER_WORKSPACE, row)
            connection.execute(REGISTER_ACTOR, row)
