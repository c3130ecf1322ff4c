"""The part of the store port by which a workspace is steered: STOP commands, the credit pool, epochs, watchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kora.domain.control import effective

if TYPE_CHECKING:
    from kora.domain.claim import ClaimKey
    from kora.domain.control import ClaimPermission, Command, StopLevel
    from kora.domain.cost import Pool, Ramp


@dataclass(frozen=True, slots=True)
class Steering:
    """All that Control goes by, of one moment; read once a tick, and cheap."""

    now: datetime
    """the store's time"""
    granted: ClaimPermission
    """what the workspace's row grants"""
    open_commands: Sequence[Command]
    """every command that stands open, with its marks; the newest first"""
    reset_no: int
    """the number of the last reset, 0 where there was none: what an operator is to see to counts as seen to by a higher
    one than stood when it was found. No clock is asked: one that is set would hold it for ever, or let it go at once"""
    epoch: int
    has_ceiling: bool
    """three tickets ran into `max_attempts` within an hour since the last reset; stays so until the next"""
    pool: Pool
    watcher_seen_seconds: float | None
    """how long ago a watcher last said that it is there; None: none ever did, or all have ended"""

    @property
    def command(self) -> Command | None:
        """The open command that holds; see `effective`."""
        return effective(self.open_commands)


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt cost that ended without a settlement: its lease was lost, but the money is spent."""

    key: ClaimKey
    cost_usd: float


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain of the workspace ends."""

    chain_id: str
    chain_seq: int
    event_hash: bytes


class SteeringReader(Protocol):
    """What is read of it."""

    def steering(self) -> Steering:
        """What Control goes by. Raises `StoreError`: what cannot be read blocks.

        A workspace that has no row grants nothing.
        """

    def commands(self, limit: int | None = None) -> list[Command]:
        """The command log with every mark, the newest first."""

    def heads(self, chain_ids: Sequence[str]) -> list[ChainHead]:
        """Where these chains of the workspace end, those of them that are there."""

    def spend(self) -> dict[int, int]:
        """What was charged in each month, in micro-dollars: 202611 and the like, the newest first."""


class SteeringBoard(Protocol):
    """What operators change of it. Each call is one transaction and appends `kora.operator.acted`.

    Raises `StoreError`; nothing is changed then.
    """

    def stop(self, level: StopLevel, *, reason: str, enforce_seconds: float, who: str) -> Command:
        """A command of this level stands in the log; from its commit on no turn of any runtime claims anything.

        Raises `RefusedError` for level 0: that is `reset`.
        """

    def reset(self, *, reason: str, who: str) -> list[Command]:
        """A reset stands in the log, and what was open is superseded by it; those commands.

        It also clears the retry ceiling, and what a boot gate held for an operator to see.
        """

    def escalate(self, command_id: str, *, reason: str, enforce_seconds: float, who: str) -> Command | None:
        """A command of level 4 by a watcher takes the place of this one.

        None when it is not to be escalated any more: it was superseded, escalated, is of level 4 already, or is
        enforced by now. Raises `NotFoundError` for no command of this workspace.
        """

    def expire(self, command_id: str, holder: str, *, detail: str, who: str) -> None:
        """The runtime is gone: there is nothing left to be stopped. One that has enforced the command has done so.

        Raises `NotFoundError` for no command, or no runtime, of this workspace.
        """

    def revoke(self, runtime_id: str, *, reason: str, who: str) -> None:
        """Whatever this runtime still writes is refused, for good; what it holds runs out with its leases.

        Raises `NotFoundError` for no runtime of this workspace.
        """

    def watch(self, watcher_id: str, *, host: str, pid: int) -> None:
        """This watcher is there; to be said every second. Appends no event."""

    def unwatch(self, watcher_id: str) -> None:
        """This watcher has ended. Appends no event."""

    def reconcile(self, reported_micro_usd: int, *, who: str) -> Pool:
        """At least this much is spent since the last refresh, or since the month began. It never moves down."""

    def refresh_credit(self, ramp: Ramp, *, who: str) -> Pool:
        """Nothing is spent from now on, and what was deferred for cost is eligible again.

        From this commit on claims are made as the ramp says, whatever a runtime has heard of it.
        """

    def bump_epoch(self, *, reason: str, who: str) -> int:
        """The new epoch; every runtime that knew another one boots into PAUSED. Attempts so far count no more."""
