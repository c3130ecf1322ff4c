"""What goes on beside the actors, and can fail without harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kora.app.hearing import Hearing
from kora.app.housekeeping import Housekeeping
from kora.clock import SystemTime
from kora.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from kora.agents.containment import Containment
    from kora.app.boot.booting import Boot
    from kora.config import Settings
    from kora.store.port import Store


class Beside:
    """The housekeeping, the notifier, the ear for what others change, what is known of the store: of one runtime."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        boot: Boot,
        containment: Containment,
        *,
        live: Callable[[str], bool],
        tell: Callable[[str, object], None],
    ) -> None:
        runtime, notify = settings.runtime, settings.notify
        self._housekeeping = Housekeeping(
            runtime.state_dir,
            keep_days=runtime.keep_days,
            open_reader=store.reader,
            containment=containment,
            time_source=SystemTime(),
            live=live,
        )
        self._notifier = Notifier(
            notify.command,
            on=notify.on,
            timeout_seconds=notify.timeout_seconds,
            open_reader=store.reader,
            chain_id=boot.runtime_id,
            workdir=settings.path.parent,
        )
        self._keeping = boot.keeping(store, tell)
        self._hearing = Hearing(store.hints(), tell)

    def start(self) -> None:
        """Begin."""
        self._hearing.start()
        self._housekeeping.start()
        self._notifier.start()
        self._keeping.start()

    def close(self) -> None:
        """Tell what there is to tell, and end."""
        self._hearing.close()
        self._keeping.close()
        self._notifier.close()
        self._housekeeping.close()
