"""Circles among things that wait for one another."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kora.domain.circle import find_circle

GRAPHS = st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=4), max_size=9)


def reachable(graph: dict[int, list[int]], start: int) -> set[int]:
    found: set[int] = set()
    ahead = list(graph.get(start, []))
    while ahead:
        following = ahead.pop()
        if following not in found:
            found.add(following)
            ahead += graph.get(following, [])
    return found


@given(GRAPHS)
def test_a_circle_is_found_exactly_where_something_waits_for_itself(graph: dict[int, list[int]]) -> None:
    asked = Counter[int]()

    def waits_for(one: int) -> list[int]:
        asked[one] += 1
        return graph.get(one, [])

    circle = find_circle(graph, waits_for)

    assert bool(circle) == any(one in reachable(graph, one) for one in graph)
    assert len(set(circle)) == len(circle)
    for one, following in zip(circle, [*circle[1:], *circle[:1]], strict=True):
        assert following in graph[one]
    assert max(asked.values(), default=0) <= 1


@given(GRAPHS, st.integers(0, 8))
def test_only_what_is_reached_is_looked_at(graph: dict[int, list[int]], start: int) -> None:
    within = {start} | reachable(graph, start)

    assert set(find_circle([start], lambda one: graph.get(one, []))) <= within


def test_a_chain_may_be_long() -> None:
    assert find_circle([0], lambda one: [one + 1] if one < 200_000 else []) == []
    assert len(find_circle([0], lambda one: [(one + 1) % 200_000])) == 200_000
