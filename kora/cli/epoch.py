"""The workspace's epoch: raised after a restore, so that no runtime goes on from what is no longer so."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from kora.cli.admin.asked import AsJson
from kora.cli.asking import Sure, confirm
from kora.cli.control import checked_reason
from kora.cli.invocation import invocation, login_name
from kora.cli.output import plain_document, say

app = typer.Typer(
    help="The epoch of the store: raised by an operator after every restore.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(short_help="Show the epoch.")
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the epoch that the store is in.

    \b
    Example:
      kora-actors epoch show
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    with invocation(context).reader() as reader:
        epoch = reader.steering().epoch
    if as_json:
        plain_document({"epoch": epoch})
    else:
        say(f"epoch {epoch}")


@app.command(short_help="Raise the epoch, after a restore.")
def bump(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.", show_default=False)],
    is_sure: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Raise the epoch: the store is not what runtimes last knew. Every one that knew another epoch boots into PAUSED.

    It claims nothing until `control reset`. Attempts that were made so far no longer count towards
    `control.max_attempts`. On a terminal it asks first.

    \b
    Example:
      kora-actors epoch bump --reason "restored the backup of Monday"
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    why = checked_reason(context, reason)
    call = invocation(context)
    confirm(
        "Every runtime that knew another epoch will boot into PAUSED, until `control reset`. Go on?", is_sure=is_sure
    )
    with call.store() as store, closing(store.board()) as board:
        epoch = board.bump_epoch(reason=why, who=login_name())
    if as_json:
        plain_document({"epoch": epoch})
        return
    say(f"epoch {epoch}: every runtime that knew another one boots into PAUSED, until {call.typed('control', 'reset')}")
