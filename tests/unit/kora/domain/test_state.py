"""The table, exhaustively."""

from __future__ import annotations

from itertools import product

import pytest

from kora.domain.state import (
    TRANSITION_TABLE,
    OperationalState,
    PrimaryState,
    allowed,
    mirror,
    transition,
)
from kora.errors import InvalidTransitionError

B, R, A, P, S = PrimaryState
ARROWS = {(B, R), (B, B), (B, S), (B, P), (R, A), (A, R), (R, P), (A, P), (P, R), (R, S), (A, S), (P, S)}
STAYING = {(state, state) for state in PrimaryState}


def test_the_table_has_fifteen_rows() -> None:
    assert len(TRANSITION_TABLE) == 15


@pytest.mark.parametrize(("source", "target"), list(product(PrimaryState, PrimaryState)))
def test_each_of_the_25_pairs_is_allowed_or_refused_as_the_table_says(
    source: PrimaryState, target: PrimaryState
) -> None:
    expected = (source, target) in ARROWS | STAYING
    assert allowed(source, target) is expected
    if expected:
        assert transition(OperationalState(source), target).primary_state is target
    else:
        with pytest.raises(InvalidTransitionError, match=f"from {source} to {target}"):
            transition(OperationalState(source), target)


@pytest.mark.parametrize("state", list(PrimaryState))
@pytest.mark.parametrize("held", [False, True])
def test_claims_move_the_state_only_between_ready_and_active(state: PrimaryState, *, held: bool) -> None:
    expected = {(R, True): (A, "claim acquired"), (A, False): (R, "claim released")}
    assert mirror(OperationalState(state), held=held) == expected.get((state, held))


def test_a_transition_keeps_reasons_and_permission() -> None:
    state = OperationalState(R, degradation_reasons=frozenset())
    after = transition(state, A)
    assert (after.claim_permission, after.degradation_reasons) == (state.claim_permission, state.degradation_reasons)
