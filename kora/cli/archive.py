"""Moving old events out of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kora.cli.invocation import invocation, login_name
from kora.cli.output import plain_document, say, shown
from kora.cli.progress import Step, bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from kora.store.views import ArchiveResult


def archive(
    context: typer.Context,
    *,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="How old an event must be.", show_default=False)
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DIR", help="Where to: the folder archive beside the store's file, if it has one."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Move old events out of the store into compressed files, which events --verify goes on verifying.

    It may be interrupted at any point: nothing is lost, and the next archive goes on.

    \b
    Examples:
      kora-actors archive --older-than 30
      kora-actors archive --older-than 7 --to cold --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    call = invocation(context)
    settings = call.settings()
    before = _moment(context, older_than)
    place = _beside(context, settings.runtime.store) if to is None else Path(to).absolute()
    with call.store(settings) as store, bars() as bar:
        moved = store.archive(place, before, who=login_name(), progress=_steps(bar))
    if as_json:
        left = moved.first_left
        plain_document(
            {
                "events": moved.events,
                "files": moved.files,
                "until": moved.until,
                "first_left": left and {"seq": left.seq, "occurred_at": left.occurred_at},
            }
        )
    else:
        say(_told(moved, before))


def _beside(context: typer.Context, url: str) -> Path:
    from kora.store.open import sqlite_path
    from kora.store.url import is_postgres

    if is_postgres(url):
        message = "must be said: a server has no folder of yours, and events --verify reads the files again"
        raise typer.BadParameter(message, ctx=context, param_hint="--to")
    return sqlite_path(url).parent / "archive"


def _moment(context: typer.Context, days: float) -> datetime:
    try:
        return datetime.now(UTC) - timedelta(days=days)
    except (OverflowError, ValueError):
        message = f"{days:g} days ago is before the year 1"
        raise typer.BadParameter(message, ctx=context, param_hint="--older-than") from None


def _steps(bar: Callable[[str, int | None], Step]) -> Callable[[int, int], None]:
    """The store tells how many of how many; a bar wants to know how many more."""
    step: Step | None = None
    before = 0

    def told(moved: int, total: int) -> None:
        nonlocal step, before
        step = step or bar("archiving", total)
        step(moved - before)
        before = moved

    return told


def _told(moved: ArchiveResult, before: datetime) -> str:
    if not moved.events:
        moment, left = shown(before.replace(microsecond=0)), moved.first_left
        if left is None:
            return f"nothing to archive: no event is older than {moment}"
        first = f"the first in the log, event {left.seq} of {shown(left.occurred_at)},"
        return f"nothing to archive: {first} is not older than {moment}, and the others stand behind it"
    files = "\n".join(f"  {path}" for path in moved.files)
    return f"moved {moved.events:,} events, the newest of {shown(moved.until)}, to\n{files}"
