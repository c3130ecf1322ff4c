"""From a record to its line: for people, or for machines."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from kora.logging.letters import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loguru import Message

LogFormat = Literal["text", "json"]

_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
LEVELS: Final = frozenset(_COLOURS)
_SHOWN_OF_AN_ID: Final = 8
"""the last ones: ids that were made together begin alike"""
_ID_CHARACTERS: Final = 36


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says, in the order in which machines read it; with no secrets."""

    time: datetime
    level: str
    actor: str
    runtime: str | None
    ticket: str | None
    attempt: str | None
    message: str
    exception: str | None


_KEYS: Final = tuple(field.name for field in fields(Said))


class Lines:
    """Makes lines that hold no secret that `redacted` knows."""

    def __init__(
        self, log_format: LogFormat, redacted: Callable[[str], str], *, coloured: bool, runtime_id: str | None
    ) -> None:
        self.runtime_id = runtime_id
        self._redacted = redacted
        self._coloured = coloured
        self._is_json = log_format == "json"

    def said(self, message: Message) -> Said:
        """What the record says."""
        record = message.record
        extra = record["extra"]
        thread = "runtime" if record["thread"].name == "MainThread" else record["thread"].name
        return Said(
            time=record["time"],
            level=record["level"].name,
            actor=str(extra.get("actor", thread)),
            runtime=self.runtime_id,
            ticket=_known(extra.get("ticket")),
            attempt=_known(extra.get("attempt")),
            message=self._redacted(record["message"]),
            exception=_known(self._redacted(str(message).strip("\n")) or None),
        )

    def of(self, said: Said) -> str:
        """Its line; further lines of a text are set in, so that no message can pass for a line of its own."""
        return (_object(said) if self._is_json else self._text(said)) + "\n"

    def note(self, text: str) -> str:
        """The log's own word, on what it could not write."""
        if not self._is_json:
            return f"({text})\n"
        return _object(Said(datetime.now(UTC), "WARNING", "log", self.runtime_id, None, None, text, None)) + "\n"

    def _text(self, said: Said) -> str:
        level = f"{said.level:<8}"
        if self._coloured and said.level in _COLOURS:
            level = f"\x1b[{_COLOURS[said.level]}m{level}\x1b[0m"
        first, *others = shown(said)
        about = ", ".join(_about(said))
        head = f"{said.time:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        lines = [f"{head} {level} {escaped(said.actor):<12} {first}" + (f" ({about})" if about else "")]
        return "\n".join([*lines, *(f"    {line}" for line in others)])


def shown(said: Said) -> list[str]:
    """The message's lines and the exception's, none of which holds a control character."""
    lines = [escaped(line) for line in said.message.split("\n")]
    return lines + [escaped(line) for line in (said.exception or "").split("\n") if line]


def _object(said: Said) -> str:
    time = said.time.astimezone(UTC).replace(tzinfo=None)
    values = {name: _sound(getattr(said, name)) for name in _KEYS}
    # In ASCII, so that no stream's encoding can spoil it.
    return json.dumps(values | {"time": f"{time.isoformat(timespec='microseconds')}Z"})


def _sound(value: object) -> object:
    """The value, without halves of surrogate pairs: other readers refuse them."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _known(value: object) -> str | None:
    return None if value is None else str(value)


def _about(said: Said) -> Iterator[str]:
    """What the record is about, as far as its message does not say so."""
    for name, value in (("ticket", said.ticket), ("attempt", said.attempt)):
        if value and value not in said.message:
            yield f"{name} {escaped(_short(value))}"


def _short(identifier: str) -> str:
    return f"…{identifier[-_SHOWN_OF_AN_ID:]}" if len(identifier) == _ID_CHARACTERS else identifier
