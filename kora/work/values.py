"""What an operation may be called, and what may be recorded of it."""

from __future__ import annotations

import math
from typing import Any, Final

import orjson

from kora.domain.operation import CLAIM_TOOL, KEY_CHARACTERS, RESULT_BYTES, TOOL_CHARACTERS
from kora.errors import OperationError
from kora.redact import of_this_process

TEXT_CHARACTERS: Final = 500
"""of what an exception says"""
_DEPTH: Final = 100
_INTS: Final = range(-(2**63), 2**64)


def check_tool(tool: object) -> None:
    """Raises `OperationError` for what no tool can be called."""
    _check_name("tool", tool, TOOL_CHARACTERS)
    if tool == CLAIM_TOOL:
        raise OperationError(f"an operation's tool is not {CLAIM_TOOL}, which is Kora's own")


def check_key(key: object) -> None:
    """Raises `OperationError` for what is no key."""
    _check_name("key", key, KEY_CHARACTERS)


def as_json(result: Any) -> str:  # noqa: ANN401 - that is what is to be found out
    """The result as JSON text. Raises `OperationError` that names what JSON has no type for."""
    _check_value(result, "result", 0, [RESULT_BYTES])
    try:
        text = orjson.dumps(result)
    except (TypeError, RuntimeError) as error:
        raise OperationError(f"the result was changed while it was recorded: {error}") from None
    if len(text) > RESULT_BYTES:
        raise _too_long()
    return text.decode()


def described(error: BaseException) -> str:
    """The exception's name and message, fit to be stored, whatever its class does when it is asked."""
    try:
        name, message = type(error).__qualname__, str(error)
        text = of_this_process().head(f"{name}: {message}" if message else f"{name}", TEXT_CHARACTERS)
    except BaseException:  # noqa: BLE001 - an agent's code: it may raise anything
        return "an exception that cannot be shown"
    return storable(text)


def storable(text: str) -> str:
    """The text with what no store can hold replaced: lone surrogates and NULs. A plain str, whatever came."""
    return str.encode(text, errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _check_value(value: Any, where: str, depth: int, room: list[int]) -> None:  # noqa: ANN401 - as above
    """Walk through it; `room` is counted down, so that no value costs more than the longest that would fit."""
    room[0] -= 1
    if room[0] < 0:
        raise _too_long()
    if depth > _DEPTH:
        raise OperationError(f"the result is nested more than {_DEPTH} deep, or holds itself: record less of it")
    kind = type(value)
    if kind is list:
        for index, item in enumerate(value):
            _check_value(item, f"{where}[{index}]", depth + 1, room)
    elif kind is dict:
        for name, item in value.items():
            _check_key(name, where)
            _check_value(item, f"{where}.{name[:40]}", depth + 1, room)
    elif kind is str:
        _check_text(value, where)
    elif kind in (int, float):
        _check_number(value, where)
    elif value is not None and kind is not bool:
        raise OperationError(
            f"{where} is a {kind.__name__}, which JSON does not have: record None, bool, int, float, str, list or dict"
        )


def _check_key(name: object, where: str) -> None:
    if type(name) is not str:
        raise OperationError(f"{where} has a key that is a {type(name).__name__}: JSON's keys are str")
    _check_text(name, f"a key of {where}")


def _check_number(number: float, where: str) -> None:
    if not math.isfinite(number):
        raise OperationError(f"{where} is {number}, which JSON does not have: record None or str")
    if type(number) is int and number not in _INTS:
        raise OperationError(f"{where} is an int of more than 64 bits: record it as str")


def _check_name(what: str, name: object, most: int) -> None:
    if type(name) is not str:
        raise OperationError(f"an operation's {what} is a str, not a {type(name).__name__}")
    if not 1 <= len(name) <= most:
        raise OperationError(f"an operation's {what} has 1 to {most:,} characters; this one has {len(name):,}")
    if "\0" in name:
        raise OperationError(f"an operation's {what} holds no NUL character")
    _check_text(name, f"an operation's {what}")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OperationError(f"{where} holds a lone surrogate, which is no Unicode text") from None


def _too_long() -> OperationError:
    return OperationError(
        f"the result is longer than {RESULT_BYTES:,} bytes of JSON: keep it elsewhere, and record where"
    )
