"""Trees, and what may happen to them, for hypothesis to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

ROOT = "root"
INNER = "inner"
ACTORS = ("a", "b", "c", "d", "e")
ADDED = ("new", "newer")

Step = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """A tree, as plain mappings without the actors' class, and a schedule."""

    tree: dict[str, Any]
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
    seed: int


def apart(base: float, number: int) -> float:
    """Almost the base: no two patiences are the same, so that no two ever end at the same moment."""
    return base + (number + 1) / 2**20


def treatments(name: str, number: int, *, is_group: bool = False, brutal: bool = True) -> st.SearchStrategy[Any]:
    """How a child is treated."""
    options: dict[str, Any] = {
        "name": st.just(name),
        "restart": st.sampled_from(["permanent", "permanent", "transient", "temporary"]),
        "start_seconds": st.sampled_from([None, apart(2, 4 * number + 1)]),
        "shutdown_seconds": st.sampled_from([apart(1.5, 4 * number), "infinity", *(["brutal"] if brutal else [])]),
        "backoff_initial_seconds": st.just(apart(0.5, 4 * number + 2)),
        "backoff_cap_seconds": st.just(1.75),
    }
    if not is_group:
        options["hang_seconds"] = st.sampled_from([None, apart(3, 4 * number + 3)])
        options["poison_after"] = st.just(0)
    return st.fixed_dictionaries(options)


_GROUPS: Final = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
        "max_restarts": st.sampled_from([0, 1, 2, 3, 10, 10]),
        "within_seconds": st.sampled_from([1.0, 5.0, 1000.0]),
    }
)
_DURATIONS: Final = st.sampled_from([0.75, 1.25, 2.25, math.inf, math.inf])
_NAMES: Final = st.sampled_from(ACTORS)
_ANYBODY: Final = st.sampled_from([*ACTORS, *ACTORS, INNER, INNER, *ADDED, "nobody"])
_VERBS: Final = st.sampled_from(["start", "start", "stop", "restart", "restart", "remove"])
_SPOILINGS: Final = st.one_of(
    st.tuples(st.just("fail starts"), _NAMES, st.integers(1, 4)),
    st.tuples(st.just("slow start"), _NAMES, _DURATIONS),
    st.tuples(st.just("slow stop"), _NAMES, _DURATIONS),
    st.tuples(st.just("fail stop"), _NAMES),
)
_COMMANDS: Final = st.tuples(_VERBS, _ANYBODY)
_PASSING: Final = st.tuples(st.just("pass"), st.sampled_from([0.25, 1.0, 2.0, 4.0]))


class Cases:
    """What hypothesis chooses from, made once: making it is what takes the time."""

    def __init__(self, *, brutal: bool = True, together: int = 3, most: int = 10) -> None:
        self._actors = [treatments(name, number, brutal=brutal) for number, name in enumerate(ACTORS)]
        self._inner = treatments(INNER, len(ACTORS), is_group=True, brutal=brutal)
        added = [treatments(name, len(ACTORS) + 1 + number, brutal=brutal) for number, name in enumerate(ADDED)]
        crash = st.tuples(st.just("crash"), st.lists(_NAMES, min_size=1, max_size=together, unique=True).map(tuple))
        busy = st.tuples(st.just("busy"), _NAMES, _DURATIONS)
        alone = st.one_of(
            crash,
            _PASSING,
            _COMMANDS,
            st.tuples(st.just("end"), _NAMES),
            busy,
            _SPOILINGS,
            st.tuples(st.just("add"), st.sampled_from([ROOT, INNER]), st.one_of(added)),
        )
        # What is spoiled matters only to one who starts or stops, and a command above all to one who is at either.
        scenes = st.one_of(
            alone.map(lambda step: (step,)),
            st.tuples(_SPOILINGS, crash, _COMMANDS),
            st.tuples(_SPOILINGS, _COMMANDS, _COMMANDS),
            st.tuples(_SPOILINGS, _SPOILINGS, crash, _PASSING),
            st.tuples(busy, _PASSING, _PASSING),
            st.tuples(crash, st.just(("restart", INNER)), crash),
        )
        self._scenes = st.lists(scenes, min_size=1, max_size=most)
        self._shape = st.tuples(st.integers(1, len(ACTORS)), st.booleans(), st.integers(0, 5), st.integers(0, 5))

    def strategy(self) -> st.SearchStrategy[Case]:
        """A tree, what is wrong with its start, and what happens then."""
        return st.builds(
            self._case,
            st.builds(self._tree, self._shape, st.tuples(*self._actors), self._inner, _GROUPS, _GROUPS),
            st.lists(_SPOILINGS, max_size=1),
            self._scenes,
            st.integers(0, 2**16),
        )

    @staticmethod
    def _tree(
        shape: tuple[int, bool, int, int], every: tuple[Any, ...], inner: Any, lower: Any, upper: Any
    ) -> dict[str, Any]:
        count, has_inner, one, other = shape
        children = list(every[:count])
        if has_inner:
            first, last = min(one, other), max(one, other)
            children[first:last] = [{**inner, **lower, "children": children[first:last]}]
        return {"name": ROOT, "children": children, **upper}

    @staticmethod
    def _case(tree: dict[str, Any], before: list[Step], scenes: list[tuple[Step, ...]], seed: int) -> Case:
        names = [name for name in _names(tree) if name in ACTORS]
        return Case(
            tree=tree,
            before=tuple(_among(names, step) for step in before),
            steps=tuple(_among(names, step) for scene in scenes for step in scene),
            seed=seed,
        )


def _names(tree: dict[str, Any]) -> Iterator[str]:
    yield tree["name"]
    for child in tree.get("children", ()):
        yield from _names(child)


def _among(names: list[str], step: Step) -> Step:
    """The step, done to one who is there."""
    if step[0] == "crash":
        return ("crash", tuple(dict.fromkeys(names[ACTORS.index(name) % len(names)] for name in step[1])))
    if step[0] in {"pass", "add"} or step[1] not in ACTORS:
        return step
    return (step[0], names[ACTORS.index(step[1]) % len(names)], *step[2:])
