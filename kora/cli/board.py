"""The board: tickets added, imported, listed and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli import verbs
from kora.cli.attempt_log import attempt_line, log
from kora.cli.attempt_places import place_line, places_of
from kora.cli.invocation import invocation, known_id, known_names, login_name
from kora.cli.output import document, documents, fields, plain_document, say, table

if TYPE_CHECKING:
    from kora.config import Settings
    from kora.domain.ticket import NewTicket, Ticket
    from kora.store.port import Reader
    from kora.store.views import AttemptRecord

app = typer.Typer(help="The board: put tickets on it, look at them, decide about them.", rich_markup_mode=None)
AgentName = Annotated[
    str | None,
    typer.Option(
        "--agent", metavar="NAME", help="Which [agents.NAME] of the configuration does it: [agent], if not said."
    ),
]
Blockers = Annotated[
    list[str] | None,
    typer.Option(
        "--blocked-by",
        metavar="ID",
        help="A ticket that must be completed first; may be repeated.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

COLUMNS = ("ticket_id", "sea_status", "sea_priority", "attempts", "ticket_title")
STATUS_STYLES = {
    "completed": "green",
    "claimed": "cyan",
    "in_progress": "cyan",
    "failed_retryable": "yellow",
    "blocked_needs_operator": "red",
    "failed_terminal": "red",
}
_OPTION_OF_FIELD = {
    "ticket_title": "TITLE",
    "ticket_objective": "--objective",
    "sea_priority": "--priority",
    "sea_idea_kind": "--kind",
    "assigned_to_actor_id": "--assign",
    "agent": "--agent",
    "blocked_by": "--blocked-by",
}


@app.command("add", short_help="Put a ticket on the board.")
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
    agent: AgentName = None,
    blocked_by: Blockers = None,
    as_json: AsJson = False,
) -> None:
    """Put a ticket on the board.

    \b
    Examples:
      kora-actors ticket add "Weigh the anchor"
      kora-actors ticket add --priority high --objective "All of them" "Count the sails" --json
      kora-actors ticket add --agent review --blocked-by 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 "Look it over"
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    said = {
        "ticket_title": title,
        "ticket_objective": objective,
        "sea_priority": priority,
        "sea_idea_kind": kind,
        "assigned_to_actor_id": assign,
        "agent": agent,
    }
    call = invocation(context)
    settings = call.settings()
    if agent is not None and agent not in settings.agents:
        raise typer.BadParameter(_no_such_agent(settings, agent), ctx=context, param_hint="--agent")
    given = {name: value for name, value in said.items() if value is not None}
    ticket = _new_ticket(context, given, [known_id(context, each, "--blocked-by") for each in blocked_by or []])
    with call.store(settings) as store:
        with closing(store.board()) as board:
            (ticket_id,) = board.add([ticket], who=login_name())
        if not as_json:
            say(f"added {ticket_id}")
            return
        with closing(store.reader()) as reader:
            document(reader.ticket(ticket_id).model_dump_json())


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
    assigned_to_actor_id, next_eligible_at, agent, blocked_by (a list of
    ids, also of this file), ticket_id (so that others can name it).
    \b
    Examples:
      kora-actors ticket import plan.jsonl
      generate-plan | kora-actors ticket import - --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.cli.intake import checked

    call = invocation(context)
    settings = call.settings()
    with checked(file, agents=settings.agents) as tickets, call.board(settings) as board:
        ids = board.add(tickets, who=login_name())
    if as_json:
        plain_document({"imported": len(ids), "ticket_ids": ids})
    else:
        say(f"imported {len(ids)} ticket{'s' if len(ids) != 1 else ''}")


@app.command("list", short_help="Show the board, oldest first.")
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
    from kora.domain.ticket import Status

    wanted = known_names(context, statuses or (), Status, "--status", what="status")
    with invocation(context).reader() as reader:
        found = reader.tickets(wanted, limit)
        if as_json:
            documents(found)
        else:
            table(COLUMNS, _rows(found), "no tickets", styles=STATUS_STYLES)


@app.command("show", short_help="Show one ticket with all that is known of it.")
def show(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="ID", help="The ticket's id.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one ticket: its fields, how its blockers stand, and its attempts.

    \b
    Example:
      kora-actors ticket show 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    ticket_id = known_id(context, ticket, "ID")
    call = invocation(context)
    settings = call.settings()
    with call.reader(settings) as reader:
        found = reader.ticket(ticket_id)
        attempts = reader.attempts(ticket_id)
        places = places_of(settings.runtime, attempts)
        if not as_json:
            fields(
                _told(found, attempts, reader) | ({"workspaces": "\n".join(map(place_line, places))} if places else {})
            )
        elif places:
            plain_document({**found.model_dump(mode="json"), "workspaces": places})
        else:
            document(found.model_dump_json())


def _told(ticket: Ticket, attempts: Sequence[AttemptRecord], reader: Reader) -> dict[str, object]:
    blockers = [f"{each} {reader.ticket(each).sea_status}" for each in ticket.blocked_by]
    operations = Counter(str(operation.state) for operation in reader.operations(ticket.ticket_id))
    counted = ", ".join(f"{count} {state}" for state, count in operations.items())
    return {
        **ticket.model_dump(),
        "blocked_by": "\n".join(blockers) or None,
        "operations": counted or None,
        "attempts": "\n".join(map(attempt_line, attempts)) or None,
    }


def _new_ticket(context: typer.Context, said: dict[str, str], blockers: list[str]) -> NewTicket:
    from pydantic import ValidationError

    from kora.config.faults import explained
    from kora.domain.ticket import NewTicket

    try:
        return NewTicket.model_validate({**said, "blocked_by": blockers})
    except ValidationError as error:
        faults = explained(error, NewTicket)
    for field, option in _OPTION_OF_FIELD.items():
        faults = [option + fault.removeprefix(field) if fault.startswith(f"{field}:") else fault for fault in faults]
    raise typer.BadParameter("\n  ".join(faults), ctx=context, param_hint="the ticket")


def _no_such_agent(settings: Settings, name: str) -> str:
    known = ", ".join(settings.agents) or f"none; {settings.path} has no [agents.NAME]"
    return f"no such agent: {name!r}; there are: {known}"


def _rows(tickets: Iterable[Ticket]) -> Iterator[tuple[object, ...]]:
    for ticket in tickets:
        yield (
            ticket.ticket_id,
            ticket.sea_status,
            ticket.sea_priority,
            ticket.work_attempt_count,
            ticket.ticket_title,
        )


app.command("log", short_help="Show what an attempt at a ticket printed.")(log)
app.command("unblock", short_help="Let a ticket that waits for a person be worked again.")(verbs.unblock)
app.command("force-retry", short_help="Have a failed ticket, or one that waits for its time, worked now.")(
    verbs.force_retry
)
app.command("cancel", short_help="Give a ticket up for good.")(verbs.cancel)
app.command("reassign", short_help="Give a ticket to another actor.")(verbs.reassign)
