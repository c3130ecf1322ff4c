"""The workspace's credit pool: shown, brought into agreement with a reported figure, filled up again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kora.cli.admin.asked import AsJson, count
from kora.cli.asking import Sure, confirm
from kora.cli.invocation import invocation, login_name
from kora.cli.money import usd, usd_of
from kora.cli.output import painted, plain_document, say, shown, write_line
from kora.cli.spans import span
from kora.domain.cost import MICRO_USD, Ramp, Rung, micro_usd, month_of

if TYPE_CHECKING:
    from kora.config import Settings
    from kora.domain.cost import Pool
    from kora.store.port import Reader

app = typer.Typer(
    help="""Show the credit pool of the workspace: what is spent of it, and what that means. Alone as `cost show`.

    \b
    Examples:
      kora-actors cost
      kora-actors cost reconcile 112.50
      kora-actors cost refresh
    """,  # typer is told by a backspace to keep the lines
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
RUNG_STYLES: Final = {"normal": "green", "warn_75": "yellow", "downshift_90": "yellow", "hard_stop_100": "red"}
_DAY: Final = timedelta(hours=24)
_MOST_USD: Final = 1_000_000_000.0
_DEFERRED: Final = "deferred_cost_limit"
_MONTHS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Account:
    """The pool and what it was spent on, of one moment."""

    pool: Pool
    pool_micro_usd: int
    deferred: int
    last_24_hours_usd: float
    months: Mapping[int, int]

    @property
    def rung(self) -> Rung:
        """How much of the pool is spent."""
        return self.pool.rung(self.pool_micro_usd)

    def document(self) -> dict[str, Any]:
        """All of it, as programs get it."""
        pool = self.pool
        return {
            "pool_usd": self.pool_micro_usd / MICRO_USD,
            "month": _month(pool.month),
            "spent_usd": pool.spent_micro_usd / MICRO_USD,
            "counted_usd": pool.counted_micro_usd / MICRO_USD,
            "reconciled_usd": pool.reconciled_micro_usd / MICRO_USD,
            "rung": self.rung,
            "refreshed_at": pool.refreshed_at,
            "ramp_seconds": pool.ramp_seconds,
            "deferred_tickets": self.deferred,
            "last_24_hours_usd": self.last_24_hours_usd,
            "months": [
                {"month": _month(month), "charged_usd": spent / MICRO_USD} for month, spent in self.months.items()
            ],
        }


@app.callback(invoke_without_command=True)
def alone(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the pool, unless something else is to be done."""
    if context.invoked_subcommand is None:
        show(context, as_json=as_json)
    elif as_json:
        raise typer.BadParameter("goes behind the command", ctx=context, param_hint="--json")


@app.command(short_help="Show the pool, and what was spent of it.")
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the pool, what is spent of it and on which rung that stands, whether claims are ramped up, and each month.

    \b
    Examples:
      kora-actors cost show
      kora-actors cost show --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    call = invocation(context)
    settings = call.settings()
    with call.reader(settings) as reader:
        account = _account(reader, settings)
    if as_json:
        plain_document(account.document())
    else:
        _show(account, settings)


@app.command(short_help="Count at least what a provider reports.")
def reconcile(
    context: typer.Context,
    reported: Annotated[
        str,
        typer.Argument(metavar="USD", help="What is spent since the last refresh, or this month.", show_default=False),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Count at least what a provider's bill says is spent since the last refresh, or since the month began (UTC).

    It only ever moves up: what is counted already stays.

    \b
    Example:
      kora-actors cost reconcile 112.50
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    amount = _amount(context, reported)
    call = invocation(context)
    settings = call.settings()
    with call.store(settings) as store, closing(store.board()) as board, closing(store.reader()) as reader:
        before = reader.steering().pool.spent_micro_usd
        after = board.reconcile(amount, who=login_name()).spent_micro_usd
        account = _account(reader, settings)
    if as_json:
        plain_document({"before_usd": before / MICRO_USD, "after_usd": after / MICRO_USD} | account.document())
    elif after > before:
        say(f"spent: {usd_of(before)} before, {usd_of(after)} now: {_standing(account)}")
    else:
        say(f"spent: {usd_of(after)} as before, which is no less than {usd_of(amount)}: {_standing(account)}")


@app.command(short_help="Let what waits for money go on.")
def refresh(context: typer.Context, *, is_sure: Sure = False, as_json: AsJson = False) -> None:
    """Begin to count anew: nothing is spent from now on, and what was deferred for cost is eligible again.

    For `cost.ramp_seconds` claims are made one by one. On a terminal it asks first.

    \b
    Examples:
      kora-actors cost refresh
      kora-actors cost refresh --yes
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    call = invocation(context)
    settings = call.settings()
    with call.store(settings) as store, closing(store.reader()) as reader:
        before = _account(reader, settings)
        again = f"{count(before.deferred, 'ticket')} deferred for cost"
        spent = usd_of(before.pool.spent_micro_usd)
        confirm(f"{spent} are spent, and will not count from now on; {again} will be eligible. Go on?", is_sure=is_sure)
        with closing(store.board()) as board:
            board.refresh_credit(_ramp_of(settings), who=login_name())
        account = _account(reader, settings)
    if as_json:
        plain_document(account.document())
        return
    say(f"refreshed: {spent} before, {usd_of(account.pool.spent_micro_usd)} now")
    say(f"eligible again: {again}")
    say(f"claims: {_ramp(account, settings)}")


def _account(reader: Reader, settings: Settings) -> Account:
    steering = reader.steering()
    report = reader.report(steering.now - _DAY)
    return Account(
        pool=steering.pool,
        pool_micro_usd=micro_usd(settings.cost.pool_usd),
        deferred=report.tickets_by_status.get(_DEFERRED, 0),
        last_24_hours_usd=report.cost_usd,
        months=reader.spend(),
    )


def _show(account: Account, settings: Settings) -> None:
    pool, rung_now = account.pool, account.rung
    _line(
        "pool", f"{usd(settings.cost.pool_usd)} a month" if account.pool_micro_usd else "no limit (cost.pool_usd is 0)"
    )
    _line("spent", f"{usd_of(pool.spent_micro_usd)}{_share(account)}, {_since(pool)}")
    if pool.reconciled_micro_usd:
        added = usd_of(pool.reconciled_micro_usd)
        _line("of that", f"{usd_of(pool.counted_micro_usd)} as agents told, {added} added by reconciling")
    _line("rung", rung_now, RUNG_STYLES[rung_now])
    _line("claims", _ramp(account, settings))
    _line("deferred", f"{count(account.deferred, 'ticket')}, until the pool is refreshed")
    _line("last 24 h", usd(account.last_24_hours_usd))
    for month, spent in list(account.months.items())[:_MONTHS_SHOWN]:
        _line(_month(month), usd_of(spent))


def _line(label: str, text: str, *styles: str) -> None:
    write_line(painted(f"{label:<11}", "dim"), painted(text, *styles))


def _share(account: Account) -> str:
    if not account.pool_micro_usd:
        return ""
    return f", {100 * account.pool.spent_micro_usd / account.pool_micro_usd:.1f} % of it"


def _since(pool: Pool) -> str:
    if pool.refreshed_at is not None and month_of(pool.refreshed_at) == pool.month:
        return f"since the refresh at {shown(pool.refreshed_at)}"
    return f"in {_month(pool.month)} (UTC)"


def _standing(account: Account) -> str:
    return f"{account.rung}{_share(account)}"


def _ramp(account: Account, settings: Settings) -> str:
    if account.rung is Rung.HARD_STOP_100:
        return "none, until the pool is refreshed"
    if account.pool.ramp_seconds <= 0:
        return "not bounded by cost"
    interval = span(settings.cost.ramp_interval_seconds)
    return f"one in {interval} at most, over all runtimes, for another {span(account.pool.ramp_seconds)}"


def _ramp_of(settings: Settings) -> Ramp:
    return Ramp(settings.cost.ramp_seconds, settings.cost.ramp_interval_seconds)


def _month(month: int) -> str:
    return f"{month // 100}-{month % 100:02}"


def _amount(context: typer.Context, text: str) -> int:
    """What was typed, in millionths of a dollar. Raises `BadParameter`."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount <= _MOST_USD:
        message = f"{text!r} is no amount: write dollars, as 112.50"
        raise typer.BadParameter(message, ctx=context, param_hint="USD")
    return micro_usd(amount)
