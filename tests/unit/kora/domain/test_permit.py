"""What follows from the grounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from kora.domain.control import ClaimPermission, StopLevel
from kora.domain.cost import Rung
from kora.domain.permit import Grounds, Verdict, judge
from kora.domain.state import DegradationReason as Reason
from kora.domain.state import PrimaryState

PAUSED, STOPPED = PrimaryState.PAUSED, PrimaryState.STOPPED
NONE, CRITICAL, NORMAL = ClaimPermission.NONE, ClaimPermission.CRITICAL_ONLY, ClaimPermission.NORMAL


def reasons(*names: Reason) -> frozenset[Reason]:
    return frozenset(names)


def test_with_nothing_against_it_everything_may_be_claimed() -> None:
    assert judge(Grounds()) == Verdict(NORMAL, reasons())


@pytest.mark.parametrize(
    ("grounds", "verdict"),
    [
        (Grounds(is_readable=False), Verdict(NONE, reasons(Reason.SUBSTRATE))),
        (Grounds(is_writable=False), Verdict(NORMAL, reasons(Reason.SUBSTRATE))),
        (Grounds(granted=NONE), Verdict(NONE, reasons())),
        (Grounds(granted=CRITICAL), Verdict(CRITICAL, reasons())),
        (Grounds(is_booting=True), Verdict(NONE, reasons())),
        (Grounds(is_paused=True), Verdict(NONE, reasons(Reason.OPERATOR), PAUSED, "operator paused")),
        *(
            (
                Grounds(level=StopLevel(level), holds_claims=True),
                Verdict(NONE, reasons(Reason.OPERATOR), PAUSED if level <= 3 else STOPPED, f"stop level {level}"),
            )
            for level in range(1, 6)
        ),
        (
            Grounds(held_by_boot=reasons(Reason.SUBSTRATE)),
            Verdict(NONE, reasons(Reason.SUBSTRATE), PAUSED, "epoch mismatch"),
        ),
        (
            Grounds(held_by_boot=reasons(Reason.SUBSTRATE), boot_trigger="chain heads do not verify"),
            Verdict(NONE, reasons(Reason.SUBSTRATE), PAUSED, "chain heads do not verify"),
        ),
        (Grounds(has_ceiling=True), Verdict(CRITICAL, reasons(Reason.RETRY_CEILING))),
        (Grounds(has_ceiling=True, granted=NONE), Verdict(NONE, reasons(Reason.RETRY_CEILING))),
        (Grounds(rung=Rung.WARN_75), Verdict(NORMAL, reasons(Reason.COST))),
        (Grounds(rung=Rung.DOWNSHIFT_90), Verdict(NORMAL, reasons(Reason.COST))),
        (
            Grounds(rung=Rung.HARD_STOP_100, holds_claims=True),
            Verdict(NONE, reasons(Reason.COST), ends_for_cost=True),
        ),
        (
            Grounds(rung=Rung.HARD_STOP_100),
            Verdict(NONE, reasons(Reason.COST), PAUSED, "cost 100%", ends_for_cost=True),
        ),
        (Grounds(refused=reasons(Reason.AUTH)), Verdict(NONE, reasons(Reason.AUTH))),
        (Grounds(probes=True), Verdict(NORMAL, reasons(), most=1)),
    ],
)
def test_each_ground_by_itself(grounds: Grounds, verdict: Verdict) -> None:
    assert judge(grounds) == verdict


CLOSING = [
    {"is_readable": False},
    {"granted": NONE},
    {"is_booting": True},
    {"is_paused": True},
    {"level": StopLevel.BLOCK_NEW_INTAKE},
    {"held_by_boot": reasons(Reason.SUBSTRATE)},
    {"rung": Rung.HARD_STOP_100},
    {"refused": reasons(Reason.DISPATCH)},
]


@pytest.mark.parametrize("closing", CLOSING)
def test_what_closes_the_gate_keeps_it_closed_whatever_else_is_so(closing: dict[str, object]) -> None:
    for has_ceiling, probes, holds in product([False, True], repeat=3):
        grounds = Grounds(has_ceiling=has_ceiling, probes=probes, holds_claims=holds)
        assert judge(replace(grounds, **closing)).permission is NONE  # type: ignore[arg-type]  # a field and its value


def test_the_highest_cause_names_the_pause() -> None:
    grounds = Grounds(rung=Rung.HARD_STOP_100)
    for change, trigger in [
        ({"is_paused": True}, "operator paused"),
        ({"held_by_boot": reasons(Reason.SUBSTRATE)}, "epoch mismatch"),
        ({"level": StopLevel.BLOCK_NEW_INTAKE}, "stop level 1"),
        ({"level": StopLevel.REVOKE}, "stop level 5"),
    ]:
        grounds = replace(grounds, **change)  # type: ignore[arg-type]  # a field and its value
        assert judge(grounds).trigger == trigger
