"""What may come next: commands, options, and what the running runtime has by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document as Typing
from typer.core import TyperGroup

from kora.cli.repl.messages import spellings
from kora.cli.repl.words import Word, read
from kora.logging import escaped

if TYPE_CHECKING:
    from kora.cli.repl.live import Live

Choices = Iterable[tuple[str, str]]
"""each with its meaning"""
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class RuntimeCompleter(Completer):
    """Completes the commands of the group with what `live` knows. Waits for its answers: to be asked in a thread."""

    def __init__(self, group: TyperGroup, live: Live) -> None:
        self._group = group
        self._live = live
        self._choices: dict[str, Callable[[], Choices]] = {
            "NAME": live.actors,
            "TICKET": live.tickets,
            "ID": live.tickets,
            "COMMAND": lambda: _commands(group),
            "STATUS": _statuses,
            "TYPE": _event_types,
            "LEVEL": lambda: ((level, "") for level in LEVELS),
            "N": live.dead_letters,
            "1|2|3|4|5": _stop_levels,
            "N|all": lambda: [*live.dead_letters(), ("all", "all of them")],
        }

    def get_completions(self, document: Typing, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002 - prompt_toolkit's signature
        """What may stand where the cursor is."""
        text = document.text_before_cursor
        typed = read(text)
        before, partial = _cut(typed.last, text, is_open=not typed.is_whole)
        command: Any = self._group
        words = [word.text for word in before]
        while words and isinstance(command, TyperGroup):
            command = command.commands.get(words.pop(0))
        if command is None:
            return
        if isinstance(command, TyperGroup) and not partial.startswith("-"):
            yield from _matching(_commands(command), partial)
        elif partial.startswith("-"):
            yield from _matching(_options(command), partial)
        else:
            metavar = _metavar(command, words)
            if metavar == "JSON":
                yield from spellings(partial, self._kinds(words), to_ask=command.name == "ask")
            elif metavar in self._choices:
                yield from _matching(self._choices[metavar](), partial)

    def _kinds(self, words: list[str]) -> list[Any]:
        name = next((word for word in words if not word.startswith("-")), None)
        return [] if name is None else list(self._live.kinds(name))


def _cut(words: list[Word], text: str, *, is_open: bool) -> tuple[list[Word], str]:
    """The words before the one at which the cursor is, and what there is of that one, as it was typed."""
    if words and words[-1].end == len(text) and (is_open or not text[-1].isspace()):
        return words[:-1], text[words[-1].start :]
    return words, ""


def _matching(choices: Choices, partial: str) -> Iterator[Completion]:
    for text, meaning in choices:
        if text.startswith(partial) and text != partial:
            yield Completion(text, -len(partial), display=escaped(text), display_meta=escaped(meaning))


def _commands(group: TyperGroup) -> Choices:
    from kora.cli.registry import Commands

    if isinstance(group.commands, Commands):
        return [(name, entry.short_help) for name, entry in group.commands.entries.items()]
    return [(name, command.get_short_help_str()) for name, command in group.commands.items()]


def _options(command: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer's own class of commands is private
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield max(parameter.opts, key=len), parameter.help or ""
    yield "--help", "Show what the command does."


def _metavar(command: Any, words: list[str]) -> str | None:  # noqa: ANN401 - as above
    """What is to come behind these words of the command: an option's value, or an argument."""
    options = {spelt: each for each in command.params if each.param_type_name == "option" for spelt in each.opts}
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    given, waiting = 0, None
    for word in words:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            option = options.get(word)
            waiting = option if option is not None and not option.is_flag else None
        else:
            given += 1
    if waiting is None and given >= len(arguments):
        return None
    expected = arguments[given] if waiting is None else waiting
    return str(expected.metavar or "").strip("[]")


def _statuses() -> Choices:
    from kora.domain.ticket import Status

    return [(str(status), "") for status in Status]


def _event_types() -> Choices:
    from kora.domain.events import EventType

    return [(str(each), "") for each in EventType]


def _stop_levels() -> Choices:
    from kora.cli.control_view import MEANINGS

    return [(str(level.value), f"{level.action}: {meaning}") for level, meaning in MEANINGS.items()]
