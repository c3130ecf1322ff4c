"""Where a thread stands, and where an exception came from, as text."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

_TRIES: Final = 3

# Python's cache of source lines, which all tracebacks share, is not made for several threads: one may look for what
# another has just taken out.
_one_at_a_time = threading.Lock()


def stack_text(frame: FrameType) -> str:
    """The frame and those that called it, as a traceback's text, the innermost call last. From any thread.

    Where the source lines are not to be had, because some other traceback is spelt at that very moment, again and
    again, it is the places alone.
    """
    return _spelt(lambda: traceback.format_stack(frame)) or "".join(
        f'  File "{each.f_code.co_filename}", line {line}, in {each.f_code.co_name}\n'
        for each, line in reversed(list(traceback.walk_stack(frame)))
    )


def error_text(error: BaseException) -> str:
    """The exception's class, message and traceback, as Python prints them; as above, without the traceback at worst."""
    return _spelt(lambda: traceback.format_exception(error)) or "".join(traceback.format_exception_only(error))


def _spelt(spell: Callable[[], list[str]]) -> str | None:
    for _ in range(_TRIES):
        try:
            with _one_at_a_time:
                return "".join(spell())
        except KeyError:
            continue
    return None
