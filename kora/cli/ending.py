"""How a command may end: each way has its exit code, and none shows a traceback."""

from __future__ import annotations

import errno
import tempfile
import traceback
from collections.abc import Callable
from typing import Final

import typer
from typer.exceptions import TyperException

from kora.cli.output import complain, discard
from kora.errors import KoraError

EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_NOBODY_READS: Final = 141
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def code_of(command: Callable[[], int], hint: Callable[[str], str]) -> int:
    """Run the command; its exit code. What was wrong is on stderr then, and where its usage was, the hint to its help.

    The hint is told how the command is called. Raises `KeyboardInterrupt` and `BrokenPipeError`, which are
    no affair of one command.
    """
    try:
        return command()
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        context = getattr(error, "ctx", None)
        complain(f"{error.format_message()}\n{hint(context.command_path if context else '')}")
        return EXIT_USAGE
    except KoraError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last line before the user
        return _confess(error)


def _confess(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        discard()
        complain(f"cannot write: {error.strerror}")
        return 1
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="backslashreplace", prefix="kora-actors-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    complain(f"internal error: {type(error).__name__}: {error}".split("\n")[0] + f" (the traceback is in {file.name})")
    return 1
