"""What an actor may be sent, as an operator spells it: each kind of message with its schema, and messages from JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from kora.admin.views import MessageKind
from kora.domain.operation import Operation
from kora.errors import BadMessageError

if TYPE_CHECKING:
    from actors.actor import KoraActor

KIND: Final = "kind"
_FAULTS_SAID: Final = 5


@cache
def kinds_of(actor: type[KoraActor]) -> tuple[MessageKind, ...]:
    """Every kind of message that this class of actors handles, the ones that may be told first, by name."""
    kinds = [_described(message, adapter) for message, adapter in _by_name(actor).values()]
    return tuple(sorted(kinds, key=lambda kind: (not kind.may_be_told, kind.kind)))


def message_of(actor: type[KoraActor], name: str, given: Mapping[str, Any]) -> object:
    """The message that the JSON object says, `{"kind": …}` and its fields, checked whole.

    Raises `BadMessageError`, which names the fault and holds what may be sent, when this actor knows no such kind, an
    operator may not send it, or a field is missing, wrong or unknown.
    """
    fields = dict(given)
    kind = fields.pop(KIND, None)
    by_name = _by_name(actor)
    if not isinstance(kind, str):
        raise _bad(actor, f'a message is an object with "{KIND}", the name of its kind; {name} may be sent')
    if kind not in by_name:
        raise _bad(actor, f"{name} knows no message {kind[:100]!r}; it may be sent")
    message, adapter = by_name[kind]
    if not may_be_told(message):
        why = "it carries what only its sender can know"
        raise _bad(actor, f"{kind} is what actors tell one another, and not for operators: {why}; {name} may be sent")
    try:
        return adapter.validate_json(to_json(fields), strict=True)
    except ValidationError as error:
        raise _bad(actor, f"{kind}: {_said(error)}; {name} may be sent") from None
    except (PydanticSerializationError, RecursionError):
        raise _bad(actor, f"{kind}: this is not JSON; {name} may be sent") from None


def may_be_told(message: type[object]) -> bool:
    """Whether an operator may send messages of this class."""
    return getattr(message, "MAY_BE_TOLD", False) is True


def answers(message: type[object]) -> bool:
    """Whether messages of this class are to be asked, and not told."""
    return getattr(message, "ANSWERS", False) is True


@cache
def _by_name(actor: type[KoraActor]) -> dict[str, tuple[type[object], TypeAdapter[Any]]]:
    return {message.__name__: (message, _adapter(message)) for message in actor.handled()}


def _adapter(message: type[object]) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(message)
    # A claim names it for type checkers alone, since its module stands above the claim's.
    adapter.rebuild(_types_namespace={"Operation": Operation})
    return adapter


def _described(message: type[object], adapter: TypeAdapter[Any]) -> MessageKind:
    name = message.__name__
    schema = adapter.json_schema()
    schema["properties"] = {KIND: {"const": name}, **schema.get("properties", {})}
    schema["required"] = [KIND, *schema.get("required", [])]
    schema["additionalProperties"] = False
    description = inspect.getdoc(message) or ""
    return MessageKind(name, description, schema, may_be_told=may_be_told(message), answers=answers(message))


def _bad(actor: type[KoraActor], text: str) -> BadMessageError:
    told = [kind for kind in kinds_of(actor) if kind.may_be_told]
    return BadMessageError(
        f"{text}: {', '.join(kind.kind for kind in told)}",
        [{"kind": kind.kind, "description": kind.description, "json_schema": kind.json_schema} for kind in told],
    )


def _said(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    said = [
        f"{'.'.join(str(part)[:100] for part in fault['loc']) or 'it'}: {fault['msg'][:200]}"
        for fault in faults[:_FAULTS_SAID]
    ]
    more = len(faults) - len(said)
    return ", ".join(said) + (f", and {more} more faults" if more else "")
