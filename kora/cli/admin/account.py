"""The board, and what a running runtime counts, as it has them."""

from __future__ import annotations

from typing import Annotated

import typer

from kora.cli.admin.asked import AsJson, Limit, client, flat
from kora.cli.invocation import known_names
from kora.cli.output import fields, plain_document, say, table


def claims(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show who works what: every held claim, the oldest first.

    \b
    Examples:
      claims
      claims --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/claims")
    if as_json:
        plain_document(found)
        return
    from pydantic import TypeAdapter

    from kora.cli.claims import show_claims
    from kora.store.views import ActiveWork

    show_claims(TypeAdapter(list[ActiveWork]).validate_python(found))


def tickets(
    context: typer.Context,
    *,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status", metavar="STATUS", help="Only tickets that stand so; may be repeated.", show_default=False
        ),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the board, oldest first, as the runtime has it.

    \b
    Examples:
      kora-actors tickets
      kora-actors tickets --status blocked_needs_operator --limit 10
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.domain.ticket import Status

    wanted = known_names(context, statuses or (), Status, "--status", what="status")
    found = client(context).get("/tickets", {"status": [str(each) for each in wanted], "limit": limit})
    if as_json:
        plain_document(found)
        return
    from kora.cli.board import COLUMNS, STATUS_STYLES

    rows = (
        (each["ticket_id"], each["sea_status"], each["sea_priority"], each["work_attempt_count"], each["ticket_title"])
        for each in found
    )
    table(COLUMNS, rows, "no tickets", styles=STATUS_STYLES)
    if len(found) == limit:
        say(f"at most {limit:,} are shown; --limit shows more")


def stats(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show counts since the start: what was done, what was told, what it takes of the machine.

    \b
    Examples:
      kora-actors stats
      kora-actors stats --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/stats")
    if as_json:
        plain_document(found)
    else:
        fields(dict(flat(found)))
