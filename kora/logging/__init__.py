"""The log: lines on stderr, for people or for machines, which tell no secrets and never hold up whoever writes them."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, TextIO

from kora.logging.letters import escaped
from kora.logging.lines import LEVELS, Lines, LogFormat, Said, shown
from kora.logging.outlet import LINES_WAITING, Listener, Outlet

__all__ = ["LINES_WAITING", "Said", "configure", "escaped", "identify", "listen", "shown", "shutdown"]


def configure(
    level: str = "INFO",
    stream: TextIO | None = None,
    *,
    log_format: LogFormat = "text",
    runtime_id: str | None = None,
) -> None:
    """Send every log line from `level` on, the standard library's included, to the stream; by default to stderr.

    A record says what it is about by `logger.bind(ticket=…, attempt=…)`, or by `extra=` to the standard library's
    loggers. As "json" each line is one object that always has the keys time, level, actor, runtime, ticket, attempt,
    message and exception; what is not known is null.
    """
    # A fifth of a second, which those who only escape do not pay.
    from loguru import logger  # noqa: PLC0415 - as just said

    from kora.redact import Redactor  # noqa: PLC0415 - as above

    shutdown()
    stream = sys.stderr if stream is None else stream
    coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    lines = Lines(log_format, Redactor.of(os.environ), coloured=coloured, runtime_id=runtime_id)
    # loguru's own queue is a pipe of 64 KiB: once it is full, a sink that stalls stalls every actor that logs.
    outlet = Outlet(stream, lines)
    logger.remove()
    logger.add(
        outlet.take, level=level, format=lambda _: "{exception}", colorize=False, backtrace=False, diagnose=False
    )
    logging.basicConfig(handlers=[_Intercept()], level=level, force=True)
    # Every step of a migration is news to nobody.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _current.append(outlet)


def identify(runtime_id: str) -> None:
    """From now on each line of JSON names this runtime."""
    for outlet in _current:
        outlet.lines.runtime_id = runtime_id


def listen(listener: Listener) -> None:
    """From now on, until `shutdown`, the listener is told of each record that is logged, in the thread that logs.

    It must be quick, must not raise, and must not log. Where no log was configured it hears nothing.
    """
    for outlet in _current:
        outlet.listeners.append(listener)


def shutdown() -> None:
    """Write out what still waits, for at most two seconds, and log no more."""
    if not _current:
        return
    from loguru import logger  # noqa: PLC0415 - as above

    logger.remove()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    _current.pop().close()


_current: Final[list[Outlet]] = []


class _Intercept(logging.Handler):
    """Hands the standard library's records to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        from loguru import logger  # noqa: PLC0415 - as above

        level: str | int = record.levelname if record.levelname in LEVELS else record.levelno
        said = {name: vars(record)[name] for name in ("actor", "ticket", "attempt") if name in vars(record)}
        logger.bind(**said).opt(exception=record.exc_info).log(level, record.getMessage())
