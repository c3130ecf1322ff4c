"""From the settings to the parts that the actors are made of."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors import tree
from actors.terms import Terms
from kora.agents import kinds
from kora.agents.meter import FOLDER as METERS
from kora.agents.meter import Meters
from kora.app.predecessors import Predecessors
from kora.config.cost import caps_of, downshift_of
from kora.domain.cost import Ramp, micro_usd
from kora.errors import StartError
from kora.redact import of_this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.remembered import Remembered
    from kora.agents.containment import Containment
    from kora.app.operators import Operators
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.state_dir import StateDir
    from kora.store.port import Reader, Writer

_TICKS_A_BEAT: Final = 4
_DESCRIPTORS_AT_REST: Final = 128
_DESCRIPTORS_AN_ATTEMPT: Final = 12
_DESCRIPTORS_A_CONNECTION: Final = 2
"""its own, and what it reads of the store"""
_TICK_LEAST_SECONDS: Final = 0.01


def check_agents(settings: Settings) -> None:
    """Nothing, if every agent of the configuration can be had. Raises `AgentError` that names the key.

    What may be meant otherwise than it is taken is logged.
    """
    for key, agent in {
        "agent": settings.agent,
        **{f"agents.{name}": each for name, each in settings.agents.items()},
    }.items():
        kinds.check(agent.spec(), key=key)
        if agent.is_ambiguous:
            logger.warning(
                '{0}.workdir: "{1}" is not the folder \'{2}\', which is there, too: to mean that, say "./{1}"',
                key,
                agent.workspace,
                agent.folder / agent.workspace,
            )


def agents(settings: Settings, containment: Containment, runtime_id: str, time_source: TimeSource) -> kinds.Agents:
    """Every agent of the configuration, ready to be started."""
    state_dir = settings.runtime.state_dir
    return kinds.build(
        settings.agent.spec(),
        _named(settings),
        containment=containment,
        state_dir=state_dir,
        meters=Meters(state_dir / METERS / runtime_id, caps_of(settings.cost)),
        time_source=time_source,
    )


def adopt(settings: Settings, agents: kinds.Agents) -> None:
    """Attempts that start from now on are those of this configuration's agents."""
    agents.adopt(settings.agent.spec(), _named(settings), caps_of(settings.cost))


def longest_grace(settings: Settings) -> float:
    """How many seconds the slowest of the agents may take to end."""
    return max(agent.grace_seconds for agent in (settings.agent, *settings.agents.values()))


def shutdown_seconds(settings: Settings) -> float:
    """How many seconds all actors together may take to stop, one after the other."""
    children = settings.supervisor.children
    each: dict[str, float] = {name: getattr(children, name).shutdown_seconds for name in type(children).model_fields}
    return sum(each.values()) + (settings.workers.count - 1) * each["worker"]


def parts(
    settings: Settings,
    *,
    agents: kinds.Agents,
    open_writer: Callable[[], Writer],
    open_reader: Callable[[], Reader],
    state_dir: StateDir,
    operators: Operators,
    holder: str,
    remembered: Remembered,
    time_source: TimeSource,
) -> tree.Parts:
    """What the actors are made of."""
    return tree.Parts(
        agent=agents,
        lingering=agents.lingering,
        open_writer=open_writer,
        open_reader=open_reader,
        predecessors=Predecessors(state_dir, agents.cost_of),
        gate=operators.gate,
        serve=operators.serve,
        on_transition=operators.state.note,
        show_state=operators.state.show,
        ended=operators.ended,
        time_source=time_source,
        lease_seconds=settings.poller.lease_seconds,
        poll_interval_seconds=settings.poller.poll_interval_seconds,
        heartbeat_seconds=settings.heartbeat.interval_seconds,
        tool_seconds=settings.heartbeat.tool_seconds,
        tick_seconds=_tick_seconds(settings),
        max_attempts=settings.control.max_attempts,
        holder=holder,
        remembered=remembered,
        terms=_terms(settings),
        downshift=downshift_of(settings.cost),
        redacted=of_this_process(),
        strategy=settings.supervisor.strategy,
        max_restarts=settings.supervisor.max_restarts,
        within_seconds=settings.supervisor.within_seconds,
        policies=settings.supervisor.children.model_dump(),
    )


def allow_descriptors(workers: int, connections: int) -> None:
    """Raise this process's limit of open files to what so many attempts, and clients of the admin API, need.

    Raises `StartError` if it may not.
    """
    needed = _DESCRIPTORS_AT_REST + workers * _DESCRIPTORS_AN_ATTEMPT + connections * _DESCRIPTORS_A_CONNECTION
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise StartError(
                f"{workers} workers and {connections} admin clients need {needed:,} open files, "
                f"and this process may have {hard:,}: raise the limit (ulimit -n), "
                "or set workers.count or admin.max_connections lower"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _named(settings: Settings) -> dict[str, kinds.Spec]:
    return {name: agent.spec() for name, agent in settings.agents.items()}


def _terms(settings: Settings) -> Terms:
    """What steers by numbers."""
    cost = settings.cost
    return Terms(
        drain_seconds=settings.control.drain_seconds,
        pool_micro_usd=micro_usd(cost.pool_usd),
        ramp=Ramp(cost.ramp_seconds, cost.ramp_interval_seconds),
    )


def _tick_seconds(settings: Settings) -> float:
    """As configured, but often enough for a short heartbeat or poll to come when it is due."""
    beat = settings.heartbeat.interval_seconds / _TICKS_A_BEAT
    return max(_TICK_LEAST_SECONDS, min(settings.runtime.tick_seconds, beat, settings.poller.poll_interval_seconds))
