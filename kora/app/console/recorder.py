"""What operators do, written into the workspace's chain by a thread of its own."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from actors.names import ADMIN
from kora.domain.ids import new_id
from kora.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from kora.store.port import Board

RECORDS_WAITING: Final = 1_000
FLUSH_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Acted:
    """What an operator did."""

    who: str
    verb: str
    target: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    event_id: str = field(default_factory=new_id)

    def said(self) -> str:
        """All of it, on one line."""
        return json.dumps(asdict(self), default=str)


class Recorder:
    """Writes records in the order in which they come. While the store cannot be written they wait, and are tried again.

    Not written by the Ledger, since an operator must be able to restart one that hangs. At the end it writes on for a
    few seconds. Whatever is not written, because the store refuses it, more wait than are kept, or the end has come,
    stands whole in the log.
    """

    def __init__(self, open_board: Callable[[], Board]) -> None:
        self._open_board = open_board
        self._board: Board | None = None
        self._waiting: deque[Acted] = deque()
        self._changed = threading.Condition()
        self._ends_at: float | None = None
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="operators", daemon=True)

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, acted: Acted) -> None:
        """It is to be on record; returns at once. The log has it in any case."""
        logger.bind(actor=ADMIN).info("operator {}: {} {}", acted.who, acted.verb, acted.target)
        with self._changed:
            left_out = self._waiting.popleft() if len(self._waiting) >= RECORDS_WAITING else None
            self._waiting.append(acted)
            self._changed.notify()
        if left_out is not None:
            _lose(left_out, f"more than {RECORDS_WAITING:,} wait for the store")

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and end."""
        with self._changed:
            self._ends_at = time.monotonic() + FLUSH_SECONDS
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS + 2.0)
        with self._changed:
            left, self._waiting = list(self._waiting), deque()
        for acted in left:
            _lose(acted, "the runtime has ended, and the store could not be written")

    def _run(self) -> None:
        try:
            while (acted := self._next()) is not None:
                if self._is_dealt_with(acted):
                    self._forget(acted)
                else:
                    self._pause()
        finally:
            self._let_go()

    def _next(self) -> Acted | None:
        """The oldest that waits; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends_at is not None)
            is_over = self._ends_at is not None and time.monotonic() >= self._ends_at
            return self._waiting[0] if self._waiting and not is_over else None

    def _forget(self, acted: Acted) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] is acted:
                self._waiting.popleft()

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait(_AGAIN_SECONDS)

    def _is_dealt_with(self, acted: Acted) -> bool:
        """False if it is to be tried again."""
        try:
            if self._board is None:
                self._board = self._open_board()
            self._board.record(
                acted.verb,
                acted.target,
                before=acted.before,
                after=acted.after,
                who=acted.who,
                event_id=acted.event_id,
            )
        except StoreUnavailableError as error:
            if not self._is_away:
                logger.warning("what operators do cannot be put on record, trying on: {}", error)
            self._is_away = True
            # The file may be another by the next time.
            self._let_go()
            return False
        except Exception as error:  # noqa: BLE001 - one that cannot be written must not keep the others from it
            self._let_go()
            _lose(acted, str(error))
            return True
        if self._is_away:
            logger.info("what operators do is put on record again")
        self._is_away = False
        return True

    def _let_go(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            with suppress(StoreError):
                board.close()


def _lose(acted: Acted, why: str) -> None:
    logger.error("not put on record ({}): {}", why, acted.said())
