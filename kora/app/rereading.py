"""What a configuration that was changed means for a runtime that works by the former one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from kora.config import load
from kora.domain.resolution import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from actors.post import Post
    from actors.supervision import Change
    from kora.app.runtime import Runtime
    from kora.config import Settings

_NEXT_START: Final = ("runtime.", "boot.", "notify.", "admin.", "supervisor.max_retired")
"""how the keys begin that are only read when a runtime starts …"""
_IN_THE_TREE: Final = "runtime.tick_seconds"
"""… but this one, which actors are given"""
_AT_ONCE: Final = ("control.drain_seconds", "cost.attempt_usd", "cost.ticket_usd")
_LOOK_SECONDS: Final = 0.1
_AGENTS: Final = ("agent", "agents")


def lines(old: Settings, new: Settings, changes: Sequence[Change]) -> tuple[str, ...]:
    """What an update does, a line for each thing, and what has to wait for the next start."""
    keys = list(_keys(old.model_dump(exclude={"path"}), new.model_dump(exclude={"path"})))
    agents = sorted({_agent_of(key) for key in keys if key.partition(".")[0] in _AGENTS})
    later = [key for key in keys if key.startswith(_NEXT_START) and key != _IN_THE_TREE]
    return (
        *(change.line() for change in changes),
        *(f"{agent}: changed for attempts that start from now on" for agent in agents),
        *(f"{key}: changed" for key in keys if key in _AT_ONCE),
        *(f"{key}: changed, and heeded with the next start" for key in later),
    )


def preview(runtime: Runtime, path: Path) -> tuple[str, ...]:
    """What `follow` would do, a line for each thing. Raises as that."""
    return runtime.reread(load(path))


def follow(runtime: Runtime, path: Path) -> tuple[str, ...]:
    """Go on by the configuration file as it is now, as the log says; what was changed, a line for each thing.

    Raises `ConfigurationError` when it is wrong, and as `Runtime.update`.
    """
    settings = load(path)
    changes = runtime.reread(settings)
    for line in changes or ("nothing has changed",):
        logger.info("configuration: {}", line)
    runtime.update(settings)
    return changes


def end_agents(posts: Sequence[Post], patience_seconds: float, wait: Callable[[float], object]) -> None:
    """Nothing begins at these posts any more, and what ran there has ended, if it does within the patience."""
    running = [agent for post in posts if (agent := post.close()) is not None]
    for agent in running:
        agent.stop(StopReason.WORKER_RESTARTED)
    for _ in range(int(patience_seconds / _LOOK_SECONDS)):
        if all(agent.outcome is not None for agent in running):
            return
        wait(_LOOK_SECONDS)


def _agent_of(key: str) -> str:
    section, _, rest = key.partition(".")
    return section if section == "agent" else f"agents.{rest.partition('.')[0]}"


def _keys(old: dict[str, Any], new: dict[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys whose values are not the same."""
    for name in dict.fromkeys([*old, *new]):
        was, now, key = old.get(name), new.get(name), f"{above}{name}"
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _keys(was, now, f"{key}.")
        elif was != now:
            yield key
