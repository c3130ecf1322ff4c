"""The program: its commands put together, and every way in which one may end."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.exceptions import TyperException

from kora import __version__
from kora.cli import archive, board, claims, init, log, report, runtime
from kora.cli.invocation import Invocation, invocation
from kora.cli.output import complain, discard
from kora.errors import KoraError

if TYPE_CHECKING:
    from kora.cli.port import Launcher

NAME: Final = "kora-actors"
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_NOBODY_READS: Final = 141
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(board.app, name="ticket")
app.command("init", short_help="Write a configuration and an agent of your own here.")(init.init)
app.command("run", short_help="Work the board (also without a command).")(runtime.run)
app.command("demo", short_help="Watch it work: a dozen tickets, one crash.")(runtime.demo)
app.command("claims", short_help="Show who works what.")(claims.claims)
app.command("report", short_help="Show what was done, what failed, what needs a person.")(report.report)
app.command("events", short_help="Show the log, follow it, or verify it.")(log.events)
app.command("archive", short_help="Move old events out of the store.")(archive.archive)
app.command("migrate", short_help="Bring the store's schema up to date.")(runtime.migrate)


def main(launcher: Launcher, arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. No traceback reaches the user, and no interruption either."""
    _open_streams()
    try:
        code = _invoke(launcher, list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except typer.Exit as end:
        code = end.exit_code
    except TyperException as error:
        code = _refuse(error)
    except KoraError as error:
        complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        discard()
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        discard()
        code = EXIT_NOBODY_READS
    except Exception as error:  # noqa: BLE001 - the last line before the user
        code = _confess(error)
    return code


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the shape of a typer callback
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    *,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="By default KORA_CONFIG, else supervisor.toml here, else the one that ships.",
            show_default=False,
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> int | None:
    """Leave agents working, unattended, on a board of tickets. Without a command: run.

    \b
    Examples:
      kora-actors demo                              see it work, in ten seconds
      kora-actors init                              begin with an agent of your own
      kora-actors ticket add "Weigh the anchor"     put work on the board
      kora-actors run --until-idle                  work it off
      kora-actors report                            see what came of it
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    context.obj = Invocation(invocation(context).launcher, config)
    return runtime.run(context) if context.invoked_subcommand is None else None


def _open_streams() -> None:
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding shows what it can.
            stream.reconfigure(errors="backslashreplace")


def _invoke(launcher: Launcher, arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    with command.make_context(NAME, arguments, obj=Invocation(launcher)) as context:
        return command.invoke(context) or 0


def _refuse(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else NAME
    complain(f"{error.format_message()}\nTry '{path} --help'.")
    return EXIT_USAGE


def _confess(error: Exception) -> int:
    discard()
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        complain(f"cannot write: {error.strerror}")
        return 1
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", errors="backslashreplace", prefix=f"{NAME}-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    complain(f"internal error: {type(error).__name__}: {error}".split("\n")[0] + f" (the traceback is in {file.name})")
    return 1
