"""The watcher as a program: until it is told to end, whatever becomes of the store meanwhile."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora import logging
from kora.domain.ids import new_id
from kora.errors import BoardError, StoreError, StoreUnavailableError
from kora.signals import Signals
from kora.store.open import open_store
from kora.store.url import shown_url
from kora.systemd import ServiceManager
from kora.watch.watcher import Watcher

if TYPE_CHECKING:
    from kora.config import Settings

_log: Final = logger.bind(actor="watcher")
ROUND_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_GAP_SECONDS: Final = 3.0
"""a rest that took so long was none: the machine slept, or this process was stopped, and runtimes perhaps with it"""
_MERCY_SECONDS: Final = 3.0
"""for runtimes to hear, after that, of what they are late with"""


def watch(settings: Settings) -> int:
    """Watch until told to end; the process's exit code. Raises `StoreUnusableError` when a person must act first."""
    logging.configure(settings.runtime.log_level, log_format=settings.runtime.log_format)
    try:
        with Signals() as signals:
            _Program(settings, signals).run()
    finally:
        logging.shutdown()
    return 0


class _Program:
    def __init__(self, settings: Settings, signals: Signals) -> None:
        self._settings = settings
        self._signals = signals
        self._manager = ServiceManager()
        self._is_away = False

    def run(self) -> None:
        """Open the store, and watch."""
        self._manager.ready("watching")
        with ExitStack() as opened:
            watcher = None
            mercy_until = 0.0
            while not self._signals.count:
                try:
                    if watcher is None:
                        watcher = self._open(opened)
                    watcher.round(may_act=_boot_seconds() >= mercy_until)
                except StoreUnavailableError as error:
                    self._say_away(error)
                except BoardError as error:
                    # What it was about is not there any more, or stands otherwise: the next round sees how.
                    _log.warning("{}", error)
                else:
                    self._say_back()
                self._manager.beat()
                if self._rest() > _GAP_SECONDS:
                    mercy_until = _boot_seconds() + _MERCY_SECONDS
            self._manager.stopping("ending")
            if watcher is not None:
                with suppress(StoreError):
                    watcher.end()

    def _open(self, opened: ExitStack) -> Watcher:
        runtime = self._settings.runtime
        with ExitStack() as opening:
            store = opening.enter_context(
                open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)
            )
            board = opening.enter_context(closing(store.board(is_patient=False)))
            reader = opening.enter_context(closing(store.reader()))
            watcher = Watcher(
                new_id(),
                board,
                reader,
                level_4_seconds=self._settings.control.level_4_seconds,
                boot_seconds=_boot_seconds,
            )
            opened.push(opening.pop_all())
        _log.info("watching workspace {} in {}", runtime.workspace, shown_url(runtime.store))
        return watcher

    def _say_away(self, error: StoreUnavailableError) -> None:
        if not self._is_away:
            _log.warning("the store is out of reach, trying on: {}", error)
            self._manager.status("the store is out of reach")
        self._is_away = True

    def _say_back(self) -> None:
        if self._is_away:
            _log.info("the store answers again")
            self._manager.status("watching")
        self._is_away = False

    def _rest(self) -> float:
        """How long it took until the next round."""
        began = _boot_seconds()
        while not self._signals.count and (left := began + ROUND_SECONDS - _boot_seconds()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return _boot_seconds() - began


def _boot_seconds() -> float:
    # Goes on through a suspend.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
