"""The names by which actors are addressed; wire format."""

from __future__ import annotations

from typing import Final

POLLER: Final = "poller"
LEDGER: Final = "ledger"
HEARTBEAT: Final = "heartbeat"
STATE_HOLDER: Final = "state_holder"
CONTROL: Final = "control"
CLOCK: Final = "clock"
ADMIN: Final = "admin"
ROOT: Final = "kora"
"""the root supervisor"""
WORKERS: Final = "workers"
"""the supervisor that the Workers stand under"""
MIRROR: Final = "mirror"
"""the supervisor that the StateHolder stands under"""
FACES: Final = "faces"
"""the supervisor that the admin actor stands under"""
RUNTIME: Final = "runtime"
"""the process's own thread, which listens but is no actor"""


def worker_names(count: int) -> tuple[str, ...]:
    """`worker-1` to `worker-N`."""
    return tuple(f"worker-{number}" for number in range(1, count + 1))
