"""A message while it is typed: its kind, its fields and their values, as the actor's schemas have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from prompt_toolkit.completion import Completion

from kora.cli.admin.asked import Document
from kora.cli.admin.schema import Schema, below, fields_of, values_of
from kora.cli.repl.ahead import Place, place_in
from kora.logging import escaped


def spellings(typed: str, kinds: Sequence[Document], *, to_ask: bool) -> Iterator[Completion]:
    """What may come behind `typed`, the beginning of a message to an actor that handles these kinds.

    Those that an operator may not send are left out, unless no other begins so.
    """
    fragment = typed.removeprefix("'")
    if not fragment:
        for kind in _offered(kinds, "", to_ask=to_ask):
            yield Completion(_whole(kind), 0, display=kind["kind"], display_meta=_meaning(kind))
        return
    place = place_in(fragment)
    if not place.containers:
        return
    named = place.containers[0].given.get("kind")
    meant: Document | None = next((each for each in kinds if each["kind"] == named), None)
    match place.expected:
        case "key":
            yield from _keys(place, meant)
        case "value" if place.path == ("kind",):
            for each in _offered(kinds, place.partial.removeprefix('"'), to_ask=to_ask):
                yield _completion(_spelt(each["kind"]), place.partial, _meaning(each))
        case "value" if meant is not None:
            yield from _values(place, meant["json_schema"])
        case "next":
            yield from _next(place, meant)


def _offered(kinds: Sequence[Document], begun: str, *, to_ask: bool) -> Iterable[Document]:
    fitting = [each for each in kinds if each["kind"].startswith(begun)]
    may_be_sent = [each for each in fitting if each["may_be_told"]]
    if to_ask:
        may_be_sent.sort(key=lambda each: not each["answers"])
    return may_be_sent or (fitting if begun else ())


def _whole(kind: Document) -> str:
    """The message, or its beginning where something must be given."""
    needed = [field.name for field in fields_of(kind["json_schema"]) if field.required and field.name != "kind"]
    more = f", {_spelt(needed[0])}: " if needed else "}"
    return f'{{"kind": {_spelt(kind["kind"])}{more}'


def _meaning(kind: Document) -> str:
    told = kind["description"].strip().split("\n")[0]
    return escaped(told if kind["may_be_told"] else f"(only its senders can) {told}")


def _left(place: Place, kind: Document | None) -> list[tuple[str, str]]:
    """The fields of the innermost object that are not given yet, those that must be first; each with its type."""
    inner = place.containers[-1]
    if kind is None:
        return [] if len(place.containers) > 1 or "kind" in inner.given else [("kind", "which message it is")]
    whole: Schema = kind["json_schema"]
    path = [each.key if each.is_object else None for each in place.containers[:-1]]
    fields = [each for each in fields_of(below(whole, path, whole), whole) if each.name not in inner.given]
    fields.sort(key=lambda field: not field.required)
    return [
        (field.name, f"{field.type}{', needed' if field.required else ''}  {field.description}".rstrip())
        for field in fields
    ]


def _keys(place: Place, kind: Document | None) -> Iterator[Completion]:
    for name, meaning in _left(place, kind):
        key = _spelt(name)
        if key.startswith(place.partial):
            yield Completion(f"{key}: ", -len(place.partial), display=escaped(name), display_meta=escaped(meaning))


def _values(place: Place, whole: Schema) -> Iterator[Completion]:
    schema = below(whole, place.path, whole)
    values: list[Any] = values_of(schema)
    if "default" in schema and schema["default"] not in values:
        values.append(schema["default"])
    for value in values:
        spelt = _spelt(value)
        if spelt.startswith(place.partial) and spelt != place.partial:
            yield _completion(spelt, place.partial, "")


def _next(place: Place, kind: Document | None) -> Iterator[Completion]:
    inner = place.containers[-1]
    if inner.is_object:
        for name, meaning in _left(place, kind):
            yield Completion(f", {_spelt(name)}: ", 0, display=f", {escaped(name)}", display_meta=escaped(meaning))
    yield Completion("}" if inner.is_object else "]", 0)


def _completion(spelt: str, partial: str, meaning: str) -> Completion:
    return Completion(spelt, -len(partial), display=escaped(spelt), display_meta=escaped(meaning))


def _spelt(value: object) -> str:
    return orjson.dumps(value).decode()
