"""What a supervisor is told of its children, checked whole before the first of them starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from actors.supervision.actor import SupervisedActor
from actors.supervision.inbox import DEFAULT_BOUND, DEFAULT_POISON_AFTER

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]

_KNOWN_ERRORS: Final = frozenset(get_args(ErrorType))

Name: TypeAlias = Annotated[str, Field(min_length=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _shutdown(value: object) -> object:
    if isinstance(value, str) and value in {"brutal", "infinity"}:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise PydanticCustomError("shutdown", "should be seconds, 0 or more, or 'brutal' or 'infinity'")


Shutdown: TypeAlias = Annotated[float | Literal["brutal", "infinity"], PlainValidator(_shutdown)]


class Restartable(BaseModel):
    """How a child is treated, be it an actor or a supervisor.

    - ``restart``: ``permanent`` children are always restarted, ``transient`` ones unless they ended normally,
      ``temporary`` ones never.
    - ``shutdown_seconds``: how long stopping may take before the thread is left behind; ``brutal``: it is not waited
      for at all; ``infinity``: for as long as it takes.
    - ``start_seconds``: how long starting may take; None: for as long as it takes.
    - The backoff is between failed *starts* in a row, in seconds; a child that had started and dies is restarted at
      once. ``backoff_jitter``: up to this part of each wait is taken off, at random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    restart: Restart = "permanent"
    start_seconds: PositiveSeconds | None = None
    shutdown_seconds: Shutdown = 5.0
    backoff_initial_seconds: Seconds = 0.1
    backoff_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    backoff_cap_seconds: Seconds = 5.0
    backoff_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0

    def names(self) -> Iterator[str]:
        """Every name in it, its own first."""
        yield self.name


class ChildSpec(Restartable):
    """One actor: its name, its class, what the class is called with, when it is made again.

    - ``actor(seat, **arguments)`` makes it, in its own thread: a class, or whatever returns a ``SupervisedActor``.
    - ``hang_seconds``: how long it may be at one message, or in ``on_wake``; then it is retired. None: for ever.
    - ``inbox_bound``: how many messages of the work lane wait at most.
    - ``poison_after``: how often a message is tried again that an actor died of.
    """

    actor: Callable[..., SupervisedActor]
    arguments: Mapping[str, Any] = {}
    start_seconds: PositiveSeconds | None = 10.0
    hang_seconds: PositiveSeconds | None = None
    inbox_bound: Annotated[int, Field(ge=1)] = DEFAULT_BOUND
    poison_after: Annotated[int, Field(ge=0)] = DEFAULT_POISON_AFTER


def _kind(data: object) -> str:
    is_supervisor = "children" in data if isinstance(data, Mapping) else isinstance(data, SupervisorSpec)
    return "supervisor" if is_supervisor else "actor"


class SupervisorSpec(Restartable):
    """A supervisor: its children in the order of their start, and how many restarts are too many.

    - ``strategy``: when one has to be restarted, ``one_for_one`` restarts it alone, ``rest_for_one`` also those that
      start after it, ``one_for_all`` all of them.
    - More than ``max_restarts`` within ``within_seconds`` and it gives up: it stops its children, and fails upwards.
    - A child may be a supervisor. How that one is restarted and stopped stands in its own specification.
    - Of the exceptions in ``plain_errors``, whose messages say it all, nothing shows a traceback.

    Children may be given as plain mappings: every fault of all of them, and every name used twice, is then in the one
    ``ValidationError``. Names are unique in the whole tree.
    """

    shutdown_seconds: Shutdown = "infinity"
    children: tuple[
        Annotated[
            Annotated[ChildSpec, Tag("actor")] | Annotated[SupervisorSpec, Tag("supervisor")], Discriminator(_kind)
        ],
        ...,
    ] = ()
    strategy: Strategy = "one_for_one"
    max_restarts: Annotated[int, Field(ge=0)] = 3
    within_seconds: PositiveSeconds = 5.0
    plain_errors: tuple[type[Exception], ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _names_are_unique(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401  # not checked yet
        faults: list[InitErrorDetails] = []
        checked = None
        try:
            checked = handler(data)
        except ValidationError as error:
            # The key that names the documentation is the only one that pydantic does not take back.
            faults += [_as_given(fault) for fault in error.errors(include_url=False)]
        faults += [
            InitErrorDetails(
                type=PydanticCustomError("duplicate_name", "the name {name} is used twice", {"name": repr(name)}),
                loc=place,
                input=name,
            )
            for place, name in _repeated(data)
        ]
        if faults or checked is None:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return checked

    def names(self) -> Iterator[str]:
        """Every name in it, its own first."""
        yield self.name
        for child in self.children:
            yield from child.names()


def _as_given(fault: Any) -> InitErrorDetails:  # noqa: ANN401  # pydantic's ErrorDetails, whose type it does not export
    # Which of the two kinds of child it is taken for is no place that anybody wrote.
    at = tuple(part for place, part in enumerate(fault["loc"]) if place == 0 or not _is_tag(fault["loc"], place))
    kind = fault["type"]
    if kind not in _KNOWN_ERRORS:
        kind = PydanticCustomError(kind, fault["msg"])
    given = InitErrorDetails(type=kind, loc=at, input=fault["input"])
    if "ctx" in fault:
        given["ctx"] = fault["ctx"]
    return given


def _is_tag(location: tuple[str | int, ...], place: int) -> bool:
    return isinstance(location[place - 1], int) and location[place] in {"actor", "supervisor"}


def _repeated(data: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a name stands that stood before; within one child that is a supervisor, its own validation says so."""
    seen = {_field(data, "name")}
    for index, child in enumerate(_children(data)):
        names = list(_names(child))
        for place, name in names:
            if name in seen:
                yield ("children", index, *place, "name"), name
        seen.update(name for _, name in names)


def _names(data: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    name = _field(data, "name")
    if isinstance(name, str):
        yield (), name
    for index, child in enumerate(_children(data)):
        for place, each in _names(child):
            yield ("children", index, *place), each


def _children(data: object) -> list[object]:
    children = _field(data, "children")
    return list(children) if isinstance(children, list | tuple) else []


def _field(data: object, name: str) -> Any:  # noqa: ANN401  # not checked yet
    return data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)


AnySpec: TypeAlias = ChildSpec | SupervisorSpec
