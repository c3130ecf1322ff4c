"""A home's store as the test's own process reads it: far cheaper than a command each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kora.config import load
from kora.store.open import open_store
from kora.store.port import Reader
from tests.acceptance.home import Home


@contextmanager
def reading(home: Home) -> Iterator[Reader]:
    runtime = load(home.config).runtime
    with (
        open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor) as store,
        closing(store.reader()) as reader,
    ):
        yield reader
