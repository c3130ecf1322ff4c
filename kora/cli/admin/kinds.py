"""The messages that an actor handles, and their fields, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kora.cli.admin.asked import Document
from kora.cli.admin.schema import fields_of
from kora.cli.output import table

_COLUMNS = ("kind", "field", "type", "needed", "meaning")


def show_kinds(kinds: Iterable[Document]) -> None:
    """Print each kind with its fields; one that cannot be sent says so."""
    table(_COLUMNS, _rows(kinds), "nothing", styles={"yes": "yellow"})


def _rows(kinds: Iterable[Document]) -> Iterator[tuple[object, ...]]:
    for kind in kinds:
        meaning = kind.get("description", "").strip().split("\n")[0]
        if not kind.get("may_be_told", True):
            meaning = f"(only its senders can) {meaning}"
        elif kind.get("answers"):
            meaning = f"(for ask) {meaning}"
        yield kind["kind"], "", "", "", meaning
        for field in fields_of(kind["json_schema"]):
            if field.name != "kind":
                yield "", field.name, field.type, "yes" if field.required else "no", field.description
