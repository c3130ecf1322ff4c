"""Waiting between two looks at something that grows, for the commands with `--follow`."""

from __future__ import annotations

import itertools
import select
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kora.domain.events import Event
    from kora.store.port import Reader

LOOK_SECONDS: Final = 0.2
_AT_A_TIME: Final = 500
_STDOUT: Final = 1


def pause() -> None:
    """Show what was printed, then wait a fifth of a second. Raises `BrokenPipeError` when nobody reads any more."""
    sys.stdout.flush()
    ears = select.poll()
    # For nothing but its errors: who only waits for something to print would not learn that the reader has left.
    ears.register(_STDOUT, 0)
    if ears.poll(LOOK_SECONDS * 1_000):
        raise BrokenPipeError


def bursts(reader: Reader, read: Callable[[int], Iterator[Event]]) -> Iterator[list[Event]]:
    """What is there, then what has come, for ever. `read` is told after which `seq` to begin.

    An idle log costs one look at a counter, five times a second.
    """
    reader.changed()
    after = 0
    while True:
        # Asked before the reading: what is older has been read then, also where a filter lets nothing of it through.
        last_seq = reader.last_seq()
        found = read(after)
        while batch := list(itertools.islice(found, _AT_A_TIME)):
            after = batch[-1].seq
            yield batch
        after = max(after, last_seq)
        pause()
        while not reader.changed():
            pause()
