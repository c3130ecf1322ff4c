"""What the admin API needs of the running system, which it never imports, and what that needs of the API.

Everything that is read is read without asking an actor, so that it is there while any of them hangs. Everything here is
for any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from kora.admin.views import (
        ActorInfo,
        DeadLettersView,
        LogLine,
        Mailbox,
        MessageKind,
        Restarted,
        RuntimeStatus,
        StateChange,
        SupervisorView,
        ThreadStack,
        Traced,
    )
    from kora.domain.vitals import Vitals
    from kora.store.port import Reader

Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item_co]):
    """What has come since the last look."""

    items: Sequence[Item_co]
    next: int
    """where to look from the next time"""
    missed: int
    """how many have come and are not kept any more, and so are not among the items"""


class Feed(Protocol[Item_co]):
    """Something that grows, of which the newest are kept, a bounded number. A slow reader costs nothing, and misses."""

    def since(self, position: int, limit: int) -> Batch[Item_co]:
        """At most so many from this position on, the oldest first. Position 0 begins with the oldest that is kept."""

    def position(self) -> int:
        """Where the next one will stand."""


class Console(Protocol):
    """A running runtime, as an operator sees it and takes hold of it.

    What changes something takes `who`, and is on record as `kora.operator.acted` in the workspace's chain as soon as
    the store can be written; it is done all the same while that cannot be, and the log says so.

    Raises `UnknownNameError` for a name that nobody has, `RefusedError` for what cannot be done as things stand, both
    with what to do.
    """

    # --- to see ---

    def status(self) -> RuntimeStatus:
        """How the runtime and its actors stand."""

    def tree(self) -> SupervisorView:
        """The supervision tree."""

    def info(self, name: str) -> ActorInfo:
        """All that is known of one actor."""

    def kinds(self, name: str) -> Sequence[MessageKind]:
        """What one actor understands."""

    def mailbox(self, name: str, limit: int) -> Mailbox:
        """What waits for one actor, its first `limit` messages."""

    def stacks(self, name: str | None = None) -> Sequence[ThreadStack]:
        """Where one actor is, or every thread of the process."""

    def dead_letters(self) -> DeadLettersView:
        """The messages that nobody handled."""

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start: what was done, what was told, what it takes of the machine."""

    def control(self) -> Mapping[str, Any]:
        """What may be claimed, and who says so."""

    def vitals(self) -> Vitals:
        """What the runtime's health follows from."""

    def reader(self) -> AbstractContextManager[Reader]:
        """A reading handle on the store, closed at the end. Raises `StoreError` like any."""

    @property
    def log(self) -> Feed[LogLine]:
        """The last log lines."""

    @property
    def transitions(self) -> Feed[StateChange]:
        """The last transitions of the operational state."""

    def trace(self, name: str) -> AbstractContextManager[Feed[Traced]]:
        """What one actor is sent and sends, from now until the end of the context."""

    # --- to do ---

    def tell(self, name: str, message: Mapping[str, Any], *, who: str) -> None:
        """Send a message, checked whole first. Raises `BadMessageError` with the schema."""

    def ask(self, name: str, message: Mapping[str, Any], timeout_seconds: float, *, who: str) -> object:
        """The actor's answer. Raises as `tell`, and `NoAnswerError` when there is none in that time."""

    def start_actor(self, name: str, *, who: str) -> None:
        """A stopped actor runs again."""

    def stop_actor(self, name: str, *, who: str) -> None:
        """It is down until it is started; what it is told meanwhile are dead letters."""

    def restart_actor(self, name: str, *, who: str) -> Restarted:
        """A successor serves the name, and has answered; no message is lost, and it does not count as a failure."""

    def pause(self, *, who: str) -> None:
        """Nothing new is claimed by this runtime, also after its restart, until `resume`; what runs goes on."""

    def resume(self, *, who: str) -> None:
        """Claims are made again, as far as nothing else holds them up; `vitals` show by then what does."""

    def drain(self, seconds: float | None, *, who: str) -> int:
        """As `pause`; and what runs is given so long to end (by default `control.drain_seconds`), then is released.

        Returns at once, with how many claims are held.
        """

    def release(self, ticket_id: str, *, who: str) -> None:
        """The ticket's agent is ended, and the ticket goes back to the board, eligible at once."""

    def resend(self, number: int, *, who: str) -> None:
        """A dead letter is sent again. Refused for a kind that must not be handled twice."""

    def drop(self, number: int | None, *, who: str) -> int:
        """A dead letter, or all of them, are forgotten; how many."""

    def reread(self) -> Sequence[str]:
        """What `update` would change, a line for each thing. Raises `ConfigurationError`."""

    def update(self, *, who: str) -> Sequence[str]:
        """The configuration is read again and followed, with the fewest restarts; what was changed."""

    def shutdown(self, *, at_once: bool, who: str) -> None:
        """The runtime drains and ends, as on SIGTERM; or ends its agents now, as on a second one. Returns at once."""


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """How much the API takes of its clients; the `[admin]` section."""

    max_connections: int = 128
    stall_seconds: float = 10.0
    """how long a client may read nothing of what is sent to it"""
    request_seconds: float = 10.0
    """how long a request may take to arrive"""


class Served(Protocol):
    """The API while it is served, by an actor of its own."""

    def check(self) -> None:
        """Nothing, while requests are answered. Raises `KoraError` when its thread has died or stands still."""

    def close(self) -> None:
        """Answer what is under way, for a second at most, and end. The socket goes on taking connections."""
