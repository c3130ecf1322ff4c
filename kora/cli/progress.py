"""Progress bars for commands that take long, on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int], None]
"""told how much further the work has come"""


@contextmanager
def bars(*, shown: bool = True) -> Iterator[Callable[[str, int | None], Step]]:
    """Makes a bar of each (description, total) it is given; gone at the end. Nothing is shown where nobody looks."""
    if not shown or not sys.stderr.isatty():
        yield lambda _what, _total: lambda _taken: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def bar(what: str, total: int | None) -> Step:
            task = progress.add_task(what, total=total)
            return lambda taken: progress.advance(task, taken)

        yield bar
