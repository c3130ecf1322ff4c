"""What Control tells people: a line when something has changed, and none while it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kora.domain.control import ClaimPermission
from kora.domain.cost import MICRO_USD
from kora.domain.state import COST_PAUSED, OPERATOR_PAUSED, DegradationReason, PrimaryState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kora.domain.permit import Verdict
    from kora.store.steering import Steering

_ENDS_WITH: Final = {
    OPERATOR_PAUSED: "`kora-actors resume`",
    COST_PAUSED: "the next month, or `kora-actors cost refresh`",
}
_RESET: Final = "`kora-actors control reset`"


def lines(before: Verdict, after: Verdict, steering: Steering | None) -> Iterator[tuple[str, str]]:
    """Each with its severity. What was said where it was heard, of the store and of providers, is not said again."""
    if (after.target, after.trigger) != (before.target, before.trigger):
        yield _moved(before, after, steering)
    spent = "" if steering is None else f": {steering.pool.spent_micro_usd / MICRO_USD:,.2f} USD are spent"
    if after.ends_for_cost and not before.ends_for_cost:
        yield (
            "WARNING",
            f"the credit pool is used up{spent}; what runs is released as deferred for cost, then it pauses",
        )
    elif _begins(DegradationReason.COST, before, after):
        yield "WARNING", f"the credit pool runs low{spent}"
    if _begins(DegradationReason.RETRY_CEILING, before, after):
        yield (
            "WARNING",
            f"too many tickets ran into control.max_attempts in an hour: only critical ones are claimed until {_RESET}",
        )


def _begins(reason: DegradationReason, before: Verdict, after: Verdict) -> bool:
    return reason in after.reasons and reason not in before.reasons


def _moved(before: Verdict, after: Verdict, steering: Steering | None) -> tuple[str, str]:
    if after.target is None:
        is_ramped = steering is not None and steering.pool.ramp_seconds > 0
        what_now = "tickets are claimed again" + (", for a while one by one" if is_ramped else "")
        if after.permission is ClaimPermission.NONE:
            what_now = "nothing is claimed yet"
        return "INFO", f"no longer {before.target} ({before.trigger}): {what_now}"
    command = None if steering is None else steering.command
    said = "" if command is None else f", {command.issuer}: {command.reason}"
    if after.target is PrimaryState.STOPPED:
        return "WARNING", f"{after.target} ({after.trigger}{said})"
    return "WARNING", f"{after.target} ({after.trigger}{said}): nothing is claimed until {_end_of(after)}"


def _end_of(after: Verdict) -> str:
    return _ENDS_WITH.get(after.trigger, _RESET)
