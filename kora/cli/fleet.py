"""Who runs where, as the store has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from kora.cli.output import table
from kora.cli.spans import ago

if TYPE_CHECKING:
    from kora.store.views import RuntimeSeen

_COLUMNS: Final = ("host", "pid", "version", "workspace", "state", "last_seen", "claims", "runtime_id")
PRESENCE_STYLES: Final = {"live": "green", "silent": "red", "gone": "yellow"}


def show_fleet(found: Iterable[RuntimeSeen]) -> None:
    """Print a line for each runtime."""
    rows = (
        (
            each.host,
            each.pid,
            each.version,
            each.workspace_id,
            each.state,
            ago(each.last_seen_seconds),
            each.claims,
            each.runtime_id,
        )
        for each in found
    )
    table(_COLUMNS, rows, "no runtime was seen within a day, and none holds a claim", styles=PRESENCE_STYLES)


def described(runtime: RuntimeSeen) -> str:
    """Which one it is, when it was seen and what it holds, as one line."""
    claims = f"{runtime.claims:,} claim{'' if runtime.claims == 1 else 's'}"
    return f"{runtime.host}/{runtime.pid}, {runtime.runtime_id}, seen {ago(runtime.last_seen_seconds)}, {claims}"
