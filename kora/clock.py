"""Where time comes from: one object to hand in, so that a test can hold time still."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from kora.errors import StartError

MICROSECONDS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class TimeSource(Protocol):
    """The two times that Kora asks for: the wall's, which people set, and the boot clock's, which nobody does."""

    def now_us(self) -> int:
        """Wall time, in microseconds since 1970 (UTC)."""

    def boot_seconds(self) -> float:
        """Seconds on a clock that never goes back and goes on through a suspend; the same in every process."""

    def boot_id(self) -> str:
        """Which start of the machine the boot clock counts from."""


class SystemTime:
    """The machine's own clocks."""

    def now_us(self) -> int:
        """Wall time, in microseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000

    def boot_seconds(self) -> float:
        """`CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it counts the time that a laptop slept, as the lease does."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """The kernel's own id of this boot. Raises `StartError` where there is no /proc."""
        return _boot_id()


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StartError(f"{_BOOT_ID} cannot be read ({error.strerror}); Kora needs /proc to be mounted") from error


def from_us(microseconds: int) -> datetime:
    """The moment as an aware datetime in UTC, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970; exact. A naive datetime is a programming error and raises `TypeError`."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def boot_us(time: TimeSource) -> int:
    """What the boot clock says, in microseconds."""
    return round(time.boot_seconds() * MICROSECONDS)
