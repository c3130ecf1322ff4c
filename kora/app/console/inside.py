"""What the Console has in hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.supervision import ChildDescription, ChildStatus, SupervisorStatus, UnknownChildError
from kora.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.post import Post
    from actors.supervision import Directory, Supervisor
    from kora.admin.views import RuntimeIdentity
    from kora.app.console.draining import Draining
    from kora.app.console.feeds import LogShown, StateShown
    from kora.app.console.main_thread import MainThread
    from kora.app.console.recorder import Recorder
    from kora.app.console.text import Text
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.signals import Signals
    from kora.state_dir import StateDir
    from kora.store.port import Store


@dataclass(frozen=True)
class Inside:
    """The parts of a runtime that can be looked at without asking an actor, and those that do what is asked."""

    identity: RuntimeIdentity
    settings: Callable[[], Settings]
    posts: Callable[[], Mapping[str, Post]]
    supervisor: Supervisor
    directory: Directory
    store: Store
    state_dir: StateDir
    state: StateShown
    log: LogShown
    text: Text
    ended: Counter[str]
    recorder: Recorder
    draining: Draining
    main: MainThread
    signals: Signals | None
    time_source: TimeSource
    reread: Callable[[], Sequence[str]]
    update: Callable[[], Sequence[str]]

    def actors(self) -> Iterator[ChildStatus]:
        """How each actor stands, in the order of their start."""
        yield from _actors(self.supervisor.tree())

    def describe(self, name: str) -> ChildDescription:
        """All that is known of one child. Raises `UnknownNameError` that says which there are."""
        try:
            return self.supervisor.describe(name)
        except UnknownChildError:
            names = ", ".join(status.name for status in self.actors())
            raise UnknownNameError(f"there is no {name[:100]!r} in this runtime; there are {names}") from None

    def claims_held(self) -> int:
        """Attempts that run here, or wait here to be begun; waits for nobody."""
        return sum(len(post.claims()) for post in list(self.posts().values()))


def _actors(status: SupervisorStatus) -> Iterator[ChildStatus]:
    for child in status.children:
        if isinstance(child, SupervisorStatus):
            yield from _actors(child)
        else:
            yield child
