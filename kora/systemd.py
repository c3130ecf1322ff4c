"""What systemd is told of this process, by its notification protocol (sd_notify(3)); nothing where it did not ask.

A unit of `Type=notify` names a socket in the environment; with `WatchdogSec` it is to hear `WATCHDOG=1` more often than
that, and ends the service when it does not.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from loguru import logger

_SEND_SECONDS: Final = 1.0
_MICROSECONDS: Final = 1_000_000
_STATUS_CHARACTERS: Final = 500


class ServiceManager:
    """Whoever started this process as a service. For any thread; nothing raises, or waits for more than a second."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds: Final = _watchdog_seconds(environ)
        """within which a beat is expected; None: none is"""
        self._has_failed = False

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """The service has started."""
        self._tell("READY=1", _status(status))

    def stopping(self, status: str) -> None:
        """It has begun to end."""
        self._tell("STOPPING=1", _status(status))

    def status(self, status: str) -> None:
        """How it is, in a line for people: `systemctl status` shows it."""
        self._tell(_status(status))

    def beat(self) -> None:
        """It lives."""
        self._tell("WATCHDOG=1")

    def _tell(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto("\n".join(assignments).encode(errors="replace"), self._address)
        except OSError as error:
            if not self._has_failed:
                logger.warning("NOTIFY_SOCKET: the service manager cannot be told anything: {}", error)
            self._has_failed = True


def _address(named: str) -> str | None:
    """The socket's address: a path, or, behind an @, a name in the abstract namespace; None where there is neither."""
    if named.startswith("@") and len(named) > 1:
        return f"\0{named[1:]}"
    return named if named.startswith("/") else None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    expected, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    # It may have been meant for whoever has started this process.
    if pid and pid != str(os.getpid()):
        return None
    return int(expected) / _MICROSECONDS if expected.isdecimal() and int(expected) else None


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:_STATUS_CHARACTERS]}"
