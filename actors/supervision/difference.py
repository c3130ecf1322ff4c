"""What lies between two specifications: the smallest set of things to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from actors.supervision.spec import AnySpec, ChildSpec, SupervisorSpec

Kind = Literal["removed", "restarted", "changed", "added"]

_MADE_OF: Final = frozenset({"actor", "arguments"})


@dataclass(frozen=True, slots=True)
class Change:
    """One child, or the root itself, and what is to be done about it.

    ``fields`` says what of its specification is not as it was; ``arguments.x`` where one argument is not. ``changed``
    ones need no restart: what they are told from now on is enough. ``spec`` is the new one, or the one that goes.
    """

    kind: Kind
    name: str
    supervisor: str
    spec: AnySpec
    fields: tuple[str, ...] = ()

    def line(self) -> str:
        """One line for people."""
        why = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.name}: {self.kind}{why}"


def difference(old: SupervisorSpec, new: SupervisorSpec) -> tuple[Change, ...]:
    """What turns the old into the new: who goes, last child first; then who is made anew, is changed, and comes."""
    return (*reversed(list(_gone(old, new))), *_changes(old, new))


def _gone(old: SupervisorSpec, new: SupervisorSpec) -> Iterator[Change]:
    after = _by_name(new)
    for child in old.children:
        stays = after.get(child.name)
        if type(stays) is not type(child):
            yield Change("removed", child.name, old.name, child)
        elif isinstance(child, SupervisorSpec) and isinstance(stays, SupervisorSpec):
            yield from _gone(child, stays)


def _changes(old: SupervisorSpec, new: SupervisorSpec) -> Iterator[Change]:
    own = tuple(_fields(old, new))
    if own:
        yield Change("changed", new.name, new.name, new, own)
    before = _by_name(old)
    for name, child in _by_name(new).items():
        was = before.get(name)
        if isinstance(was, SupervisorSpec) and isinstance(child, SupervisorSpec):
            yield from _changes(was, child)
        elif isinstance(was, ChildSpec) and isinstance(child, ChildSpec):
            fields = tuple(_fields(was, child))
            if fields:
                is_anew = any(field.partition(".")[0] in _MADE_OF for field in fields)
                yield Change("restarted" if is_anew else "changed", name, new.name, child, fields)
        else:
            yield Change("added", name, new.name, child)


def _by_name(spec: SupervisorSpec) -> dict[str, AnySpec]:
    return {child.name: child for child in spec.children}


def _fields(old: AnySpec, new: AnySpec) -> Iterator[str]:
    for field in type(new).model_fields:
        was, now = getattr(old, field), getattr(new, field)
        if field == "arguments":
            yield from _arguments(was, now)
        elif field != "children" and was != now:
            yield field


def _arguments(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new or old[name] != new[name]:
            yield f"arguments.{name}"
