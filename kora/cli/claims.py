"""Who works what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kora.cli.invocation import invocation
from kora.cli.output import plain_documents, table
from kora.cli.spans import ago, span

if TYPE_CHECKING:
    from kora.store.views import ActiveWork

_COLUMNS: Final = (
    "ticket_id",
    "attempt",
    "fence",
    "lease_left",
    "last_progress",
    "holder",
    "process",
    "ticket_title",
)
_HOLDER_CHARACTERS: Final = 8


def claims(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show who works what: every held claim, the oldest first.

    \b
    Examples:
      kora-actors claims
      kora-actors claims --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    with invocation(context).reader() as reader:
        held = reader.claims()
    if as_json:
        plain_documents(held)
    else:
        show_claims(held)


def show_claims(held: Iterable[ActiveWork]) -> None:
    """Print a line for each."""
    table(_COLUMNS, _rows(held), "nothing is claimed", below=3)


def _rows(held: Iterable[ActiveWork]) -> Iterator[tuple[object, ...]]:
    for work in held:
        left = work.lease_left_seconds
        yield (
            work.ticket_id,
            work.attempt,
            work.claim_fence_token,
            span(left) if left >= 0 else f"out {ago(-left)}",
            "-" if work.progress_at is None else ago(_age_seconds(work, work.progress_at)),
            # The end of a time-ordered id tells runtimes apart, its beginning only when they booted.
            work.holder[-_HOLDER_CHARACTERS:],
            f"{work.host}/{work.pid}",
            work.ticket_title,
        )


def _age_seconds(work: ActiveWork, moment: datetime) -> float:
    """How long ago it was by the store's clock, which the time that is left of the lease tells."""
    return (work.lease_expires_at - moment).total_seconds() - work.lease_left_seconds
