"""Two runtimes, random steps of operations under claims that come and go: what is recorded is recorded once."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kora.domain.operation import OperationRequest, OperationState, Step, Verdict
from kora.domain.ticket import NewTicket, Status
from kora.store.port import ClaimOrder

RUNTIMES = ("runtime-1", "runtime-2")
LEASE_SECONDS = 10.0
ABANDONED, COMMITTED, DISPATCHED = OperationState.ABANDONED, OperationState.COMMITTED, OperationState.DISPATCHED

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 2]),
        st.sampled_from([Step.BEGIN, Step.BEGIN, Step.COMMIT, Step.ABANDON]),
        st.sampled_from([0, 0, 0, 0, 1, 2]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["1", "2"]),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class Row:
    """A ledger row as the model has it."""

    key: str
    state: OperationState = DISPATCHED
    result: str | None = None
    error: str | None = None


class Ledger(RuleBasedStateMachine):
    """The model: who holds what, until when, and which rows each attempt has."""

    place = clock = start = ends = None

    def __init__(self):
        super().__init__()
        self.here = self.place()
        self.store = self.here.open()
        self.board, self.reader = self.store.board(), self.store.reader()
        self.runtimes = {name: self.start(self.store, name) for name in RUNTIMES}
        self.tickets = self.board.add([NewTicket(ticket_title="t")] * 2, who="tester")
        self.claims = {ticket_id: [] for ticket_id in self.tickets}
        """all claims there ever were, the oldest first"""
        self.held: dict[str, tuple] = {}
        """ticket → (claim, lease's end)"""
        self.rows: dict[str, list[Row]] = {}
        """attempt → its rows, number 1 first"""
        self.attempts: dict[str, list[str]] = {ticket_id: [] for ticket_id in self.tickets}
        self.recorded: dict[tuple[str, str], tuple[str, str]] = {}
        """ticket and operation id → attempt and result, as first seen in the store"""

    def teardown(self):
        for runtime in self.runtimes.values():
            runtime.writer.close()
        self.board.close()
        self.reader.close()
        self.here.give_back()

    def over(self, ticket_id, why):
        claim, _ = self.held.pop(ticket_id)
        for row in self.rows[claim.key.work_attempt_id]:
            if row.state is DISPATCHED:
                row.state, row.error = ABANDONED, why

    @initialize()
    def begin_with_claims(self):
        self.take(RUNTIMES[0], len(self.tickets))

    @rule(name=st.sampled_from(RUNTIMES), count=st.integers(1, 2))
    def take(self, name, count):
        ran_out = [ticket_id for ticket_id, (_, until) in self.held.items() if until <= self.clock.us]
        result = self.runtimes[name].turn(sweep=True, claim=ClaimOrder(count, LEASE_SECONDS))
        for ticket_id in ran_out:
            self.over(ticket_id, "lease expired")
        for claim in result.claims:
            self.held[claim.key.ticket_id] = (claim, self.clock.us + round(LEASE_SECONDS * 1e6))
            self.rows[claim.key.work_attempt_id] = []
            self.attempts[claim.key.ticket_id].append(claim.key.work_attempt_id)
            self.claims[claim.key.ticket_id].append(claim)

    @rule(seconds=st.sampled_from([1.0, 1.0, 11.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(ticket=st.integers(0, 1), cancelled=st.booleans(), then=st.sampled_from([None, *RUNTIMES]))
    def end_attempt(self, ticket, then, *, cancelled):
        ticket_id = self.tickets[ticket]
        if cancelled:
            self.board.cancel(ticket_id, who="tester")
            self.board.force_retry(ticket_id, who="tester")
        elif ticket_id in self.held:
            claim, _ = self.held[ticket_id]
            self.runtimes[claim.holder].settle(self.ends(claim, Status.RELEASED))
        if ticket_id in self.held:
            self.over(ticket_id, "cancelled by tester" if cancelled else "the attempt ended")
        if then:
            self.take(then, 2)

    @rule(
        tickets=st.sampled_from([[0], [1], [0, 1]]),
        by=st.sampled_from([None, None, None, *RUNTIMES]),
        told=STEPS,
        stale=st.sampled_from([False] * 7 + [True]),
    )
    def operate(self, *, tickets, by, told, stale):
        first = self.claims[self.tickets[tickets[0]]][-1]
        requests, name = [], by or first.holder
        for place, (age, step, offset, said_key, result) in enumerate(told):
            ever = self.claims[self.tickets[tickets[place % len(tickets)]]]
            claim = ever[-1 - min(age, len(ever) - 1)]
            last = len(self.rows[claim.key.work_attempt_id])
            number = last + 1 + offset if step is Step.BEGIN else max(1, last - offset)
            key = said_key
            if step is not Step.BEGIN and offset == 0 and last:
                key = self.rows[claim.key.work_attempt_id][last - 1].key
            of = claim.key._replace(claim_fence_token=claim.key.claim_fence_token + 1) if stale else claim.key
            more = {Step.BEGIN: {}, Step.COMMIT: {"result": result}, Step.ABANDON: {"error": "gave up"}}[step]
            requests.append(OperationRequest(of, step, number, "tool", key, **more))
        requests += requests[:2]

        answers = self.runtimes[name].turn(operate=requests).operated

        assert [answer.request for answer in answers] == requests
        for request, answer in zip(requests, answers, strict=True):
            model = self.begin if request.step is Step.BEGIN else self.end
            verdict, result = model(request, name)
            assert answer.verdict is verdict, answer.reason
            if verdict in {Verdict.DISPATCHED, Verdict.RECORDED}:
                assert (answer.operation.operation_key, answer.operation.dispatch_result) == (
                    request.operation_key,
                    result,
                )

    def is_held(self, key, name):
        claim, _ = self.held.get(key.ticket_id, (None, 0))
        return claim is not None and claim.key == key and claim.holder == name

    def begin(self, request, name):
        key, number = request.claim, request.sequence_within_attempt
        if not (self.is_held(key, name) and self.held[key.ticket_id][1] > self.clock.us):
            return Verdict.LOST, None
        for attempt in self.attempts[key.ticket_id]:
            for row in self.rows[attempt]:
                if (row.key, row.state) == (request.operation_key, COMMITTED):
                    return Verdict.RECORDED, int(row.result)
        rows = self.rows[key.work_attempt_id]
        if number <= len(rows):
            same = (rows[number - 1].key, rows[number - 1].state) == (request.operation_key, DISPATCHED)
            return (Verdict.DISPATCHED if same else Verdict.REFUSED), None
        under_way = any((row.key, row.state) == (request.operation_key, DISPATCHED) for row in rows)
        if under_way or number > len(rows) + 1:
            return Verdict.REFUSED, None
        rows.append(Row(request.operation_key))
        return Verdict.DISPATCHED, None

    def end(self, request, name):
        number, rows = request.sequence_within_attempt, self.rows[request.claim.work_attempt_id]
        row = rows[number - 1] if number <= len(rows) and rows[number - 1].key == request.operation_key else None
        verdict, state = (
            (Verdict.COMMITTED, COMMITTED) if request.step is Step.COMMIT else (Verdict.ABANDONED, ABANDONED)
        )
        if row and (row.state, row.result, row.error) == (state, request.result, request.error):
            return verdict, None
        if not self.is_held(request.claim, name):
            return Verdict.LOST, None
        if row is None or row.state is not DISPATCHED:
            return Verdict.REFUSED, None
        row.state, row.result, row.error = state, request.result, request.error
        return verdict, None

    @invariant()
    def the_ledger_is_the_models(self):
        for ticket_id, attempts in self.attempts.items():
            found = [row for row in self.here.ledger(ticket_id) if row[1] > 0]
            assert found == sorted(
                (attempt, number, row.state, row.result, row.error)
                for attempt in attempts
                for number, row in enumerate(self.rows[attempt], 1)
            )

    @invariant()
    def what_is_recorded_is_recorded_once_and_stays(self):
        for ticket_id in self.tickets:
            committed = [row for row in self.reader.operations(ticket_id) if row.state is COMMITTED]
            assert len({row.kora_operation_id for row in committed}) == len(committed)
            now = {(ticket_id, row.kora_operation_id): (row.work_attempt_id, row.dispatch_result) for row in committed}
            before = {what: was for what, was in self.recorded.items() if what[0] == ticket_id}
            assert before.items() <= now.items()
            self.recorded |= now

    @invariant()
    def only_held_tickets_have_open_rows(self):
        for ticket_id in self.tickets:
            is_open = {row[0] for row in self.here.ledger(ticket_id) if row[2] in {"allocated", "dispatched"}}
            assert is_open == ({self.held[ticket_id][0].key.work_attempt_id} if ticket_id in self.held else set())


def machine(new_place, clock, start, ends):
    kept = {"place": staticmethod(new_place), "clock": clock, "start": staticmethod(start), "ends": staticmethod(ends)}
    return type("LedgerHere", (Ledger,), kept)


@pytest.mark.parametrize(
    "examples", [pytest.param(10, id="10"), pytest.param(1_000, id="1000", marks=pytest.mark.prove)]
)
def test_what_is_recorded_is_recorded_once(*, new_place, clock, start, ends, examples, part_of):
    run_state_machine_as_test(
        machine(new_place, clock, start, ends),
        settings=settings(
            max_examples=part_of(examples),
            stateful_step_count=25,
            deadline=None,
            derandomize=examples < 1_000,
            database=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.function_scoped_fixture,
            ],
            phases=[Phase.generate, Phase.shrink],
        ),
    )
