"""The runtime in the test's own process, so that a test can speak to its actors by their names."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from actors import tree
from actors.names import STATE_HOLDER
from kora.app import Runtime
from kora.config import load
from tests.acceptance.home import PATIENCE_SECONDS, Home

# Its own first sink prints every line; a test that wants to read the log adds one.
logger.remove()


def with_holder(make: Callable | None):
    """The tree with another StateHolder in its place, or with none."""

    def plan(parts, posts):
        children = tree.children(parts, posts)
        if make is None:
            del children[STATE_HOLDER]
        else:
            children[STATE_HOLDER] = children[STATE_HOLDER].model_copy(update={"factory": make})
        return children

    return plan


def work_the_board(
    home: Home,
    plan=tree.children,
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
