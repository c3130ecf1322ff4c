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
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Try every boot gate once, show all, and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check-only: print one JSON document.")] = False,
) -> int:
    """Work the board in the foreground. SIGTERM or Ctrl-C lets what runs end; a second one ends it now.

    SIGHUP reads the configuration again: the log says what differs, and the runtime goes on by it.

    Before it claims anything its boot gates have to pass; --check-only tries each once and ends with 0 if all would. A
    runtime that is at work meanwhile is in nobody's way.

    \b
    Examples:
      kora-actors run
      kora-actors --config night.toml run --until-idle
      kora-actors run --check-only
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    call = invocation(context)
    if check_only:
        if until_idle:
            raise typer.BadParameter("works nothing, and so is never idle", ctx=context, param_hint="--check-only")
        from kora.cli.gates import show_gates

        checked = call.launcher.check(call.settings())
        show_gates(checked, as_json=as_json)
        return checked.exit_code
    if as_json:
        raise typer.BadParameter("is of --check-only; a runtime prints nothing", ctx=context, param_hint="--json")
    return call.launcher.run(call.settings(), until_idle=until_idle)


def demo(context: typer.Context) -> int:
    """Work a dozen tickets on a temporary board, crash an actor on purpose, and show what happened.

    \b
    Example:
      kora-actors demo
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.cli.demo import perform

    return perform(invocation(context).launcher, live=sys.stdout.isatty())


def migrate(
    context: typer.Context,
    *,
    runtime_role: Annotated[
        str | None,
        typer.Option(
            "--runtime-role",
            metavar="ROLE",
            help="PostgreSQL: the role as which runtimes log in, and which may then work there.",
            show_default=False,
        ),
    ] = None,
    print_roles: Annotated[
        bool, typer.Option("--print-roles", help="PostgreSQL: print the SQL that makes the roles, and do nothing.")
    ] = False,
) -> int:
    """Bring the store's schema to this version's. Nothing is lost; a store of a newer version is refused.

    A file is brought up to date by whatever opens it; a database of PostgreSQL only by this command.

    \b
    Examples:
      kora-actors migrate
      kora-actors migrate --print-roles | psql
      kora-actors migrate --runtime-role kora_runtime
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.store.open import has_roles, roles_sql
    from kora.store.open import migrate as bring_up_to_date

    runtime = invocation(context).settings().runtime
    url = runtime.store
    if runtime_role == "":
        raise typer.BadParameter("names no role", ctx=context, param_hint="--runtime-role")
    if not has_roles(url) and (print_roles or runtime_role is not None):
        named = "--print-roles" if print_roles else "--runtime-role"
        message = f"only PostgreSQL has roles; the store is {url}, and its file's permissions say who may open it"
        raise typer.BadParameter(message, ctx=context, param_hint=named)
    if print_roles:
        say(roles_sql(url, workspace_id=runtime.workspace, runtime_role=runtime_role))
        return 0
    before, after = bring_up_to_date(url, workspace_id=runtime.workspace, runtime_role=runtime_role)
    if before == after:
        say(f"the schema is current: {after}")
    else:
        say(f"the schema is now {after}; before: {before or 'none, the store was made'}")
    return 0
