"""What an operator does to a ticket: each verb on each status, and what follows."""

from contextlib import closing
from dataclasses import dataclass

import pytest

from kora.clock import from_us
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.operation import OperationRequest, Step, Verdict
from kora.domain.ticket import Status
from kora.errors import NotFoundError, RefusedError

ELSEWHERE = "0190a000-0000-7000-8000-00000000000f"
VERBS = ("unblock", "force_retry", "cancel", "reassign")


@pytest.fixture
def board(store):
    with closing(store.board()) as handle:
        yield handle


def do(board, verb, ticket_id):
    more = (ELSEWHERE,) if verb == "reassign" else ()
    return getattr(board, verb)(ticket_id, *more, who="ann")


@dataclass
class Made:
    """How a ticket is brought to where a row of the table begins."""

    ticket_id: str
    runtime: object
    ends: object
    place: object
    clock: object
    board: object
    add: object

    def ready(self):
        pass

    def dated(self):
        """It is not to be worked for another hour."""
        self.place.ask(
            "UPDATE tickets SET queue_state = 2, next_eligible_at = ? WHERE ticket_id = ?",
            self.clock.us + 3_600_000_000,
            self.ticket_id,
        )

    def due(self):
        """Its time has come, and nobody has looked yet."""
        self.dated()
        self.clock.advance(3_601)

    def in_progress(self):
        return next(claim for claim in self.runtime.claim(100) if claim.key.ticket_id == self.ticket_id)

    def claimed(self):
        self.in_progress()
        self.place.ask("UPDATE tickets SET sea_status = 'claimed' WHERE ticket_id = ?", self.ticket_id)

    def completed(self):
        self.runtime.settle(self.ends(self.in_progress()))

    def released(self):
        self.runtime.settle(self.ends(self.in_progress(), Status.RELEASED))

    def released_for_later(self):
        self.runtime.settle(self.ends(self.in_progress(), Status.RELEASED, next_eligible_offset_seconds=60.0))

    def failed_retryable(self):
        self.runtime.settle(self.ends(self.in_progress(), Status.FAILED_RETRYABLE, next_eligible_offset_seconds=60.0))

    def failed_terminal(self):
        self.runtime.settle(
            self.ends(self.in_progress(), Status.FAILED_TERMINAL, failure_count_by_reason={"agent_exit": 3})
        )

    def deferred(self):
        self.runtime.settle(self.ends(self.in_progress(), Status.DEFERRED_COST_LIMIT))

    def blocked(self):
        self.runtime.settle(
            self.ends(self.in_progress(), Status.BLOCKED_NEEDS_OPERATOR, failure_count_by_reason={"agent_exit": 1})
        )

    def waiting_for_others(self):
        (blocker,) = self.add({})
        (self.ticket_id,) = self.add({"blocked_by": [blocker], "next_eligible_at": from_us(self.clock.us + 1)})


@pytest.fixture
def made(*, add, runtime, ends, place, clock, board):
    (ticket_id,) = add(1)
    return Made(ticket_id, runtime, ends, place, clock, board, add)


READY, WAITING, OUT = "ready", "waiting", "out"
QUEUES = ("out", "ready", "waiting", "held")
CANCELLED = ("failed_terminal", OUT)

# from → what each of unblock, force_retry, cancel, reassign comes to: status and queue, or a part of the refusal
TABLE = {
    "ready": ("is eligible already", "is eligible already", CANCELLED, ("assigned", READY)),
    "dated": ("`force-retry", ("assigned", READY), CANCELLED, ("assigned", WAITING)),
    "due": ("is eligible already", "is eligible already", CANCELLED, ("assigned", WAITING)),
    "waiting_for_others": ("once these are completed", "once these are completed", CANCELLED, ("assigned", OUT)),
    "claimed": ("is claimed by runtime runtime-1; wait", "is claimed by", CANCELLED, "is claimed by"),
    "in_progress": ("is being worked by runtime runtime-1; wait", "or `cancel", CANCELLED, "is being worked by"),
    "completed": ("is completed", "is completed", "add a new ticket", "is completed"),
    "released": ("is eligible already", "is eligible already", CANCELLED, ("released", READY)),
    "released_for_later": ("not to be worked before 2", ("released", READY), CANCELLED, ("released", WAITING)),
    "failed_retryable": ("`force-retry", ("failed_retryable", READY), CANCELLED, ("failed_retryable", WAITING)),
    "failed_terminal": ("`force-retry", ("assigned", READY), "has failed for good", "has failed for good"),
    "deferred": ("`force-retry", ("assigned", READY), CANCELLED, ("deferred_cost_limit", OUT)),
    "blocked": (("assigned", READY), "`unblock", CANCELLED, ("blocked_needs_operator", OUT)),
}


def test_the_table_holds_every_status(made, reader):
    reached = set()
    for where in TABLE:
        (made.ticket_id,) = made.add(1)
        getattr(made, where)()
        reached.add(reader.ticket(made.ticket_id).sea_status)
    assert reached == set(Status)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("where", TABLE)
def test_each_verb_on_each_status(*, where, verb, made, board, reader, place):
    getattr(made, where)()
    before, expected = reader.ticket(made.ticket_id), TABLE[where][VERBS.index(verb)]
    events = reader.verify().events

    if isinstance(expected, str):
        with pytest.raises(RefusedError) as refused:
            do(board, verb, made.ticket_id)
        assert expected in str(refused.value)
        assert made.ticket_id in str(refused.value)
        assert (reader.ticket(made.ticket_id), reader.verify().events) == (before, events)
        return

    ticket = do(board, verb, made.ticket_id)

    assert ticket == reader.ticket(made.ticket_id)
    ((queue_state,),) = place.ask("SELECT queue_state FROM tickets WHERE ticket_id = ?", made.ticket_id)
    assert (ticket.sea_status, QUEUES[queue_state]) == expected
    assert ticket.claim is None
    assert reader.verify().fault is None


@pytest.mark.parametrize(
    ("where", "verb", "changed"),
    [
        ("blocked", "unblock", {"sea_status": ("blocked_needs_operator", "assigned")}),
        (
            "failed_terminal",
            "force_retry",
            {
                "sea_status": ("failed_terminal", "assigned"),
                "failure_count_by_reason": ({"agent_exit": 3}, {}),
            },
        ),
        ("dated", "force_retry", {"next_eligible_at": ("2026-09-21T15:13:20Z", None)}),
        (
            "ready",
            "cancel",
            {
                "sea_status": ("assigned", "failed_terminal"),
                "last_resolution": (None, "failed_terminal"),
                "last_summary": (None, "cancelled by ann"),
            },
        ),
        (
            "ready",
            "reassign",
            {"assigned_to_actor_id": ("0190a000-0000-7000-8000-000000000001", ELSEWHERE)},
        ),
    ],
)
def test_the_log_says_who_did_what_and_what_it_changed(*, where, verb, changed, made, board, reader):
    getattr(made, where)()

    do(board, verb, made.ticket_id)

    event = list(reader.events(ticket_id=made.ticket_id))[-1]
    assert (event.event_type, event.chain_id) == (EventType.OPERATOR_ACTED, "workspace:workspace")
    assert event.payload == {
        "who": "ann",
        "verb": verb,
        "target": made.ticket_id,
        "before": {name: before for name, (before, _) in changed.items()},
        "after": {name: after for name, (_, after) in changed.items()},
    }


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_ticket_is_not_found(verb, board, store_factory, add):
    with pytest.raises(NotFoundError):
        do(board, verb, new_id())
    (ticket_id,) = add(1)
    with closing(store_factory(workspace_id="another").board()) as elsewhere, pytest.raises(NotFoundError):
        do(elsewhere, verb, ticket_id)


def test_a_ticket_is_reassigned_to_an_actor_only_and_only_to_another(made, board, reader):
    with pytest.raises(RefusedError, match="'somebody' is no actor id"):
        board.reassign(made.ticket_id, "somebody", who="ann")
    actor = reader.ticket(made.ticket_id).assigned_to_actor_id
    with pytest.raises(RefusedError, match="already"):
        board.reassign(made.ticket_id, actor.upper(), who="ann")


def test_a_reassigned_ticket_is_claimed_by_its_new_actor_alone(made, board, runtime, store_factory, start):
    board.reassign(made.ticket_id, ELSEWHERE.upper(), who="ann")

    assert runtime.claim() == []
    with store_factory(actor_id=ELSEWHERE) as theirs:
        holder = start(theirs, "runtime-there")
        with closing(holder.writer):
            assert [claim.key.ticket_id for claim in holder.claim()] == [made.ticket_id]


def test_an_unblocked_ticket_has_all_its_attempts_again(made, board, runtime, ends):
    for _ in range(3):
        runtime.settle(ends(runtime.claim()[0], Status.RELEASED))
    made.blocked()

    board.unblock(made.ticket_id, who="ann")

    (claim,) = runtime.claim()
    assert (claim.attempt, claim.attempts_forgiven, claim.attempts_counted) == (5, 4, 1)
    assert claim.ticket.failure_count_by_reason == {"agent_exit": 1}


def test_a_reopened_ticket_has_its_failures_and_attempts_forgiven(made, board, runtime):
    made.failed_terminal()

    board.force_retry(made.ticket_id, who="ann")

    (claim,) = runtime.claim()
    assert (claim.attempts_counted, claim.ticket.failure_count_by_reason) == (1, {})


def test_an_unblocked_ticket_may_cost_its_cap_again(made, board, runtime, ends):
    runtime.settle(ends(runtime.claim()[0], Status.RELEASED, cost_usd=4.0))
    runtime.settle(ends(runtime.claim()[0], Status.BLOCKED_NEEDS_OPERATOR, cost_usd=3.0))

    board.unblock(made.ticket_id, who="ann")

    (claim,) = runtime.claim()
    assert claim.spent_micro_usd == 0
    runtime.settle(ends(claim, Status.RELEASED, cost_usd=0.5))
    (again,) = runtime.claim()
    assert (again.spent_micro_usd, [held.spent_micro_usd for held in runtime.writer.held()]) == (500_000, [500_000])


def test_a_reopened_ticket_may_cost_its_cap_again(made, board, runtime, ends):
    runtime.settle(ends(runtime.claim()[0], Status.FAILED_TERMINAL, cost_usd=7.0))

    board.force_retry(made.ticket_id, who="ann")

    assert runtime.claim()[0].spent_micro_usd == 0


def test_what_was_forgiven_is_still_spent(*, made, board, runtime, ends, place, reader):
    runtime.settle(ends(runtime.claim()[0], Status.BLOCKED_NEEDS_OPERATOR, cost_usd=7.0))

    board.unblock(made.ticket_id, who="ann")

    assert place.spent(made.ticket_id)[2] == reader.steering().pool.spent_micro_usd == 7_000_000


def test_a_retry_forced_for_the_sake_of_time_forgives_nothing(made, board, runtime, ends):
    (first,) = runtime.claim()
    runtime.settle(ends(first, Status.RELEASED, cost_usd=0.5, next_eligible_offset_seconds=60))

    board.force_retry(made.ticket_id, who="ann")

    (claim,) = runtime.claim()
    assert (claim.attempts_forgiven, claim.attempts_counted, claim.spent_micro_usd) == (0, 2, 500_000)


def test_the_claim_on_a_cancelled_ticket_is_void_at_once(*, made, board, runtime, ends, reader, place, clock):
    claim = made.in_progress()
    begin = OperationRequest(claim.key, Step.BEGIN, 1, "tool", "key")
    runtime.turn(operate=[begin])
    clock.advance(5)

    board.cancel(made.ticket_id, who="ann")

    assert runtime.writer.holds() == frozenset()
    assert runtime.refresh(claim).lost == [claim.key]
    result = runtime.settle(
        ends(claim), operate=[begin, OperationRequest(claim.key, Step.COMMIT, 1, "tool", "key", result="1")]
    )
    assert (result.settled, result.stale) == ([], [claim.key])
    assert [answer.verdict for answer in result.operated] == [Verdict.LOST, Verdict.LOST]
    assert reader.ticket(made.ticket_id).sea_status is Status.FAILED_TERMINAL
    assert [row[2:] for row in place.ledger(made.ticket_id)] == [
        ("abandoned", None, "cancelled by ann"),
        ("abandoned", None, "cancelled by ann"),
    ]
    assert runtime.claim() == []


def test_a_cancelled_claim_is_logged_and_tallied_as_expired(made, board, reader, place, clock):
    claim = made.in_progress()
    clock.advance(5)

    board.cancel(made.ticket_id, who="ann")

    acted, expired = list(reader.events(ticket_id=made.ticket_id))[-2:]
    assert acted.payload["before"]["claim"]["holder"] == "runtime-1"
    assert acted.payload["after"]["claim"] is None
    assert (expired.event_type, expired.payload) == (
        EventType.EXPIRED,
        {"holder": "runtime-1", "work_attempt_id": claim.key.work_attempt_id},
    )
    assert place.ask("SELECT chain_id, attempts, worked_us FROM tallies WHERE resolution = 'expired'") == [
        ("workspace:workspace", 1, 5_000_000)
    ]
    assert place.ask("SELECT worked_us, ended_at FROM tickets") == [(5_000_000, clock.us)]


def test_what_was_cancelled_and_reopened_is_claimed_with_a_higher_fence(made, board, runtime):
    claim = made.in_progress()
    board.cancel(made.ticket_id, who="ann")

    board.force_retry(made.ticket_id, who="ann")

    (later,) = runtime.claim()
    assert later.key.claim_fence_token > claim.key.claim_fence_token
    assert runtime.refresh(claim).lost == [claim.key]
