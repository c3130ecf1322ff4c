"""The morning's page: whatever happened, it says what the event log alone says."""

import random
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kora.clock import from_us, to_us
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.resolution import AgentResult, Outcome, settle
from kora.domain.ticket import NewTicket, Status
from kora.errors import RefusedError
from kora.store.port import ClaimOrder
from kora.store.views import BoardReport, RuntimeSeen, TicketLine

EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")
MAX_ATTEMPTS = 3
LEASE_SECONDS = 30.0


@dataclass
class Told:
    """What the log tells of one ticket."""

    number: int
    title: str
    created_at: datetime
    status: str
    blocked_by: list[str]
    claimed_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    worked_us: int = 0
    cost_micro_usd: int = 0
    summary: str | None = None

    def line(self, ticket_id: str) -> TicketLine:
        return TicketLine(
            ticket_id=ticket_id,
            ticket_title=self.title,
            sea_status=self.status,
            work_attempt_count=self.attempts,
            worked_seconds=self.worked_us / 1e6,
            cost_usd=self.cost_micro_usd / 1e6,
            last_summary=self.summary,
        )


@dataclass
class Log:
    """The report, recomputed from events."""

    since: datetime
    tickets: dict[str, Told] = field(default_factory=dict)
    added: int = 0
    attempts: Counter = field(default_factory=Counter)
    worked_us: int = 0
    cost_micro_usd: int = 0

    def read(self, event) -> None:
        match event.event_type:
            case EventType.OPERATOR_ACTED:
                self.acted(event)
            case EventType.CLAIMED:
                ticket = self.tickets[event.ticket_id]
                ticket.status, ticket.claimed_at, ticket.attempts = (
                    "in_progress",
                    event.occurred_at,
                    ticket.attempts + 1,
                )
            case EventType.RESOLVED:
                self.tickets[event.ticket_id].status = event.payload["resolution"]
                self.tickets[event.ticket_id].summary = event.payload["resolution_summary"]
                self.ended(event, event.payload["resolution"], event.payload.get("cost_usd", 0.0))
            case EventType.EXPIRED:
                if self.tickets[event.ticket_id].status == "in_progress":
                    self.tickets[event.ticket_id].status = "assigned"
                self.ended(event, "expired", 0.0)
            case EventType.BLOCKED:
                self.tickets[event.ticket_id].status = "blocked_needs_operator"

    def acted(self, event) -> None:
        after = event.payload["after"]
        if event.payload["verb"] == "add":
            self.tickets[event.ticket_id] = Told(
                number=len(self.tickets),
                title=after["ticket_title"],
                created_at=event.occurred_at,
                status=after["sea_status"],
                blocked_by=after["blocked_by"],
            )
            self.added += event.occurred_at >= self.since
        ticket = self.tickets[event.ticket_id]
        ticket.status = after.get("sea_status", ticket.status)
        ticket.blocked_by = after.get("blocked_by", ticket.blocked_by)
        ticket.summary = after.get("last_summary", ticket.summary)

    def ended(self, event, how, cost_usd) -> None:
        ticket = self.tickets[event.ticket_id]
        worked_us = max(0, to_us(event.occurred_at) - to_us(ticket.claimed_at))
        cost_micro_usd = round(cost_usd * 1e6)
        ticket.ended_at = event.occurred_at
        ticket.worked_us += worked_us
        ticket.cost_micro_usd += cost_micro_usd
        if event.occurred_at >= self.since:
            self.attempts[how] += 1
            self.worked_us += worked_us
            self.cost_micro_usd += cost_micro_usd

    def waits(self, ticket: Told) -> bool:
        return ticket.status in {"assigned", "released", "failed_retryable"} and any(
            self.tickets[blocker].status != "completed" for blocker in ticket.blocked_by
        )

    def most(self, count, key, among) -> list[TicketLine]:
        chosen = [item for item in self.tickets.items() if among(item[1])]
        chosen.sort(key=lambda item: (key(item[1]), item[1].number), reverse=True)
        return [ticket.line(ticket_id) for ticket_id, ticket in chosen[:count]]

    def report(self, now: datetime, runtimes: list[RuntimeSeen]) -> BoardReport:
        tickets = self.tickets.values()
        needs = {"failed_terminal", "blocked_needs_operator"}
        return BoardReport(
            since=self.since,
            now=now,
            tickets_by_status=Counter(ticket.status for ticket in tickets),
            waiting_for_others=sum(map(self.waits, tickets)),
            attempts_by_resolution=self.attempts,
            tickets_added=self.added,
            cost_usd=self.cost_micro_usd / 1e6,
            worked_seconds=self.worked_us / 1e6,
            needs_a_person=self.most(20, lambda t: t.ended_at or t.created_at, lambda t: t.status in needs),
            needs_a_person_count=sum(ticket.status in needs for ticket in tickets),
            longest=self.most(5, lambda t: t.worked_us, lambda t: t.worked_us >= 100_000),
            flakiest=self.most(5, lambda t: t.attempts, lambda t: t.attempts > 1),
            runtimes=[each for each in runtimes if each.last_seen >= self.since or each.claims],
        )


def recounted(reader, since: datetime, now: datetime) -> BoardReport:
    log = Log(since.replace(second=0, microsecond=0))
    for event in reader.events():
        log.read(event)
    return log.report(now, reader.fleet())


class Night:
    """A board with two runtimes, and everything that may happen to it."""

    def __init__(self, place, clock, start):
        self.clock = clock
        self.place = place
        self.store = place.open()
        self.board, self.reader = self.store.board(), self.store.reader()
        self.runtimes = [start(self.store, name) for name in ("runtime-1", "runtime-2")]
        self.tickets: list[str] = []
        self.held: list[list] = [[], []]

    def close(self) -> None:
        for runtime in self.runtimes:
            runtime.writer.close()
        self.board.close()
        self.reader.close()
        self.place.give_back()

    def add(self, blockers: list[list[int]]) -> None:
        """So many tickets, each to wait for the earlier ones with these numbers."""
        said = []
        for each in blockers:
            ids = self.tickets + [ticket.ticket_id for ticket in said]
            blocked_by = {ids[number % len(ids)] for number in each} if ids else set()
            title = f"ticket {len(ids)}"
            said.append(NewTicket(ticket_title=title, ticket_id=new_id(), blocked_by=tuple(blocked_by)))
        self.tickets += self.board.add(said, who="tester")

    def claim(self, who: int, count: int, *, sweep: bool = False, dead: bool = False) -> None:
        others = [self.runtimes[1 - who].id] if dead else []
        result = self.runtimes[who].turn(
            claim=ClaimOrder(count, LEASE_SECONDS), sweep=sweep, return_holders=others, max_attempts=MAX_ATTEMPTS
        )
        self.held[who] += result.claims

    def sweep(self, who: int, dead: bool) -> None:  # noqa: FBT001 - drawn
        self.claim(who, 0, sweep=True, dead=dead)

    def work(self, who: int, outcomes: list[Outcome], seconds: float) -> None:
        self.claim(who, len(outcomes))
        self.clock.advance(seconds)
        self.end(who, outcomes)

    def end(self, who: int, outcomes: list[Outcome]) -> None:
        ended = [self.held[who].pop(0) for _ in outcomes[: len(self.held[who])]]
        settlements = [
            settle(claim, outcome, max_attempts=MAX_ATTEMPTS) for claim, outcome in zip(ended, outcomes, strict=False)
        ]
        self.runtimes[who].settle(*settlements)

    def act(self, verb: str, number: int) -> None:
        if self.tickets:
            with suppress(RefusedError):
                getattr(self.board, verb)(self.tickets[number % len(self.tickets)], who="tester")

    def check(self, *since: datetime) -> None:
        now = from_us(self.clock.us)
        for moment in (EARLIEST, now, *since):
            found, expected = self.reader.report(moment), recounted(self.reader, moment, now)
            assert found == expected
            assert found.tickets_by_status == Counter(ticket.sea_status for ticket in self.reader.tickets())


def said(resolution: str, cost_usd: float | None) -> Outcome:
    """How an agent ended that says this; `fault`: it could not be started."""
    if resolution == "fault":
        return Outcome(fault="no such program")
    return Outcome(exit_code=0, result=AgentResult(resolution=resolution, cost_usd=cost_usd))


ENDS = ["completed", "failed_retryable", "failed_terminal", "released", "deferred_cost_limit", "fault"]
whos = st.integers(0, 1)
outcomes = st.lists(
    st.builds(said, st.sampled_from(ENDS), st.sampled_from([None, 0.0, 0.000001, 0.1, 0.3333337, 12.5])),
    min_size=1,
    max_size=3,
)
steps = st.one_of(
    st.tuples(st.just("work"), whos, outcomes, st.sampled_from([0.0, 0.01, 0.2, 50.0])),
    st.tuples(st.just("work"), whos, outcomes, st.sampled_from([0.0, 0.01, 0.2, 50.0])),
    st.tuples(st.just("end"), whos, outcomes),
    st.tuples(st.just("claim"), whos, st.integers(1, 4)),
    st.tuples(st.just("clock.advance"), st.sampled_from([7.0, 31.0, 61.0, 700.0])),
    st.tuples(st.just("sweep"), whos, st.booleans()),
    st.tuples(st.just("act"), st.sampled_from(["unblock", "force_retry", "cancel"]), st.integers(0, 9)),
    st.tuples(st.just("add"), st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=1, max_size=4)),
)


@pytest.mark.parametrize("examples", [15, pytest.param(1_000, id="1000", marks=pytest.mark.prove)])
def test_the_report_is_what_the_log_says(*, new_place, clock, start, examples, part_of):
    @settings(
        max_examples=part_of(examples),
        deadline=None,
        derandomize=examples < 1_000,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.lists(steps, min_size=5, max_size=40))
    def check(history):
        night = Night(new_place(), clock, start)
        with closing(night):
            middle = from_us(clock.us)
            night.add([[], [], [0], [], []])
            for number, (what, *how) in enumerate(history):
                attrgetter(what)(night)(*how)
                if number % 6 == 5:
                    night.check(middle)
                    middle = from_us(clock.us)
            night.check(middle)

    check()


@pytest.mark.parametrize("tickets", [500, pytest.param(50_000, id="50000", marks=pytest.mark.prove)])
def test_twelve_hours_are_counted_as_the_log_counts_them(*, new_place, clock, start, tickets, part_of):
    tickets = part_of(tickets)
    chosen = random.Random(11)
    begun = from_us(clock.us)
    end_us = clock.us + 12 * 3_600_000_000
    turns = max(200, tickets // 25)
    with closing(Night(new_place(), clock, start)) as night:
        for turn in range(turns):
            if turn < turns // 2:
                fresh = range(tickets // (turns // 2))
                night.add([[len(night.tickets) - 1] if chosen.random() < 0.1 else [] for _ in fresh])
            clock.advance(12 * 3_600 / turns * chosen.uniform(0.5, 1.5))
            who = chosen.randrange(2)
            if chosen.random() < 0.05:
                night.held[who].clear()
            ends = chosen.choices(ENDS, [80, 8, 2, 6, 1, 3], k=len(night.held[who]))
            night.end(who, [said(end, round(chosen.random(), 4)) for end in ends])
            night.claim(who, 60, sweep=True, dead=chosen.random() < 0.02)
            for verb in ("unblock", "force_retry", "cancel"):
                if chosen.random() < 0.1:
                    night.act(verb, chosen.randrange(1_000_000))
        assert clock.us > end_us - 3_600_000_000
        night.check(begun, begun + timedelta(hours=6))
        statuses = night.reader.report(begun).tickets_by_status
        assert sum(statuses.values()) == len(night.tickets) == turns // 2 * (tickets // (turns // 2))
        assert statuses[Status.COMPLETED] > len(night.tickets) / 3


def test_an_empty_board_has_an_empty_page(reader, clock):
    page = reader.report(EARLIEST)

    assert page == recounted(reader, EARLIEST, from_us(clock.us))
    assert (page.tickets_by_status, page.needs_a_person, page.longest, page.flakiest) == ({}, [], [], [])


def test_what_was_worked_for_no_time_is_not_named(add, reader, runtime, clock, ends):
    slow, quick = add(2)
    claims = {claim.key.ticket_id: claim for claim in runtime.claim(count=2)}
    clock.advance(0.099)
    runtime.settle(ends(claims[quick]))
    clock.advance(0.001)
    runtime.settle(ends(claims[slow]))

    assert [line.ticket_id for line in reader.report(EARLIEST).longest] == [slow]


def test_another_workspaces_board_is_another_page(store_factory, add, reader, runtime):
    add(3)
    runtime.claim()
    other = store_factory("another")
    with closing(other.board()) as board, closing(other.reader()) as elsewhere:
        board.add([NewTicket(ticket_title="theirs")], who="tester")

        assert elsewhere.report(EARLIEST).tickets_by_status == {"assigned": 1}
        assert elsewhere.report(EARLIEST).tickets_added == 1
        assert elsewhere.claims() == []
    assert reader.report(EARLIEST).tickets_by_status == {"assigned": 2, "in_progress": 1}
    assert reader.report(EARLIEST).tickets_added == 3


def test_since_is_rounded_down_to_the_minute(add, reader, clock):
    clock.advance(60 - clock.us / 1e6 % 60)
    minute = from_us(clock.us)
    add(1)
    clock.advance(59)

    assert reader.report(from_us(clock.us)).tickets_added == 1
    assert reader.report(from_us(clock.us)).since == minute
    assert reader.report(minute + timedelta(seconds=60)).tickets_added == 0
    assert reader.report(minute - timedelta(seconds=1)).since == minute - timedelta(seconds=60)


def test_what_needs_a_person_is_counted_whole_and_named_in_part(add, runtime, reader, ends, clock):
    add(30)
    for claim in runtime.claim(count=30):
        clock.advance(1)
        runtime.settle(ends(claim, Status.FAILED_TERMINAL, summary=claim.ticket.ticket_title))

    page = reader.report(EARLIEST)

    assert page.needs_a_person_count == 30
    assert [line.last_summary for line in page.needs_a_person] == [f"ticket {n}" for n in range(29, 9, -1)]


def test_the_report_does_not_need_what_was_archived(*, add, runtime, reader, ends, place, tmp_path, clock):
    add(3)
    runtime.settle(*[ends(claim, cost_usd=0.5) for claim in runtime.claim(count=2)])
    before = reader.report(EARLIEST)

    place.open_as_owner().archive(tmp_path, from_us(clock.us + 1), who="tester", progress=lambda *_: None)

    assert reader.report(EARLIEST) == before
