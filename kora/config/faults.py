"""A fault as people read it: the key's path, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_SAID_CHARACTERS: Final = 60
_DIGITS_SHOWN: Final = 20
_MUST_BE: Final = {
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "path_type": "must be a path",
    "string_type": "must be text",
    "string_unicode": "must be valid text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
}
"""where pydantic's own words are for programmers"""


def explained(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Each fault as one line: the key's path, what is wrong, what is allowed."""
    faults = error.errors(include_url=False)
    # A default that is derived from another key is no fault of its own when that key is wrong.
    return [_explain(fault, model) for fault in faults if fault["type"] != "default_factory_not_called"]


def _explain(fault: Any, model: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, a plain dict
    loc = fault["loc"]
    is_name = len(loc) > 1 and loc[-1] == "[key]"
    where = key_path(loc[:-1] if is_name else loc)
    match fault["type"]:
        case "string_pattern_mismatch" if is_name:
            wrong = "no name for a table: at most 64 of a-z, 0-9, _ and -, a letter or digit first"
        case "extra_forbidden":
            wrong = f"unknown key; {_suggestion(loc, model)}"
        case "missing":
            wrong = "missing"
        case "value_error":
            wrong = str(fault["ctx"]["error"])
        case kind:
            must = _MUST_BE.get(kind) or re.sub(r"^[A-Z]\w+ should ", "must ", fault["msg"])
            wrong = f"{must.split(' after validation')[0]}, not {said(fault['input'])}"
    return f"{where}: {wrong}" if where else wrong


def key_path(loc: tuple[int | str, ...]) -> str:
    """The key's path as TOML spells it."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part, re.ASCII) else json.dumps(part))
    return text


def _suggestion(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    key, here = str(loc[-1]), model
    parts = iter(loc[:-1])
    for part in parts:
        table, is_named = table_of(here.model_fields[str(part)])
        here = table or here
        if is_named:
            next(parts, None)
    near = [path for path in _paths(model) if path.rpartition(".")[2] == key]
    near += difflib.get_close_matches(key, here.model_fields, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(here.model_fields)}"


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        table, is_named = table_of(field)
        if table and not is_named:
            yield from _paths(table, f"{prefix}{name}.")


def table_of(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The table that the key holds, if it holds one, and whether it holds any number of them by name."""
    is_named = get_origin(field.annotation) is Mapping
    annotation: object = get_args(field.annotation)[1] if is_named else field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, is_named
    return None, False


def said(value: object) -> str:
    """The value as the user may have written it, cut to what a line can bear; control characters escaped."""
    match value:
        case None | bool() | str():
            text = json.dumps(value)
        case int() if abs(value) >= 10**_DIGITS_SHOWN:
            text = f"a number of more than {_DIGITS_SHOWN} digits"
        case list() | tuple():
            text = "a list" if value else "an empty list"
        case dict():
            text = "a table"
        case _:
            text = str(value)
    return text if len(text) <= _SAID_CHARACTERS else f"{text[:_SAID_CHARACTERS]}…"
