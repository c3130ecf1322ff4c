"""A sleep of the machine is told from ticks that come as they should."""

from __future__ import annotations

import pytest

from actors.gap import Gap


@pytest.mark.parametrize(("tick_seconds", "most_seconds"), [(1.0, 3.0), (0.05, 2.0), (10.0, 30.0)])
def test_a_gap_is_more_than_three_ticks_and_more_than_two_seconds(tick_seconds, most_seconds):
    gap = Gap(tick_seconds)
    assert not gap.tick(1_000.0)
    assert not gap.is_open(1_000.0 + most_seconds)
    assert not gap.tick(1_000.0 + most_seconds)
    assert gap.is_open(1_000.1 + 2 * most_seconds)
    assert gap.tick(1_000.1 + 2 * most_seconds)
    assert not gap.tick(1_000.2 + 2 * most_seconds)


def test_before_the_first_tick_there_is_none():
    assert not Gap(1.0).is_open(1_000_000.0)
