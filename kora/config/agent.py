"""The agents of the file: the default one, and those that tickets name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field

from kora.config.faults import key_path
from kora.config.values import Arguments, Place, Seconds, Section, variable

if TYPE_CHECKING:
    from kora.agents.kinds import Spec

NEEDED: Final = {"command": "command", "callable": "callable"}
"""the key that each kind cannot do without"""
_ONLY_WITH: Final = {"command": "command", "interactive": "command", "progress": "command", "callable": "callable"}
_CALLABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _names_a_function(text: str) -> str:
    if not _CALLABLE.fullmatch(text):
        raise ValueError('must be "module:function", such as "agent:run"')
    return text


class Agent(Section):
    """The program or function that does the tickets: all of them, but those that name another."""

    kind: Literal["command", "callable"] = Field("command", description="a program, or a Python function")
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
    timeout_seconds: Seconds = Field(0.0, description="how long an attempt may take; 0: no limit")
    stall_seconds: Seconds = Field(0.0, description="how long an attempt may go without progress; 0: no limit")
    grace_seconds: Seconds = Field(
        5.0, description="how long an attempt that is to end may take: between SIGTERM and SIGKILL, for a program"
    )
    workdir: Place = Field(Path(), description="where a program runs, and `verify`; by default beside the file")
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

    @classmethod
    def of(cls, agent: Agent, folder: Path) -> Self:
        """The agent as it is meant in a file of this folder."""
        said = {name: getattr(agent, name) for name in agent.model_fields_set}
        said |= {name: anchored(said[name], folder) for name in ("command", "verify") if name in said}
        return cls(**{**said, "workdir": folder / agent.workdir, "folder": folder})

    def spec(self) -> Spec:
        """The same, as its kind of agent takes it."""
        if self.kind == "callable":
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
    if not isinstance(kind, str) or kind not in NEEDED:
        return
    if NEEDED[kind] not in table:
        yield f"{where}.{NEEDED[kind]}", f'missing: kind "{kind}" needs it'
    for key, only in _ONLY_WITH.items():
        if key in table and kind != only:
            yield f"{where}.{key}", f'goes only with kind "{only}"'
