"""The messages that nobody handled: shown, sent again, forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from kora.cli.admin.asked import AsJson, client, count
from kora.cli.output import plain_document, say, table

app = typer.Typer(
    help="""Show the messages that nobody handled, the oldest first; resend or drop them.

    \b
    Examples:
      kora-actors deadletters
      kora-actors deadletters resend 3
      kora-actors deadletters drop all
    """,  # typer is told by a backspace to keep the lines
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_COLUMNS = ("number", "time", "actor", "kind", "reason", "again", "detail", "preview")


@app.callback(invoke_without_command=True)
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show them."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("goes with the list only", ctx=context, param_hint="--json")
        return
    found = client(context).get("/deadletters")
    if as_json:
        plain_document(found)
        return
    letters = found["letters"]
    rows = [
        (
            each["number"],
            each["at"],
            each["name"],
            each["kind"],
            each["reason"],
            "may be resent" if each["may_be_resent"] else "-",
            each["detail"],
            each["preview"],
        )
        for each in letters
    ]
    table(_COLUMNS, rows, "no dead letters", below=2, styles={"may be resent": "green"})
    if found["total"] > len(letters):
        say(f"since the start: {found['total']:,}; kept: {len(letters):,}")


@app.command(short_help="Send one again.")
def resend(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="N", min=0, help="Its number.", show_default=False)],
) -> None:
    """Send a dead letter again; refused for what must not be handled twice.

    \b
    Example:
      kora-actors deadletters resend 3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    client(context).post(f"/deadletters/{number}/resend")
    say(f"resent {number}")


@app.command(short_help="Forget one, or all.")
def drop(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="N|all", help="Its number, or all.", show_default=False)],
) -> None:
    """Forget a dead letter, or all of them.

    \b
    Examples:
      kora-actors deadletters drop 3
      kora-actors deadletters drop all
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if number != "all" and not number.isdecimal():
        raise typer.BadParameter("neither a number nor `all`", ctx=context, param_hint="N|all")
    done = client(context).delete("/deadletters" if number == "all" else f"/deadletters/{number}")
    say(f"dropped {count(done['dropped'], 'dead letter')}")
