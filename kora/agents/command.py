"""The plain command: any program as an agent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from kora.agents.attempt import Attempt
from kora.agents.dialogue import Dialogue
from kora.agents.hearing import Progress, Spoken
from kora.agents.output import Output
from kora.agents.program import Program
from kora.agents.reader import Plan
from kora.agents.record import Record, plain_path
from kora.agents.workspace import WorkspaceKind
from kora.clock import SystemTime, TimeSource
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.containment import Containment
    from kora.agents.meter import Meters
    from kora.agents.port import EndListener, Lease, Operations, RunningAgent
    from kora.domain.claim import Claim

_FIRST_LINE_BYTES: Final = 256
DEFAULT_ENV_ALLOW: Final = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """The `[agent]` of kind "command"."""

    command: tuple[str, ...]
    """the program and its arguments; no shell. `{ticket_id}`, `{ticket_title}`, `{ticket_objective}` are filled in as
    whole arguments"""
    workdir: Path
    """where the agent runs; the repository, for worktrees"""
    timeout_seconds: float = 0.0
    """how long an attempt may take; 0: as long as it makes progress"""
    stall_seconds: float = 0.0
    """how long an attempt may go without progress; 0: as long as its lease lasts"""
    grace_seconds: float = 5.0
    """between SIGTERM and SIGKILL"""
    env_allow: tuple[str, ...] = DEFAULT_ENV_ALLOW
    """which of the runtime's environment variables the agent gets"""
    progress: Progress = "lines"
    """what counts as progress: every line of output, or only lines that say so"""

    interactive: bool = False
    """whether stdin stays open, and operations are answered there"""
    verify: tuple[str, ...] = ()
    """the check that an agent's success has to pass; empty: its word is taken"""
    workspace: WorkspaceKind = "shared"
    """whether each attempt runs in `workdir`, or in a place of its own: see `WorkspacedAgent`"""


class CommandAgent:
    """Starts the command as `Agent` has it: contained, under its lease, its output kept in `state_dir/attempts/`.

    `environ` is where `env_allow` picks from; this process's own, if not given. What `verify` and `workspace` ask for
    is not done here: see `VerifiedAgent`, `WorkspacedAgent`.
    """

    def __init__(
        self,
        settings: CommandSettings,
        containment: Containment,
        *,
        state_dir: Path,
        meters: Meters,
        time_source: TimeSource | None = None,
        environ: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._meters = meters
        self._time_source = time_source or SystemTime()
        self._program = Program(
            settings.command,
            containment,
            workdir=settings.workdir,
            env_allow=settings.env_allow,
            grace_seconds=settings.grace_seconds,
            environ=environ,
        )

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt and return at once; the program itself is launched by the attempt's own thread.

        `on_end` is called by that thread, so it may come before this method's caller has stored what it returns; only
        where the machine refuses a thread it is called from within.
        """
        settings, clock = self._settings, self._time_source
        ticket = claim.ticket
        name = f"attempt {claim.key.work_attempt_id} of ticket {ticket.ticket_id}"
        places = {
            "{ticket_id}": ticket.ticket_id,
            "{ticket_title}": ticket.ticket_title,
            "{ticket_objective}": ticket.ticket_objective,
        }
        dialogue = Dialogue(name, claim.key, operations, clock, interactive=settings.interactive)
        record = Record(plain_path(self._state_dir, claim.key.work_attempt_id), clock)
        plan = Plan(
            name=name,
            document=lambda: document_for(claim),
            launcher=lambda stdio, current, kept: self._program.launch(claim, stdio, current, places, kept=kept),
            output=Output(record, Spoken(name, settings.progress, dialogue), clock),
            dialogue=dialogue,
            meter=self._meters.meter(claim),
            timeout_seconds=settings.timeout_seconds,
            stall_seconds=settings.stall_seconds,
        )
        attempt = Attempt(plan, lease, clock, on_end)
        attempt.start()
        return attempt

    def lingering(self) -> frozenset[str]:
        """No ticket: nothing of a command outlives its attempt."""
        return frozenset()


def document_for(claim: Claim) -> bytes:
    """What an agent reads on its stdin: one JSON object."""
    said = {
        "ticket": orjson.Fragment(claim.ticket.model_dump_json()),
        "work_attempt_id": claim.key.work_attempt_id,
        "attempt": claim.attempt,
        "lease_expires_at": claim.lease_expires_at,
        "operations": claim.operations,
    }
    return orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def resolve_executable(command: tuple[str, ...], folder: Path, path: str | None) -> str:
    """Where the command's program is: from `folder` when it is named with a slash, else on `path` (PATH's own form).

    Raises:
        AgentError: there is none, or it cannot be run; the message says which, where, and why.
    """
    if not command or not command[0]:
        raise AgentError("the command is empty: it needs at least a program")
    name = command[0]
    if "/" in name:
        candidate = folder / name
        if (fault := _fault_of(candidate)) is not None:
            raise AgentError(f"'{candidate}' {fault}")
        return str(candidate)
    search = os.defpath if path is None else path
    fault_found: str | None = None
    for entry in search.split(os.pathsep):
        candidate = folder / entry / name
        fault = _fault_of(candidate)
        if fault is None:
            return str(candidate)
        if fault_found is None and os.path.lexists(candidate):
            fault_found = f"'{candidate}' {fault}"
    raise AgentError(fault_found or f"'{name}' is not to be found on PATH ({search})")


def _fault_of(program: Path) -> str | None:
    try:
        program.stat()
    except FileNotFoundError:
        return "is a link that leads nowhere" if program.is_symlink() else "does not exist"
    except OSError as error:
        return f"cannot be reached: {error.strerror}"
    if program.is_dir():
        return "is a directory, not a program"
    if not os.access(program, os.X_OK):
        return "is not executable (chmod +x makes it so)"
    return _fault_of_first_line(program)


def _fault_of_first_line(program: Path) -> str | None:
    try:
        with program.open("rb") as file:
            head = file.read(_FIRST_LINE_BYTES)
    except OSError:
        # What may be run but not read is no script.
        return None
    words = head.partition(b"\n")[0].removeprefix(b"#!").split() if head.startswith(b"#!") else []
    if words and not Path(os.fsdecode(words[0])).exists():
        return f"names an interpreter that does not exist: {os.fsdecode(words[0])}"
    return None
