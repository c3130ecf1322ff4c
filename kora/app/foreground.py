"""The runtime in the foreground: until it is told to stop, or until nothing is left to wait for."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors.supervision import SupervisionError
from kora import logging
from kora.app import rereading
from kora.app.runtime import Runtime
from kora.app.service import Service
from kora.errors import BootEndedError, KoraError
from kora.signals import Signals
from kora.store.url import shown_url
from kora.systemd import ServiceManager

if TYPE_CHECKING:
    from pathlib import Path

    from kora.config import Settings

_LOOK_SECONDS: Final = 0.1
_STOPPED_CODE: Final = 5
"""ended by a command of level 4 or 5"""


def _update(runtime: Runtime, path: Path) -> None:
    """Go on by the file as it is now. Where it is wrong, or cannot be followed, the runtime goes on as before."""
    try:
        rereading.follow(runtime, path)
    except (KoraError, SupervisionError) as error:
        logger.error("the configuration was not followed: {}", error)


def _work(runtime: Runtime, settings: Settings, signals: Signals, manager: ServiceManager, *, until_idle: bool) -> int:
    logging.identify(runtime.runtime_id)
    logger.info(
        "runtime {} works {} with {} workers",
        runtime.runtime_id,
        shown_url(settings.runtime.store),
        settings.workers.count,
    )
    runtime.start()
    with closing(Service(manager, runtime.console.vitals)) as service:
        service.start()
        code = _serve(runtime, settings, signals, service, until_idle=until_idle)
        if runtime.is_stopped:
            service.begin_to_end()
            runtime.obey()
            return _STOPPED_CODE
        return code


def _serve(runtime: Runtime, settings: Settings, signals: Signals, service: Service, *, until_idle: bool) -> int:
    while not signals.count and not runtime.is_stopped and not runtime.wait(_LOOK_SECONDS):
        if signals.hung_up():
            _update(runtime, settings.path)
        if until_idle and runtime.is_idle():
            logger.info("nothing is left to do")
            service.begin_to_end()
            return 0 if runtime.drain(signals) else 1
    if not signals.count:
        return 1
    logger.info(
        "draining: what runs may end within {:g} s; a second signal ends it now", settings.control.drain_seconds
    )
    service.begin_to_end()
    return 0 if runtime.drain(signals) else 1


def run(settings: Settings, *, until_idle: bool) -> int:
    """Work the board until told to stop, or until there is nothing left to wait for. The process's exit code."""
    logging.configure(settings.runtime.log_level, log_format=settings.runtime.log_format)
    manager = ServiceManager()
    manager.status("booting")
    try:
        with Signals() as signals:
            try:
                runtime = Runtime(settings, signals=signals)
            except BootEndedError as error:
                logger.info("{}", error)
                return error.exit_code
            with runtime:
                return _work(runtime, settings, signals, manager, until_idle=until_idle)
    finally:
        logging.shutdown()
