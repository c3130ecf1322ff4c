"""The commands that start something: run, demo, migrate."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kora.cli.invocation import invocation
from kora.cli.output import say


def run(
    context: typer.Context,
    *,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End with 0 once every ticket is final or waits for a person.")
    ] = False,
) -> int:
    """Work the board in the foreground. SIGTERM or Ctrl-C lets what runs end; a second one ends it now.

    SIGHUP reads the configuration again: the log says what differs, and the runtime goes on by it.

    \b
    Examples:
      kora-actors run
      kora-actors --config night.toml run --until-idle
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    call = invocation(context)
    return call.launcher.run(call.settings(), until_idle=until_idle)


def demo(context: typer.Context) -> int:
    """Work a dozen tickets on a temporary board, crash an actor on purpose, and show what happened.

    \b
    Example:
      kora-actors demo
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.cli.demo import perform

    return perform(invocation(context).launcher, live=sys.stdout.isatty())


def migrate(context: typer.Context) -> int:
    """Bring the store's schema to this version's. Nothing is lost; a store of a newer version is refused.

    \b
    Example:
      kora-actors migrate
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.store.open import migrate as bring_up_to_date

    runtime = invocation(context).settings().runtime
    before, after = bring_up_to_date(runtime.store, workspace_id=runtime.workspace)
    if before == after:
        say(f"the schema is current: {after}")
    else:
        say(f"the schema is now {after}; before: {before or 'none, the store was made'}")
    return 0
