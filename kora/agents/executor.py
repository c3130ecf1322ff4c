"""The threads that callables run on."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

IDLE_MAX: Final = 64

Job = Callable[[], Callable[[], None]]
"""Runs, and hands back what is to be called once its thread is free for the next one."""

logger = logging.getLogger(__name__)


class _Own(threading.local):
    """A thread's own: whether it is between two jobs, and the job that it was given then."""

    between = False
    job: Job | None = None


class Executor:
    """A thread for each job under way, made on demand and used again. For any thread.

    A job that does not return keeps its thread, and costs the others nothing. What a job hands back may submit the next
    job, which then runs on the same thread: that costs neither a lock nor a change of threads.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._idle = 0
        self._closed = False
        self._numbers = itertools.count(1)
        self._own = _Own()

    def submit(self, job: Job) -> None:
        """Have it run at once. Raises `RuntimeError` when the machine refuses a thread, or it is closed."""
        own = self._own
        if own.between and own.job is None and not self._closed:
            own.job = job
            return
        with self._mutex:
            if self._closed:
                raise RuntimeError("the runtime is ending")
            reserved = self._idle > 0
            if reserved:
                self._idle -= 1
        if not reserved:
            threading.Thread(target=self._serve, name=f"callable-{next(self._numbers)}", daemon=True).start()
        # As many threads are free for the queue as it has jobs; which of them takes which is all one.
        self._jobs.put(job)

    def close(self) -> None:
        """Let the idle threads end. What runs goes on, and its thread ends with it."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _serve(self) -> None:
        own = self._own
        job = self._jobs.get()
        while job is not None:
            self._do(job, own)
            # Also so that what it held is not kept until the next one comes.
            job, own.job = own.job, None
            if job is None:
                job = self._next()

    def _do(self, job: Job, own: _Own) -> None:
        try:
            tell = job()
            own.between = True
            tell()
        except BaseException:
            logger.exception("a callable's thread failed")
        finally:
            own.between = False

    def _next(self) -> Job | None:
        """The next job, for which this thread waits; None when it is to end."""
        with self._mutex:
            if self._idle >= IDLE_MAX or self._closed:
                return None
            self._idle += 1
        return self._jobs.get()
