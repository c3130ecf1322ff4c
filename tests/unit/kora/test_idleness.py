"""When nothing is left for a runtime to wait for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kora.app.idleness import Idleness
from kora.errors import StoreUnavailableError
from kora.store.views import Outstanding
from tests.unit.actors.steered import Steered

POOL = 200_000_000
NOTHING = Outstanding(ready=False, waiting=False, held=False)


class Board(Steered):
    """A board of which the test says what is left, and when it was written."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(seconds=0.0))
        self.left, self.is_written, self.looks = NOTHING, False, 0

    def outstanding(self) -> Outstanding:
        if not self.is_readable:
            raise StoreUnavailableError("away")
        self.looks += 1
        return self.left

    def changed(self) -> bool:
        written, self.is_written = self.is_written, False
        return written


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def idleness(board: Board) -> Idleness:
    return Idleness(board)  # type: ignore[arg-type]  # as much of a reader as is asked


@pytest.mark.parametrize("kind", ["ready", "waiting", "held", "blocked"])
@pytest.mark.parametrize("spent_usd", [0.0, 200.0])
def test_what_nobody_holds_is_waited_for_unless_the_credit_pool_is_used_up(
    board: Board, idleness: Idleness, kind: str, spent_usd: float
) -> None:
    board.left = replace(NOTHING, **{kind: True})
    board.spend(spent_usd)
    assert idleness.is_idle(POOL) is (spent_usd == 200.0 and kind != "held")


def test_it_is_looked_again_only_when_somebody_has_written(board: Board, idleness: Idleness) -> None:
    assert [idleness.is_idle(POOL) for _ in range(3)] == [True] * 3
    board.left = replace(NOTHING, ready=True)
    assert idleness.is_idle(POOL)
    board.is_written = True
    assert [idleness.is_idle(POOL) for _ in range(3)] == [False] * 3
    assert board.looks == 2


def test_a_store_that_cannot_be_read_has_not_said_that_nothing_is_left(board: Board, idleness: Idleness) -> None:
    board.is_readable = False
    assert not idleness.is_idle(POOL)
    board.is_readable = True
    assert idleness.is_idle(POOL)


def test_a_pool_that_was_made_larger_counts_from_then_on(board: Board, idleness: Idleness) -> None:
    board.left = replace(NOTHING, ready=True)
    board.spend(200.0)
    assert idleness.is_idle(POOL)
    assert not idleness.is_idle(2 * POOL)
