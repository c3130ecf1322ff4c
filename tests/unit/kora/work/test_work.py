"""What a callable gets: progress, the lease, and operations whose end is recorded."""

import threading
from queue import SimpleQueue

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.domain.ids import operation_id
from kora.domain.operation import CLAIM_TOOL, RESULT_BYTES, OperationState, Step, Verdict
from kora.domain.resolution import StopReason
from kora.work import LeaseLostError, OperationError, Work
from kora.work.course import Course
from kora.work.values import as_json, described
from tests.claims import a_claim
from tests.operations import MemoryLedger

WAIT_SECONDS = 60.0


class Clock:
    """A second later whenever it is asked."""

    def __init__(self):
        self.seconds = 100.0

    def now_us(self):
        return 0

    def boot_seconds(self):
        self.seconds += 1
        return self.seconds


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def course():
    return Course()


@pytest.fixture
def kept():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def claim():
    return a_claim(attempts=3)


@pytest.fixture
def work(claim, course, ledger, clock, kept):
    return Work(claim, course, ledger, clock, keep=kept.append, spend=lambda _: None)


@pytest.fixture
def beside():
    """Run something on a thread of its own; its outcome comes by the queue that this hands back."""
    threads = []

    def run(function):
        ended = SimpleQueue()

        def body():
            try:
                ended.put(function())
            except BaseException as error:  # noqa: BLE001 - that is what a test looks at
                ended.put(error)

        thread = threading.Thread(target=body, daemon=True)
        threads.append(thread)
        thread.start()
        return ended

    yield run
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def steps(ledger):
    return [(request.step, request.sequence_within_attempt, request.operation_key) for request in ledger.asked]


# --- progress ---


@pytest.mark.parametrize("tell", [Work.token, Work.tool_boundary])
def test_progress_is_told_at_its_moment(work, course, clock, tell):
    assert course.progress_at is None

    tell(work)

    assert course.progress_at == clock.seconds


def test_a_log_line_is_kept_and_is_no_progress(work, course, kept):
    work.log("so far")
    work.log(7)

    assert kept == ["so far", "7"]
    assert course.progress_at is None


def test_nothing_is_progress_any_more_once_the_attempt_is_over(work, course):
    work.token()
    before = course.progress_at

    course.end()
    work.token()

    assert course.progress_at == before


def test_it_says_which_attempt_it_is(work, claim):
    assert (work.attempt, work.work_attempt_id) == (3, claim.key.work_attempt_id)


@pytest.mark.parametrize("end", [lambda course: course.lose(StopReason.DRAINED), Course.end])
def test_it_is_lost_when_it_is_to_end_and_when_it_is_over(work, course, end):
    work.raise_if_lost()
    assert not work.lost

    end(course)

    assert work.lost
    with pytest.raises(LeaseLostError, match="is to end"):
        work.raise_if_lost()


def test_the_first_reason_to_end_counts(work, course):
    course.lose(StopReason.DRAINED)
    course.lose(StopReason.LEASE_LOST)

    with pytest.raises(LeaseLostError, match="drained"):
        work.raise_if_lost()


@pytest.mark.parametrize("name", ["lost", "attempt", "token", "anything"])
def test_a_callable_cannot_change_its_handle(work, name):
    with pytest.raises(AttributeError):
        setattr(work, name, True)


# --- operations ---


def test_an_operation_is_begun_and_committed_under_the_same_id_in_every_attempt(work, ledger, claim):
    with work.operation("send", key="page-1") as op:
        assert not op.done
        assert op.result is None
        assert op.id == operation_id(claim.key.ticket_id, "page-1")
        op.commit({"sent": True})

    assert op.result == {"sent": True}
    assert steps(ledger) == [(Step.BEGIN, 1, "page-1"), (Step.COMMIT, 1, "page-1")]
    assert ledger.states() == [("page-1", OperationState.COMMITTED, {"sent": True}, None)]


def test_what_was_committed_before_is_handed_back_and_takes_no_number(work, ledger):
    with work.operation("send", key="page-1") as op:
        op.commit([1, 2])

    for _ in range(3):
        with work.operation("send", key="page-1") as again:
            assert again.done
            assert again.result == [1, 2]
            assert again.id == op.id
    with work.operation("send", key="page-2"):
        pass

    assert steps(ledger)[-2:] == [(Step.BEGIN, 2, "page-2"), (Step.COMMIT, 2, "page-2")]


def test_leaving_without_a_commit_records_none(work, ledger):
    with work.operation("send", key="page-1"):
        pass

    assert ledger.states() == [("page-1", OperationState.COMMITTED, None, None)]


def test_without_a_key_each_operation_has_its_own(work, ledger):
    for _ in range(2):
        with work.operation("send"):
            pass

    keys = [key for _, _, key in steps(ledger)[::2]]
    assert len(set(keys)) == 2
    assert keys[0] == f"send#1@{work.work_attempt_id}"


def test_an_exception_abandons_the_operation_and_goes_on_up(work, ledger):
    with pytest.raises(ZeroDivisionError), work.operation("send", key="page-1"):
        1 / 0  # noqa: B018 - it is to raise

    assert ledger.states() == [("page-1", OperationState.ABANDONED, None, "ZeroDivisionError: division by zero")]

    with work.operation("send", key="page-1") as again:
        assert not again.done
    assert steps(ledger)[2][:2] == (Step.BEGIN, 2)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_leaves_the_block_abandons_the_operation(work, ledger, error):
    with pytest.raises(type(error)), work.operation("send", key="page-1"):
        raise error

    assert [row[1] for row in ledger.states()] == [OperationState.ABANDONED]


def test_an_exception_after_the_commit_leaves_the_record(work, ledger):
    def use():
        with work.operation("send", key="page-1") as op:
            op.commit("sent")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()

    assert ledger.states() == [("page-1", OperationState.COMMITTED, "sent", None)]


def test_an_abandoning_that_is_refused_does_not_hide_what_went_wrong(work, ledger):
    ledger.verdicts[Step.ABANDON] = Verdict.REFUSED

    with pytest.raises(ZeroDivisionError), work.operation("send", key="page-1"):
        1 / 0  # noqa: B018 - it is to raise


def test_an_operation_is_committed_once(work, ledger):
    with work.operation("send", key="page-1") as op:
        op.commit(1)
        with pytest.raises(OperationError, match="commit it once"):
            op.commit(2)
    with pytest.raises(OperationError, match="commit it once"):
        op.commit(3)
    with work.operation("send", key="page-1") as done, pytest.raises(OperationError, match="commit it once"):
        done.commit(4)

    assert [row[2] for row in ledger.states()] == [1]


def test_an_operation_is_entered_once_and_asked_nothing_before(work):
    op = work.operation("send", key="page-1")
    for ask in (lambda: op.id, lambda: op.done, lambda: op.result, op.commit):
        with pytest.raises(OperationError, match="not entered"):
            ask()
    with op, pytest.raises(OperationError, match="entered before"):
        op.__enter__()


def test_a_refused_beginning_is_raised_and_takes_no_number(work, ledger, course):
    ledger.verdicts[Step.BEGIN] = Verdict.REFUSED
    with pytest.raises(OperationError, match="refuses to begin it: because"), work.operation("send", key="page-1"):
        pytest.fail("entered")
    assert course.tool_since is None
    assert course.progress_at is None

    ledger.verdicts.clear()
    with work.operation("send", key="page-1"):
        pass
    assert [sequence for _, sequence, _ in steps(ledger)] == [1, 1, 1]


def test_a_refused_commit_is_raised_and_the_operation_abandoned(work, ledger):
    ledger.verdicts[Step.COMMIT] = Verdict.REFUSED

    with pytest.raises(OperationError, match="refuses to commit it: because"), work.operation("send", key="k") as op:
        op.commit(1)

    (row,) = ledger.states()
    assert row[1] is OperationState.ABANDONED


def test_a_commit_that_was_refused_may_be_tried_again(work, ledger):
    with work.operation("send", key="k") as op:
        with pytest.raises(OperationError):
            op.commit(object())
        op.commit("text")

    assert ledger.states() == [("k", OperationState.COMMITTED, "text", None)]


@pytest.mark.parametrize("step", [Step.BEGIN, Step.COMMIT])
def test_a_lost_step_says_so_and_so_does_all_that_follows(work, ledger, course, step):
    ledger.verdicts[step] = Verdict.LOST

    with pytest.raises(LeaseLostError, match="is to end"), work.operation("send", key="page-1") as op:
        op.commit(1)

    assert work.lost
    assert course.reason is StopReason.LEASE_LOST
    assert course.tool_since is None


def test_what_waits_for_the_ledger_is_lost_at_once_when_the_attempt_is_over(work, ledger, course, beside):
    ledger.holds = True

    def use():
        with work.operation("send", key="page-1"):
            pytest.fail("entered")

    ended = beside(use)
    assert ledger.arrived.acquire(timeout=WAIT_SECONDS)
    course.end()

    assert isinstance(ended.get(timeout=WAIT_SECONDS), LeaseLostError)
    ledger.answer_held()
    with pytest.raises(LeaseLostError), work.operation("send", key="page-2"):
        pytest.fail("entered")
    assert len(ledger.asked) == 1


def test_a_beginning_that_is_answered_when_all_is_over_begins_nothing(work, ledger, course):
    submit = ledger.submit

    def over_at_once(request, on_answer):
        submit(request, on_answer)
        course.end()

    ledger.submit = over_at_once

    with pytest.raises(LeaseLostError), work.operation("send", key="page-1"):
        pytest.fail("entered")


def test_a_tool_is_in_flight_from_the_beginning_to_the_commit(work, course):
    assert course.tool_since is None
    with work.operation("send", key="a") as outer:
        since = course.tool_since
        assert since is not None
        with work.operation("send", key="b"):
            assert course.tool_since > since
        assert course.tool_since == since
        outer.commit()
        assert course.tool_since is None
        assert course.progress_at > since
    with work.operation("send", key="a"):
        assert course.tool_since is None, "it was done before"


def test_a_tool_is_in_flight_while_the_ledger_is_waited_for(work, ledger, course, beside):
    ledger.holds = True

    def use():
        with work.operation("send", key="page-1"):
            return course.tool_since

    ended = beside(use)
    assert ledger.arrived.acquire(timeout=WAIT_SECONDS)
    assert course.tool_since is not None
    ledger.holds = False
    ledger.answer_held()

    assert ended.get(timeout=WAIT_SECONDS) is not None


def test_nothing_is_in_flight_once_the_attempt_is_over(work, course):
    seen = []

    def use():
        with work.operation("send", key="a"):
            course.end()
            seen.append(course.tool_since)

    with pytest.raises(LeaseLostError):
        use()
    assert [*seen, course.tool_since] == [None, None]


def test_threads_of_one_callable_share_the_numbers_without_gaps(work, ledger, beside):
    """The next number is asked for only when the one before is answered, whoever asks."""
    ledger.holds = True
    threads, each = 4, 10

    def use(number):
        for turn in range(each):
            with work.operation("send", key=f"{number}-{turn % 7}") as op:
                if not op.done:
                    op.commit(turn)

    ended = [beside(lambda number=number: use(number)) for number in range(threads)]
    open_begins = set()
    while any(one.empty() for one in ended):
        if ledger.arrived.acquire(timeout=0.01):
            begins = [id(request) for request, _ in ledger.held if request.step is Step.BEGIN]
            open_begins.add(len(begins))
            ledger.answer_held()

    assert [one.get(timeout=WAIT_SECONDS) for one in ended] == [None] * threads
    assert max(open_begins) == 1
    taken = [row.sequence_within_attempt for row in ledger.rows.values()]
    assert sorted(taken) == list(range(1, threads * 7 + 1))
    assert {row.state for row in ledger.rows.values()} == {OperationState.COMMITTED}


def test_what_earlier_attempts_recorded_can_be_looked_at(work, ledger, course, clock, claim):
    with work.operation("send", key="page-1"):
        pass
    (row,) = ledger.rows.values()
    from_now_on = Work(
        type(claim)(claim.key, claim.ticket, claim.holder, claim.lease_expires_at, (row,)),
        course,
        ledger,
        clock,
        keep=print,
        spend=print,
    )

    from_now_on.previous_operations().clear()

    assert from_now_on.previous_operations() == [row]


# --- what can be recorded ---

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=5)
    ),
    max_leaves=30,
)


@given(json_values)
def test_a_later_attempt_gets_exactly_what_was_recorded(value):
    assert orjson.loads(as_json(value)) == value


def itself():
    value = []
    value.append(value)
    return value


def many_times_itself():
    value = "text"
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"a": [1, (2, 3)]}, r"result\.a\[1\] is a tuple"),
        (b"bytes", "result is a bytes"),
        ({"when": object()}, r"result\.when is a object"),
        ({1: 2}, "result has a key that is a int"),
        (float("nan"), "result is nan"),
        ([float("-inf")], r"result\[0\] is -inf"),
        (2**64, "result is an int of more than 64 bits"),
        (-(2**63) - 1, "result is an int of more than 64 bits"),
        ("\ud800", "result holds a lone surrogate"),
        ({"\ud800": 1}, "a key of result holds a lone surrogate"),
        (StopReason.DRAINED, "result is a StopReason"),
        ({1, 2}, "result is a set"),
        (itself(), "nested more than 100 deep"),
        (many_times_itself(), "longer than 1,048,576 bytes"),
        ("x" * (RESULT_BYTES - 1), "longer than 1,048,576 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 80 and value.isprintable() else "value",
)
def test_what_is_not_jsons_own_is_named_at_once(work, ledger, value, named):
    with pytest.raises(OperationError, match=named), work.operation("send", key="k") as op:
        op.commit(value)

    assert [step for step, _, _ in steps(ledger)] == [Step.BEGIN, Step.ABANDON]


def test_the_longest_result_fits():
    assert len(as_json("x" * (RESULT_BYTES - 2))) == RESULT_BYTES


@pytest.mark.parametrize(
    ("tool", "key", "named"),
    [
        ("", None, "tool has 1 to 200 characters"),
        ("t" * 201, None, "tool has 1 to 200 characters"),
        (7, None, "tool is a str, not a int"),
        (CLAIM_TOOL, None, "which is Kora's own"),
        ("a\0b", None, "tool holds no NUL"),
        ("\udc00", None, "tool holds a lone surrogate"),
        ("send", "", "key has 1 to 1,000 characters"),
        ("send", "k" * 1_001, "key has 1 to 1,000 characters"),
        ("send", 7, "key is a str"),
        ("send", "a\0b", "key holds no NUL"),
    ],
)
def test_what_cannot_be_a_name_is_refused_before_anything_is_asked(work, ledger, tool, key, named):
    with pytest.raises(OperationError, match=named):
        work.operation(tool, key=key)

    assert ledger.asked == []


class SilentError(Exception):
    def __str__(self):
        raise SystemExit


def test_any_exception_can_be_described():
    assert described(ValueError("no\0text \ud800")) == "ValueError: no\N{REPLACEMENT CHARACTER}text ?"
    assert described(ValueError()) == "ValueError"
    assert described(SilentError()) == "an exception that cannot be shown"
    assert len(described(ValueError("x" * 10_000))) == 500
