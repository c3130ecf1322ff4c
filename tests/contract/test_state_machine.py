"""Two runtimes, random turns, a clock moved by hand: whatever they do, the board stays sound."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket, Status
from kora.store.port import ClaimOrder

RUNTIMES = ("runtime-1", "runtime-2")
LEASE_SECONDS = 10.0
MAX_ATTEMPTS = 4


class Board(RuleBasedStateMachine):
    """The model: who holds what, until when, and what was settled."""

    place = clock = start = ends = None
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.here = self.place()
        self.store = self.here.open()
        self.board, self.reader = self.store.board(), self.store.reader()
        self.runtimes = {name: self.start(self.store, name) for name in RUNTIMES}
        self.tickets: list[str] = []
        self.held: dict[str, tuple] = {}
        """ticket → (claim, lease's end)"""
        self.settled: set = set()
        self.fences: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.last_events = 0

    def teardown(self):
        for runtime in self.runtimes.values():
            runtime.writer.close()
        self.board.close()
        self.reader.close()
        self.here.give_back()

    @rule(count=st.integers(1, 3), priority=st.sampled_from(["low", "critical"]))
    def add(self, count, priority):
        said = [NewTicket(ticket_title="t", sea_priority=priority)] * count
        self.tickets += self.board.add(said, who="tester")

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-3_600.0, -3.0, 1.5, 3_600.0]))
    def the_wall_clock_is_set(self, seconds):
        self.clock.jump(seconds)

    def now(self) -> int:
        """Leases go by the boot clock, whatever is done to the wall clock."""
        return self.clock.booted_us

    @rule(
        target=claims,
        name=st.sampled_from(RUNTIMES),
        count=st.integers(0, 3),
        sweep=st.booleans(),
        dead=st.booleans(),
        event=st.booleans(),
    )
    def take(self, name, count, *, sweep, dead, event):
        now = self.now()
        others = [other for other in RUNTIMES if other != name] if dead else []
        result = self.runtimes[name].turn(
            sweep=sweep,
            return_holders=others,
            claim=ClaimOrder(count, LEASE_SECONDS),
            append=[NewEvent(EventType.TRANSITIONED, {"by": name})] if event else [],
            max_attempts=MAX_ATTEMPTS,
        )
        gone = [
            ticket_id
            for ticket_id, (claim, until) in self.held.items()
            if claim.holder in others or (sweep and until <= now)
        ]
        assert len(result.returned) == len(gone)
        for ticket_id in gone:
            del self.held[ticket_id]
        for claim in result.claims:
            ticket_id, fence = claim.key.ticket_id, claim.key.claim_fence_token
            assert ticket_id not in self.held, "two holders at once"
            assert fence > self.fences.get(ticket_id, 0), "fences rise"
            assert claim.attempt == self.attempts.get(ticket_id, 0) + 1
            self.fences[ticket_id], self.attempts[ticket_id] = fence, claim.attempt
            self.held[ticket_id] = (claim, now + round(LEASE_SECONDS * 1e6))
        return multiple(*result.claims)

    def holds(self, claim, name) -> bool:
        held = self.held.get(claim.key.ticket_id)
        return held is not None and held[0].key == claim.key and claim.holder == name

    @rule(claim=claims, name=st.sampled_from(RUNTIMES))
    def refresh(self, claim, name):
        now = self.now()
        result = self.runtimes[name].refresh(claim.key, seconds=LEASE_SECONDS)

        still = self.holds(claim, name) and self.held[claim.key.ticket_id][1] > now
        assert (result.refreshed, result.lost) == (([claim.key], []) if still else ([], [claim.key]))
        if still:
            self.held[claim.key.ticket_id] = (claim, now + round(LEASE_SECONDS * 1e6))

    @rule(
        claim=claims,
        name=st.sampled_from(RUNTIMES),
        status=st.sampled_from([Status.COMPLETED, Status.RELEASED, Status.FAILED_RETRYABLE]),
        offset=st.sampled_from([None, 5.0]),
    )
    def settle(self, claim, name, status, offset):
        end = self.ends(claim, status, next_eligible_offset_seconds=offset if status is not Status.COMPLETED else None)
        result = self.runtimes[name].settle(end)

        counts = self.holds(claim, name) or claim.key in self.settled
        assert (result.settled, result.stale) == (([claim.key], []) if counts else ([], [claim.key]))
        if self.holds(claim, name):
            del self.held[claim.key.ticket_id]
            self.settled.add(claim.key)

    @rule(name=st.sampled_from(RUNTIMES))
    def restart(self, name):
        old = self.runtimes[name]
        self.runtimes[name] = self.start(self.store, name)
        assert self.runtimes[name].incarnation == old.incarnation + 1
        old.writer.close()

    @invariant()
    def the_store_holds_what_the_model_holds(self):
        for name, runtime in self.runtimes.items():
            keys = {claim.key for claim in runtime.writer.held()}
            assert keys == {claim.key for claim, _ in self.held.values() if claim.holder == name}
            assert runtime.writer.holds() == keys

    @invariant()
    def the_counts_add_up(self):
        found = list(self.reader.tickets())
        assert [ticket.ticket_id for ticket in found] == self.tickets
        assert {ticket.ticket_id for ticket in found if ticket.claim} == self.held.keys()
        assert all((ticket.sea_status is Status.IN_PROGRESS) == (ticket.claim is not None) for ticket in found)
        assert {t.ticket_id: t.work_attempt_count for t in found if t.work_attempt_count} == self.attempts
        assert self.reader.outstanding().held == bool(self.held)

    @invariant()
    def the_chains_verify_and_only_grow(self):
        report = self.reader.verify()
        assert report.fault is None
        assert report.events >= self.last_events
        self.last_events = report.events

    @invariant()
    def each_attempt_has_its_ledger_row(self):
        for ticket_id in self.tickets:
            rows = self.here.ledger(ticket_id)
            assert [sequence for _, sequence, *_ in rows] == [0] * self.attempts.get(ticket_id, 0)
            is_open = [attempt for attempt, _, state, *_ in rows if state == "allocated"]
            assert is_open == [self.held[ticket_id][0].key.work_attempt_id] if ticket_id in self.held else not is_open


def machine(new_place, clock, start, ends):
    kept = {"place": staticmethod(new_place), "clock": clock, "start": staticmethod(start), "ends": staticmethod(ends)}
    return type("BoardHere", (Board,), kept)


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize(
    "examples", [pytest.param(12, id="12"), pytest.param(1_000, id="1000", marks=pytest.mark.prove)]
)
def test_the_board_stays_sound(*, new_place, clock, start, ends, examples, part_of):
    run_state_machine_as_test(
        machine(new_place, clock, start, ends),
        settings=settings(
            max_examples=part_of(examples),
            stateful_step_count=25,
            deadline=None,
            derandomize=examples < 1_000,
            database=None,
            suppress_health_check=HEALTH,
            phases=[Phase.generate, Phase.shrink],
        ),
    )
