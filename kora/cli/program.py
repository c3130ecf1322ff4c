"""The program: its commands put together, and every way in which one may end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kora import __version__
from kora.cli.ending import EXIT_INTERRUPTED, EXIT_NOBODY_READS, code_of
from kora.cli.invocation import Invocation, invocation
from kora.cli.output import discard
from kora.cli.registry import PROGRAM, group

if TYPE_CHECKING:
    from kora.cli.port import Launcher

NAME: Final = "kora-actors"

app = typer.Typer(
    cls=group(PROGRAM),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(launcher: Launcher, arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. No traceback reaches the user, and no interruption either."""
    _open_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return code_of(lambda: _invoke(launcher, given), lambda path: f"Try '{path or NAME} --help'.")
    except KeyboardInterrupt:
        discard()
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        discard()
        return EXIT_NOBODY_READS


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
    if context.invoked_subcommand is not None:
        return None
    from kora.cli import runtime

    return runtime.run(context)


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
        code = command.invoke(context) or 0
    sys.stdout.flush()
    return code
