"""Where a thread stands, as text."""

from __future__ import annotations

import threading
import traceback
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
    for _ in range(_TRIES):
        try:
            with _one_at_a_time:
                return "".join(traceback.format_stack(frame))
        except KeyError:
            continue
    return "".join(
        f'  File "{each.f_code.co_filename}", line {line}, in {each.f_code.co_name}\n'
        for each, line in reversed(list(traceback.walk_stack(frame)))
    )
