"""What the REPL knows of the runtime while one types, looked at in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kora.cli.admin.asked import ACTOR_STYLES, PERMISSION_STYLES, RUNTIME_STYLES, Document, actor_path, count
from kora.domain.control import NO_WATCHER
from kora.errors import KoraError
from kora.logging import escaped

if TYPE_CHECKING:
    from kora.admin.client import Client

Found = TypeVar("Found")
Styled = list[tuple[str, str]]

LOOK_SECONDS: Final = 1.0
_KEPT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 2.0
"""how long anybody at the prompt waits for an answer"""
_TICKETS: Final = 200
_ALARMING: Final = frozenset(name for name, style in ACTOR_STYLES.items() if style == "red")


class Live:
    """The status, looked at once a second by a thread of its own; and what completion asks for, kept for two."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._closing = threading.Event()
        self._kept: dict[str, tuple[float, Any]] = {}
        self.status: Document | None = None
        """as it was last; None while no runtime answers"""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to look; each change is told, in the thread that looks."""
        threading.Thread(target=self._run, args=(changed,), name="live", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def actors(self) -> list[tuple[str, str]]:
        """The actors' names, and their states."""
        status = self.status or self._ask("/status", None)
        return [] if status is None else [(each["name"], each["state"]) for each in status["actors"]]

    def kinds(self, name: str) -> list[Document]:
        """What the actor handles."""
        return self._ask(actor_path(name, "kinds"), [])

    def tickets(self) -> list[tuple[str, str]]:
        """The ids of tickets on the board, each with its status and title."""
        found: list[Document] = self._ask("/tickets", [], {"limit": _TICKETS})
        return [(each["ticket_id"], f"{each['sea_status']}  {each['ticket_title']}") for each in found]

    def dead_letters(self) -> list[tuple[str, str]]:
        """The numbers of the dead letters, each with its kind and receiver."""
        found: Document = self._ask("/deadletters", {"letters": []})
        return [(str(each["number"]), f"{each['kind']} to {each['name']}") for each in found["letters"]]

    def _ask(self, path: str, nothing: Found, parameters: Mapping[str, int] | None = None) -> Found:
        at, found = self._kept.get(path, (0.0, None))
        now = time.monotonic()
        if found is not None and now - at < _KEPT_SECONDS:
            return found  # type: ignore[no-any-return]  # what the API has answered
        try:
            found = self._client.get(path, parameters)
        except KoraError:
            found = nothing
        self._kept[path] = (now, found)
        return found  # type: ignore[no-any-return]  # as above

    def _run(self, changed: Callable[[], None]) -> None:
        while not self._closing.is_set():
            status = None
            with suppress(KoraError):
                status = self._client.get("/status")
            if status != self.status:
                self.status = status
                changed()
            self._closing.wait(LOOK_SECONDS)


def bottom_line(status: Document | None) -> Styled:
    """The runtime in a line, in pieces with their styles."""
    if status is None:
        return [("class:alarm", " no runtime "), ("", " `kora-actors run` starts one")]
    state = status["operational_state"]
    primary, permission = state["primary_state"], state["claim_permission"]
    pieces: Styled = [
        (f"class:{RUNTIME_STYLES.get(primary, 'plain')}", f" {primary} "),
        ("", f" {count(status['claims_held'], 'claim')} held"),
        ("", f" · {count(sum(each['restarts'] for each in status['actors']), 'restart')} · may claim: "),
        (f"class:{PERMISSION_STYLES.get(permission, 'plain')}", permission),
    ]
    if state["degradation_reasons"]:
        pieces += [("", " · degraded: "), ("class:yellow", ", ".join(state["degradation_reasons"]))]
    for actor in status["actors"]:
        if actor["state"] in _ALARMING:
            pieces += [("", " · "), ("class:red", f"{actor['name']} {actor['state']}")]
    if status["watcher"] is not None and not status["watcher"]["is_alive"]:
        pieces += [("", " · "), ("class:yellow", NO_WATCHER)]
    return [(style, escaped(text)) for style, text in pieces]
