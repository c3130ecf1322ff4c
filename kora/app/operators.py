"""What operators have of a runtime: the socket, the Console behind it, and the record of what they did.

While the gates are tried a console of its own answers on the socket, if that takes longer than a moment; then the
actor's server takes it over. Whoever connects in between waits in the socket's backlog.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kora import __version__, logging
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from kora.admin.views import RuntimeIdentity
from kora.app.console import Inside, RuntimeConsole
from kora.app.console.draining import Draining
from kora.app.console.feeds import LogShown, StateShown
from kora.app.console.main_thread import MainThread
from kora.app.console.recorder import Recorder
from kora.app.console.text import Text
from kora.config.values import loopback_address
from kora.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.post import Post
    from actors.supervision import Directory, Supervisor
    from kora.admin.port import Console, Served
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.signals import Signals
    from kora.state_dir import StateDir
    from kora.store.port import Board, RuntimeRecord, Store

_MOMENT_SECONDS: Final = 1.0
"""how long a boot may take before somebody answers on the socket: to begin and end that takes longer than most boots"""


class Operators:
    """Bound when it is made, so that clients can connect from then on; they are answered by what `serve` returns.

    The log is kept for them from then on, too.

    Raises `StartError` when there can be no socket.
    """

    def __init__(self, settings: Settings, state_dir: StateDir, record: RuntimeRecord) -> None:
        self.gate = state_dir
        self.state = StateShown()
        self.log = LogShown()
        self.ended: Counter[str] = Counter()
        self.main = MainThread()
        self._settings = settings.admin
        self._store: Store | None = None
        self.recorder = Recorder(self._board)
        self._mutex = threading.Lock()
        """of who serves while the gates are tried, and whether they still are"""
        self._boots = False
        self._served: Served | None = None
        self._draining: Draining | None = None
        self._console: Console | None = None
        self.identity = RuntimeIdentity(record.pid, record.runtime_id, datetime.now(UTC), __version__)
        listen = settings.admin.health_listen
        self._listening = bind(state_dir.path, loopback_address(listen) if listen else None)
        logging.listen(self.log.hear)

    @contextmanager
    def booting(self, console: Console) -> Iterator[None]:
        """Meanwhile this console answers, if it takes longer than a moment."""
        with self._mutex:
            self._boots = True
        timer = threading.Timer(_MOMENT_SECONDS, self._serve_boot, (console,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._mutex:
                self._boots = False

    def _serve_boot(self, console: Console) -> None:
        with self._mutex:
            if self._boots and self._served is None:
                self._served = self._serve(console)

    def _serve_boot_no_more(self) -> None:
        with self._mutex:
            served, self._served = self._served, None
        if served is not None:
            served.close()

    def attach(
        self,
        store: Store,
        *,
        supervisor: Supervisor,
        directory: Directory,
        settings: Callable[[], Settings],
        posts: Callable[[], Mapping[str, Post]],
        reread: Callable[[], Sequence[str]],
        update: Callable[[], Sequence[str]],
        signals: Signals | None,
        time_source: TimeSource,
    ) -> Console:
        """The Console of what has been made meanwhile."""
        self._store = store
        self._draining = Draining(directory, posts, time_source)
        self._console = RuntimeConsole(
            Inside(
                identity=self.identity,
                settings=settings,
                posts=posts,
                supervisor=supervisor,
                directory=directory,
                store=store,
                state_dir=self.gate,
                state=self.state,
                log=self.log,
                text=Text(),
                ended=self.ended,
                recorder=self.recorder,
                draining=self._draining,
                main=self.main,
                signals=signals,
                time_source=time_source,
                reread=reread,
                update=update,
            )
        )
        return self._console

    def serve(self) -> Served:
        """The API is served from now on."""
        if self._console is None:
            raise AssertionError("there is nothing to be served yet")
        self._serve_boot_no_more()
        return self._serve(self._console)

    def _serve(self, console: Console) -> Served:
        terms = self._settings
        bounds = AdminSettings(
            max_connections=terms.max_connections,
            stall_seconds=terms.stall_seconds,
            request_seconds=terms.request_seconds,
        )
        return serve(self._listening, console, bounds)

    def start(self) -> None:
        """From now on what they do is put on record."""
        self.recorder.start()

    def begin_to_end(self) -> None:
        """The runtime ends: nothing of it is changed any more, and its own drain is the only one."""
        self.main.close()
        if self._draining is not None:
            self._draining.close()

    def close(self) -> None:
        """What they did is on record, or in the log; the socket is gone."""
        self.begin_to_end()
        self._serve_boot_no_more()
        self.recorder.close()
        self._listening.close()

    def _board(self) -> Board:
        if self._store is None:
            raise StoreUnavailableError("the store was not opened yet")
        return self._store.board()
