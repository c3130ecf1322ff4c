"""Claude Code: `claude -p --output-format stream-json`. Pure."""

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
    amount_of,
    cut,
    date_of,
    dict_of,
    dicts_of,
    fault,
    ids_of,
    status_of,
    text_of,
)
from kora.domain.resolution import Reason, Resolution
from kora.domain.state import DegradationReason

if TYPE_CHECKING:
    from kora.agents.coding.settings import CodingSettings

_SERVED = frozenset({"allowed", "allowed_warning"})
_REFUSALS = frozenset({"authentication_failed", "billing_error", "oauth_org_not_allowed", "rate_limit"})


def arguments(settings: CodingSettings, session_id: str | None) -> list[str]:
    """What `claude` is called with; it reads its prompt from stdin."""
    said = ["-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"]
    if settings.model:
        said += ["--model", settings.model]
    if settings.max_turns:
        said += ["--max-turns", str(settings.max_turns)]
    if settings.max_budget_usd:
        said += ["--max-budget-usd", f"{settings.max_budget_usd:.6f}".rstrip("0").rstrip(".")]
    if settings.permission_mode:
        said += ["--permission-mode", settings.permission_mode]
    if settings.allowed_tools:
        said += ["--allowedTools", *settings.allowed_tools]
    if session_id is not None:
        said += ["--resume", session_id]
    return said + list(settings.arguments)


class ClaudeStream:
    """Understands what `claude` prints: see `Interpreter`. Its closing word is a `result` line, the last one.

    A delta of a message is progress, and so is a message, a tool call, and its result. What beats on a timer is none
    (`tool_progress`), nor is what only says how it stands (`system`, `rate_limit_event`), nor a message that the
    program made up itself when the provider failed.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.trouble = ""
        self.words = 0
        self._model = ""
        self._error = ""
        self._denials = Denials()
        self._denied_in_stream = Denials()
        self._result: dict[str, Any] | None = None
        self._cost_usd: float | None = None
        self._resets_at: float | None = None
        self._is_out_of_quota = False

    @property
    def spent_usd(self) -> float | None:
        """What the last closing word has told."""
        return self._cost_usd

    def take(self, said: dict[str, Any]) -> Mark | None:
        """Take in a line; what progress it is, or None."""
        match said.get("type"):
            case "stream_event":
                return TOKEN if dict_of(said.get("event")).get("type") == "content_block_delta" else None
            case "assistant":
                return self._assistant(said)
            case "user":
                return self._user(said)
            case "system":
                self._system(said)
            case "rate_limit_event":
                self._rate_limit(dict_of(said.get("rate_limit_info")))
            case "result":
                self._take_result(said)
        return None

    def closing(self, _exit_code: int | None) -> Closing | None:
        """What the last `result` line came to: exit codes lie both ways, and are not looked at."""
        if self._result is None:
            return None
        return replace(self._closing(self._result), cost_usd=self._cost_usd, model=self._model or None)

    def _assistant(self, said: dict[str, Any]) -> Mark | None:
        message = dict_of(said.get("message"))
        blocks = dicts_of(message.get("content"))
        if said.get("is_api_error_message") is True or message.get("model") == "<synthetic>":
            self._error = text_of(said.get("error"))
            self.trouble = cut(" ".join(text_of(block.get("text")) for block in blocks).strip(), TROUBLE_CHARACTERS)
            return None
        if not blocks:
            return None
        calls = [block.get("id") for block in blocks if block.get("type") == "tool_use"]
        return Mark(Signal.TOOL, began=ids_of(*calls)) if calls else TOKEN

    def _user(self, said: dict[str, Any]) -> Mark | None:
        blocks = dicts_of(dict_of(said.get("message")).get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        if not results:
            return None
        self._denials.succeeded += sum(block.get("is_error") is not True for block in results)
        return Mark(Signal.TOOL, ended=ids_of(*(block.get("tool_use_id") for block in results)))

    def _system(self, said: dict[str, Any]) -> None:
        match said.get("subtype"):
            case "init":
                self.session_id = next(iter(ids_of(said.get("session_id"))), None)
                self._model = text_of(said.get("model"))
            case "permission_denied":
                self._denied_in_stream.deny(said.get("tool_name"))
            case "api_retry":
                status, error = said.get("error_status"), text_of(said.get("error"))
                self.trouble = cut(
                    f"the provider is tried again: {error or 'no answer'} ({status})", TROUBLE_CHARACTERS
                )

    def _rate_limit(self, info: dict[str, Any]) -> None:
        self._is_out_of_quota = text_of(info.get("status")) not in _SERVED
        self._resets_at = date_of(info.get("resetsAt")) if self._is_out_of_quota else None

    def _take_result(self, said: dict[str, Any]) -> None:
        self._result = said
        self.words += 1
        # Both are cumulative: the last that is told is the whole.
        models = {name: dict_of(usage) for name, usage in dict_of(said.get("modelUsage")).items()}
        costs = {name: amount_of(usage.get("costUSD")) or 0.0 for name, usage in models.items()}
        total = amount_of(said.get("total_cost_usd"))
        if total is None and costs:
            total = amount_of(sum(costs.values()))
        self._cost_usd = self._cost_usd if total is None else total
        if costs:
            dearest = max(costs, key=lambda name: costs[name])
            self._model = text_of(models[dearest].get("canonicalModel")) or text_of(dearest)
        self.session_id = self.session_id or next(iter(ids_of(said.get("session_id"))), None)

    def _closing(self, result: dict[str, Any]) -> Closing:
        why, subtype = text_of(result.get("terminal_reason")), text_of(result.get("subtype"))
        said = _words(result)
        if why == "budget_exhausted" or subtype == "error_max_budget_usd":
            return Closing(Resolution.FAILED_RETRYABLE, f"over its budget: {said}", Reason.OVER_LIMITS)
        if why == "max_turns" or subtype == "error_max_turns":
            return Closing(Resolution.FAILED_RETRYABLE, f"over its turns: {said}", Reason.OVER_LIMITS)
        is_success = result.get("is_error") is False
        if why == "api_error" or (not is_success and result.get("api_error_status") is not None):
            return self._provider_s(status_of(result.get("api_error_status")), said)
        if why.startswith("aborted"):
            return Closing(Resolution.RELEASED, f"interrupted: {said}", Reason.AGENT_TEMPORARY)
        if not is_success:
            return Closing(Resolution.FAILED_RETRYABLE, said, Reason.AGENT_REPORTED)
        self._take_denials(result)
        return self._denials.judge(Closing(Resolution.COMPLETED, text_of(result.get("result"))))

    def _provider_s(self, status: int | None, said: str) -> Closing:
        closing = fault(said, status)
        if closing.refused is None and status is None:
            if self._error in _REFUSALS or self._is_out_of_quota:
                is_quota = self._is_out_of_quota or self._error in {"rate_limit", "billing_error"}
                refused = DegradationReason.DISPATCH if is_quota else DegradationReason.AUTH
                closing = replace(closing, refused=refused, summary=f"the provider refused: {said}")
            else:
                closing = replace(closing, summary=f"the provider failed: {said}")
            closing = replace(closing, resolution=Resolution.RELEASED, reason=Reason.PROVIDER_FAULT)
        is_rate = closing.refused is DegradationReason.DISPATCH
        return replace(closing, resets_at=self._resets_at if is_rate else None)

    def _take_denials(self, result: dict[str, Any]) -> None:
        """Those that the result lists; where it lists none, those that the stream told of."""
        listed = dicts_of(result.get("permission_denials"))
        if not listed:
            self._denials.names = self._denied_in_stream.names.copy()
            return
        self._denials.names.clear()
        for denied in listed:
            self._denials.deny(denied.get("tool_name"))


def _words(result: dict[str, Any]) -> str:
    """What the result says in words."""
    errors = result.get("errors")
    listed = [text_of(error) for error in errors[:10]] if isinstance(errors, list) else []
    return (
        text_of(result.get("result"))
        or "; ".join(error for error in listed if error)
        or text_of(result.get("subtype"))
        or "it did not say why"
    )
