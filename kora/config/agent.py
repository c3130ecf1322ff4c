"""The agents of the file: the default one, and those that tickets name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, PlainValidator

from kora.agents.workspace import WorkspaceKind
from kora.config.faults import key_path, said
from kora.config.prompts import Prompt, chosen
from kora.config.values import Argument, Arguments, Place, Seconds, Section, no_nul, variable

if TYPE_CHECKING:
    from kora.agents.callable import CallableSettings
    from kora.agents.coding.settings import CodingSettings, Kind
    from kora.agents.command import CommandSettings
    from kora.agents.kinds import Spec

NEEDED: Final = {"command": "command", "callable": "callable"}
"""the key that each kind cannot do without"""
_CODING: Final = ("claude", "codex", "gemini")
_ONLY_WITH: Final = {
    "command": ("command",),
    "interactive": ("command",),
    "progress": ("command",),
    "callable": ("callable",),
    "executable": _CODING,
    "arguments": _CODING,
    "prompt": _CODING,
    "prompt_file": _CODING,
    "model": _CODING,
    "permission_mode": _CODING,
    "resume": _CODING,
    "allowed_tools": ("claude",),
    "max_turns": ("claude",),
    "max_budget_usd": ("claude",),
    "prices": ("codex", "gemini"),
}
_CALLABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _names_a_function(text: str) -> str:
    if not _CALLABLE.fullmatch(text):
        raise ValueError('must be "module:function", such as "agent:run"')
    return text


def _is_no_option(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("must not begin with a dash: further options of the program belong into arguments")
    return no_nul(text)


Word = Annotated[str, AfterValidator(_is_no_option)]
"""what is handed on as the value of a program's option"""
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
_Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ModelPrice(Section):
    """What a model costs, in US dollars for a million tokens."""

    input_usd_per_million: _Usd = Field(description="for a million tokens that it reads")
    cached_input_usd_per_million: _Usd = Field(description="for those of them that it has in its cache")
    output_usd_per_million: _Usd = Field(
        description="for a million tokens that it writes, those of its thoughts included"
    )


def _word_or_place(value: object) -> WorkspaceKind | Path:
    match value:
        case "shared" | "fresh" | "worktree":
            return value
        case str() | Path():
            return Path(no_nul(str(value)))
    raise ValueError(f"must be a path, or one of {', '.join(get_args(WorkspaceKind))}, not {said(value)}")


# One check for both, so that what is wrong is one fault. A path such as "./fresh" is no word.
Workdir = Annotated[WorkspaceKind | Path, PlainValidator(_word_or_place, json_schema_input_type=WorkspaceKind | Path)]


class Agent(Section):
    """The program or function that does the tickets: all of them, but those that name another."""

    kind: Literal["command", "callable", "claude", "codex", "gemini"] = Field(
        "command", description="a program, a Python function, or a coding agent's own program"
    )
    command: Annotated[Arguments, Field(min_length=1)] = Field(
        (),
        description="the program and its arguments; no shell reads them. A slash in its name: relative to the file",
    )
    callable: Annotated[str, AfterValidator(_names_a_function)] = Field(
        "", description="the function, as `module:function`; modules are looked for beside the file, then in `sys.path`"
    )
    interactive: bool = Field(
        default=False, description="keep the program's stdin open, and answer its operations there, a line each"
    )
    verify: Arguments = Field(
        (), description="a check, run after a claimed success: only its exit code 0 makes that `completed`; empty: none"
    )
    executable: Annotated[str, AfterValidator(no_nul)] = Field(
        "",
        description="a coding agent's program; empty: the kind's name, from PATH. With a slash: relative to the file",
    )
    arguments: Annotated[tuple[Argument, ...], Field(strict=False)] = Field(
        (), description="further arguments for a coding agent's program"
    )
    prompt: Prompt = Field("", description="the template of what a coding agent is asked; empty: one that is built in")
    prompt_file: Place = Field(Path(), description="the file that holds the template, instead of `prompt`; `.`: none")
    model: Word = Field("", description="the model; empty: the program's own choice")
    permission_mode: Word = Field(
        "",
        description="what it may do unasked: claude's `--permission-mode`, codex's `--sandbox`, gemini's"
        " `--approval-mode`; empty: as the program is set up",
    )
    allowed_tools: Annotated[tuple[Word, ...], Field(strict=False)] = Field(
        (), description="what claude may use unasked beside that, such as `Bash(git log:*)`"
    )
    max_turns: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="how many turns claude may take in an attempt; 0: no limit"
    )
    max_budget_usd: _Usd = Field(0.0, description="how many US dollars claude may spend in an attempt; 0: no limit")
    resume: bool = Field(default=False, description="go on in the session of the ticket's attempt before")
    prices: Mapping[ModelName, ModelPrice] = Field(default_factory=dict)
    timeout_seconds: Seconds = Field(0.0, description="how long an attempt may take; 0: no limit")
    stall_seconds: Seconds = Field(
        0.0,
        description="how long an attempt may go without progress; 0: no limit. Where it is not given: 300 for claude"
        " and gemini, 540 for codex, which says nothing while it thinks",
    )
    grace_seconds: Seconds = Field(
        5.0,
        description="how long an attempt that is to end may take: between SIGTERM and SIGKILL, for a program; and how"
        " long a coding agent's may stay after its last word",
    )
    workdir: Workdir = Field(
        "shared",
        description="where a program runs, and `verify`: the file's folder, a clean one for each attempt, "
        "a git worktree and branch for each, or the folder of this path",
    )
    repository: Place = Field(Path(), description="whose worktrees they are; by default that which the file is in")
    env_allow: Annotated[tuple[Annotated[str, AfterValidator(variable)], ...], Field(strict=False)] = Field(
        ("PATH", "HOME", "LANG", "TMPDIR"), description="the environment variables that a program gets to see"
    )
    progress: Literal["lines", "protocol"] = Field(
        "lines", description="what counts as a program's progress: each line of output, or progress lines alone"
    )


class AnchoredAgent(Agent):
    """An agent with every path absolute: what can be started."""

    folder: Place
    """the configuration file's, where the modules of callables are looked for first"""
    workdir: Place
    """the folder itself, or the repository"""
    workspace: WorkspaceKind = "shared"
    """what is made for each attempt"""
    is_ambiguous: bool = False
    """whether a folder stands beside the file that is called as the word that `workdir` says"""

    @classmethod
    def of(cls, agent: Agent, folder: Path) -> Self:
        """The agent as it is meant in a file of this folder."""
        given = {name: getattr(agent, name) for name in agent.model_fields_set}
        given |= {name: anchored(given[name], folder) for name in ("command", "verify") if name in given}
        if agent.kind in _CODING:
            given |= {"executable": anchored((agent.executable or agent.kind,), folder)[0]}
            given |= {"prompt": chosen(agent.prompt, agent.prompt_file, folder), "prompt_file": Path()}
        where = agent.workdir
        if isinstance(where, Path):
            return cls(**{**given, "workdir": folder / where, "folder": folder})
        given |= {"workspace": where, "is_ambiguous": "workdir" in given and (folder / where).is_dir()}
        return cls(**{**given, "workdir": folder / agent.repository, "folder": folder})

    def spec(self) -> Spec:
        """The same, as its kind of agent takes it."""
        match self.kind:
            case "command":
                return self._command()
            case "callable":
                return self._callable()
            case kind:
                return self._coding(kind)

    def _callable(self) -> CallableSettings:
        from kora.agents.callable import CallableSettings  # noqa: PLC0415 - only a runtime needs the agents

        return CallableSettings(
            function=self.callable,
            folder=self.folder,
            workdir=self.workdir,
            timeout_seconds=self.timeout_seconds,
            stall_seconds=self.stall_seconds,
            grace_seconds=self.grace_seconds,
            env_allow=self.env_allow,
            verify=self.verify,
        )

    def _command(self) -> CommandSettings:
        from kora.agents.command import CommandSettings  # noqa: PLC0415 - as above

        return CommandSettings(
            command=self.command,
            workdir=self.workdir,
            timeout_seconds=self.timeout_seconds,
            stall_seconds=self.stall_seconds,
            grace_seconds=self.grace_seconds,
            env_allow=self.env_allow,
            progress=self.progress,
            interactive=self.interactive,
            verify=self.verify,
            workspace=self.workspace,
        )

    def _coding(self, kind: Kind) -> CodingSettings:
        from kora.agents.coding.settings import (  # noqa: PLC0415 - as above
            STALL_SECONDS,
            CodingSettings,
            Price,
        )

        prices = {
            model: Price(
                price.input_usd_per_million,
                price.cached_input_usd_per_million,
                price.output_usd_per_million,
            )
            for model, price in self.prices.items()
        }
        return CodingSettings(
            kind=kind,
            executable=self.executable,
            workdir=self.workdir,
            prompt=self.prompt,
            model=self.model,
            permission_mode=self.permission_mode,
            allowed_tools=self.allowed_tools,
            max_turns=self.max_turns,
            max_budget_usd=self.max_budget_usd,
            resume=self.resume,
            arguments=self.arguments,
            prices=prices,
            timeout_seconds=self.timeout_seconds,
            stall_seconds=self.stall_seconds if "stall_seconds" in self.model_fields_set else STALL_SECONDS[kind],
            grace_seconds=self.grace_seconds,
            env_allow=self.env_allow,
            verify=self.verify,
            workspace=self.workspace,
        )


def anchored(command: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """The argument list, its program absolute if it is named with a slash; else PATH says where that is."""
    if not command or "/" not in command[0]:
        return command
    return str(folder / command[0]), *command[1:]


def misfits(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key, with what is wrong, that an agent of the unchecked document has too many or too few for its kind."""
    yield from _misfits("agent", document.get("agent"))
    named = document.get("agents")
    for name, table in named.items() if isinstance(named, dict) else ():
        yield from _misfits(key_path(("agents", name)), table)


def _misfits(where: str, table: object) -> Iterator[tuple[str, str]]:
    if not isinstance(table, dict):
        return
    kind = table.get("kind", "command")
    if not isinstance(kind, str) or kind not in {*NEEDED, *_CODING}:
        return
    needed = NEEDED.get(kind)
    if needed is not None and needed not in table:
        yield f"{where}.{needed}", f'missing: kind "{kind}" needs it'
    for key, only in _ONLY_WITH.items():
        if key in table and kind not in only:
            *others, last = (f'"{name}"' for name in only)
            named = f"{', '.join(others)} or {last}" if others else last
            yield f"{where}.{key}", f"goes only with kind {named}"
    workdir = table.get("workdir")
    if kind == "callable" and workdir in ("fresh", "worktree"):
        yield f"{where}.workdir", f'"{workdir}" goes only with a program: a callable runs where the runtime does'
    if "repository" in table and workdir != "worktree":
        yield f"{where}.repository", 'goes only with workdir "worktree"'
