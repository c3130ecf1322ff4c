"""What comes from a running runtime, as it comes: its log, its events, the messages of an actor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from kora.cli.admin.asked import ActorName, Document, Limit, actor_path, client
from kora.cli.admin.outlasting import left_out, outlasting
from kora.cli.invocation import known_id, known_names
from kora.cli.log import COLUMNS, DRAWN_BELOW, WIDTHS, Follow, OfTicket, OfTypes
from kora.cli.output import (
    Rolling,
    cells_of,
    complain,
    painted,
    plain_document,
    plain_documents,
    say,
    table,
    write_line,
)

_LEVELS: Final = {"DEBUG": "dim", "INFO": "cyan", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_AT_A_TIME: Final = 1_000
StreamAsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document; of a stream one object a line.")]


def tail(
    context: typer.Context,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on, until Ctrl-C.")
    ] = False,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="Only lines that are as severe, or more.")
    ] = "DEBUG",
    limit: Limit = 20,
    as_json: StreamAsJson = False,
) -> None:
    """Show the last log lines of the runtime, or follow them.

    \b
    Examples:
      kora-actors tail
      kora-actors tail -f --level WARNING
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if level not in _LEVELS:
        raise typer.BadParameter(f"no such level; there are: {', '.join(_LEVELS)}", ctx=context, param_hint="--level")
    wanted = list(_LEVELS)[list(_LEVELS).index(level) :]

    def is_wanted(line: Document) -> bool:
        return line["level"] in wanted or line["level"] not in _LEVELS

    found = client(context).get("/log", {"limit": limit})
    kept = [line for line in found if is_wanted(line)]
    if as_json and not follow:
        plain_documents(kept)
        return
    for line in kept:
        _print(line, _show_line, as_json=as_json)
    if follow:
        after = found[-1]["id"] if found else None
        lines = outlasting(client(context), "/log/stream", after=after)
        _follow((line for line in lines if is_wanted(line)), _show_line, as_json=as_json)
    elif not kept:
        say("no log lines")


def trace(context: typer.Context, name: ActorName, *, as_json: StreamAsJson = False) -> None:
    """Follow what an actor is sent and sends, from now on, until Ctrl-C.

    \b
    Examples:
      kora-actors trace poller
      kora-actors trace ledger --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines

    def show(message: Document) -> None:
        if message["left_out"]:
            complain(left_out(message["left_out"]))
        is_received = message["receiver"] == name
        other = message["sender"] or "(outside)" if is_received else message["receiver"]
        kind = message["kind"]
        write_line(
            painted(f"{_clock(message['at'])} ", "dim"),
            painted("◀ " if is_received else "▶ ", "green" if is_received else "cyan"),
            painted(f"{other:<13} "),
            painted(kind, "bold"),
            painted(message["preview"].removeprefix(kind), "dim"),
        )

    _follow(outlasting(client(context), actor_path(name, "trace")), show, as_json=as_json)


def events(
    context: typer.Context,
    *,
    ticket: OfTicket = None,
    types: OfTypes = None,
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="SEQ", min=0, help="Only those behind this one; 0: all.", show_default=False),
    ] = None,
    follow: Follow = False,
    as_json: StreamAsJson = False,
) -> None:
    """Show the log of events, oldest first, the whole of it by default; with -f only what comes from now on.

    \b
    Examples:
      kora-actors events -f
      kora-actors events --type kora.sea_ticket.resolved --after 1200
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.domain.events import EventType

    wanted = [str(each) for each in known_names(context, types or (), EventType, "--type", what="event")]
    ticket_id = known_id(context, ticket, "--ticket") if ticket is not None else None
    which: dict[str, str | int | Sequence[str] | None] = {"ticket": ticket_id, "type": wanted}
    if follow:
        rolling = None if as_json else Rolling(COLUMNS, below=DRAWN_BELOW, least=WIDTHS)
        found = outlasting(client(context), "/events/stream", which, after=after)
        _follow(found, lambda event: rolling.add([cells_of(_row(event))]) if rolling else None, as_json=as_json)
        return

    def pages() -> Iterator[Document]:
        upto = after or 0
        while page := client(context).get("/events", which | {"after": upto, "limit": _AT_A_TIME}):
            yield from page
            upto = page[-1]["seq"]

    if as_json:
        plain_documents(pages())
    else:
        table(COLUMNS, map(_row, pages()), "no events", below=DRAWN_BELOW)


def _row(event: Document) -> Sequence[object]:
    return event["seq"], event["occurred_at"], event["event_type"], event["ticket_id"], event["payload"]


def _show_line(line: Document) -> None:
    style = _LEVELS.get(line["level"], "dim")
    first, *others = line["text"].split("\n")
    write_line(
        painted(f"{_clock(line['at'])} ", "dim"),
        painted(f"{line['level']:<8}", style),
        painted(f" {line['actor']:<12} {first}"),
    )
    for other in others:
        write_line(painted(f"    {other}"))


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%H:%M:%S}"


def _follow(found: Iterator[Document], show: Callable[[Document], None], *, as_json: bool) -> None:
    for each in found:
        _print(each, show, as_json=as_json)
        sys.stdout.flush()


def _print(each: Any, show: Callable[[Document], None], *, as_json: bool) -> None:  # noqa: ANN401 - from the API
    if as_json:
        plain_document(each)
    else:
        show(each)
