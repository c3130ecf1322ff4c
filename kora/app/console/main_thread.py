"""What only the main thread may do, one thing at a time, asked for by others."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

from kora.errors import NoAnswerError, RefusedError

PATIENCE_SECONDS: Final = 300.0
"""an update may have to wait for agents to end"""

_Result = TypeVar("_Result")
_Asked = tuple[Callable[[], Any], "Future[Any]"]


class MainThread:
    """Requests wait until the thread that drives the runtime serves them: `Runtime.wait` does, whoever calls that."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._is_closed = False

    def ask(self, action: Callable[[], _Result], patience_seconds: float = PATIENCE_SECONDS) -> _Result:
        """What the action returns, done there; what it raises is raised here.

        Raises:
            RefusedError: the runtime is ending.
            NoAnswerError: it was not done in that time. What has begun by then goes on, the rest is not begun.
        """
        future: Future[Any] = Future()
        self._asked.put((action, future))
        if self._is_closed:
            self._refuse_all()
        try:
            return cast("_Result", future.result(patience_seconds))
        except FutureTimeoutError:
            if future.cancel():
                raise NoAnswerError(f"the runtime did not come to it within {patience_seconds:g} s") from None
            raise NoAnswerError(f"the runtime is not done with it after {patience_seconds:g} s, and goes on") from None

    def serve(self) -> None:
        """Do what waits by now, unless the runtime is ending. For whoever drives it, and for nothing that is done here.

        Who asks without end must not keep this thread from the rest of its work.
        """
        for _ in range(self._asked.qsize()):
            if self._is_closed:
                return
            with suppress(queue.Empty):
                self._do(*self._asked.get_nowait())

    def close(self) -> None:
        """Nothing more is done."""
        self._is_closed = True
        self._refuse_all()

    def _do(self, action: Callable[[], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the asker's
            future.set_exception(error)
        else:
            future.set_result(result)

    def _refuse_all(self) -> None:
        while True:
            try:
                _, future = self._asked.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_exception(RefusedError("the runtime is ending: nothing of it is changed any more"))
