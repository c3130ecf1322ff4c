"""JSON schemas as people read them: which fields, of what type, which of them must be given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

Schema = Mapping[str, Any]
_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    type: str
    required: bool
    description: str


def fields_of(schema: Schema, within: Schema | None = None) -> Iterator[Field]:
    """The fields of an object, in their order; `within` is the schema that has the definitions."""
    whole = schema if within is None else within
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        resolved = resolve(each, whole)
        described = each.get("description") or resolved.get("description") or ""
        # A type's docstring may be a page; its first line says the result.
        yield Field(name, type_of(each, whole), name in required, described.strip().split("\n")[0])


def resolve(schema: Schema, whole: Schema) -> Schema:
    """What a reference leads to; a type that may be null is the type."""
    for _ in range(len(whole.get("$defs", ())) + 1):
        if "$ref" in schema:
            schema = whole.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {})
        else:
            break
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return resolve(choices[0], whole) if len(choices) == 1 else schema


def below(schema: Schema, path: Sequence[str | None], whole: Schema) -> Schema:
    """The schema of what stands at the path, `None` being a list's element; empty where nothing may."""
    here = resolve(schema, whole)
    for key in path:
        if key is None:
            here = here.get("items") or {}
        else:
            extra = here.get("additionalProperties")
            here = here.get("properties", {}).get(key) or (extra if isinstance(extra, Mapping) else {})
        here = resolve(here, whole)
    return here


def values_of(schema: Schema) -> list[Any]:
    """The values that the type allows, where these are few."""
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    return [True, False] if schema.get("type") == "boolean" else []


def type_of(schema: Schema, whole: Schema) -> str:
    """The type in words."""
    if "$ref" in schema:
        return type_of(resolve(schema, whole), whole)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(each, whole) for each in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return " or ".join(orjson.dumps(each).decode() for each in values_of(schema))
    match schema.get("type"):
        case "array":
            return f"list of {type_of(schema.get('items') or {}, whole)}"
        case str(name):
            bounds = [f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema]
            return " ".join([name, ", ".join(bounds)]).strip()
        case _:
            return "anything"
