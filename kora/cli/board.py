"""The board: tickets added, imported, listed and shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.invocation import invocation, known_id, login_name
from kora.cli.output import document, documents, fields, say, table

if TYPE_CHECKING:
    from kora.domain.ticket import NewTicket, Status, Ticket

app = typer.Typer(help="The board: add, import, list and show tickets.", rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_COLUMNS = ("ticket_id", "sea_status", "sea_priority", "attempts", "ticket_title")
_OPTION_OF_FIELD = {
    "ticket_title": "TITLE",
    "ticket_objective": "--objective",
    "sea_priority": "--priority",
    "sea_idea_kind": "--kind",
    "assigned_to_actor_id": "--assign",
}


@app.command("add")
def add(
    context: typer.Context,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What is to be done, in a line.", show_default=False)],
    *,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="TEXT", help="What is to be done, at length.")
    ] = None,
    priority: Annotated[
        str | None,
        typer.Option("--priority", metavar="critical|high|medium|low", help="How urgent it is: medium, if not said."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="What kind of work it is: task, if not said.")
    ] = None,
    assign: Annotated[
        str | None,
        typer.Option("--assign", metavar="ACTOR", help="Who is to do it: the configuration's actor, if not said."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a ticket on the board.

    \b
    Examples:
      kora-actors ticket add "Weigh the anchor"
      kora-actors ticket add --priority high --objective "All of them" "Count the sails" --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    said = {
        "ticket_title": title,
        "ticket_objective": objective,
        "sea_priority": priority,
        "sea_idea_kind": kind,
        "assigned_to_actor_id": assign,
    }
    ticket = _new_ticket(context, {name: value for name, value in said.items() if value is not None})
    with invocation(context).store() as store:
        board = store.board()
        try:
            (ticket_id,) = board.add([ticket], who=login_name())
        finally:
            board.close()
        if not as_json:
            say(f"added {ticket_id}")
            return
        reader = store.reader()
        try:
            document(reader.ticket(ticket_id).model_dump_json())
        finally:
            reader.close()


@app.command("import", short_help="Put a file of tickets on the board.")
def import_file(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of JSON objects, one a line; - is stdin.", show_default=False)
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Put all tickets of a file on the board, or none: a file with broken lines is refused, and each is named.

    \b
    A line: {"ticket_title": "Weigh the anchor", "sea_priority": "high"}
    Other fields: ticket_objective, sea_idea_kind, sea_captured_at,
    assigned_to_actor_id, next_eligible_at.
    \b
    Examples:
      kora-actors ticket import plan.jsonl
      generate-plan | kora-actors ticket import - --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.cli.intake import checked

    with checked(file) as tickets, invocation(context).store() as store:
        board = store.board()
        try:
            ids = board.add(tickets, who=login_name())
        finally:
            board.close()
    if as_json:
        import orjson

        document(orjson.dumps({"imported": len(ids), "ticket_ids": ids}).decode())
    else:
        say(f"imported {len(ids)} ticket{'s' if len(ids) != 1 else ''}")


@app.command("list")
def list_tickets(
    context: typer.Context,
    *,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status", metavar="STATUS", help="Only tickets that stand so; may be repeated.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="No more than this many.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the board, oldest first.

    \b
    Examples:
      kora-actors ticket list
      kora-actors ticket list --status blocked_needs_operator --status failed_terminal
      kora-actors ticket list --limit 10 --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    wanted = _known_statuses(context, statuses or [])
    with invocation(context).store() as store:
        reader = store.reader()
        try:
            found = reader.tickets(wanted, limit)
            if as_json:
                documents(found)
            else:
                table(_COLUMNS, _rows(found), "no tickets")
        finally:
            reader.close()


@app.command("show")
def show(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="ID", help="The ticket's id.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one ticket with all its fields.

    \b
    Example:
      kora-actors ticket show 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    ticket_id = known_id(context, ticket, "ID")
    with invocation(context).store() as store:
        reader = store.reader()
        try:
            found = reader.ticket(ticket_id)
        finally:
            reader.close()
    if as_json:
        document(found.model_dump_json())
    else:
        fields(found.model_dump())


def _new_ticket(context: typer.Context, said: dict[str, str]) -> NewTicket:
    from pydantic import ValidationError

    from kora.config.faults import explained
    from kora.domain.ticket import NewTicket

    try:
        return NewTicket.model_validate(said)
    except ValidationError as error:
        faults = explained(error, NewTicket)
    for field, option in _OPTION_OF_FIELD.items():
        faults = [option + fault.removeprefix(field) if fault.startswith(f"{field}:") else fault for fault in faults]
    raise typer.BadParameter("\n  ".join(faults), ctx=context, param_hint="the ticket")


def _known_statuses(context: typer.Context, names: list[str]) -> list[Status]:
    from kora.domain.ticket import Status

    known = [str(status) for status in Status]
    strange = [name for name in names if name not in known]
    if strange:
        raise typer.BadParameter(
            f"no such status: {', '.join(map(repr, strange))}; there are: {', '.join(known)}",
            ctx=context,
            param_hint="--status",
        )
    return [Status(name) for name in names]


def _rows(tickets: Iterable[Ticket]) -> Iterator[tuple[object, ...]]:
    for ticket in tickets:
        yield (
            ticket.ticket_id,
            ticket.sea_status,
            ticket.sea_priority,
            ticket.work_attempt_count,
            ticket.ticket_title,
        )
