"""The commands that begin and end a session."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Annotated

import typer

from kora.cli.invocation import invocation


def repl(
    context: typer.Context,
    *,
    commands: Annotated[
        str | None,
        typer.Option("-c", metavar="COMMANDS", help="Run these, parted by `;`, and end.", show_default=False),
    ] = None,
) -> int:
    """Type the commands for a running runtime one after the other; `help` shows them, Tab completes, Ctrl-D leaves.

    With -c, or in a pipe, the exit code is that of the first command that failed.

    \b
    Examples:
      kora-actors repl
      kora-actors repl -c "status; claims"
      echo status | kora-actors repl
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.cli.repl.session import Session

    call = invocation(context)
    settings = call.settings()
    session = Session(replace(call, attached=call.client()))
    if commands is not None:
        return session.run_all([commands])
    if not sys.stdin.isatty():
        # Whoever types nothing looks at nothing.
        os.environ["NO_COLOR"] = "1"
        return session.run_all(sys.stdin)
    from kora.cli.repl.prompt import converse

    converse(session, settings.runtime.state_dir)
    return 0


def leave() -> None:
    """Leave; the runtime goes on.

    \b
    Example:
      quit
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    raise SystemExit(0)
