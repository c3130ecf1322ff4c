"""The paths that show something."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kora.admin.calls import Call, EventsQuery, Some, TicketsQuery
from kora.admin.paths import Lane, Path
from kora.admin.paths_health import HEALTH
from kora.domain.events import Event
from kora.domain.ticket import Ticket
from kora.errors import RefusedError

_ANSWER_BYTES: Final = 33_554_432


def _log(call: Call) -> list[Mapping[str, Any]]:
    feed, limit = call.console.log, call.query.limit
    batch = feed.since(max(0, feed.position() - limit), limit)
    first = batch.next - len(batch.items) + 1
    return [
        {"id": number, "at": line.at, "level": line.level, "actor": line.actor, "text": line.text}
        for number, line in enumerate(batch.items, first)
    ]


def _tickets(call: Call) -> list[Ticket]:
    with call.console.reader() as reader:
        found, size = [], 0
        for ticket in reader.tickets(call.query.status, call.query.limit):
            size += len(ticket.ticket_objective)
            if size > _ANSWER_BYTES:
                raise RefusedError(
                    f"these tickets have more than {_ANSWER_BYTES:,} characters of objectives: ask for fewer (limit)"
                )
            found.append(ticket)
        return found


def _ticket(call: Call) -> Ticket:
    with call.console.reader() as reader:
        return reader.ticket(call.names["id"])


def _claims(call: Call) -> object:
    with call.console.reader() as reader:
        return reader.claims()


def _events(call: Call) -> list[Event]:
    query = call.query
    with call.console.reader() as reader:
        if query.ticket is not None:
            reader.ticket(query.ticket)
        events = reader.events(ticket_id=query.ticket, event_types=query.type, after_seq=query.after or 0)
        return list(itertools.islice(events, query.limit))


def _cost(call: Call) -> Mapping[str, Any]:
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with call.console.reader() as reader:
        reports = {"this_month": reader.report(month), "last_24_hours": reader.report(now - timedelta(hours=24))}
    return {name: {"since": report.since, "cost_usd": report.cost_usd} for name, report in reports.items()}


def _ping(call: Call) -> Mapping[str, Any]:
    runtime = call.console.status().runtime
    return {"runtime_id": runtime.runtime_id, "pid": runtime.pid}


SEEN: Final = (
    Path("GET", "/status", "how the runtime and its actors stand", lambda call: call.console.status()),
    Path("GET", "/tree", "the supervision tree", lambda call: call.console.tree()),
    Path("GET", "/actors/{name}", "all that is known of one actor", lambda call: call.console.info(call.name)),
    Path(
        "GET",
        "/actors/{name}/mailbox",
        "what waits for it",
        lambda call: call.console.mailbox(call.name, call.query.limit),
        query=Some,
    ),
    Path("GET", "/actors/{name}/kinds", "what it understands", lambda call: call.console.kinds(call.name)),
    Path("GET", "/actors/{name}/stack", "where it is", lambda call: call.console.stacks(call.name)),
    Path("GET", "/stack", "where every thread of the process is", lambda call: call.console.stacks()),
    Path("GET", "/claims", "who works what", _claims, Lane.STORE),
    Path("GET", "/tickets", "the board, oldest first", _tickets, Lane.STORE, TicketsQuery),
    Path("GET", "/tickets/{id}", "one ticket", _ticket, Lane.STORE),
    Path("GET", "/events", "the log of events, from one on", _events, Lane.STORE, EventsQuery),
    Path("GET", "/log", "the last lines of the log", _log, query=Some),
    Path("GET", "/deadletters", "the messages that nobody handled", lambda call: call.console.dead_letters()),
    Path("GET", "/control", "what may be claimed, and who says so", lambda call: call.console.control()),
    Path("GET", "/cost", "what was spent this month, and in the last 24 hours", _cost, Lane.STORE),
    *HEALTH,
    Path("GET", "/ping", "which runtime answers", _ping),
    Path("GET", "/version", "the runtime's version", lambda call: {"version": call.console.status().runtime.version}),
)
