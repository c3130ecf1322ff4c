"""A board and its morning's page, recomputed from the event log alone; what the log may not say stops the replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kora.clock import from_us, to_us
from kora.domain.events import Event, EventType
from kora.store.views import BoardReport, RuntimeSeen, TicketLine

QUEUED = {"assigned", "released", "failed_retryable"}
AGAIN = {"released", "failed_retryable"}
FOR_A_PERSON = {"failed_terminal", "blocked_needs_operator"}
MINUTE_US = 60_000_000


def moment_us(text: str | None) -> int | None:
    return None if text is None else to_us(datetime.fromisoformat(text))


@dataclass
class Told:
    """What the log has told of one ticket so far."""

    number: int
    title: str
    actor: str
    created_us: int
    status: str
    blocked_by: tuple[str, ...]
    eligible_us: int | None
    holder: str | None = None
    attempt: str | None = None
    claimed_us: int = 0
    attempts: int = 0
    ended_us: int | None = None
    worked_us: int = 0
    cost_micro_usd: int = 0
    resolution: str | None = None
    summary: str | None = None

    def standing(self) -> tuple[Any, ...]:
        """What must be so of the ticket on the board."""
        eligible_at = None if self.eligible_us is None else from_us(self.eligible_us)
        counts = (self.attempts, self.attempts)
        ends = (self.resolution, self.summary)
        return (self.title, self.status, self.actor, {*self.blocked_by}, eligible_at, *counts, *ends, self.holder)

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


@dataclass(frozen=True)
class Attempt:
    """One attempt that is over."""

    ended_us: int
    how: str
    worked_us: int
    cost_micro_usd: int


@dataclass
class Replay:
    """Reads events in the store's order, and knows the board as it stood after the last of them."""

    tickets: dict[str, Told] = field(default_factory=dict)
    ended: list[Attempt] = field(default_factory=list)
    last_seq: int = 0
    blocked_for: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)

    def read(self, events: Iterable[Event]) -> None:
        """Go on. Raises `AssertionError` at an event that could not follow those before it."""
        for event in events:
            assert event.seq > self.last_seq
            self.last_seq = event.seq
            match event.event_type:
                case EventType.OPERATOR_ACTED:
                    self._acted(event)
                case EventType.CLAIMED:
                    self._claimed(event)
                case EventType.RESOLVED:
                    self._resolved(event)
                case EventType.RELEASED:
                    self._given_up(event)
                case EventType.EXPIRED:
                    self._expired(event)
                case EventType.BLOCKED:
                    self._blocked(event)

    def _ticket(self, event: Event) -> Told:
        assert event.ticket_id is not None
        return self.tickets[event.ticket_id]

    def _acted(self, event: Event) -> None:
        verb, after = event.payload["verb"], event.payload["after"]
        self.verbs[verb] += 1
        if event.ticket_id is None:
            return
        if verb == "add":
            assert event.ticket_id not in self.tickets, event
            self.tickets[event.ticket_id] = Told(
                number=len(self.tickets),
                title=after["ticket_title"],
                actor=after["assigned_to_actor_id"],
                created_us=to_us(event.occurred_at),
                status=after["sea_status"],
                blocked_by=tuple(after["blocked_by"]),
                eligible_us=moment_us(after["next_eligible_at"]),
            )
            return
        ticket = self._ticket(event)
        assert ticket.status == event.payload["before"].get("sea_status", ticket.status), event
        ticket.status = after.get("sea_status", ticket.status)
        ticket.actor = after.get("assigned_to_actor_id", ticket.actor)
        ticket.blocked_by = tuple(after.get("blocked_by", ticket.blocked_by))
        ticket.summary = after.get("last_summary", ticket.summary)
        ticket.resolution = after.get("last_resolution", ticket.resolution)
        if "next_eligible_at" in after:
            ticket.eligible_us = moment_us(after["next_eligible_at"])

    def _claimed(self, event: Event) -> None:
        ticket, at_us = self._ticket(event), to_us(event.occurred_at)
        assert ticket.status in QUEUED, event
        assert ticket.holder is None, event
        assert ticket.actor == event.payload["actor_id"], event
        assert ticket.eligible_us is None or ticket.eligible_us <= at_us, event
        assert all(self.tickets[blocker].status == "completed" for blocker in ticket.blocked_by), event
        ticket.status, ticket.claimed_us = "in_progress", at_us
        ticket.holder, ticket.attempt = event.payload["holder"], event.payload["work_attempt_id"]
        ticket.attempts += 1

    def _resolved(self, event: Event) -> None:
        ticket, how = self._ticket(event), event.payload["resolution"]
        assert (ticket.status, ticket.holder) == ("in_progress", event.chain_id), event
        offset = event.payload.get("next_eligible_offset_seconds")
        dated = how in AGAIN and offset
        ticket.status = ticket.resolution = how
        ticket.summary = event.payload["resolution_summary"]
        ticket.eligible_us = to_us(event.occurred_at) + round(offset * 1e6) if dated else None
        self._over(ticket, event, how, round(event.payload.get("cost_usd", 0.0) * 1e6))

    def _given_up(self, event: Event) -> None:
        ticket = self._ticket(event)
        assert (ticket.holder, ticket.attempt) == (event.payload["holder"], event.payload["work_attempt_id"]), event
        assert ticket.status != "in_progress", event
        ticket.holder = ticket.attempt = None

    def _expired(self, event: Event) -> None:
        ticket = self._ticket(event)
        if ticket.status == "in_progress":
            ticket.status, ticket.eligible_us = "assigned", None
        else:
            # An operator took it away.
            assert ticket.status == "failed_terminal", event
        self._over(ticket, event, "expired", 0)
        self._given_up(event)

    def _blocked(self, event: Event) -> None:
        ticket, why = self._ticket(event), event.payload["reason"]
        assert ticket.status in QUEUED, event
        assert ticket.holder is None, event
        if why == "blocked_by":
            assert event.payload["blocked_by"] in ticket.blocked_by, event
            assert self.tickets[event.payload["blocked_by"]].status == "failed_terminal", event
        ticket.status = "blocked_needs_operator"
        self.blocked_for[why] += 1

    def _over(self, ticket: Told, event: Event, how: str, cost_micro_usd: int) -> None:
        ended_us = to_us(event.occurred_at)
        worked_us = ended_us - ticket.claimed_us
        ticket.ended_us = ended_us
        ticket.worked_us += worked_us
        ticket.cost_micro_usd += cost_micro_usd
        self.ended.append(Attempt(ended_us, how, worked_us, cost_micro_usd))

    def _waits_for_others(self, ticket: Told) -> bool:
        return ticket.status in QUEUED and any(self.tickets[each].status != "completed" for each in ticket.blocked_by)

    def _lines(self, count: int, key: Callable[[Told], int], among: Callable[[Told], bool]) -> list[TicketLine]:
        chosen = [item for item in self.tickets.items() if among(item[1])]
        chosen.sort(key=lambda item: (key(item[1]), item[1].number), reverse=True)
        return [ticket.line(ticket_id) for ticket_id, ticket in chosen[:count]]

    def report(self, since: datetime, now: datetime, fleet: list[RuntimeSeen]) -> BoardReport:
        """The page as the log has it; of the fleet, which no event tells of, those seen since."""
        since_us = to_us(since) // MINUTE_US * MINUTE_US
        tickets = self.tickets.values()
        ended = [attempt for attempt in self.ended if attempt.ended_us >= since_us]
        return BoardReport(
            since=from_us(since_us),
            now=now,
            tickets_by_status=Counter(ticket.status for ticket in tickets),
            waiting_for_others=sum(map(self._waits_for_others, tickets)),
            attempts_by_resolution=Counter(attempt.how for attempt in ended),
            tickets_added=sum(ticket.created_us >= since_us for ticket in tickets),
            cost_usd=sum(attempt.cost_micro_usd for attempt in ended) / 1e6,
            worked_seconds=sum(attempt.worked_us for attempt in ended) / 1e6,
            needs_a_person=self._lines(
                20,
                lambda each: each.created_us if each.ended_us is None else each.ended_us,
                lambda each: each.status in FOR_A_PERSON,
            ),
            needs_a_person_count=sum(ticket.status in FOR_A_PERSON for ticket in tickets),
            longest=self._lines(5, lambda each: each.worked_us, lambda each: each.worked_us > 0),
            flakiest=self._lines(5, lambda each: each.attempts, lambda each: each.attempts > 1),
            runtimes=[each for each in fleet if to_us(each.last_seen) >= since_us or each.claims],
        )
