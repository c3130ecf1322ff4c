"""An operator's drain: what runs is given so long, and then released; until it is taken back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.messages import Drain, Resume
from actors.names import LEDGER
from kora.domain.control import PERMISSION_SECONDS
from kora.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.post import Post
    from actors.supervision import Directory
    from kora.clock import TimeSource

_AGAIN_SECONDS: Final = 0.5
_JOIN_SECONDS: Final = 5.0


class Draining:
    """Tells it again and again, since each may be restarted and forget; for any thread.

    It is told until nothing was held for as long as a permission is good: by then no order stands.
    """

    def __init__(self, directory: Directory, posts: Callable[[], Mapping[str, Post]], time_source: TimeSource) -> None:
        self._directory = directory
        self._posts = posts
        self._time = time_source
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self.deadline: float | None = None
        """on the boot clock; None while there is no drain"""

    @property
    def is_under_way(self) -> bool:
        """Whether there is a drain, an operator's or the one with which the runtime ends."""
        return self._is_closed or self.deadline is not None

    def begin(self, seconds: float) -> None:
        """What runs may go on for so long; a drain that was asked for before is over.

        Raises `RefusedError` when the runtime is ending, and drains by itself.
        """
        with self._mutex:
            if self._is_closed:
                raise RefusedError("the runtime is ending, and drains already")
            self._end()
            self.deadline = deadline = self._time.boot_seconds() + seconds
            self._ended = ended = threading.Event()
            drain = Drain(deadline=deadline, is_final=False)
            self._tell_all(drain)
            self._thread = threading.Thread(target=self._run, args=(drain, ended), name="draining", daemon=True)
            self._thread.start()

    def take_back(self) -> None:
        """What runs may go on, and more may be begun."""
        with self._mutex:
            self._end()
            if self.deadline is not None:
                self._tell_all(Resume())
            self.deadline = None

    def close(self) -> None:
        """Say no more; nothing is taken back, and there is no other drain."""
        with self._mutex:
            self._is_closed = True
            self._end()

    def _end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self, drain: Drain, ended: threading.Event) -> None:
        held_at = self._time.boot_seconds()
        while not ended.wait(_AGAIN_SECONDS):
            now = self._time.boot_seconds()
            if any(post.claims() for post in self._posts().values()):
                held_at = now
            elif now - held_at >= PERMISSION_SECONDS:
                return
            self._tell_all(drain)

    def _tell_all(self, message: object) -> None:
        # The Ledger first, so that it gives out nothing that would come back at once.
        for name in (LEDGER, *self._posts()):
            self._directory.tell(name, message)
