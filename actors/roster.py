"""What the Ledger knows of the Workers: who has announced itself, who is free, and which claim was given to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from actors.messages import Announce
    from kora.domain.claim import Claim


@dataclass(slots=True)
class Given:
    """A claim in the hands of a Worker."""

    claim: Claim
    worker: str


@dataclass(slots=True)
class _Entry:
    generation: int = 0
    answered: bool = False
    work_attempt_id: str | None = None


class Roster:
    """Plain bookkeeping for one Ledger; a new Ledger begins with an empty one and is told everything anew.

    A claim is *given* from the moment its turn was committed until its Worker's end of it has been dealt with.
    """

    def __init__(self, workers: Sequence[str]) -> None:
        self._entries = {name: _Entry() for name in workers}
        self._given: dict[str, Given] = {}

    @property
    def attempts(self) -> frozenset[str]:
        """The work attempts in hand."""
        return frozenset(self._given)

    def tickets(self, *, ending: Collection[str]) -> frozenset[str]:
        """The tickets of which some agent may still run: those in hand whose attempt is not about to be settled."""
        return frozenset(given.claim.key.ticket_id for attempt, given in self._given.items() if attempt not in ending)

    @property
    def complete(self) -> bool:
        """Whether every Worker name has answered this Ledger."""
        return all(entry.answered for entry in self._entries.values())

    def generation(self, worker: str) -> int:
        """The generation that the Worker announced last."""
        return self._entries[worker].generation

    def free(self, *, ending: Collection[str] = ()) -> Iterator[str]:
        """The Workers that have answered and have nothing in hand but, at most, an attempt about to be settled."""
        return (
            name
            for name, entry in self._entries.items()
            if entry.answered and (entry.work_attempt_id is None or entry.work_attempt_id in ending)
        )

    def given(self, work_attempt_id: str) -> Given | None:
        """Who has the attempt."""
        return self._given.get(work_attempt_id)

    def give(self, worker: str, claim: Claim) -> None:
        """The claim is the Worker's now."""
        attempt = claim.key.work_attempt_id
        self._entries[worker].work_attempt_id = attempt
        self._given[attempt] = Given(claim, worker)

    def take_back(self, work_attempt_id: str) -> Given | None:
        """The Worker is done with the attempt; None if nobody had it."""
        given = self._given.pop(work_attempt_id, None)
        if given is not None:
            entry = self._entries[given.worker]
            if entry.work_attempt_id == work_attempt_id:
                entry.work_attempt_id = None
        return given

    def hear(self, announce: Announce) -> Claim | None:
        """Take a Worker's word for what it has; the claim, if any, that it was given and no longer has.

        Only the first word of each generation counts: a later copy of it may be older than what was given since.
        """
        entry = self._entries[announce.worker]
        if announce.generation < entry.generation or (announce.generation == entry.generation and entry.answered):
            return None
        entry.generation, entry.answered = announce.generation, True
        had = None if entry.work_attempt_id is None else self._given[entry.work_attempt_id]
        has = announce.running
        if had is not None and has is not None and had.claim.key == has.key:
            return None
        ended = announce.ended is not None and had is not None and announce.ended.key == had.claim.key
        if has is not None:
            self.give(announce.worker, has)
        return had.claim if had is not None and not ended else None
