"""The event log, shown and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.invocation import invocation, known_id
from kora.cli.output import complain, document, documents, say, table

if TYPE_CHECKING:
    from kora.domain.events import Event
    from kora.store.port import ChainReport

_COLUMNS = ("seq", "occurred_at", "event_type", "ticket_id", "payload")


def events(
    context: typer.Context,
    *,
    ticket: Annotated[
        str | None, typer.Option("--ticket", metavar="ID", help="Only this ticket's.", show_default=False)
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only events of this type; may be repeated.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute every chain; name the first broken event and end with 1.")
    ] = False,
) -> int:
    """Show the log, oldest first, the whole of it by default.

    \b
    Examples:
      kora-actors events --type kora.sea_ticket.resolved
      kora-actors events --ticket 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 --json
      kora-actors events --verify
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if verify and (ticket or types):
        message = "goes with neither --ticket nor --type: a chain is verified whole"
        raise typer.BadParameter(message, ctx=context, param_hint="--verify")
    wanted = _known_types(context, types or [])
    ticket_id = known_id(context, ticket, "--ticket") if ticket is not None else None
    with invocation(context).store() as store:
        reader = store.reader()
        try:
            if verify:
                return _tell(reader.verify(), as_json=as_json)
            if ticket_id is not None:
                reader.ticket(ticket_id)
            found = reader.events(ticket_id=ticket_id, event_types=wanted)
            if as_json:
                documents(found)
            else:
                table(_COLUMNS, _rows(found), "no events")
        finally:
            reader.close()
    return 0


def _rows(events: Iterable[Event]) -> Iterator[tuple[object, ...]]:
    return ((event.seq, event.occurred_at, event.event_type, event.ticket_id, event.payload) for event in events)


def _known_types(context: typer.Context, types: list[str]) -> list[str]:
    from kora.domain.events import EventType

    known = [str(each) for each in EventType]
    strange = [each for each in types if each not in known]
    if strange:
        raise typer.BadParameter(
            f"no such event: {', '.join(map(repr, strange))}; there are: {', '.join(known)}",
            ctx=context,
            param_hint="--type",
        )
    return types


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
