"""The command that watches: a program of its own, beside the runtimes."""

from __future__ import annotations

import typer

from kora.cli.invocation import invocation


def watch(context: typer.Context) -> int:
    """Escalate STOP commands that are not enforced in time, until SIGTERM; beside the runtime, as a process of its own.

    Once a second it looks at the command that holds. Where a runtime has not enforced it within its seconds, one of
    level 4 takes its place; a runtime of this machine that is late with that gets SIGKILL, and its guardians end its
    agents. Runtimes on other machines need a watcher there. Several may run side by side.

    \b
    Example:
      kora-actors watch
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    settings = invocation(context).settings()
    from kora.watch.program import watch as watch_on

    return watch_on(settings)
