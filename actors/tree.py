"""The supervision tree: which actors there are, in which order they start, and what each is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from actors.admin import Admin
from actors.clock import Clock
from actors.control import Control
from actors.heartbeat import Heartbeat
from actors.ledger import Ledger
from actors.names import (
    ADMIN,
    CLOCK,
    CONTROL,
    FACES,
    HEARTBEAT,
    LEDGER,
    MIRROR,
    POLLER,
    ROOT,
    STATE_HOLDER,
    WORKERS,
    worker_names,
)
from actors.poller import Poller
from actors.post import Post
from actors.remembered import Remembered
from actors.state_holder import StateHolder
from actors.supervision import ChildSpec, Restart, Strategy, SupervisedActor, SupervisorSpec
from actors.terms import Terms
from actors.worker import Worker
from kora.errors import StoreUnusableError

if TYPE_CHECKING:
    from actors.ports import Gate, Predecessors
    from actors.state_holder import Listener
    from kora.admin.port import Served
    from kora.agents.port import Agents
    from kora.clock import TimeSource
    from kora.domain.cost import Rung
    from kora.domain.state import OperationalState
    from kora.domain.ticket import Ticket
    from kora.store.port import Reader, Writer

HELD_KEPT: Final = 256
"""how many untaken words a frozen StateHolder keeps; older ones are superseded anyway"""


@dataclass(frozen=True)
class Parts:
    """What the actors are made of."""

    agent: Agents
    lingering: Callable[[], frozenset[str]]
    """the tickets whose callables did not return although their attempts are over"""
    open_writer: Callable[[], Writer]
    open_reader: Callable[[], Reader]
    predecessors: Predecessors
    gate: Gate
    """an operator's pause"""
    serve: Callable[[], Served]
    """begins to serve the admin API"""
    on_transition: Listener
    show_state: Callable[[OperationalState], None]
    ended: Counter[str]
    """by resolution: how many attempts' ends were written"""
    time_source: TimeSource
    lease_seconds: float
    poll_interval_seconds: float
    heartbeat_seconds: float
    tool_seconds: float
    """how long a tool call in flight counts as progress"""
    tick_seconds: float
    max_attempts: int
    holder: str
    """the runtime's id"""
    remembered: Remembered
    """the same one whenever the tree is made anew"""
    terms: Terms
    """what the configuration says of steering"""
    downshift: Callable[[Rung, Ticket], str | None] = lambda _rung, _ticket: None
    """which named agent does a ticket that names none, while so much of the credit pool is spent; None: the default"""
    redacted: Callable[[str], str] = str
    """what an agent says, without its secrets"""
    random: Random = field(default_factory=Random)
    strategy: Strategy = "one_for_one"
    max_restarts: int = 30
    within_seconds: float = 60.0
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """by child, and `worker` for all Workers: what the configuration says of restarting and stopping them"""


def posts(workers: int) -> dict[str, Post]:
    """An empty post for every Worker name."""
    return {name: Post(name) for name in worker_names(workers)}


def supervision(parts: Parts, by_worker: Mapping[str, Post]) -> SupervisorSpec:
    """The whole tree, in the order of its start. The Poller comes last, so that nothing is claimed before all can work.

    They stop in reverse: the Ledger outlives everybody who may have something for it to write, and an operator sees it
    all. The Workers stand under a supervisor of their own. So do the StateHolder and the admin actor, each under one
    that is never restarted: when a broken observer has failed too often it is left out, and the work goes on.
    """
    admin = _child(ADMIN, Admin, {"serve": parts.serve}, parts)
    mirror = _child(STATE_HOLDER, StateHolder, _state_holder(parts), parts)
    mirror = mirror.model_copy(update={"inbox_bound": HELD_KEPT})
    workers = tuple(_child(name, Worker, _worker(parts, post), parts, "worker") for name, post in by_worker.items())
    return _supervisor(
        ROOT,
        (
            _supervisor(FACES, (admin,), parts, restart="temporary"),
            _child(CLOCK, Clock, _clock(parts, tuple(by_worker)), parts),
            _child(LEDGER, Ledger, _ledger(parts, tuple(by_worker)), parts),
            _supervisor(MIRROR, (mirror,), parts, restart="temporary"),
            _child(HEARTBEAT, Heartbeat, _heartbeat(parts), parts),
            _child(CONTROL, Control, _control(parts, tuple(by_worker)), parts),
            _supervisor(WORKERS, workers, parts),
            _child(POLLER, Poller, _poller(parts, len(by_worker)), parts),
        ),
        parts,
        strategy=parts.strategy,
    )


def _supervisor(
    name: str,
    children: tuple[ChildSpec | SupervisorSpec, ...],
    parts: Parts,
    *,
    strategy: Strategy = "one_for_one",
    restart: Restart = "permanent",
) -> SupervisorSpec:
    return SupervisorSpec(
        name=name,
        children=children,
        strategy=strategy,
        restart=restart,
        max_restarts=parts.max_restarts,
        within_seconds=parts.within_seconds,
        plain_errors=(StoreUnusableError,),
    )


def _child(
    name: str, actor: type[SupervisedActor], arguments: dict[str, Any], parts: Parts, policy: str | None = None
) -> ChildSpec:
    settings: dict[str, Any] = dict(parts.policies.get(policy or name, {}))
    return ChildSpec(name=name, actor=actor, arguments=arguments, **settings)


def _clock(parts: Parts, workers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "tick_seconds": parts.tick_seconds,
        "listeners": (*workers, HEARTBEAT, LEDGER, CONTROL, POLLER, ADMIN),
        "time_source": parts.time_source,
    }


def _ledger(parts: Parts, workers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "open_writer": parts.open_writer,
        "workers": workers,
        "predecessors": parts.predecessors,
        "lingering": parts.lingering,
        "lease_seconds": parts.lease_seconds,
        "tick_seconds": parts.tick_seconds,
        "max_attempts": parts.max_attempts,
        "ended": parts.ended,
        "time_source": parts.time_source,
    }


def _state_holder(parts: Parts) -> dict[str, Any]:
    return {"listeners": (parts.on_transition,), "show": parts.show_state}


def _control(parts: Parts, workers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "open_reader": parts.open_reader,
        "gate": parts.gate,
        "holder": parts.holder,
        "workers": workers,
        "remembered": parts.remembered,
        "terms": parts.terms,
        "time_source": parts.time_source,
    }


def _heartbeat(parts: Parts) -> dict[str, Any]:
    return {
        "interval_seconds": parts.heartbeat_seconds,
        "tick_seconds": parts.tick_seconds,
        "time_source": parts.time_source,
    }


def _worker(parts: Parts, post: Post) -> dict[str, Any]:
    return {
        "agent": parts.agent,
        "post": post,
        "max_attempts": parts.max_attempts,
        "downshift": parts.downshift,
        "redacted": parts.redacted,
        "tool_seconds": parts.tool_seconds,
        "tick_seconds": parts.tick_seconds,
        "time_source": parts.time_source,
    }


def _poller(parts: Parts, workers: int) -> dict[str, Any]:
    return {
        "workers": workers,
        "poll_interval_seconds": parts.poll_interval_seconds,
        "time_source": parts.time_source,
        "random": parts.random,
    }
