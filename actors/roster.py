"""What the Ledger knows of the Workers: who has announced itself, who has room, and which claim was given to whom."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.ahead import AHEAD_LONG_SECONDS, ServiceTimes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from actors.messages import Announce
    from kora.domain.claim import Claim, ClaimKey

_LONG_AGO = float("-inf")


@dataclass(slots=True)
class Given:
    """A claim in the hands of a Worker."""

    claim: Claim
    worker: str
    is_ending: bool = False
    """its Worker is done with it, or never had it: it is about to be settled"""


@dataclass(slots=True)
class _Entry:
    generation: int = 0
    answered: bool = False
    load: int = 0
    """claims in hand that are not ending"""
    quick_at: float = _LONG_AGO
    """when it last ended something quickly"""

    def places(self, each: int, now: float) -> int:
        """How many more claims it has room for, at so many a Worker."""
        if not self.answered:
            return 0
        if self.load and now - self.quick_at > AHEAD_LONG_SECONDS:
            # What it is at may take long, as far as anybody knows: nothing is put behind that.
            return 0
        return max(0, each - self.load)


class Roster:
    """Plain bookkeeping for one Ledger; a new Ledger begins with an empty one and is told everything anew.

    A claim is *given* from the moment its turn was committed until its Worker's end of it has been dealt with. While it
    is given, its ticket is not claimed again, unless its end is known and about to be written.
    """

    def __init__(self, workers: Sequence[str]) -> None:
        self._entries = {name: _Entry() for name in workers}
        self._given: dict[str, Given] = {}
        self._tickets: set[str] = set()
        """of what is given and not ending"""
        self._times = ServiceTimes()

    def __len__(self) -> int:
        """How many claims are in hand and not ending."""
        return len(self._tickets)

    @property
    def attempts(self) -> frozenset[str]:
        """The work attempts in hand, the ending ones too."""
        return frozenset(self._given)

    @property
    def tickets(self) -> frozenset[str]:
        """The tickets of which some agent may still run: those in hand whose attempt is not ending."""
        return frozenset(self._tickets)

    @property
    def claims_a_worker(self) -> int:
        """How many claims a Worker should have, as attempts went of late."""
        return self._times.claims_a_worker()

    @property
    def complete(self) -> bool:
        """Whether every Worker name has answered this Ledger."""
        return all(entry.answered for entry in self._entries.values())

    def facts(self) -> dict[str, object]:
        """Who holds how much, for any thread."""
        return {
            "held": len(self),
            "claims_a_worker": self.claims_a_worker,
            "silent_workers": [name for name, entry in self._entries.items() if not entry.answered],
        }

    def generation(self, worker: str) -> int:
        """The generation that the Worker announced last."""
        return self._entries[worker].generation

    def places(self, now: float) -> int:
        """For how many more claims there is room."""
        each = self.claims_a_worker
        return sum(entry.places(each, now) for entry in self._entries.values())

    def deal(self, claims: Sequence[Claim], now: float) -> dict[str, list[Claim]]:
        """Give each claim to the least loaded Worker that has room; not more of them than there are places."""
        if not claims:
            return {}
        each = self.claims_a_worker
        hands: dict[str, list[Claim]] = {}
        room = [
            (entry.load, index, name)
            for index, (name, entry) in enumerate(self._entries.items())
            if entry.places(each, now)
        ]
        heapq.heapify(room)
        for claim in claims:
            load, index, name = heapq.heappop(room)
            self.give(name, claim)
            hands.setdefault(name, []).append(claim)
            if load + 1 < each:
                heapq.heappush(room, (load + 1, index, name))
        return hands

    def give(self, worker: str, claim: Claim) -> None:
        """The claim is the Worker's now."""
        self._given[claim.key.work_attempt_id] = Given(claim, worker)
        self._tickets.add(claim.key.ticket_id)
        self._entries[worker].load += 1

    def given(self, work_attempt_id: str) -> Given | None:
        """Who has the attempt."""
        return self._given.get(work_attempt_id)

    def end(self, work_attempt_id: str, seconds: float | None = None, now: float = _LONG_AGO) -> Given | None:
        """The attempt is about to be settled, and leaves its place to another; None if nobody had it."""
        given = self._given.get(work_attempt_id)
        if given is not None and not given.is_ending:
            given.is_ending = True
            self._tickets.discard(given.claim.key.ticket_id)
            entry = self._entries[given.worker]
            entry.load -= 1
            if seconds is not None:
                self._times.note(seconds)
                if seconds <= AHEAD_LONG_SECONDS:
                    entry.quick_at = now
        return given

    def take_back(self, work_attempt_id: str) -> Given | None:
        """The Worker is done with the attempt; None if nobody had it."""
        self.end(work_attempt_id)
        return self._given.pop(work_attempt_id, None)

    def gone(self, held: Collection[ClaimKey]) -> Iterator[Given]:
        """What is in hand and not ending, though the store says that it is not held."""
        return (given for given in self._given.values() if not given.is_ending and given.claim.key not in held)

    def hear(self, announce: Announce) -> list[Claim]:
        """Take a Worker's word for what it has; the claims that it was given and no longer has.

        Only the first word of each generation counts: a later copy of it may be older than what was given since.
        """
        entry = self._entries[announce.worker]
        if announce.generation < entry.generation or (announce.generation == entry.generation and entry.answered):
            return []
        entry.generation, entry.answered, entry.quick_at = announce.generation, True, _LONG_AGO
        has = {claim.key.work_attempt_id: claim for claim in announce.running}
        ended = {end.key.work_attempt_id for end in announce.ended}
        missing = [
            given.claim
            for attempt, given in self._given.items()
            if given.worker == announce.worker and not given.is_ending and attempt not in has and attempt not in ended
        ]
        for attempt, claim in has.items():
            if attempt not in self._given:
                self.give(announce.worker, claim)
        return missing
