"""Copying the board to another store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.invocation import invocation, login_name
from kora.cli.output import plain_document, say
from kora.cli.progress import Step, bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from kora.store.views import CopyResult


def copy(
    context: typer.Context,
    *,
    from_: Annotated[
        str, typer.Option("--from", metavar="URL", help="The store that has the board.", show_default=False)
    ],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The store that is to have it.", show_default=False)],
    discard: Annotated[
        bool, typer.Option("--discard", help="Empty the store of an unfinished copy, and copy nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Copy the board of the configuration's workspace to another store, with its whole history.

    Nobody may work it meanwhile. It may be interrupted at any point: the same command goes on where it was, and until
    it has come to its end the other store cannot be worked on. Archived files stay where they are.

    \b
    Examples:
      kora-actors copy --from sqlite:///kora.db --to postgresql://kora@db.example/kora
      kora-actors copy --from postgresql://kora@db.example/kora --to sqlite:///kora.db --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _check_url(context, from_, "--from")
    _check_url(context, to, "--to")
    from kora.store.copying import copy_board, discard_copy, is_same_store

    if is_same_store(from_, to):
        raise typer.BadParameter("is the store that --from names; name another", ctx=context, param_hint="--to")
    runtime = invocation(context).settings().runtime
    if discard:
        discard_copy(to, workspace_id=runtime.workspace, actor_id=runtime.actor)
        if as_json:
            plain_document({"discarded": True})
        else:
            say("the unfinished copy was given up; the workspace is empty there")
        return
    with bars() as bar:
        copied = copy_board(
            from_,
            to,
            workspace_id=runtime.workspace,
            actor_id=runtime.actor,
            who=login_name(),
            told=_steps(bar),
        )
    if as_json:
        plain_document(_document(copied, runtime.workspace))
    else:
        say(_told(copied))


def _check_url(context: typer.Context, url: str, hint: str) -> None:
    from kora.store.url import checked_url

    try:
        checked_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), ctx=context, param_hint=hint) from None


def _steps(bar: Callable[[str, int | None], Step]) -> Callable[[str, int, int], None]:
    """The copy tells what is done, how many, and of how many; a bar of each wants to know how many more."""
    steps: dict[str, tuple[Step, int]] = {}

    def told(what: str, done: int, total: int) -> None:
        step, before = steps.get(what) or (bar(what, total), 0)
        step(done - before)
        steps[what] = (step, done)

    return told


def _document(copied: CopyResult, workspace: str) -> dict[str, object]:
    return {
        "from": copied.source,
        "to": copied.target,
        "workspace": workspace,
        "rows": dict(copied.rows),
        "chains": copied.chains,
        "events_verified": copied.events_verified,
        "has_gone_on": copied.has_gone_on,
    }


def _told(copied: CopyResult) -> str:
    rows = copied.rows
    lines = [
        f"copied {rows['tickets']:,} tickets and {rows['events']:,} events to {copied.target}",
        f"verified at both ends: {copied.events_verified:,} events in {copied.chains:,} chains",
    ]
    if rows["archives"]:
        lines.append(f"archived files stay where they are, and events --verify reads them there: {rows['archives']:,}")
    return "\n".join(lines)
