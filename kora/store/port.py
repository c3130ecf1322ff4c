"""The store port: what every store must do. `tests/contract` holds each to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from kora.store.steering import SteeringBoard, SteeringReader

if TYPE_CHECKING:
    from kora.domain.claim import Claim, ClaimKey, ClaimResult
    from kora.domain.control import NewMark
    from kora.domain.cost import Resumption
    from kora.domain.events import Event, NewEvent
    from kora.domain.operation import Operation, OperationAnswer, OperationRequest
    from kora.domain.resolution import Settlement
    from kora.domain.ticket import NewTicket, Status, Ticket
    from kora.store.hints import Hints
    from kora.store.steering import Charge
    from kora.store.views import (
        ActiveWork,
        ArchiveResult,
        AttemptRecord,
        BoardReport,
        ChainReport,
        Outstanding,
        RuntimeSeen,
    )


@dataclass(frozen=True, slots=True)
class RuntimeRecord:
    """One running process: `runtime_id` is fresh at every boot and is the holder of its claims."""

    runtime_id: str
    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class ClaimOrder:
    """How many tickets to claim now, and on which terms."""

    count: int
    lease_seconds: float
    except_tickets: frozenset[str] = frozenset()
    """tickets whose agent may still run here: never claimed again before it has ended"""
    is_critical_only: bool = False


@dataclass(frozen=True, slots=True)
class Earned:
    """A claim whose lease has earned a refresh, and how long ago its agent made the progress that earned it."""

    key: ClaimKey
    progress_age_seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """All that a Ledger writes in one transaction, in the order in which the store does it."""

    refresh: Sequence[Earned] = ()
    refresh_seconds: float = 0.0
    """the lease's new end, from the store's now"""
    append: Sequence[NewEvent] = ()
    """an event whose id stands in the log already is not written again"""
    operate: Sequence[OperationRequest] = ()
    """steps of operations, in the order asked; each is answered, and one that was done before does no more"""
    settle: Sequence[Settlement] = ()
    charge: Sequence[Charge] = ()
    """each attempt is charged once, at most what it was last said to have cost, whatever is told twice"""
    marks: Sequence[NewMark] = ()
    """how far this runtime has come with commands; one that ends a command appends its event"""
    resume_credit: Resumption | None = None
    """a pause for cost has ended: what was deferred is eligible again, and claims are made one by one for a while. Done
    once, whoever asks; perhaps only by the next turn that asks, where other runtimes are at work"""
    return_holders: Sequence[str] = ()
    """runtimes known to be dead, agents and all: what they hold is returned at once"""
    sweep: bool = False
    claim: ClaimOrder | None = None
    max_attempts: int = 10
    """a returned ticket that was attempted so often waits for an operator"""

    @property
    def is_sweep_only(self) -> bool:
        """Whether there is nothing to do but to look for leases that ran out."""
        lists = (self.refresh, self.operate, self.settle, self.return_holders, self.append, self.charge, self.marks)
        return self.sweep and self.claim is None and self.resume_credit is None and not any(lists)


@dataclass(slots=True)
class TurnResult:
    """What a committed turn changed."""

    claims: list[Claim] = field(default_factory=list)
    refreshed: list[ClaimKey] = field(default_factory=list)
    lost: list[ClaimKey] = field(default_factory=list)
    """refreshes refused: the claim is another's, or its lease had run out"""
    operated: list[OperationAnswer] = field(default_factory=list)
    """an answer to each request; one whose own row made its statement fail is answered REFUSED"""
    settled: list[ClaimKey] = field(default_factory=list)
    """settled now, or already settled by a turn whose answer was lost"""
    stale: list[ClaimKey] = field(default_factory=list)
    """settlements refused: nothing was changed. One that is neither settled nor stale was set aside"""
    returned: list[ClaimKey] = field(default_factory=list)
    """claims that the sweep ended, this runtime's own among them, or that dead holders had"""
    next_eligible_in_seconds: float | None = None
    """when the next ticket of this actor falls due, if the claim found fewer than ordered and one is dated; or when the
    ramp lets the next claim through"""
    blocked_by: ClaimResult | None = None
    """why fewer were claimed than ordered, where it is not that the board has no more: `blocked_by_control` by an open
    command, `blocked_by_cost` by a ramp; the tickets are there"""
    set_aside: list[str] = field(default_factory=list)
    """rows that made their own statement fail; each named, with the reason"""


class Writer(Protocol):
    """The Ledger's handle: one connection, one thread at a time.

    Every method raises `StoreUnavailableError` after at most about a second when the store is locked, full or out of
    reach. Of a runtime that was revoked, `next_incarnation` and `turn` raise `StoreUnusableError`.
    """

    def next_incarnation(self) -> int:
        """Raise and return the incarnation in the runtime's row; from now on its older writers change nothing."""

    def turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Do the whole turn in one transaction, or nothing. Raises `IncarnationLostError` for a retired writer.

        Every ten seconds the transaction also says that the runtime was seen, even if there is nothing else to do.
        """

    def held(self) -> list[Claim]:
        """What the store says this runtime holds, lease run out or not."""

    def holds(self) -> frozenset[ClaimKey]:
        """The keys of what the store says this runtime holds, lease run out or not."""

    def holds_any(self, runtime_ids: Sequence[str]) -> frozenset[str]:
        """Which of these runtimes the store says hold a claim."""

    def say_ended(self) -> None:
        """The runtime is known to have ended in good order, until it asks for another incarnation."""

    def changed(self) -> bool:
        """Whether somebody else has written since this was last asked: a hint that there may be new tickets.

        It may be so without cause, above all the first time.
        """

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread."""

    def close(self) -> None:
        """Give the connection back."""


class Reader(SteeringReader, Protocol):
    """Reads one workspace; one connection, one thread at a time. Never waits for a writer."""

    def outstanding(self) -> Outstanding:
        """What is left for this store's actor."""

    def ticket(self, ticket_id: str) -> Ticket:
        """One ticket. Raises `NotFoundError`."""

    def tickets(self, statuses: Sequence[Status] = (), limit: int | None = None) -> Iterator[Ticket]:
        """The board, oldest first; only these statuses if any are named."""

    def events(
        self,
        *,
        ticket_id: str | None = None,
        event_types: Sequence[str] = (),
        after_seq: int = 0,
        up_to_now: bool = False,
    ) -> Iterator[Event]:
        """The log in the store's order of arrival, without what was archived.

        It ends where a transaction that is still open may yet write: so one may go on from its last event and miss
        nothing. `up_to_now`: with all that was committed, for whoever looks once.
        """

    def last_seq(self) -> int:
        """Where the log ends, to go on from with `events`: the newest event's place in the order of arrival.

        That event may be another workspace's. 0 for an empty log.
        """

    def changed(self) -> bool:
        """Whether anybody may have written since this was last asked: so that an idle log costs nothing."""

    def claims(self) -> list[ActiveWork]:
        """Every held claim of the workspace, the oldest first."""

    def fleet(self) -> list[RuntimeSeen]:
        """The workspace's runtimes that were seen within a day, or that hold claims; the newest first."""

    def attempts(self, ticket_id: str) -> list[AttemptRecord]:
        """The ticket's attempts, the first one first. Raises `NotFoundError`."""

    def operations(self, ticket_id: str) -> list[Operation]:
        """The ticket's own operations (not the presence marks), oldest attempt first. Raises `NotFoundError`."""

    def report(self, since: datetime) -> BoardReport:
        """The board and what happened to it since. Within a second for a million tickets."""

    def verify(self) -> ChainReport:
        """Recompute every chain of the workspace, archived parts included; the report names the first broken event."""

    def close(self) -> None:
        """Give the connection back."""


class Board(SteeringBoard, Protocol):
    """What an operator changes. Each call is one transaction and appends what it did to the workspace's chain.

    What names a ticket raises `NotFoundError` when there is none, `RefusedError` when it does not stand so that this
    could be done, and returns the ticket as it stands afterwards.
    """

    def add(self, tickets: Iterable[NewTicket], *, who: str) -> list[str]:
        """Add all or none; the new ids in the order given.

        Raises `RefusedError` that names the ids when a blocker is not there, an id is there already, or tickets block
        one another in a circle.
        """

    def unblock(self, ticket_id: str, *, who: str) -> Ticket:
        """One that waits for an operator is eligible again.

        Its attempts so far count no more, and failed blockers are done without; those that may still complete are
        waited for.
        """

    def force_retry(self, ticket_id: str, *, who: str) -> Ticket:
        """`failed_terminal` is reopened, its failures forgotten; one that waits for its time is eligible now."""

    def cancel(self, ticket_id: str, *, who: str) -> Ticket:
        """`failed_terminal`, whatever it stood at before, unless it was final.

        A claim on it is void at once, and its runtime stops the agent.
        """

    def reassign(self, ticket_id: str, to_actor_id: str, *, who: str) -> Ticket:
        """Another actor's from now on. Refused while it is worked, and when it is final."""

    def record(
        self,
        verb: str,
        target: str,
        *,
        before: Mapping[str, object],
        after: Mapping[str, object],
        who: str,
        event_id: str,
    ) -> None:
        """What an operator did to something other than a ticket's row is on record, as `kora.operator.acted`.

        Nothing else is changed. One whose id stands in the log already is not written again: so whoever lost an answer
        may ask once more.
        """

    def close(self) -> None:
        """Give the connection back."""


class Store(Protocol):
    """An opened store, bound to one workspace and one actor id."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    @property
    def is_new(self) -> bool:
        """Whether it was made by this opening."""

    def writer(self, runtime: RuntimeRecord) -> Writer:
        """A new handle for this runtime's Ledger; registers the runtime on first use."""

    def reader(self) -> Reader:
        """A new reading handle."""

    def board(self, *, is_patient: bool = True) -> Board:
        """A new operator's handle; one that is not patient gives up when a Ledger's writer would, in about a second."""

    def hints(self) -> Hints | None:
        """A new ear for new tickets; None where nobody tells of them."""

    def rehearse(self, *, is_patient: bool = False) -> None:
        """A ticket of its own was added, claimed and released, and all of it undone; nothing is left of it.

        Takes moments, whatever stands on the board, and whether work is stopped or not; `is_patient`: and half a minute
        more, while somebody else writes. Raises `StoreError` when it cannot be done.
        """

    def archive(
        self, directory: Path, older_than: datetime, *, who: str, progress: Callable[[int, int], None]
    ) -> ArchiveResult:
        """Move the workspace's events that occurred before this moment into compressed files that still verify.

        They leave in the order of arrival, up to the first that is not so old. One dated in the future goes with those
        behind it.

        Bounded in memory, in short transactions; killed at any point it loses nothing, and the next call goes on.
        `progress` is told how many of how many were moved.
        """

    def close(self) -> None:
        """Close what the store itself holds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
