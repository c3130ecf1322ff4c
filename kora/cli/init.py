"""The command that begins: a configuration and an agent to change."""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from kora.cli.invocation import invocation
from kora.cli.output import complain, say
from kora.errors import KoraError

FILES: Final = ("supervisor.toml", "agent.py")
_NEXT: Final = ('ticket add "Count the words of this title"', "run --until-idle", "report")


def init(
    context: typer.Context,
    *,
    force: Annotated[bool, typer.Option("--force", help="Write the files anew, whatever is in them.")] = False,
) -> None:
    """Write a commented supervisor.toml and an agent in Python here, and say what to type next.

    \b
    Examples:
      kora-actors init
      kora-actors init --force
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.config import SHIPPED

    if invocation(context).config is not None:
        raise typer.BadParameter(
            "init writes supervisor.toml in the working directory; --config names a file to read",
            ctx=context,
            param_hint="--config",
        )
    try:
        here = Path.cwd()
        _write(SHIPPED.parent / "examples" / "starter", here, force=force)
    except OSError as error:
        raise KoraError(f"{error.filename2 or error.filename or 'the working directory'}: {error.strerror}") from None
    say(f"wrote {' and '.join(FILES)}; next:\n")
    program = program_as_typed(SHIPPED.parent / "bin" / "kora-actors", here)
    say("\n".join(f"  {program} {arguments}" for arguments in _NEXT))
    if os.environ.get("KORA_CONFIG"):
        complain(f"KORA_CONFIG is set: the commands read {os.environ['KORA_CONFIG']}, not this folder's file; unset it")


def program_as_typed(program: Path, here: Path) -> str:
    """How to call the program from this folder: by its name if PATH finds it, else by the shorter of its paths."""
    found = shutil.which(program.name)
    with suppress(OSError):
        if found and Path(found).samefile(program):
            return program.name
    relative = os.path.relpath(program, here)
    if "/" not in relative:
        relative = f"./{relative}"
    return shlex.quote(min(relative, str(program), key=len))


def _write(source: Path, here: Path, *, force: bool) -> None:
    """Write all files, or none: one that is there stops it, unless told otherwise."""
    present = [name for name in FILES if os.path.lexists(here / name)]
    if present and not force:
        are = "is" if len(present) == 1 else "are"
        raise KoraError(
            f"{' and '.join(present)} {are} here already; nothing was written. "
            "Go to another folder, or have them written anew: init --force"
        )
    contents = {here / name: (source / name).read_bytes() for name in FILES}
    written: list[Path] = []
    try:
        for path, content in contents.items():
            # Beside it first: what is there is replaced by a whole file, or not at all.
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            written.append(beside)
            beside.write_bytes(content)
        for path, beside in zip(contents, written, strict=True):
            beside.replace(path)
    finally:
        for beside in written:
            beside.unlink(missing_ok=True)
