"""What operators have of a runtime: the socket, the Console behind it, and the record of what they did."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.post import Post
    from actors.supervision import Directory, Supervisor
    from kora.admin.port import Console, Served
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.signals import Signals
    from kora.state_dir import StateDir
    from kora.store.port import RuntimeRecord, Store


class Operators:
    """Bound when it is made, so that clients can connect from then on; they are answered by what `serve` returns.

    Raises `StartError` when there can be no socket.
    """

    def __init__(self, settings: Settings, state_dir: StateDir, store: Store, record: RuntimeRecord) -> None:
        self.gate = state_dir
        self.state = StateShown()
        self.log = LogShown()
        self.ended: Counter[str] = Counter()
        self.main = MainThread()
        self._settings = settings.admin
        self._store = store
        self._recorder = Recorder(store.board)
        self._draining: Draining | None = None
        self._console: Console | None = None
        self._identity = RuntimeIdentity(record.pid, record.runtime_id, datetime.now(UTC), __version__)
        self._listening = bind(state_dir.path)

    def attach(
        self,
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
        self._draining = Draining(directory, posts, time_source)
        self._console = RuntimeConsole(
            Inside(
                identity=self._identity,
                settings=settings,
                posts=posts,
                supervisor=supervisor,
                directory=directory,
                store=self._store,
                state_dir=self.gate,
                state=self.state,
                log=self.log,
                text=Text(),
                ended=self.ended,
                recorder=self._recorder,
                draining=self._draining,
                main=self.main,
                signals=signals,
                reread=reread,
                update=update,
            )
        )
        return self._console

    def serve(self) -> Served:
        """The API is served from now on."""
        if self._console is None:
            raise AssertionError("there is nothing to be served yet")
        terms = self._settings
        bounds = AdminSettings(
            max_connections=terms.max_connections,
            stall_seconds=terms.stall_seconds,
            request_seconds=terms.request_seconds,
        )
        return serve(self._listening, self._console, bounds)

    def start(self) -> None:
        """From now on what they do is put on record, and the log is kept for them."""
        logging.listen(self.log.hear)
        self._recorder.start()

    def begin_to_end(self) -> None:
        """The runtime ends: nothing of it is changed any more, and its own drain is the only one."""
        self.main.close()
        if self._draining is not None:
            self._draining.close()

    def close(self) -> None:
        """What they did is on record, or in the log; the socket is gone."""
        self.begin_to_end()
        self._recorder.close()
        self._listening.close()
