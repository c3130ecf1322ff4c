"""What each recorded stream comes to: the table that tests hold the adapters to, and the streams themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kora.agents.coding.agent import interpreter_of
from kora.agents.coding.settings import CodingSettings, Price
from kora.agents.coding.stream import Mark, Signal
from kora.agents.lines import parsed

FOLDER = Path(__file__).parent / "transcripts"
PRICES = {"gpt-5": Price(1.25, 0.125, 10.0), "g": Price(0.3, 0.03, 2.5)}
DEAD = "Reconnecting... waiting for network (Connection failed: error sending request)"
GEMINI_TOOL = "run_shell_command__run_shell_command_1795332619817_0"

TOKEN = Mark(Signal.TOKEN)


def begins(tool_id: str) -> Mark:
    return Mark(Signal.TOOL, began=(tool_id,))


def ends(tool_id: str) -> Mark:
    return Mark(Signal.TOOL, ended=(tool_id,))


@dataclass(frozen=True)
class Recorded:
    """One stream, and what it comes to. `end` is how its program went: see `replay`."""

    name: str
    end: str
    resolution: str
    summary: str
    marks: tuple[Mark, ...]
    cost_usd: float | None = None
    model: str | None = None
    reason: str | None = None
    offset: float | None = None
    session_id: str = ""
    refused: str | None = None
    trouble: str = ""

    @property
    def kind(self) -> str:
        return self.name.partition("_")[0]

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.jsonl"

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines()

    def settings(self, **more) -> CodingSettings:
        fields = {
            "kind": self.kind,
            "executable": self.kind,
            "workdir": FOLDER,
            "model": "gpt-5" if self.kind == "codex" else "",
            "prices": PRICES,
        }
        return CodingSettings(**(fields | more))


OPUS = "claude-opus-5-5"
CALL, TEXT = "toolu_1", (TOKEN, TOKEN, TOKEN)
"""two deltas, and the message"""

TABLE = (
    Recorded(
        "claude_ok_partial",
        "exit:0",
        "completed",
        "All done",
        (TOKEN, begins(CALL), ends(CALL), *TEXT),
        cost_usd=0.0025,
        model=OPUS,
        session_id="3e7d2413-27f9-4b7a-a01e-d678b6284fbd",
    ),
    Recorded(
        "claude_long_tool",
        "exit:0",
        "completed",
        "All done",
        (TOKEN, begins("toolu_4"), ends("toolu_4"), *TEXT),
        cost_usd=0.0025,
        model=OPUS,
        session_id="a6a8ef99-8aa2-41ec-91d0-6b51e7b57c57",
    ),
    Recorded(
        "claude_401",
        "exit:1",
        "released",
        "the provider refused (401): Invalid API key · Fix external API key",
        (),
        cost_usd=0.0,
        model=OPUS,
        reason="provider_fault",
        offset=60.0,
        session_id="31217d7a-87d7-4829-bb24-d131b5d458fc",
        refused="auth",
        trouble="Invalid API key · Fix external API key",
    ),
    Recorded(
        "claude_denied",
        "exit:0",
        "failed_retryable",
        "permission denied: Bash; no tool call succeeded; it said: All done",
        (begins(CALL), ends(CALL), TOKEN),
        cost_usd=0.0025,
        model=OPUS,
        reason="permission_denied",
        offset=60.0,
        session_id="71202e4b-c7f3-43b0-9333-3249c27e67d7",
    ),
    Recorded(
        "claude_max_turns",
        "exit:1",
        "failed_retryable",
        "over its turns: Reached maximum number of turns (2)",
        (begins(CALL), ends(CALL), begins("toolu_2"), ends("toolu_2")),
        cost_usd=0.0025,
        model=OPUS,
        reason="over_limits",
        offset=60.0,
        session_id="2923addd-3171-414b-9864-f4279e6a4624",
    ),
    Recorded(
        "claude_sigterm",
        "exit:143",
        "released",
        "it ended with exit code 143 before its closing word",
        (TOKEN, begins(CALL), ends(CALL)),
        reason="agent_signal",
        offset=60.0,
        session_id="746dc9f4-2bf9-4db2-874d-45c1682d2247",
    ),
    Recorded(
        "codex_ok",
        "exit:0",
        "completed",
        "All done",
        (begins("item_1"), ends("item_1"), TOKEN),
        cost_usd=0.00056,
        model="gpt-5",
        session_id="01a20227-58cd-76f2-b980-569a54bcc96b",
    ),
    Recorded(
        "codex_deadnet",
        "exit:1",
        "failed_retryable",
        f"it ended with exit code 1 before its closing word: {DEAD}",
        (),
        reason="agent_exit",
        offset=60.0,
        session_id="01a20227-6204-7f73-949e-f12091f51c6b",
        trouble=DEAD,
    ),
    Recorded(
        "gemini_ok",
        "exit:0",
        "completed",
        "All done",
        (begins(GEMINI_TOOL), ends(GEMINI_TOOL), TOKEN),
        cost_usd=0.00016,
        model="g",
        session_id="18fb87a5-8ce1-41ea-94fa-609521231059",
    ),
)
BY_NAME = {recorded.name: recorded for recorded in TABLE}


def read(settings: CodingSettings, lines):
    """The interpreter after all these lines, and the marks that they were."""
    interpreter = interpreter_of(settings)
    said = [line if isinstance(line, dict) else parsed(line) for line in lines]
    marks = [mark for line in said if line is not None and (mark := interpreter.take(line)) is not None]
    return interpreter, tuple(marks)
