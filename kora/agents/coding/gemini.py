"""Gemini CLI: `gemini -p … -o stream-json`. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kora.agents.coding.stream import (
    TOKEN,
    TROUBLE_CHARACTERS,
    Closing,
    Denials,
    Mark,
    Signal,
    amount_of,
    cut,
    dict_of,
    fault,
    ids_of,
    text_of,
)
from kora.domain.resolution import SUMMARY_CHARACTERS, Reason, Resolution
from kora.domain.state import DegradationReason

if TYPE_CHECKING:
    from kora.agents.coding.settings import CodingSettings

EXITS: Final = {
    41: "authentication failed",
    42: "its input was not accepted",
    44: "its sandbox failed",
    52: "its configuration is not valid",
    53: "over its turns",
    54: "a tool failed it",
    55: "its folder is not trusted",
    130: "interrupted",
}
_EXITS_BY_ERROR: Final = {
    "FatalAuthenticationError": 41,
    "FatalInputError": 42,
    "FatalSandboxError": 44,
    "FatalConfigError": 52,
    "FatalTurnLimitedError": 53,
    "FatalToolExecutionError": 54,
    "FatalUntrustedWorkspaceError": 55,
    "FatalCancellationError": 130,
}
_TOOLS_MAX: Final = 1_000
_DENIED: Final = frozenset({"permission_denied", "policy_violation"})
_GO_AHEAD: Final = "Do the work that is described above."


def arguments(settings: CodingSettings, session_id: str | None) -> list[str]:
    """What `gemini` is called with; it reads its prompt from stdin, and `-p` adds a last line to that."""
    said = ["-p", _GO_AHEAD, "-o", "stream-json"]
    if settings.model:
        said += ["--model", settings.model]
    if settings.permission_mode:
        said += ["--approval-mode", settings.permission_mode]
    if session_id is not None:
        said += ["--resume", session_id]
    return said + list(settings.arguments)


class GeminiStream:
    """Understands what `gemini` prints: see `Interpreter`. Its closing word is a `result` line, the last one.

    What the model says is progress, and so is a tool call, and its result. Lines `error` are not, nor is what the user
    is said to have said.
    """

    def __init__(self, settings: CodingSettings) -> None:
        self.session_id: str | None = None
        self.trouble = ""
        self.words = 0
        self._settings = settings
        self._model = ""
        self._message = ""
        self._tools: dict[str, str] = {}
        self._denials = Denials()
        self._result: dict[str, Any] | None = None

    @property
    def spent_usd(self) -> float | None:
        """What the last closing word has told, if each of its models has a price."""
        return None if self._result is None else self._cost_usd(dict_of(self._result.get("stats")))

    def take(self, said: dict[str, Any]) -> Mark | None:
        """Take in a line; what progress it is, or None."""
        match said.get("type"):
            case "message" if said.get("role") == "assistant":
                self._say(said)
                return TOKEN
            case "tool_use":
                return self._begin(said)
            case "tool_result":
                return self._end(said)
            case "init":
                self.session_id = next(iter(ids_of(said.get("session_id"))), None)
                self._model = text_of(said.get("model"))
            case "error":
                self.trouble = cut(text_of(said.get("message")), TROUBLE_CHARACTERS)
            case "result":
                self._result = said
                self.words += 1
        return None

    def closing(self, exit_code: int | None) -> Closing | None:
        """What the last `result` line came to; where there is none, what an exit code of its own says."""
        if self._result is None:
            return None if exit_code not in EXITS else _exited(exit_code, self.trouble)
        stats = dict_of(self._result.get("stats"))
        if self._result.get("status") == "success":
            closing = self._denials.judge(Closing(Resolution.COMPLETED, self._message.strip()))
        else:
            closing = self._failure(dict_of(self._result.get("error")), exit_code)
        return replace(closing, cost_usd=self.spent_usd, model=self._main_model(stats))

    def _say(self, said: dict[str, Any]) -> None:
        content = said.get("content")
        if isinstance(content, str):
            before = self._message if said.get("delta") is True else ""
            # More than is told of it, which is cut when it is known whether it ends in half of a secret.
            self._message = (before + content[: 2 * SUMMARY_CHARACTERS])[: 2 * SUMMARY_CHARACTERS]

    def _begin(self, said: dict[str, Any]) -> Mark:
        self._message = ""
        ids = ids_of(said.get("tool_id"))
        for tool_id in ids:
            self._tools[tool_id] = text_of(said.get("tool_name"))
            if len(self._tools) > _TOOLS_MAX:
                del self._tools[next(iter(self._tools))]
        return Mark(Signal.TOOL, began=ids)

    def _end(self, said: dict[str, Any]) -> Mark:
        self._message = ""
        ids = ids_of(said.get("tool_id"))
        name = next((self._tools.pop(tool_id, "") for tool_id in ids), "")
        if said.get("status") == "success":
            self._denials.succeeded += 1
        elif text_of(dict_of(said.get("error")).get("type")) in _DENIED:
            self._denials.deny(name)
        return Mark(Signal.TOOL, ended=ids)

    def _failure(self, error: dict[str, Any], exit_code: int | None) -> Closing:
        kind, message = text_of(error.get("type")), text_of(error.get("message")) or self.trouble
        code = _EXITS_BY_ERROR.get(kind, exit_code)
        if code in EXITS:
            return _exited(code, message)
        return fault(": ".join(part for part in (kind, message) if part) or "it failed, and did not say why")

    def _cost_usd(self, stats: dict[str, Any]) -> float | None:
        """Of all its models together, if each has a price."""
        costs = [
            self._settings.cost_usd(name, used.get("input_tokens"), used.get("cached"), used.get("output_tokens"))
            for name, used in ((name, dict_of(used)) for name, used in dict_of(stats.get("models")).items())
        ]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if costs and len(known) == len(costs) else None

    def _main_model(self, stats: dict[str, Any]) -> str | None:
        """The model that used the most; before anything is told, the one that the session began with."""
        models = {name: dict_of(used) for name, used in dict_of(stats.get("models")).items()}
        used = {name: amount_of(model.get("total_tokens")) or 0.0 for name, model in models.items()}
        return (text_of(max(used, key=lambda name: used[name])) if used else self._model) or None


def _exited(code: int | None, message: str) -> Closing:
    named = f"{EXITS.get(code or 0, 'it failed')} (exit code {code})"
    summary = f"{named}: {message}" if message else named
    match code:
        case 41:
            return Closing(Resolution.RELEASED, summary, Reason.PROVIDER_FAULT, DegradationReason.AUTH)
        case 53:
            return Closing(Resolution.FAILED_RETRYABLE, summary, Reason.OVER_LIMITS)
        case 130:
            return Closing(Resolution.RELEASED, summary, Reason.AGENT_TEMPORARY)
        case _:
            return Closing(Resolution.FAILED_RETRYABLE, summary, Reason.AGENT_EXIT)
