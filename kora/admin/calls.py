"""A request's content: bounded, checked whole, and refused with what would be right."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from kora.admin.port import Console
from kora.domain.events import EventType
from kora.domain.ticket import Status
from kora.errors import BadRequestError

BODY_BYTES: Final = 1_048_576
DEEPEST: Final = 32
LIMIT_MOST: Final = 1_000
_SEQ_MOST: Final = 2**63 - 1
_NUMBER_DIGITS: Final = 18
_FAULTS_SHOWN: Final = 5

Limit = Annotated[int, Field(ge=1, le=LIMIT_MOST)]
Position = Annotated[int, Field(ge=0, le=_SEQ_MOST)]


class Asked(BaseModel):
    """What a request may say; nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(BaseModel):
    """As `Asked`, of a path's parameters, which come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Query):
    """No parameter."""


class Some(Query):
    """The first so many."""

    limit: Limit = 100


class TicketsQuery(Query):
    """Which tickets."""

    status: tuple[Status, ...] = ()
    limit: Limit = 100


class EventsFollowed(Query):
    """Which events, and from where on."""

    ticket: str | None = None
    type: tuple[EventType, ...] = ()
    after: Position | None = None


class EventsQuery(EventsFollowed):
    """Which events, and how many."""

    limit: Limit = 100


class FeedFollowed(Query):
    """From where on."""

    after: Position | None = None


class Message(Asked):
    """What an actor is told."""

    message: dict[str, Any]


class Question(Message):
    """What it is asked, and how long its answer may take."""

    timeout_seconds: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 5.0


class Draining(Asked):
    """How long what runs may take to end; null for `control.drain_seconds`."""

    seconds: Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)] | None = None


class Ending(Asked):
    """Whether the agents are ended now."""

    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked."""

    console: Console
    names: Mapping[str, str]
    """what stands in the path's places"""
    query: Any
    body: Any
    who: str

    @property
    def name(self) -> str:
        """The actor that the path names."""
        return self.names["name"]

    @property
    def number(self) -> int:
        """The dead letter that the path names. Raises `BadRequestError`."""
        text = self.names["number"]
        if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS):
            raise BadRequestError(f"{text!r} is no dead letter's number; /deadletters says which there are", 422)
        return int(text)


async def body_of(request: Request) -> bytes:
    """The whole body. Raises `BadRequestError` once it is known to be longer than 1 MiB."""
    length = request.headers.get("content-length", "0")
    if int(length) > BODY_BYTES:
        raise _too_long()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES:
            raise _too_long()
        parts.append(part)
    return b"".join(parts)


def asked(model: type[Asked] | None, content: bytes) -> Asked | None:
    """The body as this model. Raises `BadRequestError`: 400 for no JSON, 422 for another content."""
    if model is None:
        if content.strip() not in {b"", b"{}"}:
            raise BadRequestError("this takes no body", 422)
        return None
    try:
        value = orjson.loads(content) if content.strip() else {}
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is no JSON: {error}") from None
    if isinstance(value, dict | list) and _is_too_deep(value):
        raise BadRequestError(f"the body is nested more than {DEEPEST} deep")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _wrong("field", model, error) from None


def queried(model: type[Query], request: Request) -> Query:
    """The parameters as this model. Raises `BadRequestError` (422)."""
    values: dict[str, object] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        known = model.model_fields.get(name)
        if known is not None and get_origin(known.annotation) is tuple:
            values[name] = given
        elif len(given) > 1:
            raise BadRequestError(f"{name}: given {len(given)} times; it can be given once", 422)
        else:
            values[name] = given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _wrong("parameter", model, error) from None


def _too_long() -> BadRequestError:
    return BadRequestError(f"the body is longer than {BODY_BYTES:,} bytes", 413)


def _wrong(what: str, model: type[BaseModel], error: ValidationError) -> BadRequestError:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_fault(what, fault["type"], fault["loc"], fault["msg"]) for fault in faults[:_FAULTS_SHOWN]]
    if len(faults) > _FAULTS_SHOWN:
        said.append(f"and {len(faults) - _FAULTS_SHOWN} more")
    names = ", ".join(model.model_fields)
    return BadRequestError(f"{'; '.join(said)}. {f'It takes: {names}.' if names else f'It takes no {what}.'}", 422)


def _fault(what: str, kind: str, location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(map(str, location))
    if kind == "extra_forbidden":
        return f"{place}: there is no such {what}"
    if kind == "missing":
        return f"{place}: is missing"
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else f"{message[:1].lower()}{message[1:]}"


def _is_too_deep(value: dict[str, Any] | list[Any]) -> bool:
    level: list[dict[str, Any] | list[Any]] = [value]
    for _ in range(DEEPEST):
        inner = itertools.chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)
