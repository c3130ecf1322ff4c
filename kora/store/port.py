"""The store port: what every store must do. `tests/contract` holds each to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from kora.domain.claim import Claim, ClaimKey
    from kora.domain.control import ClaimPermission
    from kora.domain.events import Event, NewEvent
    from kora.domain.resolution import Settlement
    from kora.domain.ticket import NewTicket, Status, Ticket


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


@dataclass(frozen=True, slots=True)
class Turn:
    """All that a Ledger writes in one transaction, in the order in which the store does it."""

    refresh: Sequence[ClaimKey] = ()
    refresh_seconds: float = 0.0
    """the lease's new end, from the store's now"""
    settle: Sequence[Settlement] = ()
    return_holders: Sequence[str] = ()
    """runtimes known to be dead, agents and all: what they hold is returned at once"""
    sweep: bool = False
    claim: ClaimOrder | None = None
    append: Sequence[NewEvent] = ()
    """an event whose id stands in the log already is not written again"""
    max_attempts: int = 10
    """a returned ticket that was attempted so often waits for an operator"""

    @property
    def is_sweep_only(self) -> bool:
        """Whether there is nothing to do but to look for leases that ran out."""
        others = (self.refresh, self.settle, self.return_holders, self.claim, self.append)
        return self.sweep and not any(others)


@dataclass(slots=True)
class TurnResult:
    """What a committed turn changed."""

    claims: list[Claim] = field(default_factory=list)
    refreshed: list[ClaimKey] = field(default_factory=list)
    lost: list[ClaimKey] = field(default_factory=list)
    """refreshes refused: the claim is another's, or its lease had run out"""
    settled: list[ClaimKey] = field(default_factory=list)
    """settled now, or already settled by a turn whose answer was lost"""
    stale: list[ClaimKey] = field(default_factory=list)
    """settlements refused: nothing was changed. One that is neither settled nor stale was set aside"""
    returned: list[ClaimKey] = field(default_factory=list)
    """claims that the sweep ended, this runtime's own among them, or that dead holders had"""
    next_eligible_in_seconds: float | None = None
    """when the next ticket of this actor falls due, if the claim found fewer than ordered and one is dated"""
    set_aside: list[str] = field(default_factory=list)
    """rows that made their own statement fail; each named, with the reason"""


class Writer(Protocol):
    """The Ledger's handle: one connection, one thread at a time.

    Every method raises `StoreUnavailableError` after at most about a second when the store is locked, full or out of
    reach.
    """

    def next_incarnation(self) -> int:
        """Raise and return the incarnation in the runtime's row; from now on its older writers change nothing."""

    def turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Do the whole turn in one transaction, or nothing. Raises `IncarnationLostError` for a retired writer."""

    def held(self) -> list[Claim]:
        """What the store says this runtime holds, lease run out or not."""

    def holds_any(self, runtime_ids: Sequence[str]) -> frozenset[str]:
        """Which of these runtimes the store says hold a claim."""

    def changed(self) -> bool:
        """Whether somebody else has written since this was last asked: a hint that there may be new tickets."""

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread."""

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Whether an actor's board still has anything that a runtime could come to work."""

    ready: bool
    waiting: bool
    held: bool

    @property
    def any(self) -> bool:
        """Something is still to be waited for."""
        return self.ready or self.waiting or self.held


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first broken event of a chain."""

    chain_id: str
    chain_seq: int
    event_id: str | None
    fault: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a verification of all chains found."""

    events: int
    chains: int
    fault: ChainFault | None


class Reader(Protocol):
    """Reads one workspace; one connection, one thread at a time. Never waits for a writer."""

    def claim_permission(self) -> ClaimPermission:
        """What the workspace's runtimes may claim."""

    def outstanding(self) -> Outstanding:
        """What is left for this store's actor."""

    def ticket(self, ticket_id: str) -> Ticket:
        """One ticket. Raises `NotFoundError`."""

    def tickets(self, statuses: Sequence[Status] = (), limit: int | None = None) -> Iterator[Ticket]:
        """The board, oldest first; only these statuses if any are named."""

    def events(
        self, *, ticket_id: str | None = None, event_types: Sequence[str] = (), after_seq: int = 0
    ) -> Iterator[Event]:
        """The log in the store's order of arrival."""

    def verify(self) -> ChainReport:
        """Recompute every chain of the workspace; the report names the first broken event."""

    def close(self) -> None:
        """Give the connection back."""


class Board(Protocol):
    """What an operator changes. Each call is one transaction and appends what it did to the workspace's chain."""

    def add(self, tickets: Iterable[NewTicket], *, who: str) -> list[str]:
        """Add all or none; the new ids in the order given."""

    def close(self) -> None:
        """Give the connection back."""


class Store(Protocol):
    """An opened store, bound to one workspace and one actor id."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    def writer(self, runtime: RuntimeRecord) -> Writer:
        """A new handle for this runtime's Ledger; registers the runtime on first use."""

    def reader(self) -> Reader:
        """A new reading handle."""

    def board(self) -> Board:
        """A new operator's handle."""

    def close(self) -> None:
        """Close what the store itself holds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
