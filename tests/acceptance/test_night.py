"""Twelve hours of a busy board in virtual time: whatever happened, the report is what the event log alone says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kora.clock import from_us
from kora.domain.claim import Claim, ClaimKey
from kora.domain.handback import hand_back
from kora.domain.ids import new_id
from kora.domain.resolution import AgentResult, Outcome, Resolution, Settlement, StopReason, settle
from kora.domain.ticket import NewTicket, Priority, Status
from kora.errors import RefusedError
from kora.store.open import open_store
from kora.store.port import ClaimOrder, Earned, RuntimeRecord, Store, Turn
from tests.acceptance.replay import Replay

HOURS = 12
HOUR_SECONDS = 3_600.0
LEASE_SECONDS = 600.0
MAX_ATTEMPTS = 4
OURS = "0190a000-0000-7000-8000-000000000001"
THEIRS = "0190a000-0000-7000-8000-000000000002"
LONG_AGO = datetime.fromisoformat("2000-01-01T00:00:00Z")


class HandClock:
    """Both clocks, moved by the test alone."""

    def __init__(self) -> None:
        self.us = 1_790_000_123_456_789

    def now_us(self) -> int:
        return self.us

    def boot_seconds(self) -> float:
        return (self.us - 1_780_000_000_000_000) / 1e6

    def boot_id(self) -> str:
        return "the only boot"

    @property
    def now(self) -> datetime:
        return from_us(self.us)


@dataclass
class Working:
    """A claim in hand: when its agent ends, and how; a silent one makes no progress and loses its lease."""

    claim: Claim
    ends_us: int
    outcome: Outcome
    silent: bool


class Running:
    """A runtime as its Ledger acts: one turn after another."""

    def __init__(self, store: Store) -> None:
        self.id = new_id()
        self.working: dict[ClaimKey, Working] = {}
        self._writer = store.writer(RuntimeRecord(self.id, "here", 1, "0"))
        self._incarnation = self._writer.next_incarnation()

    def turn(self, now_us: int, places: int, dead: list[str], *, draining: bool) -> list[Claim]:
        """Refresh what works, settle what ended, look after the others' leases, and fill the places."""
        over = [each for each in self.working.values() if each.ends_us <= now_us]
        settlements = list(filter(None, (self._settlement(each) for each in over)))
        earned = [
            Earned(each.claim.key, 0.0)
            for each in self.working.values()
            if each.ends_us > now_us and not each.silent and not draining
        ]
        if draining:
            drained = [each for each in self.working.values() if each.ends_us > now_us]
            settlements += [hand_back(each.claim, "drained", max_attempts=MAX_ATTEMPTS) for each in drained]
        room = 0 if draining else places - len(self.working) + len(over)
        turn = Turn(
            refresh=earned,
            refresh_seconds=LEASE_SECONDS,
            settle=settlements,
            return_holders=dead,
            sweep=True,
            claim=ClaimOrder(room, LEASE_SECONDS) if room > 0 else None,
            max_attempts=MAX_ATTEMPTS,
        )
        result = self._writer.turn(self._incarnation, turn)
        assert result.set_aside == []
        for each in over:
            del self.working[each.claim.key]
        for key in (*result.lost, *result.returned, *result.settled):
            self.working.pop(key, None)
        return result.claims

    def _settlement(self, each: Working) -> Settlement | None:
        return settle(each.claim, each.outcome, max_attempts=MAX_ATTEMPTS)

    def close(self) -> None:
        self._writer.close()


def reported(resolution: Resolution, cost_usd: float | None = None, offset: float | None = None) -> Outcome:
    said = AgentResult(
        resolution=resolution, summary=f"said {resolution}", cost_usd=cost_usd, next_eligible_offset_seconds=offset
    )
    return Outcome(exit_code=0, result=said)


def outcome(chosen: random.Random, nature: str) -> Outcome:
    """How an agent ends with a ticket of this nature."""
    cost_usd = chosen.choice([None, 0.0, 0.000_001, 0.333_333_7, round(chosen.uniform(0, 5), chosen.randint(0, 8))])
    if nature == "poison":
        return chosen.choice([Outcome(raised="ValueError: no"), Outcome(exit_code=1, last_output="no")])
    if nature == "deadly":
        return Outcome(signal=chosen.choice([6, 9, 11]))
    if nature == "steady" or chosen.random() < 0.7:
        return reported(Resolution.COMPLETED, cost_usd)
    return chosen.choice(
        [
            Outcome(raised="ValueError: perhaps"),
            *(Outcome(exit_code=code, last_output="perhaps") for code in (1, 75, 77)),
            Outcome(signal=9),
            Outcome(fault="no such program"),
            Outcome(exit_code=0, protocol_fault="not understood"),
            Outcome(exit_code=0, verify_fault="verify failed", result=AgentResult(resolution=Resolution.COMPLETED)),
            *(Outcome(signal=15, stop_reason=reason) for reason in StopReason),
            *(reported(each, cost_usd, chosen.choice([None, 0.0, 7.5, 900.0])) for each in Resolution),
        ]
    )


@dataclass
class Night:
    """The board, who works it, and who minds it."""

    folder: Path
    tickets: int
    chosen: random.Random
    clock: HandClock = field(default_factory=HandClock)
    ids: list[str] = field(default_factory=list)
    natures: dict[str, str] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    replay: Replay = field(default_factory=Replay)

    @contextmanager
    def opened(self) -> Iterator[Night]:
        url = f"sqlite:///{self.folder / 'kora.db'}"
        self.stores = [
            open_store(url, workspace_id="w", actor_id=actor, time=self.clock) for actor in (OURS, OURS, THEIRS)
        ]
        self.running = [Running(store) for store in self.stores]
        with (
            self.stores[0] as ours,
            self.stores[1],
            self.stores[2],
            closing(ours.board()) as self.board,
            closing(ours.reader()) as self.reader,
        ):
            yield self
            for each in self.running:
                each.close()

    def pass_by(self, steps: int) -> None:
        """Twelve hours, looked at several times; nothing is added in the last four."""
        seconds = HOURS * HOUR_SECONDS / steps
        adding = steps * 2 // 3
        for step in range(steps):
            if step < adding:
                self.add(self.tickets * (step + 1) // adding - len(self.ids))
            self.clock.us += round(seconds * 1e6 * self.chosen.uniform(0.5, 1.5))
            for place in range(len(self.running)):
                self.work(place)
            for _ in range(self.tickets // steps + 1):
                self.mind()
            if step % (steps // 5) == steps // 7:
                self.check()
        self.check()

    def add(self, count: int) -> None:
        new = []
        for _ in range(count):
            ticket_id = new_id()
            nature = self.chosen.choices(["steady", "moody", "poison", "deadly"], [60, 30, 6, 4])[0]
            before = [*self.ids[-30:], *(each.ticket_id for each in new)]
            blockers = self.chosen.sample(before, min(len(before), self.chosen.choice([0] * 6 + [1, 1, 2, 3])))
            dated = self.clock.us + round(self.chosen.uniform(-600e6, 3_600e6)) if self.chosen.random() < 0.1 else None
            self.natures[ticket_id] = nature
            new.append(
                NewTicket(
                    ticket_id=ticket_id,
                    ticket_title=f"{nature} {len(self.ids) + len(new)}",
                    sea_priority=self.chosen.choice(list(Priority)),
                    next_eligible_at=None if dated is None else from_us(dated),
                    assigned_to_actor_id=THEIRS if self.chosen.random() < 0.2 else None,
                    blocked_by=tuple(blockers),
                )
            )
        if new:
            self.ids += self.board.add(new, who="dusk")

    def work(self, place: int) -> None:
        """One runtime's turn; once in a while it dies, is drained, or sees to what a dead one held."""
        running, luck = self.running[place], self.chosen.random()
        if luck < 0.004:
            self.dead.append(running.id)
            running.close()
            self.running[place] = Running(self.stores[place])
            return
        # Some of the dead are never seen to: what they held runs out.
        seen_to = [each for each in self.dead if self.chosen.random() < 0.3] if luck > 0.9 else []
        self.dead = [each for each in self.dead if each not in seen_to]
        places = max(4, self.tickets // 250)
        for claim in running.turn(self.clock.us, places, seen_to, draining=0.004 < luck < 0.01):
            ticket_id = claim.key.ticket_id
            worked = self.chosen.choice([0.0, 0.05, 20.0, 90.0, 400.0, 1_500.0]) * self.chosen.uniform(0.5, 1.5)
            running.working[claim.key] = Working(
                claim,
                self.clock.us + round(worked * 1e6),
                outcome(self.chosen, self.natures[ticket_id]),
                silent=self.chosen.random() < 0.05,
            )

    def mind(self) -> None:
        """An operator does something, to a ticket that needs it or to any."""
        verb = self.chosen.choices(["unblock", "force_retry", "cancel", "reassign", None], [4, 4, 1, 2, 40])[0]
        if verb is None:
            return
        ticket_id = self.chosen.choice(self.ids)
        if verb == "unblock" and (found := list(self.reader.tickets((Status.BLOCKED_NEEDS_OPERATOR,), limit=5))):
            ticket_id = found[-1].ticket_id
        more = (self.chosen.choice([OURS, THEIRS]),) if verb == "reassign" else ()
        with suppress(RefusedError):
            getattr(self.board, verb)(ticket_id, *more, who="dawn")

    def check(self) -> None:
        """The page since several moments, and every ticket, against the log."""
        self.replay.read(self.reader.events(after_seq=self.replay.last_seq))
        now = self.clock.now
        for since in (LONG_AGO, *(now - timedelta(minutes=minutes) for minutes in (0, 1, 61, 300, 725))):
            assert self.reader.report(since) == self.replay.report(since, now, self.reader.fleet()), since
        found = {
            each.ticket_id: (
                each.ticket_title,
                each.sea_status,
                each.assigned_to_actor_id,
                {*each.blocked_by},
                each.next_eligible_at,
                each.claim_count,
                each.work_attempt_count,
                each.last_resolution,
                each.last_summary,
                None if each.claim is None else each.claim.holder,
            )
            for each in self.reader.tickets()
        }
        told = {ticket_id: ticket.standing() for ticket_id, ticket in self.replay.tickets.items()}
        assert found.keys() == told.keys()
        assert [(each, found[each], told[each]) for each in told if found[each] != told[each]] == []


@pytest.mark.parametrize(
    ("tickets", "steps", "seed"),
    [(1_500, 150, 12), pytest.param(50_000, 1_440, None, id="50000", marks=pytest.mark.prove)],
)
def test_the_mornings_report_is_what_the_log_alone_says(tmp_path, tickets, steps, seed):
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    print(f"{tickets} tickets, {steps} steps, seed {seed}")
    with Night(tmp_path, tickets, random.Random(seed)).opened() as night:
        night.pass_by(steps)
        assert night.reader.verify().fault is None
        whole = Replay()
        whole.read(night.reader.events())
        assert whole == night.replay
    # Nothing of what was to happen stayed away.
    assert len(whole.tickets) == tickets
    ways = Counter(attempt.how for attempt in whole.ended)
    assert set(ways) == {"expired", *Resolution}
    assert min(ways.values()) >= tickets // 750
    assert set(whole.verbs) == {"add", "unblock", "force_retry", "cancel", "reassign"}
    assert set(whole.blocked_for) == {"blocked_by", "max_attempts"}
    assert Counter(ticket.status for ticket in whole.tickets.values())["completed"] > tickets / 3
