"""The paths that say how the runtime is: to people, to whoever keeps it running, and to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kora.admin.calls import Call
from kora.admin.paths import Document, Path
from kora.admin.spelling import spelt
from kora.domain.health import Health, health

if TYPE_CHECKING:
    from kora.admin.port import Console

_OK: Final = 200
_UNAVAILABLE: Final = 503


def liveness(console: Console) -> Document:
    """200 while the Ledger turns and the supervisor lives, or the gates are run; else 503."""
    found = health(console.vitals())
    return _said({"is_live": found.is_live, **_briefly(found)}, is_well=found.is_live)


def readiness(console: Console) -> Document:
    """200 while claims can be made; else 503, with why not."""
    found = health(console.vitals())
    is_ready = found.not_ready is None
    return _said({"is_ready": is_ready, "not_ready": found.not_ready, **_briefly(found)}, is_well=is_ready)


def metrics(console: Console) -> Document:
    """Prometheus's text."""
    from kora.admin.metrics import MEDIA_TYPE, exposed  # noqa: PLC0415 - prometheus_client costs 100 ms

    return Document(exposed(console.status().runtime, console.vitals()), _OK, MEDIA_TYPE)


def _briefly(found: Health) -> Mapping[str, Any]:
    return {"status": found.status, "stopped_on_purpose": found.stopped_on_purpose}


def _said(what: Mapping[str, Any], *, is_well: bool) -> Document:
    return Document(spelt(what) + b"\n", _OK if is_well else _UNAVAILABLE)


def _health(call: Call) -> Health:
    return health(call.console.vitals())


HEALTH: Final = (
    Path("GET", "/health", "how the runtime is, part by part", _health),
    Path("GET", "/healthz", "whether it lives: 200, or 503", lambda call: liveness(call.console)),
    Path("GET", "/readyz", "whether claims can be made: 200, or 503 and why not", lambda call: readiness(call.console)),
    Path("GET", "/metrics", "figures for Prometheus", lambda call: metrics(call.console)),
)
