"""What the commands for a running runtime share: their arguments, and paths of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kora.admin.client import segment
from kora.cli.invocation import invocation
from kora.cli.output import painted

if TYPE_CHECKING:
    from kora.admin.client import Client

Document = Mapping[str, Any]
"""an object that the API has answered with"""

ActorName = Annotated[str, typer.Argument(metavar="NAME", help="The actor's name.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1_000, help="No more than this many.")]

ACTOR_STYLES: Final = {
    "idle": "green",
    "busy": "cyan",
    "starting": "yellow",
    "restarting": "yellow",
    "stopped": "yellow",
    "hung": "red",
    "failed": "red",
}
RUNTIME_STYLES: Final = {
    "booting": "cyan",
    "ready": "green",
    "active": "green",
    "paused": "yellow",
    "stopped": "red",
}
PERMISSION_STYLES: Final = {"normal": "green", "critical_only": "yellow", "none": "red"}


def client(context: typer.Context) -> Client:
    """Asks the running runtime."""
    return invocation(context).client()


def actor_path(name: str, *more: str) -> str:
    """Where the API has this actor, whatever its name is."""
    return "/".join(("/actors", segment(name), *more))


def figure(value: object) -> object:
    """The value; a number as people read it."""
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if type(value) is int else value


def flat(values: Document, above: str = "") -> Iterator[tuple[str, object]]:
    """The values under their dotted names, so that each has a line; its numbers as people read them."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, figure(value)


def label(text: str) -> str:
    """What stands before a line's value; for `write_line`."""
    return painted(f"{text:<13}", "dim")


def count(number: int, what: str) -> str:
    """So many of these."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
