"""Every gate once, and nothing changed: what `run --check-only` shows."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from kora import logging
from kora.app.boot.gates import Ground
from kora.app.boot.known import Memory
from kora.clock import SystemTime
from kora.domain.gates import AGENTS, CREDENTIALS, GATES, STORE, Checked, GateOutcome, GateResult, conclude
from kora.domain.state import PrimaryState
from kora.errors import KoraError, StartError, StoreUnusableError

if TYPE_CHECKING:
    from kora.app.boot.sequence import Try
    from kora.config import Settings
    from kora.domain.gates import Gate

_NEED_NO_STORE: Final = frozenset({AGENTS, CREDENTIALS})
_FAILED: Final = 1


def check(settings: Settings) -> Checked:
    """Each gate's result, and the exit code of a `run` that would find the same; a server out of reach counts as 1.

    A store that is not there, or of an older schema, is taken as it would be once it is opened. What could not be tried
    because the store cannot be opened is skipped.
    """
    logging.configure(settings.runtime.log_level, log_format=settings.runtime.log_format)
    try:
        ground = Ground(settings, Memory(settings.runtime.state_dir), SystemTime(), opens=False)
        with closing(ground):
            return _checked(ground)
    finally:
        logging.shutdown()


def _checked(ground: Ground) -> Checked:
    tries, results, exit_code, has_store = ground.tries(), [], 0, True
    for gate in GATES:
        if not has_store and gate not in _NEED_NO_STORE:
            results.append(_result(gate, GateOutcome.SKIPPED, 0, 0.0, "the store could not be opened"))
            continue
        result, error = _once(gate, tries[gate])
        results.append(result)
        has_store &= gate is not STORE or error is None
        if isinstance(error, StoreUnusableError | StartError):
            exit_code = max(exit_code, error.exit_code)
    if conclude(results).state is not PrimaryState.READY:
        exit_code = max(exit_code, _FAILED)
    return Checked(tuple(results), exit_code)


def _once(gate: Gate, tried: Try) -> tuple[GateResult, KoraError | None]:
    began = time.monotonic()
    try:
        detail = tried()
    except KoraError as error:
        return _result(gate, GateOutcome.FAILED, 1, time.monotonic() - began, str(error)), error
    return _result(gate, GateOutcome.PASSED, 1, time.monotonic() - began, detail), None


def _result(gate: Gate, outcome: GateOutcome, attempts: int, seconds: float, detail: str) -> GateResult:
    return GateResult(gate.gate_id, gate.gate_class, outcome, attempts, round(seconds * 1_000), detail)
