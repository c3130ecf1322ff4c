"""What [cost] says, as those who go by it take it, and what no table of it alone shows to be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from kora.config.faults import said
from kora.domain.cost import Caps, Downshift
from kora.domain.ticket import Priority

if TYPE_CHECKING:
    from kora.config.sections import Cost
    from kora.config.sections import Downshift as Table

_TABLES: Final = ("warn_75", "downshift_90")


def caps_of(cost: Cost) -> Caps:
    """What an attempt and a ticket may cost."""
    return Caps(attempt_usd=cost.attempt_usd, ticket_usd=cost.ticket_usd)


def downshift_of(cost: Cost) -> Downshift:
    """Which agent does what while the pool runs low."""
    return Downshift(warn_75=_by_priority(cost.warn_75), downshift_90=_by_priority(cost.downshift_90))


def faults(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key of the unchecked document's downshift that names an agent which is not there, with what is wrong."""
    table, agents = document.get("cost"), document.get("agents", {})
    if not isinstance(table, dict) or not isinstance(agents, dict):
        return
    known = ", ".join(sorted(str(name) for name in agents)) or "none"
    for rung in _TABLES:
        chosen = table.get(rung)
        for priority, name in chosen.items() if isinstance(chosen, dict) else ():
            if isinstance(name, str) and name not in agents:
                yield f"cost.{rung}.{priority}", f"no agent {said(name)} in [agents]; known there: {known}"


def _by_priority(table: Table) -> dict[Priority, str]:
    return {Priority(priority): name for priority, name in table.items()}
