"""What agents cannot do without: whether it is there, and nobody else's to read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_ENVIRONMENT: Final = "env:"
_OTHERS: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def faults(credentials: Sequence[str], folder: Path, environ: Mapping[str, str]) -> list[str]:
    """What is wrong with these, a sentence each: files (relative ones from this folder), and `env:NAME`."""
    found = (
        _of_variable(each.removeprefix(_ENVIRONMENT), environ)
        if each.startswith(_ENVIRONMENT)
        else _of_file(folder / each)
        for each in credentials
    )
    return [fault for fault in found if fault is not None]


def _of_variable(name: str, environ: Mapping[str, str]) -> str | None:
    if environ.get(name):
        return None
    how = "is empty" if name in environ else "is not set"
    return f"the environment variable {name} {how}: set it for the process that runs Kora"


def _of_file(path: Path) -> str | None:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        return f"{path} cannot be looked at ({getattr(error, 'strerror', None) or error}): put it there"
    mode = stat.S_IMODE(found.st_mode)
    wrong = {
        "is no file": not stat.S_ISREG(found.st_mode),
        "may not be read by this user: see to its owner and permissions": not os.access(path, os.R_OK),
        f"belongs to uid {found.st_uid}, who can read it as well: chown it": found.st_uid not in {os.geteuid(), 0},
        f"is open to others (mode {mode:04o}): chmod 600 {path}": bool(mode & _OTHERS),
        "is empty": not found.st_size,
    }
    return next((f"{path} {what}" for what, is_so in wrong.items() if is_so), None)
