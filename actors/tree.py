"""The supervision tree: which actors there are, in which order they start, and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from actors.clock import Clock
from actors.control import Control
from actors.heartbeat import Heartbeat
from actors.ledger import Ledger
from actors.names import CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, STATE_HOLDER, worker_names
from actors.poller import Poller
from actors.post import Post
from actors.state_holder import StateHolder
from actors.supervision import ChildSpec, Seat, SupervisedActor
from actors.worker import Worker

if TYPE_CHECKING:
    from actors.ledger import Predecessors
    from kora.agents.port import Agent
    from kora.clock import TimeSource
    from kora.store.port import Reader, Writer

Factory = Callable[[Seat], SupervisedActor]

HELD_KEPT: Final = 256
"""how many untaken words a frozen StateHolder keeps; older ones are superseded anyway"""


@dataclass(frozen=True)
class Parts:
    """What the actors are made of."""

    agent: Agent
    open_writer: Callable[[], Writer]
    open_reader: Callable[[], Reader]
    predecessors: Predecessors
    time_source: TimeSource
    workers: int
    lease_seconds: float
    poll_interval_seconds: float
    heartbeat_seconds: float
    tool_seconds: float
    """how long a tool call in flight counts as progress"""
    tick_seconds: float
    max_attempts: int
    random: Random = field(default_factory=Random)
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """by child, and `worker` for all Workers: what the configuration says of restarting and stopping them"""


def posts(workers: int) -> dict[str, Post]:
    """An empty post for every Worker name."""
    return {name: Post(name) for name in worker_names(workers)}


def children(parts: Parts, by_worker: Mapping[str, Post]) -> dict[str, ChildSpec]:
    """Every child in the order of its start. The Poller comes last, so that nothing is claimed before all can work.

    They stop in reverse: the Ledger outlives everybody who may have something for it to write.
    """
    time_source = parts.time_source
    factories: dict[str, Factory] = {
        CLOCK: lambda seat: Clock(
            seat,
            tick_seconds=parts.tick_seconds,
            listeners=(*by_worker, HEARTBEAT, LEDGER, CONTROL, POLLER),
            time_source=time_source,
        ),
        LEDGER: lambda seat: Ledger(
            seat,
            open_writer=parts.open_writer,
            workers=tuple(by_worker),
            predecessors=parts.predecessors,
            lingering=parts.agent.lingering,
            lease_seconds=parts.lease_seconds,
            tick_seconds=parts.tick_seconds,
            max_attempts=parts.max_attempts,
            time_source=time_source,
        ),
        STATE_HOLDER: StateHolder,
        HEARTBEAT: lambda seat: Heartbeat(
            seat,
            interval_seconds=parts.heartbeat_seconds,
            tick_seconds=parts.tick_seconds,
            time_source=time_source,
        ),
        CONTROL: lambda seat: Control(seat, open_reader=parts.open_reader, time_source=time_source),
        **{name: _worker(parts, post) for name, post in by_worker.items()},
        POLLER: lambda seat: Poller(
            seat,
            workers=parts.workers,
            poll_interval_seconds=parts.poll_interval_seconds,
            time_source=time_source,
            random=parts.random,
        ),
    }
    return {name: _spec(name, factory, parts, by_worker) for name, factory in factories.items()}


def _worker(parts: Parts, post: Post) -> Factory:
    return lambda seat: Worker(
        seat,
        agent=parts.agent,
        post=post,
        max_attempts=parts.max_attempts,
        tool_seconds=parts.tool_seconds,
        tick_seconds=parts.tick_seconds,
        time_source=parts.time_source,
    )


def _spec(name: str, factory: Factory, parts: Parts, by_worker: Mapping[str, Post]) -> ChildSpec:
    settings: dict[str, Any] = dict(parts.policies.get("worker" if name in by_worker else name, {}))
    if name == STATE_HOLDER:
        # A broken observer never stops work: its restarts are counted apart, and past the limit it is left out.
        settings |= {"inbox_bound": HELD_KEPT, "may_fail_alone": True}
    return ChildSpec(name=name, factory=factory, **settings)
