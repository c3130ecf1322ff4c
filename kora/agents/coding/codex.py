"""Codex: `codex exec --json`. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kora.agents.coding.stream import (
    TOKEN,
    TROUBLE_CHARACTERS,
    Closing,
    Denials,
    Mark,
    Signal,
    cut,
    dict_of,
    fault,
    ids_of,
    text_of,
)
from kora.domain.resolution import Resolution

if TYPE_CHECKING:
    from kora.agents.coding.settings import CodingSettings

_TOOLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "collab_tool_call", "web_search"})
_WORDS = frozenset({"agent_message", "reasoning", "plan", "todo_list"})


def arguments(settings: CodingSettings, session_id: str | None) -> list[str]:
    """What `codex` is called with; `-` has it read its prompt from stdin."""
    said = ["exec", "--json", "--skip-git-repo-check"]
    if settings.model:
        said += ["--model", settings.model]
    if settings.permission_mode:
        said += ["--sandbox", settings.permission_mode]
    said += settings.arguments
    return [*said, "-"] if session_id is None else [*said, "resume", session_id, "-"]


class CodexStream:
    """Understands what `codex` prints: see `Interpreter`. `turn.completed` or `turn.failed`, the last, is its word.

    What is done (a command, a change, a search) and what is said (a message, a thought, a plan) is progress. A line
    `error`, or an item that is one, is neither progress nor the end: it tells of reconnecting without end.
    """

    def __init__(self, settings: CodingSettings) -> None:
        self.session_id: str | None = None
        self.trouble = ""
        self.words = 0
        self._settings = settings
        self._message = ""
        self._denials = Denials()
        self._word: dict[str, Any] | None = None
        self._usage: dict[str, Any] = {}

    @property
    def spent_usd(self) -> float | None:
        """What the tokens of all turns so far come to, if the model has a price."""
        usage = self._usage
        return self._settings.cost_usd(
            self._settings.model,
            usage.get("input_tokens"),
            usage.get("cached_input_tokens"),
            usage.get("output_tokens"),
        )

    def take(self, said: dict[str, Any]) -> Mark | None:
        """Take in a line; what progress it is, or None."""
        kind = said.get("type")
        match kind:
            case "item.started" | "item.updated" | "item.completed":
                return self._item(kind, dict_of(said.get("item")))
            case "item.plan.delta":
                return TOKEN
            case "thread.started":
                self.session_id = next(iter(ids_of(said.get("thread_id"))), None)
            case "error":
                self.trouble = cut(text_of(said.get("message")), TROUBLE_CHARACTERS)
            case "turn.completed" | "turn.failed":
                self._word = said
                self.words += 1
                self._usage = dict_of(said.get("usage")) or self._usage
        return None

    def closing(self, _exit_code: int | None) -> Closing | None:
        """What the end of the last turn came to."""
        if self._word is None:
            return None
        if self._word["type"] == "turn.completed":
            closing = self._denials.judge(Closing(Resolution.COMPLETED, self._message))
        else:
            error = dict_of(self._word.get("error"))
            closing = fault(text_of(error.get("message")) or self.trouble or "the turn failed, and did not say why")
        return replace(closing, cost_usd=self.spent_usd, model=self._settings.model or None)

    def _item(self, kind: str, item: dict[str, Any]) -> Mark | None:
        what, status = text_of(item.get("type")), item.get("status")
        if what in _WORDS:
            if what == "agent_message" and kind == "item.completed":
                self._message = text_of(item.get("text"))
            return TOKEN
        if what == "error":
            self.trouble = cut(text_of(item.get("message")), TROUBLE_CHARACTERS)
        if what not in _TOOLS or kind == "item.updated":
            return None
        if kind == "item.started":
            return Mark(Signal.TOOL, began=ids_of(item.get("id")))
        if status == "declined":
            self._denials.deny(text_of(item.get("command")) or what)
        elif status != "failed":
            self._denials.succeeded += 1
        return Mark(Signal.TOOL, ended=ids_of(item.get("id")))
