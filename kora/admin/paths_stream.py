"""The paths that are followed, as server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Literal

from kora.admin.calls import Call, EventsFollowed, FeedFollowed, Query
from kora.admin.sources import EventSource, FeedSource, Source


@dataclass(frozen=True, slots=True)
class Followed:
    """One path of a stream."""

    template: str
    says: str
    source: Callable[[Call], Source]
    query: type[Query] = FeedFollowed
    has_runs: bool = True
    """whether positions begin anew with every runtime"""
    method: Literal["GET"] = "GET"
    body: None = None


FOLLOWED: Final = (
    Followed("/log/stream", "follow the log", lambda call: FeedSource("log", lambda: nullcontext(call.console.log))),
    Followed(
        "/state/stream",
        "follow the operational state",
        lambda call: FeedSource("state", lambda: nullcontext(call.console.transitions)),
    ),
    Followed(
        "/actors/{name}/trace",
        "follow what an actor is sent and sends",
        lambda call: FeedSource("traced", lambda: call.console.trace(call.name)),
    ),
    Followed(
        "/events/stream",
        "follow the log of events",
        lambda call: EventSource(call.console, call.query.ticket, call.query.type),
        EventsFollowed,
        has_runs=False,
    ),
)
