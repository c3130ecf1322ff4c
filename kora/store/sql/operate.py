"""The operating part of a turn: the steps of operations, each answered, and none done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from kora.clock import from_us
from kora.domain.operation import OperationAnswer, OperationRequest, OperationState, Step, Verdict, begun_by
from kora.store.sql.operate_rows import Asked, OperationRow, checked
from kora.store.sql.rows import operation_of
from kora.store.sql.turn import OpenTurn

_OVER: Final = "the claim is over"


@dataclass(frozen=True, slots=True)
class _Standing:
    """How the ledger stands to a request."""

    held: bool
    leased: bool
    """held, and the lease still runs"""
    last: int | None
    own: OperationRow | None
    """the row of its number"""
    same: OperationRow | None
    """the row of its operation id, in whichever attempt, that is not abandoned"""


@dataclass(frozen=True, slots=True)
class _Write:
    """A request that is to be written, and what it is answered once it is."""

    asked: Asked
    takes_over: bool = False
    """an earlier attempt left the same operation open"""


def operate(turn: OpenTurn, requests: Sequence[OperationRequest]) -> None:
    """Each request is answered, in the order asked; one that was done before is answered the same and writes nothing.

    What is asked about one ticket is done in order; about different tickets, all at once. A request that no row can
    hold is REFUSED, and takes nothing else with it.
    """
    answers: dict[int, OperationAnswer] = {}
    rounds: list[list[Asked]] = []
    asked_before = Counter[str]()
    for place, request in enumerate(requests):
        try:
            asked = checked(place, request)
        except ValueError as error:
            answers[place] = OperationAnswer(request, Verdict.REFUSED, reason=str(error))
            continue
        ticket_id = request.claim.ticket_id
        if asked_before[ticket_id] == len(rounds):
            rounds.append([])
        rounds[asked_before[ticket_id]].append(asked)
        asked_before[ticket_id] += 1
    for some in rounds:
        answers.update(_round(turn, some))
    turn.result.operated += [answers[place] for place in range(len(requests))]


def _round(turn: OpenTurn, some: Sequence[Asked]) -> Iterator[tuple[int, OperationAnswer]]:
    """The answers to requests of which each is about another ticket."""
    writes: list[_Write] = []
    for asked, standing in zip(some, _standing(turn, some), strict=True):
        judged = _judged(asked, standing)
        if isinstance(judged, OperationAnswer):
            yield asked.place, judged
        else:
            writes.append(judged)
    faults_before = len(turn.result.set_aside)
    written = turn.each(writes, lambda rows: _write(turn, rows), lambda row: _name(row.asked.request))
    done = {write.asked.place for write in written}
    faults = iter(turn.result.set_aside[faults_before:])
    for asked in (write.asked for write in writes):
        yield asked.place, _done(turn, asked) if asked.place in done else _refused(asked.request, next(faults))


def _standing(turn: OpenTurn, some: Sequence[Asked]) -> Iterator[_Standing]:
    identities = [
        (
            asked.request.claim.ticket_id,
            asked.request.claim.claim_fence_token,
            asked.request.claim.work_attempt_id,
            asked.request.sequence_within_attempt,
            asked.operation_id,
        )
        for asked in some
    ]
    bound = (orjson.dumps(identities).decode(), turn.workspace_id, turn.runtime_id)
    for held, lease_expires_at, last, *rows in turn.connection.execute(turn.say.standing, bound).fetchall():
        own, same = rows[: len(OperationRow._fields)], rows[len(OperationRow._fields) :]
        yield _Standing(
            held=bool(held),
            leased=bool(held) and lease_expires_at > turn.now_us,
            last=last,
            own=None if own[0] is None else OperationRow._make(own),
            same=None if same[0] is None else OperationRow._make(same),
        )


def _judged(asked: Asked, standing: _Standing) -> OperationAnswer | _Write:
    return _begin(asked, standing) if asked.request.step is Step.BEGIN else _end(asked, standing)


def _begin(asked: Asked, standing: _Standing) -> OperationAnswer | _Write:
    request, own, same = asked.request, standing.own, standing.same
    if not standing.leased:
        return OperationAnswer(request, Verdict.LOST, reason=_OVER)
    # First of all: a repeated request may come when its number was given to another operation long ago.
    if same is not None and same.state == OperationState.COMMITTED:
        return OperationAnswer(request, Verdict.RECORDED, operation_of(same))
    if own is not None and own == same and own.state == OperationState.DISPATCHED:
        return OperationAnswer(request, Verdict.DISPATCHED, operation_of(own))
    obstacle = _obstacle(asked, standing)
    return _refused(request, obstacle) if obstacle else _Write(asked, takes_over=same is not None)


def _obstacle(asked: Asked, standing: _Standing) -> str:
    """Why an operation that is neither recorded nor under way cannot be begun; empty when it can."""
    number, own, same = asked.request.sequence_within_attempt, standing.own, standing.same
    if own is not None and own.kora_operation_id != asked.operation_id:
        return f"number {number} of this attempt is that of another operation"
    if own is not None:
        return f"number {number} of this attempt is {own.state} already"
    if same is not None and same.work_attempt_id == asked.request.claim.work_attempt_id:
        return f"the same operation is under way as number {same.sequence_within_attempt} of this attempt"
    if standing.last is None or number != standing.last + 1:
        return f"the next number of this attempt is {(standing.last or 0) + 1}, not {number}"
    return ""


def _end(asked: Asked, standing: _Standing) -> OperationAnswer | _Write:
    request, number = asked.request, asked.request.sequence_within_attempt
    state, *ending = asked.ended
    own = standing.own if standing.own and standing.own.kora_operation_id == asked.operation_id else None
    if own is not None and (own.state, own.dispatch_result, own.dispatch_error) == (state, *ending):
        # Also when the claim is over by now: only the answer was lost.
        return OperationAnswer(request, Verdict(state.value))
    if not standing.held:
        return OperationAnswer(request, Verdict.LOST, reason=_OVER)
    if own is None:
        return _refused(request, f"it was never begun as number {number} of this attempt")
    if own.state == OperationState.DISPATCHED:
        return _Write(asked)
    if own.state == state:
        return _refused(request, f"it is {state} already, and not as asked now; what is recorded stays")
    return _refused(request, f"it is {own.state} already")


def _write(turn: OpenTurn, writes: Sequence[_Write]) -> list[_Write]:
    begun = [write for write in writes if write.asked.request.step is Step.BEGIN]
    ended = [write for write in writes if write.asked.request.step is not Step.BEGIN]
    taken_over = [_key(turn, write.asked) for write in begun if write.takes_over]
    if taken_over:
        turn.connection.executemany(turn.say.take_over, taken_over)
    # Dispatched at once: what lies between allocation and dispatch is this transaction, which nobody else can see into.
    rows = [
        (
            *_key(turn, write.asked),
            write.asked.request.sequence_within_attempt,
            write.asked.request.tool_name,
            write.asked.request.operation_key,
        )
        for write in begun
    ]
    ends = [
        (*_key(turn, write.asked), write.asked.request.sequence_within_attempt, *write.asked.ended) for write in ended
    ]
    for statement, bound in ((turn.say.begin, rows), (turn.say.end, ends)):
        if bound and turn.connection.executemany(statement, bound).rowcount != len(bound):
            raise ValueError("its claim was gone when it came to be written")
    return list(writes)


def _key(turn: OpenTurn, asked: Asked) -> tuple[object, ...]:
    """The parameters 1 to 7 of every statement that writes: whose claim it is under, the time, the operation."""
    claim = asked.request.claim
    return (
        claim.ticket_id,
        turn.workspace_id,
        claim.claim_fence_token,
        claim.work_attempt_id,
        turn.runtime_id,
        turn.now_us,
        asked.operation_id,
    )


def _done(turn: OpenTurn, asked: Asked) -> OperationAnswer:
    request = asked.request
    if request.step is not Step.BEGIN:
        return OperationAnswer(request, Verdict(asked.ended[0].value))
    return OperationAnswer(
        request, Verdict.DISPATCHED, begun_by(request, operation_id=asked.operation_id, at=from_us(turn.now_us))
    )


def _refused(request: OperationRequest, reason: str) -> OperationAnswer:
    return OperationAnswer(request, Verdict.REFUSED, reason=reason)


def _name(request: OperationRequest) -> str:
    return f"{request.step} of operation {request.sequence_within_attempt} of ticket {request.claim.ticket_id}"
