"""The morning's page: what was done, what failed, what it cost, and what needs a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kora.cli.fleet import PRESENCE_STYLES, described
from kora.cli.invocation import Invocation, invocation
from kora.cli.money import usd
from kora.cli.output import plain_document, say
from kora.cli.spans import moment_before, span
from kora.cli.spending import Spending
from kora.domain.cost import Rung

if TYPE_CHECKING:
    from kora.store.views import BoardReport, TicketLine

_DONE: Final = "completed"
_FAILED: Final[tuple[str, ...]] = ("failed_terminal", "failed_retryable")
_BLOCKED: Final = "blocked_needs_operator"
_RUNTIMES_SHOWN: Final = 10
_RUNG_STYLES: Final = {Rung.WARN_75: "yellow", Rung.DOWNSHIFT_90: "yellow", Rung.HARD_STOP_100: "red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page: a label, what is to be said, and the label's style if it has one.

    One without a label is a command to be typed: it stands on a line of its own, never broken, fit to be copied.
    """

    label: str
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its rows."""

    heading: str
    rows: Sequence[Row]


def report(
    context: typer.Context,
    *,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="TIME", help="From when: 2026-07-04T08:00:00Z, 22:30, or a span: 90m, 12h, 2d."
        ),
    ] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the morning's page: what was done, what failed, what it cost, and what needs a person.

    \b
    Examples:
      kora-actors report
      kora-actors report --since 18:00
      kora-actors report --since 7d --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    try:
        start = moment_before(since, datetime.now().astimezone())
    except ValueError as error:
        raise typer.BadParameter(str(error), ctx=context, param_hint="--since") from None
    call = invocation(context)
    settings = call.settings()
    with call.reader(settings) as reader:
        found = reader.report(start)
        spending = Spending(reader.steering().pool, settings.cost)
    if as_json:
        plain_document(asdict(found) | {"cost": spending.document(found)})
    elif not any(found.tickets_by_status.values()) and not any(found.attempts_by_resolution.values()):
        say(f"nothing to report: the board is empty, and nothing was attempted since {_local(found.since)}")
    else:
        _print(list(_page(found, spending, call)))


def _page(found: BoardReport, spending: Spending, call: Invocation) -> Iterator[Section]:
    heading = f"Since {_local(found.since)} ({span((found.now - found.since).total_seconds())})"
    yield Section(heading, _happened(found))
    yield Section("The board now", _board(found))
    yield Section("Cost", list(_cost(found, spending)))
    if found.needs_a_person_count:
        rows = [row for line in found.needs_a_person for row in _needs(line, call)]
        left = found.needs_a_person_count - len(found.needs_a_person)
        if left:
            listing = call.typed("ticket", "list", "--status", _BLOCKED, "--status", _FAILED[0])
            rows += [Row(f"and {left:,} more", "not shown here"), Row("", listing)]
        yield Section(f"Needs a person: {found.needs_a_person_count:,}", rows)
    if found.longest:
        rows = [Row(span(line.worked_seconds), _named(line)) for line in found.longest]
        yield Section("Worked longest", rows)
    if found.flakiest:
        rows = [Row(_attempts(line.work_attempt_count), _named(line)) for line in found.flakiest]
        yield Section("Flakiest", rows)
    if found.runtimes:
        yield Section("Runtimes", _fleet(found, call))


def _happened(found: BoardReport) -> list[Row]:
    ended = {name: count for name, count in found.attempts_by_resolution.items() if count}
    done = ended.pop(_DONE, 0)
    failed = {name: ended.pop(name) for name in _FAILED if name in ended}
    rows = [
        Row("done", f"{_attempts(done)} completed" if done else "none", "green" if done else ""),
        Row("failed", _counted(failed) or "none", "red" if failed else ""),
    ]
    if ended:
        rows.append(Row("given back", _counted(ended), "yellow"))
    rows.append(Row("added", _number(found.tickets_added, "ticket")))
    rows.append(Row("spent", f"{usd(found.cost_usd)}, {span(found.worked_seconds)} of work"))
    return rows


def _cost(found: BoardReport, spending: Spending) -> Iterator[Row]:
    yield Row("pool", spending.said(), _RUNG_STYLES.get(spending.rung, ""))
    for line, why in spending.stopped(found):
        yield Row("stopped", f"{line.ticket_title}: {usd(line.cost_usd)}; {why}", "red")


def _board(found: BoardReport) -> list[Row]:
    by_status = {name: count for name, count in found.tickets_by_status.items() if count}
    rows = [Row("tickets", _counted(by_status) or "none")]
    blocked = []
    if by_status.get(_BLOCKED):
        blocked.append(f"{by_status[_BLOCKED]:,} by a failure, until a person decides")
    if found.waiting_for_others:
        blocked.append(f"{found.waiting_for_others:,} by other tickets that are not completed")
    if blocked:
        rows.append(Row("blocked", "; ".join(blocked), "yellow"))
    return rows


def _needs(line: TicketLine, call: Invocation) -> Iterator[Row]:
    why = " ".join((line.last_summary or "").split())
    yield Row(line.sea_status, f"{line.ticket_title}{': ' if why else ''}{why}", "red")
    if line.work_attempt_count:
        yield Row("", call.typed("ticket", "log", line.ticket_id))
    verb = "unblock" if line.sea_status == _BLOCKED else "force-retry"
    yield Row("", call.typed("ticket", verb, line.ticket_id))


def _named(line: TicketLine) -> str:
    cost = f", {usd(line.cost_usd)}" if line.cost_usd else ""
    return f"{line.ticket_title} ({line.ticket_id}, {line.sea_status}, {_attempts(line.work_attempt_count)}{cost})"


def _fleet(found: BoardReport, call: Invocation) -> list[Row]:
    shown = found.runtimes[:_RUNTIMES_SHOWN]
    rows = [Row(each.state, described(each), PRESENCE_STYLES.get(each.state, "")) for each in shown]
    left = len(found.runtimes) - len(shown)
    if left:
        rows += [Row(f"and {left:,} more", "not shown here"), Row("", call.typed("status", "--fleet"))]
    return rows


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _attempts(count: int) -> str:
    return _number(count, "attempt")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _print(page: Sequence[Section]) -> None:
    if sys.stdout.isatty():
        _draw(page)
        return
    for number, section in enumerate(page):
        if number:
            say("")
        say(section.heading)
        width = max(len(row.label) for row in section.rows)
        for row in section.rows:
            say(f"  {row.label:<{width}}  {row.text}" if row.label else f"    {row.text}")


def _draw(page: Sequence[Section]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from kora.logging import escaped

    console = Console(markup=False, highlight=False, emoji=False)
    for number, section in enumerate(page):
        if number:
            console.print()
        console.print(Text(escaped(section.heading), style="bold"))
        width = max(len(row.label) for row in section.rows)
        for row in section.rows:
            if not row.label:
                console.print(Text(f"    {escaped(row.text)}", style="cyan"), soft_wrap=True)
                continue
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True, min_width=width)
            grid.add_column(overflow="fold")
            grid.add_row(Text(escaped(row.label), style=row.style), Text(escaped(row.text)))
            console.print(Padding(grid, (0, 0, 0, 2), expand=False))
