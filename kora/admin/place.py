"""Where the admin socket is: in the state directory, or where a socket's address has room for its path.

Both sides ask here. A path that is too long for a socket is replaced by a short one, in a folder of this user's own
under the temporary directory; `admin.path` in the state directory says which, whatever a client's TMPDIR is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from kora.errors import AdminError, NoRuntimeError, StartError
from kora.files import write_whole

SOCKET_NAME: Final = "admin.sock"
POINTER_NAME: Final = "admin.path"
ADDRESS_BYTES: Final = 107
"""what a unix socket's address holds, without the NUL at its end"""
_PATH_BYTES: Final = 4_096
_ID_CHARACTERS: Final = 16


def prepare(state_dir: Path) -> Path:
    """The path to bind: its folder is there, 0700, and its clients will find it.

    For whoever holds the state directory's lock. Raises `StartError` when the folder cannot be made, or is not safe.
    """
    state_dir = Path(os.path.realpath(state_dir))
    direct, pointer = state_dir / SOCKET_NAME, state_dir / POINTER_NAME
    try:
        _tighten(state_dir)
        if _fits(direct):
            pointer.unlink(missing_ok=True)
            return direct
        short = _short_folder(state_dir) / SOCKET_NAME
        _make(short.parent)
        write_whole(pointer, os.fsencode(short) + b"\n")
    except OSError as error:
        where = error.filename or state_dir
        raise StartError(
            f"{where}: there can be no admin socket: {error.strerror}. Make it a directory that this user can write."
        ) from None
    return short


def find(state_dir: Path) -> Path:
    """The path to connect to, whether anybody listens there or not.

    Raises `NoRuntimeError` when no runtime can ever have bound one, `AdminError` when its folder is not safe.
    """
    state_dir = Path(os.path.realpath(state_dir))
    direct = state_dir / SOCKET_NAME
    if _fits(direct):
        return direct
    short = _read(state_dir / POINTER_NAME)
    if short is None:
        raise NoRuntimeError(f"{direct}: no runtime is running there: start one with `kora-actors run`")
    if fault := _unsafe(short.parent):
        raise AdminError(fault)
    return short


def remove(path: Path, state_dir: Path) -> None:
    """What `prepare` made is gone, as far as it can be removed; the state directory itself stays."""
    state_dir = Path(os.path.realpath(state_dir))
    with suppress(OSError):
        path.unlink()
    if path.parent != state_dir:
        with suppress(OSError):
            (state_dir / POINTER_NAME).unlink()
        with suppress(OSError):
            path.parent.rmdir()


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= ADDRESS_BYTES


def _short_folder(state_dir: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:_ID_CHARACTERS]
    folder = Path(tempfile.gettempdir()) / f"kora-{os.geteuid()}-{digest}"
    if not _fits(folder / SOCKET_NAME):
        raise StartError(
            f"{folder}: too long a path for the admin socket, as is that of the state directory, {state_dir}. "
            "Set TMPDIR, or runtime.state_dir, to a shorter one."
        )
    return folder


def _make(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if fault := _unsafe(folder):
        raise StartError(fault)


def _unsafe(folder: Path) -> str | None:
    """Why a folder where others can write may not be used: somebody else may have been there first."""
    try:
        found = folder.lstat()
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else f"{folder}: {error.strerror}"
    mine = os.geteuid()
    if not stat.S_ISDIR(found.st_mode):
        what = "it is a link, or no directory"
    elif found.st_uid != mine:
        what = f"it belongs to uid {found.st_uid}, and not to this user ({mine})"
    elif found.st_mode & 0o077:
        what = f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return None
    return (
        f"{folder}: not used for the admin socket, because {what}. Remove it, "
        "or set TMPDIR to a directory where nobody else can write, for the runtime."
    )


def _tighten(state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(state_dir.stat().st_mode) != 0o700:  # noqa: PLR2004 - read, write and enter, for its user alone
        state_dir.chmod(0o700)


def _read(pointer: Path) -> Path | None:
    try:
        with pointer.open("rb") as file:
            content = file.read(_PATH_BYTES).rstrip(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdminError(f"{pointer}: cannot be read: {error.strerror}") from None
    path = Path(os.fsdecode(content))
    if not path.is_absolute() or b"\0" in content or not _fits(path):
        raise AdminError(f"{pointer}: holds no path of a socket. Remove it, and start the runtime again.")
    return path
