"""The runtime in the test's own process, so that a test can speak to its actors by their names."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from actors import tree
from actors.names import MIRROR
from kora.app import Runtime
from kora.config import load
from tests.acceptance.home import PATIENCE_SECONDS, Home

# Its own first sink prints every line; a test that wants to read the log adds one.
logger.remove()


def with_holder(make: Callable | None):
    """The tree with another StateHolder in its place, or with none."""

    def plan(parts, posts):
        made = tree.supervision(parts, posts)
        (mirror,) = [child for child in made.children if child.name == MIRROR]
        holders = [
            holder.model_copy(update={"actor": make, "arguments": {}}) for holder in mirror.children if make is not None
        ]
        other = mirror.model_copy(update={"children": tuple(holders)})
        return made.model_copy(
            update={"children": tuple(other if child is mirror else child for child in made.children)}
        )

    return plan


def work_the_board(
    home: Home,
    plan=tree.supervision,
    *,
    until: Callable[[Runtime], bool] = Runtime.is_idle,
    every: float = 0.05,
    between: Callable[[Runtime], None] = lambda _: None,
) -> None:
    """Run until the board is done, doing something in between, then drain."""
    with Runtime(load(home.config), plan=plan) as runtime:
        runtime.start()
        for _ in range(int(PATIENCE_SECONDS / every)):
            assert not runtime.wait(every), "the supervisor gave up"
            if until(runtime):
                break
            between(runtime)
        else:
            raise AssertionError("the board was not done in time")
        assert runtime.drain()
