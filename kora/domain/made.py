"""Models made of fields that are known to be right: for what is made for every claim."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)

# What a frozen model has no other way to be given but a slower one.
_set_fields, _set_names, _set_extra, _set_private = (
    BaseModel.__dict__[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def made(model: type[Model], names: set[str], fields: dict[str, Any]) -> Model:
    """What `model_construct` makes of all fields, at a twentieth of its 10 µs.

    All frozen models of a kind may share the set of their fields' names, for as long as nobody changes it.
    """
    new = object.__new__(model)
    _set_fields(new, fields)
    _set_names(new, names)
    _set_extra(new, None)
    _set_private(new, None)
    return new
