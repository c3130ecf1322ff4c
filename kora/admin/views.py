"""What an operator sees of a running runtime: fit to be spelt as JSON, made of its own types and aware datetimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ActorState = Literal["starting", "idle", "busy", "hung", "restarting", "stopped", "failed"]
"""`hung`: at one thing for as long as its `hang_seconds` allow, or longer; its supervisor is about to replace it"""


@dataclass(frozen=True, slots=True)
class RuntimeIdentity:
    """Which process this is."""

    pid: int
    runtime_id: str
    started_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class StateView:
    """The operational state (SPEC 5), as the StateHolder last had it; while there is none, as it was left."""

    primary_state: str
    claim_permission: str
    degradation_reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """How one actor stands."""

    name: str
    state: ActorState
    restarts: int
    mailbox: int
    busy_seconds: float | None
    """how long it has been at one thing; None when it waits"""
    ticket_id: str | None
    """what a Worker works on"""


@dataclass(frozen=True, slots=True)
class BootView:
    """How far the boot gates have come; there are no actors before they have passed."""

    gate: str | None
    """the one that is tried; None before the first and behind the last"""
    failures: int
    """how often that has failed so far"""
    since: datetime | None
    """when it was tried first"""
    detail: str
    """why it failed last"""
    results: Sequence[Mapping[str, Any]]
    """of those that have ended: `gate_id`, `gate_class`, `outcome`, `attempts`, `elapsed_ms`, `detail`"""


@dataclass(frozen=True, slots=True)
class WatcherView:
    """Whether a watcher is there to escalate what is not enforced."""

    is_alive: bool
    seen_seconds: float | None
    """how long ago one last said so; None: none is known of"""


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """`status --json`; wire format."""

    runtime: RuntimeIdentity
    operational_state: StateView
    actors: Sequence[ActorStatus]
    claims_held: int
    """attempts that run here, or wait here to be begun"""
    boot: BootView | None = None
    """while it boots"""
    watcher: WatcherView | None = None
    """None while it boots, and nobody has looked yet"""


@dataclass(frozen=True, slots=True)
class SupervisorView:
    """One supervisor and all that stands below it, in the order of their start."""

    name: str
    state: str
    strategy: str
    restarts_used: int
    """within its window, now"""
    max_restarts: int
    within_seconds: float
    restarts: int
    """of the supervisor itself"""
    retired: int
    """threads left behind by actors that hung, of the whole tree; told at the root, 0 elsewhere"""
    max_retired: int
    children: Sequence[SupervisorView | ActorView]
    kind: Literal["supervisor"] = "supervisor"


@dataclass(frozen=True, slots=True)
class ActorView:
    """One actor in the tree."""

    name: str
    state: ActorState
    restart: str
    generation: int
    restarts: int
    mailbox: int
    busy_seconds: float | None
    kind: Literal["actor"] = "actor"


@dataclass(frozen=True, slots=True)
class MessageKind:
    """A kind of message that an actor handles."""

    kind: str
    description: str
    json_schema: Mapping[str, Any]
    """of its fields, `kind` included"""
    may_be_told: bool
    """whether an operator may send it; the others carry what only their senders can know, such as a claim's end"""
    answers: bool
    """whether it is to be asked, and not told"""


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """All that is known of one actor without asking it."""

    name: str
    supervisor: str
    state: ActorState
    actor: str
    """its class"""
    description: str
    """what it says of itself: what it receives, sends, owns, and what a restart does"""
    generation: int
    restarts: int
    busy_seconds: float | None
    mailbox: Mapping[str, int]
    """`control`, `work`, `suspects`, `in_hand`"""
    policy: Mapping[str, Any]
    """how its supervisor treats it: `restart`, `shutdown_seconds`, `hang_seconds` and so on"""
    facts: Mapping[str, Any]
    """what it has in mind, such as a Worker's ticket; a snapshot, redacted"""
    kinds: Sequence[str]
    """the kinds of messages that it handles"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message in an inbox."""

    lane: Literal["in_hand", "suspect", "control", "work"]
    kind: str
    sender: str | None
    """the name of the actor that told it; None for the outside"""
    age_seconds: float
    preview: str
    """its content, redacted and shortened"""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What waits in an inbox, in the order in which it will be handled."""

    name: str
    waiting: int
    messages: Sequence[Waiting]
    """the first of them"""


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """Where one thread is."""

    thread: str
    actor: str | None
    lines: Sequence[str]
    """the innermost call last"""


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """One message that nobody handled."""

    number: int
    """by which it is resent or dropped"""
    name: str
    """to whom it was sent"""
    kind: str
    reason: str
    at: datetime
    preview: str
    detail: str
    may_be_resent: bool


@dataclass(frozen=True, slots=True)
class DeadLettersView:
    """The dead letters that are kept, the oldest first, and how many there have been."""

    total: int
    letters: Sequence[DeadLetterView]


@dataclass(frozen=True, slots=True)
class Restarted:
    """What became of a commanded restart."""

    name: str
    generation: int
    seconds: float
    """from the command until the successor answered"""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log, as text: redacted, and with no control characters."""

    at: datetime
    level: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class Traced:
    """One message that an actor was sent, or has sent."""

    at: datetime
    sender: str | None
    receiver: str
    kind: str
    preview: str
    left_out: int = 0
    """how many before it came too fast to be kept"""


@dataclass(frozen=True, slots=True)
class StateChange:
    """One transition of the operational state."""

    at: datetime
    from_primary_state: str
    state: StateView
    trigger: str
