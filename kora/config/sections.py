"""What the settings are: a model for each table of the file. Every key has a default but what the agent is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from kora.config.agent import Agent, AnchoredAgent
from kora.config.values import Arguments, Days, Place, PositiveSeconds, Seconds, Section, loopback, printable
from kora.domain.cost import PACE_SECONDS, RAMP_SECONDS
from kora.domain.ids import default_actor_id
from kora.domain.ticket import AgentName, Identifier
from kora.store.url import checked_url

LEASE_SECONDS: Final = 600.0
BEAT_SECONDS: Final = 60.0
Notice = Literal["blocked", "paused", "gave_up", "poisoned"]


class Runtime(Section):
    """The process: whose board it works, and where it keeps things."""

    workspace: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)] = Field(
        "default", description="the tenant whose board is worked"
    )
    actor: Identifier = Field(
        default_factory=lambda known: default_actor_id(known["workspace"]),
        description="the UUID under which tickets are claimed; by default derived from the workspace",
    )
    store: Annotated[str, AfterValidator(checked_url)] = Field(
        "sqlite:///kora.db", description="where tickets and events live: `sqlite:///FILE`, or `postgresql://…`"
    )
    state_dir: Place = Field(Path(".kora"), description="where a runtime keeps what its successor needs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="the least severe message that is logged"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="lines for people, or one JSON object a line for machines"
    )
    keep_days: Days = Field(
        30.0,
        description="how long what an agent printed is kept with its attempt, and a workspace in which none completed "
        "its ticket",
    )
    tick_seconds: Annotated[float, Field(ge=0.01, le=1, allow_inf_nan=False)] = Field(
        1.0,
        description="how often the clock ticks and STOP commands are looked for, at least: oftener where a short "
        "heartbeat or poll interval needs it",
    )


class Child(Section):
    """How the supervisor treats one of its children."""

    restart: Literal["permanent", "transient"] = Field(
        "permanent",
        description='restarted always, or unless it ended normally; state_holder and admin also "temporary": never',
    )
    shutdown_seconds: Seconds = Field(5.0, description="how long it may take to stop")
    start_seconds: PositiveSeconds = Field(10.0, description="how long it may take to start")
    hang_seconds: PositiveSeconds = Field(
        60.0, description="how long it may be at one message before it is given up on and replaced"
    )
    backoff_initial_seconds: Seconds = Field(0.1, description="the wait after a first failed start")
    backoff_factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = Field(
        2.0, description="by how much each further wait is longer"
    )
    backoff_cap_seconds: Seconds = Field(5.0, description="the longest wait between two starts")
    backoff_jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="up to which part of each wait is taken off, at random"
    )
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

    admin: Observer = Observer()
    clock: Child = Child()
    state_holder: Observer = Observer()
    ledger: Child = Child()
    worker: Child = Child()
    heartbeat: Child = Child()
    control: Child = Child()
    poller: Child = Child()


class Supervisor(Section):
    """When an actor is restarted, and when the supervisor gives up."""

    strategy: Literal["one_for_one", "rest_for_one", "one_for_all"] = Field(
        "one_for_one", description="who is restarted: the one that died, also those that start after it, or all"
    )
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        30, description="more restarts than this within `within_seconds`, and the supervisor gives up"
    )
    within_seconds: PositiveSeconds = Field(60.0, description="the window in which restarts are counted")
    max_retired: Annotated[int, Field(ge=0, le=1_000)] = Field(
        8, description="more threads than this left behind by actors that hung, and the runtime ends"
    )
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
    tool_seconds: Seconds = Field(
        1_800.0, description="how long a tool call or an operation under way counts as progress; 0: it does not"
    )


class Workers(Section):
    """How many attempts run side by side."""

    count: Annotated[int, Field(ge=1, le=1_000)] = Field(4, description="how many attempts run side by side")


class Control(Section):
    """The limits of an attempt's and of a runtime's end, and within which STOP commands are to be enforced."""

    max_attempts: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="a ticket attempted so often without success waits for an operator"
    )
    drain_seconds: Seconds = Field(
        120.0,
        description="how long running agents may go on once the runtime is told to end, or to stop at level 2",
    )
    level_1_seconds: PositiveSeconds = Field(
        120.0, description="within which a stop of level 1 is to be enforced; then a watcher escalates it to level 4"
    )
    level_2_seconds: PositiveSeconds = Field(180.0, description="the same, of level 2; more than drain_seconds")
    level_3_seconds: PositiveSeconds = Field(90.0, description="the same, of level 3; more than any grace_seconds")
    level_4_seconds: PositiveSeconds = Field(
        15.0, description="within which a runtime is to end by a stop of level 4 or 5; then a watcher kills it"
    )


Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Downshift = Mapping[Literal["critical", "high", "medium", "low"], AgentName]


class Cost(Section):
    """The credit pool of the workspace, and what happens as it is used up."""

    pool_usd: Usd = Field(
        200.0, description="what all attempts of the workspace's runtimes may cost in a month (UTC); 0: no limit"
    )
    ticket_usd: Usd = Field(
        0.0, description="what all attempts at one ticket may cost; then it waits for an operator. 0: no limit"
    )
    attempt_usd: Usd = Field(
        0.0, description="what one attempt may cost; then it is ended, as over its budget. 0: no limit"
    )
    ramp_seconds: Seconds = Field(
        RAMP_SECONDS, description="how long after a refresh of a used-up pool claims are made one by one"
    )
    ramp_interval_seconds: PositiveSeconds = Field(
        PACE_SECONDS, description="the least time between two of these, over all runtimes of the workspace"
    )
    warn_75: Downshift = Field(
        default_factory=dict,
        description="from 75 % of the pool on: which named agent does a ticket that names none, by its priority",
    )
    downshift_90: Downshift = Field(
        default_factory=dict, description="the same from 90 % on; a priority that it leaves out is done as from 75 % on"
    )


class Boot(Section):
    """What is to be so before the first ticket is claimed."""

    tries: Annotated[int, Field(ge=1, le=1_000)] = Field(
        5, description="how often a gate is tried that may pass by itself a little later"
    )
    retry_seconds: Seconds = Field(2.0, description="the pause after the first such try; each is twice the one before")
    retry_cap_seconds: Seconds = Field(30.0, description="the longest of these pauses")
    clock_seconds: PositiveSeconds = Field(5.0, description="how far this machine's clock may be off from the store's")
    credentials: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (),
        description="what agents cannot do without: files, which nobody else may be able to read, and environment "
        'variables, as "env:NAME"',
    )


class Notify(Section):
    """A command that is run when a person should know."""

    command: Arguments = Field(
        (),
        description="the program and its arguments, run for each notice; the event is its stdin, as JSON. Empty: none",
    )
    on: Annotated[tuple[Notice, ...], Field(strict=False)] = Field(
        get_args(Notice),
        description="what is told: a ticket waits for a person, the runtime pauses, its supervisor gives up, "
        "a ticket has failed for good",
    )
    timeout_seconds: PositiveSeconds = Field(30.0, description="how long the command may take before it is killed")


class Admin(Section):
    """How much the admin API, on its socket in the state directory, takes of its clients."""

    max_connections: Annotated[int, Field(ge=1, le=10_000)] = Field(
        128, description="how many clients may be connected at a time; further ones are turned away"
    )
    stall_seconds: PositiveSeconds = Field(
        10.0, description="how long the client of a stream may read nothing before it is dropped"
    )
    request_seconds: PositiveSeconds = Field(10.0, description="how long a request may take to arrive")
    health_listen: Annotated[str, AfterValidator(loopback)] = Field(
        "",
        description="an address of this machine's loopback, such as `127.0.0.1:9464`, at which `/healthz`, `/readyz` "
        "and `/metrics` are served beside the socket; port 0: any that is free, which the log names; empty: none",
    )


class Document(Section):
    """The whole file."""

    runtime: Runtime = Field(default_factory=Runtime)
    supervisor: Supervisor = Supervisor()
    poller: Poller = Poller()
    heartbeat: Heartbeat = Heartbeat()
    workers: Workers = Workers()
    agent: Agent
    agents: Mapping[AgentName, Agent] = Field(default_factory=dict)
    control: Control = Control()
    cost: Cost = Cost()
    boot: Boot = Boot()
    notify: Notify = Notify()
    admin: Admin = Admin()

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
    agent: AnchoredAgent
    agents: Mapping[AgentName, AnchoredAgent] = Field(default_factory=dict)


def number(document: dict[str, Any], section: str, key: str, default: float | None = None) -> float | None:
    """The number at the key as the file has it; None for what is no number."""
    table = document.get(section, {})
    value = table.get(key, default) if isinstance(table, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
