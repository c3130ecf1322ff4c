"""What the settings are: a model for each table of the file. Every key has a default but the agent's command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kora.domain.ids import default_actor_id
from kora.domain.ticket import Identifier

if TYPE_CHECKING:
    from kora.agents.command import CommandSettings

YEAR_SECONDS: Final = 31_536_000
SQLITE: Final = "sqlite:///"
LEASE_SECONDS: Final = 600.0
BEAT_SECONDS: Final = 60.0


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must consist of printable characters")
    return text


def store_url(url: str) -> str:
    """The URL, if it names a store that can be opened. Raises `ValueError`."""
    if not url.startswith(SQLITE) or url == SQLITE:
        raise ValueError(f"must be {SQLITE}FILE")
    if url == f"{SQLITE}:memory:":
        raise ValueError(f"must be {SQLITE}FILE: a database in memory cannot be shared")
    return _no_nul(url)


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("must be the name of an environment variable")
    return _no_nul(name)


def _names_a_program(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command[0]:
        raise ValueError("must name a program first")
    return command


PositiveSeconds = Annotated[float, Field(gt=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Argument = Annotated[str, AfterValidator(_no_nul)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]
Place = Annotated[Path, Field(strict=False), AfterValidator(lambda path: Path(_no_nul(str(path))))]


class Section(BaseModel):
    """A table of the file: unknown keys are faults, and nothing is converted from one type to another."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Runtime(Section):
    """The process: whose board it works, and where it keeps things."""

    workspace: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)] = Field(
        "default", description="the tenant whose board is worked"
    )
    actor: Identifier = Field(
        default_factory=lambda known: default_actor_id(known["workspace"]),
        description="the UUID under which tickets are claimed; by default derived from the workspace",
    )
    store: Annotated[str, AfterValidator(store_url)] = Field(
        "sqlite:///kora.db", description="where tickets and events live"
    )
    state_dir: Place = Field(Path(".kora"), description="where a runtime keeps what its successor needs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="the least severe message that is logged"
    )
    tick_seconds: Annotated[float, Field(ge=0.01, le=2, allow_inf_nan=False)] = Field(
        1.0,
        description="how often the clock ticks, at least: oftener where a short heartbeat or poll interval needs it",
    )


class Child(Section):
    """How the supervisor treats one of its children."""

    restart: Literal["permanent", "transient"] = Field(
        "permanent",
        description='restarted always, or unless it ended normally; state_holder may also be "temporary": never',
    )
    shutdown_seconds: Seconds = Field(5.0, description="how long it may take to stop")
    start_seconds: PositiveSeconds = Field(10.0, description="how long it may take to start")
    backoff_initial_seconds: Seconds = Field(0.1, description="the wait after a first failed start")
    backoff_factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = Field(
        2.0, description="by how much each further wait is longer"
    )
    backoff_cap_seconds: Seconds = Field(5.0, description="the longest wait between two starts")
    poison_after: Annotated[int, Field(ge=0, le=1_000)] = Field(
        1, description="how often a message is tried again that the actor died of"
    )


class Observer(Child):
    """A child without which the work goes on."""

    restart: Literal["permanent", "transient", "temporary"] = Field(  # type: ignore[assignment]  # one choice more
        "permanent", description="restarted always, unless it ended normally, or never"
    )


class Children(Section):
    """The supervisor's children by name; `worker` stands for all Workers."""

    clock: Child = Child()
    state_holder: Observer = Observer()
    ledger: Child = Child()
    worker: Child = Child()
    heartbeat: Child = Child()
    control: Child = Child()
    poller: Child = Child()


class Supervisor(Section):
    """When an actor is restarted, and when the supervisor gives up."""

    strategy: Literal["one_for_one"] = Field("one_for_one", description="who is restarted along with the one that died")
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        30, description="more restarts than this within `within_seconds`, and the supervisor gives up"
    )
    within_seconds: PositiveSeconds = Field(60.0, description="the window in which restarts are counted")
    children: Children = Children()


class Poller(Section):
    """When to ask for work, and on which terms it is claimed."""

    poll_interval_seconds: PositiveSeconds = Field(60.0, description="the sleep after a poll that found nothing")
    lease_seconds: PositiveSeconds = Field(LEASE_SECONDS, description="how long a claim lasts without a refresh")


class Heartbeat(Section):
    """When leases are refreshed."""

    interval_seconds: PositiveSeconds = Field(
        BEAT_SECONDS,
        description="how often leases with progress are refreshed; "
        "by default 60, or a third of poller.lease_seconds where that is shorter",
    )


class Workers(Section):
    """How many attempts run side by side."""

    count: Annotated[int, Field(ge=1, le=1_000)] = Field(4, description="how many attempts run side by side")


class Agent(Section):
    """The program that does the tickets."""

    kind: Literal["command"] = Field("command", description="what kind of agent it is")
    command: Annotated[tuple[Argument, ...], Field(min_length=1, strict=False), AfterValidator(_names_a_program)] = (
        Field(description="the program and its arguments; no shell reads them")
    )
    timeout_seconds: Seconds = Field(0.0, description="how long an attempt may take; 0: no limit")
    stall_seconds: Seconds = Field(0.0, description="how long an attempt may go without progress; 0: no limit")
    grace_seconds: Seconds = Field(5.0, description="between SIGTERM and SIGKILL")
    workdir: Place = Field(Path(), description="where it runs; by default the folder of the configuration file")
    env_allow: Annotated[tuple[Annotated[str, AfterValidator(_variable)], ...], Field(strict=False)] = Field(
        ("PATH", "HOME", "LANG", "TMPDIR"), description="the environment variables that it gets to see"
    )
    progress: Literal["lines", "protocol"] = Field(
        "lines", description="what counts as progress: each line of output, or progress lines alone"
    )

    def command_settings(self) -> CommandSettings:
        """The same, as the command agent takes it."""
        from kora.agents.command import CommandSettings  # noqa: PLC0415 - only a runtime needs the agents

        return CommandSettings(
            command=self.command,
            workdir=self.workdir,
            timeout_seconds=self.timeout_seconds,
            stall_seconds=self.stall_seconds,
            grace_seconds=self.grace_seconds,
            env_allow=self.env_allow,
            progress=self.progress,
        )


class Control(Section):
    """The limits of an attempt's and of a runtime's end."""

    max_attempts: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="a ticket attempted so often without success waits for an operator"
    )
    drain_seconds: Seconds = Field(
        120.0, description="how long running agents may go on once the runtime is told to end"
    )


class Document(Section):
    """The whole file."""

    runtime: Runtime = Field(default_factory=Runtime)
    supervisor: Supervisor = Supervisor()
    poller: Poller = Poller()
    heartbeat: Heartbeat = Heartbeat()
    workers: Workers = Workers()
    agent: Agent
    control: Control = Control()

    @model_validator(mode="before")
    @classmethod
    def _beats_within_the_lease(cls, data: Any) -> Any:  # noqa: ANN401 - not checked yet
        if not isinstance(data, dict) or number(data, "heartbeat", "interval_seconds") is not None:
            return data
        heartbeat = data.get("heartbeat", {})
        lease = number(data, "poller", "lease_seconds")
        if lease is None or not 0 < lease < 3 * BEAT_SECONDS or not isinstance(heartbeat, dict):
            return data
        return {**data, "heartbeat": {"interval_seconds": lease / 3, **heartbeat}}


class Settings(Document):
    """The file's settings, with every path absolute, and where they were read."""

    path: Place


def number(document: dict[str, Any], section: str, key: str, default: float | None = None) -> float | None:
    """The number at the key as the file has it; None for what is no number."""
    table = document.get(section, {})
    value = table.get(key, default) if isinstance(table, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
