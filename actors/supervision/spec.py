"""What a supervisor is told of its children, checked whole before the first of them starts."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from actors.supervision.inbox import DEFAULT_BOUND, DEFAULT_POISON_AFTER
from actors.supervision.tenure import Factory

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one"]

Name: TypeAlias = Annotated[str, Field(min_length=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_CONFIG: Final = ConfigDict(frozen=True, extra="forbid")


class ChildSpec(BaseModel):
    """One child: its name, how it is made, when it is made again, and how long starting and stopping may take.

    - ``restart``: ``permanent`` children are always restarted, ``transient`` ones unless they ended normally,
      ``temporary`` ones never.
    - The backoff is between failed *starts* in a row; an actor that had started and dies is restarted at once.
    - ``poison_after``: how often a message is tried again that an actor died of.
    - ``may_fail_alone``: its restarts are counted by themselves, against the same intensity; past it the child is
      left out and the others go on. For observers, whose failure must not stop the work that they observe.
    """

    model_config = _CONFIG

    name: Name
    factory: Factory
    restart: Restart = "permanent"
    shutdown_seconds: Seconds = 5.0
    start_seconds: PositiveSeconds = 10.0
    backoff_initial_seconds: Seconds = 0.1
    backoff_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    backoff_cap_seconds: Seconds = 5.0
    inbox_bound: Annotated[int, Field(ge=1)] = DEFAULT_BOUND
    poison_after: Annotated[int, Field(ge=0)] = DEFAULT_POISON_AFTER
    may_fail_alone: bool = False


class SupervisorSpec(BaseModel):
    """A supervisor: its children in the order of their start, and how many restarts are too many.

    More than ``max_restarts`` within ``within_seconds`` and it gives up. Of the exceptions in ``plain_errors``, whose
    messages say it all, nothing shows a traceback. Children may be given as plain mappings: every fault of all of them,
    and every name used twice, is then in the one ``ValidationError``.
    """

    model_config = _CONFIG

    name: Name
    children: tuple[ChildSpec, ...]
    strategy: Strategy = "one_for_one"
    max_restarts: Annotated[int, Field(ge=0)]
    within_seconds: PositiveSeconds
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
                loc=("children", index, "name"),
                input=name,
            )
            for index, name in _repeated(data)
        ]
        if faults or checked is None:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return checked


def _as_given(fault: Any) -> InitErrorDetails:  # noqa: ANN401  # pydantic's ErrorDetails, whose type it does not export
    given = InitErrorDetails(type=fault["type"], loc=fault["loc"], input=fault["input"])
    if "ctx" in fault:
        given["ctx"] = fault["ctx"]
    return given


def _repeated(data: Any) -> list[tuple[int, str]]:  # noqa: ANN401  # not checked yet
    children = data.get("children") if isinstance(data, dict) else None
    if not isinstance(children, list | tuple):
        return []
    names = [child.get("name") if isinstance(child, dict) else getattr(child, "name", None) for child in children]
    counts = Counter(name for name in names if isinstance(name, str))
    first = {name: names.index(name) for name in counts}
    return [(index, name) for index, name in enumerate(names) if name in first and index != first[name]]
