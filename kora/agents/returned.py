"""What a callable handed back, as an outcome."""

from __future__ import annotations

import math
import reprlib
from typing import Any, Final

from pydantic import ValidationError

from kora.domain.resolution import AgentResult, Outcome, Resolution
from kora.redact import of_this_process
from kora.work.values import storable

_REPR_CHARACTERS: Final = 200
_WANTED: Final = "a callable returns None, a Resolution, its string value, or an AgentResult"
COMPLETED: Final = Outcome()


class _Shown(reprlib.Repr):
    """Short, and without secrets, of which a cut would leave a part that nothing recognises."""

    def repr_str(self, x: str, level: int) -> str:
        """A text: redacted before it is shortened."""
        return super().repr_str(of_this_process().head(x, _REPR_CHARACTERS), level)

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ANN401 - as below
        """Whatever is of no well-known kind, likewise."""
        try:
            said = of_this_process().head(repr(x), _REPR_CHARACTERS)
        except Exception:  # noqa: BLE001 - an agent's code: it may raise anything
            return super().repr_instance(x, level)
        return said if len(said) <= self.maxother else f"{said[: self.maxother]}..."


_SHOWN: Final = _Shown()


def outcome_of(value: Any, last_output: str) -> Outcome:  # noqa: ANN401 - whatever a callable returns
    """What this says, if it says anything; nothing of it is kept. For the callable's thread: it may run its code."""
    if value is None:
        return Outcome(last_output=last_output) if last_output else COMPLETED
    kind = type(value)
    # Not isinstance, which asks the object, and the object may lie.
    if issubclass(kind, AgentResult):
        return _of_result(value, last_output)
    if issubclass(kind, str):
        try:
            resolution = Resolution(storable(value))
        except ValueError:
            known = ", ".join(Resolution)
            said = of_this_process().head(storable(value), _REPR_CHARACTERS)
            return _junk(f"'{said}', which is none of {known}", last_output)
        return Outcome(result=AgentResult(resolution=resolution, summary=last_output), last_output=last_output)
    fault = _fault_of(value, kind)
    return _junk(fault, last_output)


def plain_number(value: Any) -> float | None:  # noqa: ANN401 - as above
    """The value as a float, if it is a number, whatever its class has made of that; else None."""
    kind = type(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if not issubclass(kind, int) or kind is bool:
        return None
    try:
        return int.__float__(value)
    except OverflowError:
        return math.inf


def _of_result(value: AgentResult, last_output: str) -> Outcome:
    """The result, looked at anew: it may have been made without its checks."""
    fields = {name: getattr(value, name, None) for name in AgentResult.model_fields}
    said = {name: storable(field) if isinstance(field, str) else field for name, field in fields.items()}
    try:
        return Outcome(result=AgentResult.model_validate(said), last_output=last_output)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        return _junk(f"an AgentResult that is none: {storable(faults)[:_REPR_CHARACTERS]}", last_output)


def _fault_of(value: Any, kind: type) -> str:  # noqa: ANN401 - as above
    close = getattr(value, "close", None)
    if kind.__name__ in ("coroutine", "generator") and close is not None:
        # Never run, it would be warned of, somewhere and some time.
        close()
        return f"a {kind.__name__}, which does nothing by itself: is a function async, or does it yield?"
    return f"{storable(_SHOWN.repr(value))[:_REPR_CHARACTERS]} (a {kind.__name__})"


def _junk(what: str, last_output: str) -> Outcome:
    return Outcome(protocol_fault=f"it returned {what}; {_WANTED}", last_output=last_output)
