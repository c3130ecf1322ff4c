"""Operations: every step answered, none done twice, nothing written under a claim that is over."""

from contextlib import closing
from dataclasses import replace

import pytest

from kora.clock import from_us
from kora.domain.ids import new_id, operation_id
from kora.domain.operation import (
    CLAIM_TOOL,
    Operation,
    OperationRequest,
    OperationState,
    Step,
    Verdict,
    default_key,
)
from kora.domain.ticket import Status

LOST, REFUSED, RECORDED = Verdict.LOST, Verdict.REFUSED, Verdict.RECORDED
DISPATCHED, COMMITTED, ABANDONED = Verdict.DISPATCHED, Verdict.COMMITTED, Verdict.ABANDONED


def begin(claim, number=1, key="key", tool="tool"):
    return OperationRequest(claim.key, Step.BEGIN, number, tool, key)


def commit(claim, number=1, key="key", result='{"id":7}'):
    return OperationRequest(claim.key, Step.COMMIT, number, "tool", key, result=result)


def abandon(claim, number=1, key="key", error="no answer"):
    return OperationRequest(claim.key, Step.ABANDON, number, "tool", key, error=error)


def ask(runtime, *requests, **parts):
    """Operate in one turn; the answers, each belonging to its request."""
    answers = runtime.turn(operate=requests, **parts).operated
    assert [answer.request for answer in answers] == list(requests)
    return answers


def verdicts(runtime, *requests, **parts):
    return [answer.verdict for answer in ask(runtime, *requests, **parts)]


@pytest.fixture
def claim(add, runtime):
    add(1)
    return runtime.claim()[0]


@pytest.fixture
def rows(place):
    """Number, state, result and error of every row but the presence marks."""

    def of(ticket_id):
        return [row[1:] for row in place.ledger(ticket_id) if row[1] > 0]

    return of


def test_an_operation_is_begun_and_committed(claim, runtime, reader, clock):
    (begun,) = ask(runtime, begin(claim))

    expected = Operation(
        work_attempt_id=claim.key.work_attempt_id,
        sequence_within_attempt=1,
        kora_operation_id=operation_id(claim.key.ticket_id, "key"),
        tool_name="tool",
        operation_key="key",
        state=OperationState.DISPATCHED,
        dispatch_result=None,
        dispatch_error=None,
        allocated_at=from_us(clock.us),
        ended_at=None,
    )
    assert (begun.verdict, begun.operation) == (DISPATCHED, expected)
    assert reader.operations(claim.key.ticket_id) == [expected]

    clock.advance(1)
    (committed,) = ask(runtime, commit(claim))

    assert committed.verdict is COMMITTED
    assert reader.operations(claim.key.ticket_id) == [
        replace(expected, state=OperationState.COMMITTED, dispatch_result={"id": 7}, ended_at=from_us(clock.us))
    ]


def test_an_operation_is_abandoned_with_its_reason(claim, runtime, rows):
    assert verdicts(runtime, begin(claim), abandon(claim)) == [DISPATCHED, ABANDONED]

    assert rows(claim.key.ticket_id) == [(1, "abandoned", None, "no answer")]


def test_an_error_that_is_no_text_is_kept_as_far_as_it_goes(claim, runtime, rows):
    ask(runtime, *(begin(claim, n, f"key {n}") for n in (1, 2, 3)))

    told = verdicts(
        runtime,
        abandon(claim, 1, "key 1", "x" * 9_000),
        abandon(claim, 2, "key 2", "a\udc80\0b"),
        abandon(claim, 3, "key 3", None),
    )

    assert told == [ABANDONED] * 3
    assert [error for *_, error in rows(claim.key.ticket_id)] == [
        "x" * 4_000,
        "a\\udc80\\0b",
        "its agent gave no reason",
    ]


@pytest.mark.parametrize("step", [begin, commit, abandon])
def test_a_step_asked_again_is_answered_the_same_and_writes_nothing(claim, runtime, place, step):
    first = ask(runtime, *([begin(claim)] if step is not begin else []), step(claim))[-1]
    before = place.ledger(claim.key.ticket_id)

    # In one turn with another try, and in a later one.
    assert ask(runtime, step(claim), step(claim)) == [first, first]
    assert ask(runtime, step(claim)) == [first]
    assert place.ledger(claim.key.ticket_id) == before


def test_what_was_committed_is_handed_back_and_takes_no_number(claim, runtime, rows):
    ask(runtime, begin(claim), commit(claim))

    again, under_the_next = ask(runtime, begin(claim), begin(claim, 2))

    for answer in (again, under_the_next):
        assert answer.verdict is RECORDED
        assert (answer.operation.sequence_within_attempt, answer.operation.dispatch_result) == (1, {"id": 7})
    assert verdicts(runtime, begin(claim, 2, "another")) == [DISPATCHED]
    assert [row[0] for row in rows(claim.key.ticket_id)] == [1, 2]


def test_three_later_attempts_are_handed_what_the_first_recorded(claim, runtime, other, ends, rows):
    ask(runtime, begin(claim), commit(claim))
    runtime.settle(ends(claim, Status.RELEASED))

    for holder in (other, runtime, other):
        (later,) = holder.claim()
        (answer,) = ask(holder, begin(later, tool="the same key decides, not the tool"))
        assert (answer.verdict, answer.operation.dispatch_result) == (RECORDED, {"id": 7})
        assert answer.operation.work_attempt_id == claim.key.work_attempt_id
        holder.settle(ends(later, Status.RELEASED))

    assert rows(claim.key.ticket_id) == [(1, "committed", '{"id":7}', None)]


def test_a_record_is_handed_back_again_when_its_number_was_given_to_another_operation(claim, runtime, ends):
    ask(runtime, begin(claim), commit(claim))
    runtime.settle(ends(claim, Status.RELEASED))
    (later,) = runtime.claim()
    (first,) = ask(runtime, begin(later))
    ask(runtime, begin(later, 1, "another"))

    assert ask(runtime, begin(later)) == [first]


def test_what_an_earlier_attempt_left_open_is_begun_anew_under_the_same_id(claim, runtime, ends, reader):
    ask(runtime, begin(claim))
    runtime.settle(ends(claim, Status.RELEASED))
    (later,) = runtime.claim()

    (answer,) = ask(runtime, begin(later))

    assert answer.verdict is DISPATCHED
    assert answer.operation.work_attempt_id == later.key.work_attempt_id
    earlier, now = reader.operations(claim.key.ticket_id)
    assert (earlier.state, now.state) == (OperationState.ABANDONED, OperationState.DISPATCHED)
    assert earlier.kora_operation_id == now.kora_operation_id


def test_an_open_row_of_an_earlier_attempt_is_abandoned_should_one_be_left(claim, runtime, ends, place, rows):
    ask(runtime, begin(claim))
    runtime.settle(ends(claim, Status.RELEASED))
    (later,) = runtime.claim()
    place.ask("UPDATE operations SET state = 'dispatched', dispatch_error = NULL WHERE operation_key = 'key'")

    assert verdicts(runtime, begin(later), commit(later)) == [DISPATCHED, COMMITTED]

    assert rows(claim.key.ticket_id) == [
        (1, "abandoned", None, "a later attempt began it anew"),
        (1, "committed", '{"id":7}', None),
    ]


def test_what_was_abandoned_may_be_begun_anew_under_the_next_number(claim, runtime, rows):
    ask(runtime, begin(claim), abandon(claim))

    told = verdicts(runtime, begin(claim), begin(claim, 2), commit(claim, 2))

    assert told == [REFUSED, DISPATCHED, COMMITTED]
    assert [row[:2] for row in rows(claim.key.ticket_id)] == [(1, "abandoned"), (2, "committed")]


def test_the_same_operation_is_not_begun_twice_at_once(claim, runtime, rows):
    ask(runtime, begin(claim))

    (answer,) = ask(runtime, begin(claim, 2))

    assert (answer.verdict, answer.operation) == (REFUSED, None)
    assert "under way as number 1" in answer.reason
    assert len(rows(claim.key.ticket_id)) == 1


def test_numbers_have_no_gaps_and_are_given_once(claim, runtime, rows):
    skips, first, other_key, second = ask(
        runtime, begin(claim, 2), begin(claim), begin(claim, 1, "another"), begin(claim, 2, "another")
    )

    assert [a.verdict for a in (skips, first, other_key, second)] == [REFUSED, DISPATCHED, REFUSED, DISPATCHED]
    assert "the next number of this attempt is 1, not 2" in skips.reason
    assert "number 1 of this attempt is that of another operation" in other_key.reason
    assert [row[0] for row in rows(claim.key.ticket_id)] == [1, 2]


def test_a_key_that_nobody_gave_is_another_operation_in_each_attempt(claim, runtime, ends):
    def own(held):
        return {"key": default_key("tool", 1, held.key.work_attempt_id)}

    ask(runtime, begin(claim, **own(claim)), commit(claim, **own(claim)))
    runtime.settle(ends(claim, Status.RELEASED))
    (later,) = runtime.claim()

    assert verdicts(runtime, begin(later, **own(later))) == [DISPATCHED]


def test_the_claims_own_row_is_no_operation(claim, runtime, rows):
    key = default_key(CLAIM_TOOL, 0, claim.key.work_attempt_id)

    told = verdicts(runtime, begin(claim, 1, key), commit(claim, 1, key), begin(claim, 0, key), commit(claim, 0, key))

    assert told == [REFUSED] * 4
    assert rows(claim.key.ticket_id) == []
    assert runtime.refresh(claim).refreshed == [claim.key]


def test_what_is_recorded_stays(claim, runtime, place):
    ask(runtime, begin(claim), commit(claim))
    before = place.ledger(claim.key.ticket_id)

    answers = ask(runtime, commit(claim, result="8"), commit(claim, result=None), abandon(claim), commit(claim))

    assert [answer.verdict for answer in answers] == [REFUSED, REFUSED, REFUSED, COMMITTED]
    assert "what is recorded stays" in answers[0].reason
    assert "committed already" in answers[2].reason
    assert place.ledger(claim.key.ticket_id) == before


def test_only_what_was_begun_can_end(claim, runtime, rows):
    assert verdicts(runtime, commit(claim), abandon(claim)) == [REFUSED, REFUSED]
    ask(runtime, begin(claim))
    assert verdicts(runtime, commit(claim, key="another"), abandon(claim, key="another")) == [REFUSED, REFUSED]
    ask(runtime, abandon(claim))
    assert verdicts(runtime, commit(claim)) == [REFUSED]

    assert rows(claim.key.ticket_id) == [(1, "abandoned", None, "no answer")]


def test_a_commit_without_a_result_records_null(claim, runtime, rows):
    (answer, committed, again) = ask(runtime, begin(claim), commit(claim, result=None), begin(claim))

    assert [answer.verdict, committed.verdict, again.verdict] == [DISPATCHED, COMMITTED, RECORDED]
    assert again.operation.dispatch_result is None
    assert rows(claim.key.ticket_id) == [(1, "committed", "null", None)]


def settled(claim, runtime, ends, **_):
    runtime.settle(ends(claim, Status.RELEASED))


def swept(clock, other, **_):
    clock.advance(601)
    other.turn(sweep=True)


def taken_over(clock, other, **_):
    clock.advance(601)
    other.turn(sweep=True)
    assert len(other.claim()) == 1


def returned(other, runtime, **_):
    other.turn(return_holders=[runtime.id])


def claimed_anew_by_the_same_runtime(clock, runtime, **_):
    clock.advance(601)
    runtime.turn(sweep=True)
    assert len(runtime.claim()) == 1


def cancelled(store, claim, **_):
    with closing(store.board()) as board:
        board.cancel(claim.key.ticket_id, who="tester")


def without_presence(place, **_):
    place.abandon_operations()
    place.ask("UPDATE operations SET state = 'dispatched' WHERE sequence_within_attempt > 0")


ENDS_OF_CLAIMS = [settled, swept, taken_over, returned, claimed_anew_by_the_same_runtime, cancelled, without_presence]


@pytest.mark.parametrize("ended", ENDS_OF_CLAIMS)
def test_nothing_is_written_under_a_claim_that_is_over(*, ended, claim, runtime, other, clock, ends, store, place):
    ask(runtime, begin(claim))
    ended(claim=claim, runtime=runtime, other=other, clock=clock, ends=ends, store=store, place=place)
    before = place.ledger(claim.key.ticket_id)

    told = verdicts(runtime, begin(claim), begin(claim, 2, "another"), commit(claim), abandon(claim))

    assert told == [LOST] * 4
    assert place.ledger(claim.key.ticket_id) == before


@pytest.mark.parametrize("ended", [settled, swept, taken_over, returned, claimed_anew_by_the_same_runtime, cancelled])
@pytest.mark.parametrize(("step", "verdict"), [(commit, COMMITTED), (abandon, ABANDONED)])
def test_an_end_that_was_written_is_told_also_after_the_claim(
    *, ended, step, verdict, claim, runtime, other, clock, ends, store, place
):
    ask(runtime, begin(claim), step(claim))
    ended(claim=claim, runtime=runtime, other=other, clock=clock, ends=ends, store=store, place=place)

    assert verdicts(runtime, step(claim)) == [verdict]
    assert verdicts(runtime, commit(claim, result="8"), abandon(claim, error="?")) == [LOST, LOST]


def test_neither_another_runtime_nor_another_fence_nor_another_attempt_may_write(claim, runtime, other, place):
    ask(runtime, begin(claim))
    before = place.ledger(claim.key.ticket_id)
    key = claim.key
    stale = [
        key._replace(claim_fence_token=key.claim_fence_token + 1),
        key._replace(claim_fence_token=key.claim_fence_token - 1),
        key._replace(work_attempt_id=new_id()),
        key._replace(ticket_id=new_id()),
    ]

    for step in (begin(claim), begin(claim, 2, "another"), commit(claim), abandon(claim)):
        assert verdicts(other, step) == [LOST]
        assert verdicts(runtime, *(replace(step, claim=changed) for changed in stale)) == [LOST] * 4
    assert place.ledger(key.ticket_id) == before


def test_no_other_workspace_is_touched(claim, runtime, store_factory, start, place):
    ask(runtime, begin(claim))
    with store_factory(workspace_id="another") as elsewhere:
        namesake = start(elsewhere, "runtime-there")
        with closing(namesake.writer):
            assert verdicts(namesake, begin(claim), commit(claim)) == [LOST, LOST]


def test_under_a_lease_that_ran_out_nothing_begins_but_what_was_done_is_recorded(claim, runtime, clock, rows):
    ask(runtime, begin(claim), begin(claim, 2, "b"))
    clock.advance(600)

    told = verdicts(runtime, begin(claim), begin(claim, 3, "c"), commit(claim), commit(claim), abandon(claim, 2, "b"))

    assert told == [LOST, LOST, COMMITTED, COMMITTED, ABANDONED]
    assert [row[:2] for row in rows(claim.key.ticket_id)] == [(1, "committed"), (2, "abandoned")]


def test_the_end_of_an_attempt_abandons_what_it_left_open(claim, runtime, ends, rows):
    ask(runtime, begin(claim), commit(claim), begin(claim, 2, "b"))

    runtime.settle(ends(claim))

    assert rows(claim.key.ticket_id) == [
        (1, "committed", '{"id":7}', None),
        (2, "abandoned", None, "the attempt ended"),
    ]


def test_operations_of_a_turn_are_written_ahead_of_its_settlements(claim, runtime, ends, rows):
    ask(runtime, begin(claim))

    result = runtime.settle(ends(claim), operate=[commit(claim)])

    assert ([answer.verdict for answer in result.operated], result.settled) == ([COMMITTED], [claim.key])
    assert rows(claim.key.ticket_id) == [(1, "committed", '{"id":7}', None)]


UNFIT = {
    "no number": (lambda claim: begin(claim, 0, "x"), "numbered from 1"),
    "a negative number": (lambda claim: begin(claim, -1, "x"), "numbered from 1"),
    "a number beyond all": (lambda claim: begin(claim, 2**80, "x"), "numbered from 1"),
    "no tool": (lambda claim: begin(claim, tool=""), "tool has 0 characters"),
    "a long tool": (lambda claim: begin(claim, tool="x" * 201), "tool has 201 characters; 1 to 200"),
    "a tool with NUL": (lambda claim: begin(claim, tool="a\0b"), "tool holds a character"),
    "no key": (lambda claim: begin(claim, key=""), "key has 0 characters"),
    "a long key": (lambda claim: begin(claim, key="x" * 1_001), "key has 1,001 characters; 1 to 1,000"),
    "a key that is no text": (lambda claim: begin(claim, key="\udc80"), "key holds a character"),
    "a long result": (lambda claim: commit(claim, result='"' + "x" * 1_048_576 + '"'), "result is 1,048,578 bytes"),
    "no JSON": (lambda claim: commit(claim, result="{id: 7}"), "result is no JSON"),
    "nothing at all": (lambda claim: commit(claim, result=""), "result is no JSON"),
    "no number of JSON's": (lambda claim: commit(claim, result="NaN"), "result is no JSON"),
    "a result that is no text": (lambda claim: commit(claim, result='"\udc80"'), "result holds a character"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_no_row_can_hold_is_refused_and_takes_nothing_else_with_it(name, claim, add, runtime, rows):
    add(1)
    (beside,) = runtime.claim()
    make, what = UNFIT[name]
    bad = make(claim)
    before = [begin(claim)] if bad.step is Step.COMMIT else []

    *_, refused, fine = ask(runtime, *before, bad, begin(beside))

    assert (refused.verdict, fine.verdict) == (REFUSED, DISPATCHED)
    assert what in refused.reason
    assert [row[:2] for row in rows(claim.key.ticket_id)] == ([(1, "dispatched")] if before else [])
    assert len(rows(beside.key.ticket_id)) == 1


def test_the_longest_that_a_row_can_hold_is_held(claim, runtime, reader):
    key, result = "é" * 1_000, '"' + "x" * 1_048_574 + '"'

    told = verdicts(runtime, begin(claim, key=key, tool="t" * 200), commit(claim, key=key, result=result))

    assert told == [DISPATCHED, COMMITTED]
    (operation,) = reader.operations(claim.key.ticket_id)
    assert (operation.operation_key, len(operation.dispatch_result)) == (key, 1_048_574)


def test_a_row_that_makes_its_statement_fail_is_refused_alone(add, runtime, place, rows):
    ids = add(3)
    claims = runtime.claim(3)
    place.make_tool_fail("fails")

    result = runtime.turn(
        operate=[begin(claim, tool=tool) for claim, tool in zip(claims, ["a", "fails", "c"], strict=True)],
        refresh=[],
    )

    assert [answer.verdict for answer in result.operated] == [DISPATCHED, REFUSED, DISPATCHED]
    assert "made to fail" in result.operated[1].reason
    assert [len(rows(ticket_id)) for ticket_id in ids] == [1, 0, 1]
    assert verdicts(runtime, begin(claims[1])) == [DISPATCHED]


def test_many_steps_of_many_attempts_are_answered_in_the_order_asked(add, runtime, rows):
    ids = add(20)
    claims = runtime.claim(20)
    steps = [
        step
        for number in range(1, 4)
        for make in (begin, commit)
        for step in [make(claim, number, f"key {number}") for claim in claims]
    ]

    assert verdicts(runtime, *steps) == ([DISPATCHED] * 20 + [COMMITTED] * 20) * 3

    for ticket_id in ids:
        assert [row[:2] for row in rows(ticket_id)] == [(1, "committed"), (2, "committed"), (3, "committed")]


def test_an_attempt_knows_what_earlier_ones_did(claim, runtime, ends, reader):
    ask(runtime, begin(claim), commit(claim), begin(claim, 2, "b"))
    runtime.settle(ends(claim, Status.RELEASED))

    (later,) = runtime.claim()

    assert list(later.operations) == reader.operations(claim.key.ticket_id)
    assert [operation.state for operation in later.operations] == [OperationState.COMMITTED, OperationState.ABANDONED]
