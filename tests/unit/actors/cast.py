"""Who plays in a `World`: every actor of the tree, in its seat."""

from __future__ import annotations

from collections import Counter
from random import Random

from actors.clock import Clock
from actors.control import Control
from actors.heartbeat import Heartbeat
from actors.ledger import Ledger
from actors.names import CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, STATE_HOLDER, worker_names
from actors.poller import Poller
from actors.state_holder import StateHolder
from actors.terms import Terms
from actors.worker import Worker
from kora.domain.cost import Ramp
from tests.unit.actors.moments import watch_writer

TICK = 1.0
WORKERS = worker_names(2)
TERMS = Terms(drain_seconds=TICK, pool_micro_usd=0, ramp=Ramp(3_600.0, 30.0))


def make(world, name, seat):
    """The actor of that name."""
    common = {"tick_seconds": TICK, "time_source": world.time}
    makers = {
        CLOCK: lambda: Clock(seat, listeners=(*WORKERS, HEARTBEAT, LEDGER, CONTROL, POLLER), **common),
        LEDGER: lambda: _ledger(world, seat, common),
        STATE_HOLDER: lambda: StateHolder(seat),
        HEARTBEAT: lambda: Heartbeat(seat, interval_seconds=world.heartbeat_seconds, **common),
        CONTROL: lambda: _control(world, seat),
        POLLER: lambda: Poller(
            seat, workers=len(WORKERS), poll_interval_seconds=5, time_source=world.time, random=Random(1)
        ),
    }
    if name in makers:
        return makers[name]()
    post = world.posts[name]
    return Worker(seat, agent=world, post=post, max_attempts=1_000_000, tool_seconds=1_800, **common)


def _control(world, seat):
    return Control(
        seat,
        open_reader=world.shelf.reader,
        gate=world,
        holder="runtime-1",
        workers=WORKERS,
        remembered=world.remembered,
        terms=TERMS,
        time_source=world.time,
    )


def _ledger(world, seat, common):
    ledger = Ledger(
        seat,
        open_writer=lambda: watch_writer(ledger, world.shelf.open(), world.come_to),
        workers=WORKERS,
        predecessors=world,
        lingering=world.lingering,
        lease_seconds=world.lease_seconds,
        max_attempts=1_000_000,
        ended=Counter(),
        **common,
    )
    return ledger
