"""The help, as a command."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kora.cli.output import say

_ONE_SHOT = "  kora-actors "


def show(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="Which one.", show_default=False)
    ] = None,
) -> None:
    """Show what the commands do, or one of them.

    \b
    Examples:
      kora-actors help
      kora-actors help restart
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    here = context.find_root()
    for word in command or ():
        if not isinstance(here.command, TyperGroup):
            here.fail(f"{here.command_path} has no command {word!r}")
        _, found, _ = here.command.resolve_command(here, [word])
        assert found is not None  # noqa: S101 - it raises where there is none
        here = type(context)(found, info_name=word, parent=here)
    if context.find_root().info_name:
        say(here.command.get_help(here))
    elif command:
        # In the REPL a command is typed without the program's name.
        say(here.command.get_help(here).replace(_ONE_SHOT, "  "))
    else:
        _list(here)


def _list(root: Any) -> None:  # noqa: ANN401 - typer's own class is private
    formatter = root.make_formatter()
    root.command.format_commands(root, formatter)
    say(formatter.getvalue().strip("\n"))
