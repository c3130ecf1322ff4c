"""What an operator decides about one ticket: unblock, force-retry, cancel, reassign."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.invocation import invocation, known_id, login_name
from kora.cli.output import document, say, shown

if TYPE_CHECKING:
    from kora.domain.ticket import Ticket
    from kora.store.port import Board

    Verb = Callable[[Board, str, str], Ticket]

TicketId = Annotated[str, typer.Argument(metavar="ID", help="The ticket's id.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the ticket as one JSON document.")]


def unblock(context: typer.Context, ticket: TicketId, *, as_json: AsJson = False) -> None:
    """Let a ticket that waits for a person be worked again: its attempts so far count no more.

    Blockers that have failed are done without; those that may still be completed are waited for.

    \b
    Example:
      kora-actors ticket unblock 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _decide(context, ticket, lambda board, ticket_id, who: board.unblock(ticket_id, who=who), as_json=as_json)


def force_retry(context: typer.Context, ticket: TicketId, *, as_json: AsJson = False) -> None:
    """Reopen a ticket that has failed for good, its failures forgotten; or have one that waits for its time worked now.

    \b
    Example:
      kora-actors ticket force-retry 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _decide(context, ticket, lambda board, ticket_id, who: board.force_retry(ticket_id, who=who), as_json=as_json)


def cancel(context: typer.Context, ticket: TicketId, *, as_json: AsJson = False) -> None:
    """Give a ticket up: it is failed_terminal from now on. If it is being worked, its agent is stopped.

    \b
    Example:
      kora-actors ticket cancel 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _decide(context, ticket, lambda board, ticket_id, who: board.cancel(ticket_id, who=who), as_json=as_json)


def reassign(
    context: typer.Context,
    ticket: TicketId,
    *,
    to: Annotated[str, typer.Option("--to", metavar="ACTOR", help="The actor's id.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Give a ticket to another actor. Refused while it is worked, and when it is final.

    \b
    Example:
      kora-actors ticket reassign 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 --to 6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    actor_id = known_id(context, to, "--to", what="actor")
    _decide(
        context, ticket, lambda board, ticket_id, who: board.reassign(ticket_id, actor_id, who=who), as_json=as_json
    )


def _decide(context: typer.Context, ticket: str, verb: Verb, *, as_json: bool) -> None:
    ticket_id = known_id(context, ticket, "ID")
    with invocation(context).board() as board:
        decided = verb(board, ticket_id, login_name())
    if as_json:
        document(decided.model_dump_json())
    else:
        say(standing(decided))


def standing(ticket: Ticket) -> str:
    """How the ticket stands now, in a line."""
    from kora.domain.ticket import TRIED_AGAIN

    eligible = ", eligible at once" if ticket.sea_status in TRIED_AGAIN else ""
    if ticket.next_eligible_at is not None:
        eligible = f", eligible from {shown(ticket.next_eligible_at)}"
    return f"{ticket.ticket_id} is now {ticket.sea_status}{eligible}, for actor {ticket.assigned_to_actor_id}"
