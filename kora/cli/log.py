"""The event log, shown and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.following import bursts
from kora.cli.invocation import invocation, known_id, known_names
from kora.cli.output import Rolling, cells_of, complain, document, documents, say, table

if TYPE_CHECKING:
    from kora.domain.events import Event
    from kora.store.views import ChainReport

COLUMNS = ("seq", "occurred_at", "event_type", "ticket_id", "payload")
DRAWN_BELOW = 2
WIDTHS = (6, 27, 35, 36, 0)
"""what the columns come to: a follower cannot measure what has not happened yet"""

OfTicket = Annotated[str | None, typer.Option("--ticket", metavar="ID", help="Only this ticket's.", show_default=False)]
OfTypes = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Only events of this type; may be repeated.", show_default=False),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended from now on, until Ctrl-C.")]


def events(
    context: typer.Context,
    *,
    ticket: OfTicket = None,
    types: OfTypes = None,
    follow: Follow = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --follow one object a line.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every chain; name the first broken event and end with 1.")
    ] = False,
) -> int:
    """Show the log, oldest first, the whole of it by default.

    \b
    Examples:
      kora-actors events --type kora.sea_ticket.resolved
      kora-actors events --ticket 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 --json
      kora-actors events --follow
      kora-actors events --verify
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if verify and (ticket or types or follow):
        message = "goes with none of --ticket, --type, --follow: every chain is verified whole"
        raise typer.BadParameter(message, ctx=context, param_hint="--verify")
    from kora.domain.events import EventType

    wanted = known_names(context, types or (), EventType, "--type", what="event")
    ticket_id = known_id(context, ticket, "--ticket") if ticket is not None else None
    with invocation(context).reader() as reader:
        if verify:
            return _tell(reader.verify(), as_json=as_json)
        if ticket_id is not None:
            reader.ticket(ticket_id)

        def read(after_seq: int = 0) -> Iterator[Event]:
            return reader.events(ticket_id=ticket_id, event_types=wanted, after_seq=after_seq, up_to_now=not follow)

        if follow:
            _follow(bursts(reader, read), as_json=as_json)
        elif as_json:
            documents(read())
        else:
            table(COLUMNS, _rows(read()), "no events", below=DRAWN_BELOW)
    return 0


def _follow(found: Iterable[list[Event]], *, as_json: bool) -> None:
    """Print for as long as anybody reads."""
    rolling = None if as_json else Rolling(COLUMNS, below=DRAWN_BELOW, least=WIDTHS)
    for burst in found:
        if rolling is not None:
            rolling.add([cells_of(row) for row in _rows(burst)])
        else:
            for event in burst:
                document(event.model_dump_json())


def _rows(events: Iterable[Event]) -> Iterator[tuple[object, ...]]:
    return ((event.seq, event.occurred_at, event.event_type, event.ticket_id, event.payload) for event in events)


def verdict(report: ChainReport) -> str:
    """What a verification found, in one line."""
    if report.fault is None:
        chains = "1 chain" if report.chains == 1 else f"{report.chains} chains"
        return f"{report.events} events in {chains}: all intact"
    fault = report.fault
    event = f", event {fault.event_id}" if fault.event_id else ""
    return f"broken at {fault.chain_seq} of chain {fault.chain_id}{event}: {fault.fault}"


def _tell(report: ChainReport, *, as_json: bool) -> int:
    if as_json:
        from dataclasses import asdict

        import orjson

        document(orjson.dumps(asdict(report)).decode())
    elif report.fault is None:
        say(verdict(report))
    if report.fault is not None:
        complain(verdict(report))
        return 1
    return 0
