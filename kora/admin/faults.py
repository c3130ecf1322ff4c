"""Errors on their way from the runtime to whoever asked: as JSON, and back as the same error with its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kora import errors
from kora.errors import AdminError, BadMessageError, BadRequestError, ConfigurationError, KoraError

_STATUSES: Final[tuple[tuple[type[KoraError], int], ...]] = (
    (errors.ConfigurationError, 400),
    (errors.NotFoundError, 404),
    (errors.UnknownNameError, 404),
    (errors.BadMessageError, 422),
    (errors.NoAnswerError, 504),
    (errors.TooBusyError, 503),
    (errors.StoreError, 503),
)
_OTHERS: Final = 409
"""refused as things stand"""


def status_of(error: KoraError) -> int:
    """The HTTP status under which this error is answered."""
    if isinstance(error, BadRequestError):
        return error.status
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), _OTHERS)


def told(error: KoraError) -> dict[str, Any]:
    """The error as JSON's own types: `kind`, `message`, and what else its kind has to say."""
    said: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    match error:
        case ConfigurationError():
            said |= {"where": error.where, "faults": list(error.faults)}
        case BadMessageError():
            said |= {"kinds": [dict(kind) for kind in error.kinds]}
    return {"error": said}


def raised(status: int, answer: object) -> KoraError:
    """The error that was told; an `AdminError` where the answer is none that `told` made."""
    match answer:
        case {"error": {"kind": str(kind), "message": str(message)} as said}:
            return _made(kind, message, said, status)
    return AdminError(f"the runtime answered {status}, and not as this Kora expects; are both of the same version?")


def _made(kind: str, message: str, said: Mapping[str, Any], status: int) -> KoraError:
    known = getattr(errors, kind, None)
    match kind, said:
        case "ConfigurationError", {"where": str(where), "faults": list(faults)}:
            return ConfigurationError(where, [str(fault) for fault in faults])
        case "BadMessageError", {"kinds": list(kinds)}:
            return BadMessageError(message, kinds)
        case "BadRequestError", _:
            return BadRequestError(message, status)
    if isinstance(known, type) and issubclass(known, KoraError) and known.__init__ is KoraError.__init__:
        return known(message)
    return AdminError(message)
