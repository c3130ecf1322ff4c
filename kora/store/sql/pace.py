"""What keeps a turn from claiming all that it might: an open command, and the ramp after a refresh of the pool."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kora.clock import MICROSECONDS, from_us
from kora.domain.claim import ClaimResult
from kora.domain.cost import Resumption, month_of
from kora.store.port import ClaimOrder
from kora.store.sql.claim import claim
from kora.store.sql.turn import OpenTurn

_BUSY_SECONDS: Final = 1.0
"""when to ask again, where another runtime is just about the next claim"""


def claim_within(turn: OpenTurn, order: ClaimOrder) -> None:
    """As `claim`; nothing while a command is open, and one claim an interval, over all runtimes, during a ramp."""
    gate = turn.gate
    if order.count < 1:
        return
    if gate.stop_level > 0:
        turn.result.blocked_by = ClaimResult.BLOCKED_BY_CONTROL
    elif gate.ramp_until > turn.now_us:
        _claim_paced(turn, order)
    else:
        claim(turn, order)


def _claim_paced(turn: OpenTurn, order: ClaimOrder) -> None:
    gate, now_us = turn.gate, turn.now_us
    # Ahead of now only where somebody has set the clock back: that is no reason to wait for so long.
    due = gate.paced_at + gate.ramp_interval_us if gate.paced_at <= now_us else now_us
    if due > now_us:
        _refuse(turn, (due - now_us) / MICROSECONDS)
    elif turn.connection.execute(turn.say.steering.pace, (turn.workspace_id, now_us)).rowcount != 1:
        _refuse(turn, min(_BUSY_SECONDS, gate.ramp_interval_us / MICROSECONDS))
    else:
        claim(turn, replace(order, count=1))
        if not turn.result.claims:
            # Nothing is there, so nothing was claimed: the next one need not wait for it.
            turn.connection.execute(turn.say.steering.unpace, (turn.workspace_id, gate.paced_at))
        elif order.count > 1:
            _refuse(turn, gate.ramp_interval_us / MICROSECONDS)


def _refuse(turn: OpenTurn, seconds: float) -> None:
    turn.result.blocked_by = ClaimResult.BLOCKED_BY_COST
    left = (turn.gate.ramp_until - turn.now_us) / MICROSECONDS
    turn.result.next_eligible_in_seconds = min(seconds, left)


def resume_credit(turn: OpenTurn, asked: Resumption) -> None:
    """What was deferred for cost is in the queue, and claims are made as the ramp says.

    Not where the pause was ended since it was asked for. Where other runtimes are at work, which may know nothing of
    the ramp yet, it is left to a later turn.
    """
    say, workspace, ramp = turn.say.steering, (turn.workspace_id,), asked.ramp
    found = turn.connection.execute(say.lock_pool, workspace).fetchone()
    if found is None or (None if found[0] is None else from_us(found[0])) != asked.refreshed_at:
        return
    if not turn.connection.execute(say.hold_turns_at_rest, workspace).fetchone()[0]:
        return
    interval_us = round(ramp.interval_seconds * MICROSECONDS)
    month, until = month_of(from_us(turn.now_us)), turn.after(ramp.seconds)
    turn.connection.execute(say.resume_pool, (*workspace, month, turn.now_us, until, interval_us))
    turn.connection.execute(say.free_deferred, workspace)
    turn.gate = turn.gate._replace(ramp_until=until, ramp_interval_us=interval_us, paced_at=0)
