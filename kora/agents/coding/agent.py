"""Claude Code, Codex and Gemini CLI as agents: one way to run them, as a command is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kora.agents.attempt import Attempt
from kora.agents.coding import claude, codex, gemini
from kora.agents.coding.hearing import CodingHearing
from kora.agents.coding.session import Session
from kora.agents.dialogue import Dialogue
from kora.agents.output import Output
from kora.agents.program import Program
from kora.agents.prompt import OUTPUT_CHARACTERS, render
from kora.agents.reader import Plan
from kora.agents.record import Record, plain_path
from kora.agents.verify import last_output
from kora.clock import SystemTime

if TYPE_CHECKING:
    from kora.agents.coding.hearing import Watcher
    from kora.agents.coding.settings import CodingSettings
    from kora.agents.coding.stream import Interpreter
    from kora.agents.containment import Containment
    from kora.agents.meter import Meters
    from kora.agents.port import EndListener, Lease, Operations, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim

_MEANT_FOR_THE_PROGRAM: Final = "/@!#-"
"""what these programs may take for a word to themselves, at the beginning of a prompt"""


class CodingAgent:
    """Starts the program as `Agent` has it: contained, under its lease, its stream kept in `state_dir/attempts/`.

    `environ` is where `env_allow` picks from; this process's own, if not given. `watch` is told what the stream says.
    What `verify` asks for is not done here: see `VerifiedAgent`.
    """

    def __init__(
        self,
        settings: CodingSettings,
        containment: Containment,
        *,
        state_dir: Path,
        meters: Meters,
        time_source: TimeSource | None = None,
        environ: Mapping[bytes, bytes] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._meters = meters
        self._time_source = time_source or SystemTime()
        self._watch = watch
        self._program = Program(
            (settings.executable,),
            containment,
            workdir=settings.workdir,
            env_allow=settings.env_allow,
            grace_seconds=settings.grace_seconds,
            environ=environ,
        )

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt and return at once; see `CommandAgent.start`."""
        settings, clock = self._settings, self._time_source
        name = f"attempt {claim.key.work_attempt_id} of ticket {claim.ticket.ticket_id}"
        dialogue = Dialogue(name, claim.key, operations, clock, interactive=False) if settings.resume else None
        session = Session(settings.kind, claim, dialogue)
        hearing = CodingHearing(
            interpreter_of(settings), session, clock, grace_seconds=settings.grace_seconds, watch=self._watch
        )
        arguments = arguments_of(_within(settings, self._meters.left_usd(claim)), session.earlier)
        plan = Plan(
            name=name,
            document=lambda: prompt_of(settings, claim, self._state_dir).encode(),
            launcher=lambda stdio, current, kept: self._program.launch(
                claim, stdio, current, more=arguments, kept=kept
            ),
            output=Output(Record(plain_path(self._state_dir, claim.key.work_attempt_id), clock), hearing, clock),
            dialogue=dialogue,
            meter=self._meters.meter(claim),
            timeout_seconds=settings.timeout_seconds,
            stall_seconds=settings.stall_seconds,
        )
        attempt = Attempt(plan, lease, clock, on_end)
        attempt.start()
        return attempt

    def lingering(self) -> frozenset[str]:
        """No ticket: nothing of a program outlives its attempt."""
        return frozenset()


def prompt_of(settings: CodingSettings, claim: Claim, state_dir: Path) -> str:
    """What the agent is asked; read from stdin, so that a title is a title whatever it looks like."""
    checked = last_output(state_dir, claim.earlier_attempts, characters=OUTPUT_CHARACTERS) if settings.verify else ""
    prompt = render(settings.prompt, claim, checked)
    return f"The ticket:\n\n{prompt}" if prompt.lstrip()[:1] in _MEANT_FOR_THE_PROGRAM else prompt


def arguments_of(settings: CodingSettings, session_id: str | None) -> list[str]:
    """What the program is called with, to go on in this session or, without one, to begin."""
    match settings.kind:
        case "claude":
            return claude.arguments(settings, session_id)
        case "codex":
            return codex.arguments(settings, session_id)
        case "gemini":
            return gemini.arguments(settings, session_id)


def _within(settings: CodingSettings, left_usd: float | None) -> CodingSettings:
    """The settings with no greater budget than this; a program that can be told one keeps to it by itself."""
    if not left_usd or 0 < settings.max_budget_usd <= left_usd:
        return settings
    return replace(settings, max_budget_usd=left_usd)


def interpreter_of(settings: CodingSettings) -> Interpreter:
    """Who understands its program's stream; a fresh one for each attempt."""
    match settings.kind:
        case "claude":
            return claude.ClaudeStream()
        case "codex":
            return codex.CodexStream(settings)
        case "gemini":
            return gemini.GeminiStream(settings)
