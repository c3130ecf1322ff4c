"""Keeping in mind, beside the actors, what the store is like: so that the next boot knows it again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.app.boot.known import GO_ON, Known, Memory, fault, newest, workspace_chain
from kora.errors import StoreError

if TYPE_CHECKING:
    from kora.store.port import Reader, Store

KEEP_SECONDS: Final = 2.0
"""how often what is known is written, if the store has gone on"""
HELD_SECONDS: Final = 0.5
"""how often is looked for an operator's reset, while something holds the runtime"""
_JOIN_SECONDS: Final = 3.0


class Keeping:
    """Looks every few seconds, in a daemon thread that nobody waits for, and once more at the end.

    While the boot gates' finding holds the runtime, nothing is adopted before an operator's reset, however long that
    takes and whatever is written meanwhile. A store that is put back under a runtime at work is found here, too:
    `hold` is told the number of the last reset by then.
    """

    def __init__(
        self,
        store: Store,
        memory: Memory,
        known: Known,
        *,
        runtime_id: str,
        held_since: int | None,
        hold: Callable[[int], None],
    ) -> None:
        self._store = store
        self._memory = memory
        self._known = known
        self._own = (workspace_chain(known.workspace_id), runtime_id)
        self._held_since = held_since
        self._hold = hold
        self._reader: Reader | None = None
        self._kept: Known | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="known", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Look a last time, when nothing more is written by this runtime, and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            is_last = self._ended.wait(KEEP_SECONDS if self._held_since is None else HELD_SECONDS)
            try:
                self._look()
            except StoreError as error:
                # It is away, and the Ledger says so; what is known is none the less so.
                logger.debug("what the store is like cannot be looked at: {}", error)
                self._let_go()
            if is_last:
                self._let_go()
                return

    def _look(self) -> None:
        if self._reader is None:
            self._reader = self._store.reader()
        reader = self._reader
        if self._held_since is not None:
            self._adopt_after_reset(reader)
        elif reader.changed() or self._kept is None:
            self._go_on(reader)

    def _go_on(self, reader: Reader) -> None:
        wrong = fault(self._known, reader)
        if wrong is None:
            # The epoch stays the one that this runtime booted with: the next boot is to be told that it was bumped.
            self._keep(self._known, reader)
            return
        self._held_since = reader.steering().reset_no
        logger.error(
            "the store was put back to an earlier state under this runtime: {}. It claims nothing more; look at the"
            " board, then {}",
            wrong,
            GO_ON,
        )
        self._hold(self._held_since)

    def _adopt_after_reset(self, reader: Reader) -> None:
        steering = reader.steering()
        if self._held_since is None or steering.reset_no <= self._held_since:
            return
        self._held_since = None
        known = self._known
        fresh = known.model_copy(update={"epoch": steering.epoch, "heads": (), "newest": None})
        self._keep(fresh.with_heads(reader.heads(known.chain_ids)), reader)
        logger.info("an operator has seen to the store: it is known as it is now, of epoch {}", steering.epoch)

    def _keep(self, known: Known, reader: Reader) -> None:
        last = newest(reader) or known.newest
        self._known = known.with_heads(reader.heads(self._own)).model_copy(update={"newest": last})
        if self._known != self._kept and self._memory.keep(self._known):
            self._kept = self._known

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StoreError):
                reader.close()
