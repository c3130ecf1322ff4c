"""What attempts cost: each is charged once, in its presence mark, its ticket, the tallies and the month's spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from kora.domain.claim import ClaimKey
from kora.domain.cost import micro_usd
from kora.domain.operation import OperationState
from kora.store.sql.turn import EXPIRED, OpenTurn

if TYPE_CHECKING:
    from kora.store.steering import Charge

COST_MAX_MICRO_USD: Final = 10**12
"""a million dollars for one attempt is a slip of its agent, and sums of such must not overflow; the log has its word"""


class Charged(NamedTuple):
    """An attempt whose charge went up."""

    work_attempt_id: str
    ticket_no: int
    more_micro_usd: int
    resolution: str
    """how it ended, as the tallies call it"""


def micro_usd_of(cost_usd: float | None) -> int:
    """What is charged for so much. Raises `ValueError` or `OverflowError` for what is no number."""
    return 0 if cost_usd is None else max(0, min(COST_MAX_MICRO_USD, micro_usd(cost_usd)))


def charge(turn: OpenTurn, charges: Sequence[Charge]) -> None:
    """Attempts that ended without a settlement are charged what they cost beyond what they were charged already.

    Whatever became of the claim meanwhile. So that a charge may be told again, also after the settlement of the same
    attempt; one of an attempt that the workspace does not know is set aside.
    """
    costs: dict[ClaimKey, float] = {}
    for each in charges:
        costs[each.key] = max(each.cost_usd, costs.get(each.key, 0.0))

    def write(rows: Sequence[tuple[ClaimKey, float]]) -> list[Charged]:
        known = _known(turn, [key for key, _ in rows])
        for key, _ in rows:
            if key.work_attempt_id not in known:
                raise ValueError("there is no such attempt in this workspace")
        done = _raise(turn, known, {key: micro_usd_of(cost) for key, cost in rows})
        if done:
            more = [(each.ticket_no, each.more_micro_usd) for each in done]
            turn.connection.execute(turn.say.steering.add_cost, (orjson.dumps(more).decode(),))
        return done

    for done in turn.each(list(costs.items()), write, lambda row: f"charge of attempt {row[0].work_attempt_id}"):
        turn.tally(done.resolution, worked_us=0, cost_micro_usd=done.more_micro_usd, attempts=0)


def raise_charges(turn: OpenTurn, costs: Mapping[ClaimKey, int]) -> list[Charged]:
    """Those of these attempts that have cost more than they were charged, which their presence marks say from now on.

    The rest, ticket and tallies, is for whoever settles them.
    """
    paid = {key: cost for key, cost in costs.items() if cost > 0}
    return _raise(turn, _known(turn, list(paid)), paid)


class _Known(NamedTuple):
    ticket_no: int
    charged_micro_usd: int
    resolution: str


def _known(turn: OpenTurn, keys: Sequence[ClaimKey]) -> dict[str, _Known]:
    """What these attempts were charged so far, by their ids; without those that are not there."""
    asked = orjson.dumps([(key.ticket_id, key.work_attempt_id) for key in keys]).decode()
    found = turn.connection.execute(turn.say.steering.charged, (turn.workspace_id, asked)).fetchall()
    return {
        attempt: _Known(ticket_no, charged, _resolution(state, result))
        for _, attempt, ticket_no, charged, state, result in found
    }


def _raise(turn: OpenTurn, known: Mapping[str, _Known], costs: Mapping[ClaimKey, int]) -> list[Charged]:
    raised = [
        (Charged(attempt, row.ticket_no, cost - row.charged_micro_usd, row.resolution), cost)
        for (_, _, attempt), cost in costs.items()
        if (row := known.get(attempt)) is not None and cost > row.charged_micro_usd
    ]
    if raised:
        charges = orjson.dumps([(each.work_attempt_id, cost) for each, cost in raised]).decode()
        turn.connection.execute(turn.say.steering.charge, (charges,))
    return [each for each, _ in raised]


def _resolution(state: str, result: str | None) -> str:
    said = orjson.loads(result) if state == OperationState.COMMITTED and result else {}
    return str(said.get("resolution", EXPIRED))
