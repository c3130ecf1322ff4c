"""The table, exhaustively."""

from __future__ import annotations

from itertools import product

import pytest

from kora.domain.control import ClaimPermission
from kora.domain.state import (
    TRANSITION_TABLE,
    DegradationReason,
    OperationalState,
    PrimaryState,
    allowed,
    mirror,
    standing,
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


ANY_REASON, NO_REASON = frozenset({DegradationReason.DISPATCH}), frozenset[DegradationReason]()


@pytest.mark.parametrize("state", list(PrimaryState))
def test_reasons_and_permission_change_on_their_own_wherever_the_state_is(state: PrimaryState) -> None:
    before = OperationalState(state)
    assert standing(before, ClaimPermission.NORMAL, NO_REASON) is None
    for permission, reasons in [(ClaimPermission.NONE, NO_REASON), (ClaimPermission.NORMAL, ANY_REASON)]:
        after = standing(before, permission, reasons)
        assert after == (OperationalState(state, permission, reasons), "claim permission changed")
        assert allowed(state, state)


@pytest.mark.parametrize(("source", "target"), list(product(PrimaryState, [P, S])))
def test_what_control_says_goes_along_the_table_or_leaves_the_state_where_it_is(
    source: PrimaryState, target: PrimaryState
) -> None:
    before = OperationalState(source, ClaimPermission.NONE)
    after = standing(before, ClaimPermission.NONE, NO_REASON, target=target, trigger="why", paused_by="why")
    if source is target:
        assert after is None
    elif (source, target) in ARROWS:
        assert after == (OperationalState(target, ClaimPermission.NONE), "why")
    else:
        assert source is S
        assert after is None


@pytest.mark.parametrize("state", list(PrimaryState))
def test_only_a_pause_that_control_has_told_ends_by_its_word(state: PrimaryState) -> None:
    for paused_by, trigger in [
        ("", None),
        ("stop level 2", "operator clears by reset"),
        ("cost 100%", "credit refresh confirmed"),
    ]:
        after = standing(OperationalState(state), ClaimPermission.NORMAL, NO_REASON, paused_by=paused_by)
        assert after == ((OperationalState(R), trigger) if state is P and trigger else None)


def test_a_transition_keeps_reasons_and_permission() -> None:
    state = OperationalState(R, degradation_reasons=frozenset())
    after = transition(state, A)
    assert (after.claim_permission, after.degradation_reasons) == (state.claim_permission, state.degradation_reasons)
