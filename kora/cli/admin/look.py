"""What a running runtime looks like: nothing here waits for an actor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from kora.cli.admin.asked import (
    ACTOR_STYLES,
    PERMISSION_STYLES,
    RUNTIME_STYLES,
    ActorName,
    AsJson,
    Document,
    Limit,
    actor_path,
    client,
    count,
    figure,
    flat,
    label,
)
from kora.cli.admin.booting import show_boot
from kora.cli.invocation import invocation
from kora.cli.output import painted, plain_document, plain_documents, say, table, write_line
from kora.cli.spans import ago, span, span_since
from kora.domain.control import NO_WATCHER
from kora.errors import UnknownNameError

_ACTORS = ("actor", "state", "busy", "waiting", "restarts", "ticket_id")
_WAITING = ("lane", "kind", "sender", "age", "preview")


def status(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this actor's line.", show_default=False)
    ] = None,
    *,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="Every runtime of the workspace instead, read from the store.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how the runtime and its actors stand. With --fleet: which runtimes there are.

    One of the fleet is `live`, seen within 30 seconds; or `ended`, as it said; or, not seen for longer, `silent` with
    claims in hand, or `gone` without. It needs no running runtime.

    \b
    Examples:
      kora-actors status
      kora-actors status poller
      kora-actors status --fleet --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if fleet:
        if name is not None:
            raise typer.BadParameter("names no actor: it shows every runtime", ctx=context, param_hint="--fleet")
        _show_fleet(context, as_json=as_json)
        return
    found = client(context).get("/status")
    if name is not None:
        actor = _one(found["actors"], name)
        if as_json:
            plain_document(actor)
        else:
            _list([actor])
    elif as_json:
        plain_document(found)
    else:
        _show_runtime(found)
        if found["boot"] is None:
            say("")
            _list(found["actors"])
        else:
            show_boot(found["boot"])


def _show_fleet(context: typer.Context, *, as_json: bool) -> None:
    from kora.cli.fleet import show_fleet

    with invocation(context).reader() as reader:
        found = reader.fleet()
    if as_json:
        plain_documents(found)
    else:
        show_fleet(found)


def _one(actors: Sequence[Document], name: str) -> Document:
    for actor in actors:
        if actor["name"] == name:
            return actor
    known = ", ".join(actor["name"] for actor in actors)
    raise UnknownNameError(f"no actor is named {name!r}; there are: {known}")


def _show_runtime(found: Document) -> None:
    runtime, state = found["runtime"], found["operational_state"]
    primary, permission = state["primary_state"], state["claim_permission"]
    reasons = ", ".join(state["degradation_reasons"])
    since = span_since(runtime["started_at"])
    write_line(label("runtime"), painted(f"{runtime['runtime_id']}, version {runtime['version']}"))
    write_line(label("process"), painted(f"{runtime['pid']}, started {runtime['started_at']}, {since} ago"))
    write_line(label("state"), painted(primary, *_style(RUNTIME_STYLES, primary)))
    if reasons:
        write_line(label("degraded"), painted(reasons, "yellow"))
    write_line(label("may claim"), painted(permission, *_style(PERMISSION_STYLES, permission)))
    write_line(label("claims held"), painted(f"{found['claims_held']:,}"))
    if (watcher := found["watcher"]) is not None:
        is_alive = watcher["is_alive"]
        said = f"seen {ago(watcher['seen_seconds'])}" if is_alive else NO_WATCHER
        write_line(label("watcher"), painted(said, *(() if is_alive else ("yellow",))))


def _style(styles: dict[str, str], value: str) -> tuple[str, ...]:
    return (styles[value],) if value in styles else ()


def _list(actors: Sequence[Document]) -> None:
    rows = [
        (
            actor["name"],
            actor["state"],
            _busy(actor),
            actor["mailbox"],
            actor["restarts"],
            actor["ticket_id"],
        )
        for actor in actors
    ]
    table(_ACTORS, rows, "no actors", styles=ACTOR_STYLES)


def _busy(actor: Document) -> str | None:
    return None if actor["busy_seconds"] is None else span(actor["busy_seconds"])


def tree(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the supervision tree: how each supervisor treats its children, and the restarts that it has left.

    \b
    Examples:
      kora-actors tree
      kora-actors tree --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/tree")
    if as_json:
        plain_document(found)
    else:
        _branch(found, "", "")


def _branch(node: Document, own: str, below: str, *, width: int = 0) -> None:
    """Print the node behind what leads to it, and what stands below it; actors' names are padded to one width."""
    write_line(
        painted(own, "dim"), *(_supervisor(node, width) if node["kind"] == "supervisor" else _actor(node, width))
    )
    children = node.get("children", ())
    inner = max((len(child["name"]) for child in children), default=0)
    for number, child in enumerate(children, 1):
        is_last = number == len(children)
        _branch(child, below + ("└── " if is_last else "├── "), below + ("    " if is_last else "│   "), width=inner)


def _supervisor(node: Document, width: int) -> Iterator[str]:
    used, allowed = node["restarts_used"], node["max_restarts"]
    yield painted(f"{node['name']:<{width}}", "bold")
    yield painted(f"  {node['strategy']}")
    yield painted(f", {used} of {allowed} restarts in {span(node['within_seconds'])}", *_used(used, allowed))
    # Counted of the whole tree, and so told at its root.
    if not width and node["max_retired"]:
        retired, most = node["retired"], node["max_retired"]
        yield painted(f", {retired} of {most} threads retired", *_used(retired, most))
    if node["restarts"]:
        yield painted(f", restarted {count(node['restarts'], 'time')}")
    if node["state"] != "running":
        yield painted(f", {node['state']}", "yellow")


def _used(used: int, allowed: int) -> tuple[str, ...]:
    if not used:
        return ()
    return ("red",) if used >= allowed else ("yellow",)


def _actor(node: Document, width: int) -> Iterator[str]:
    yield painted(f"{node['name']:<{width}}")
    yield painted(f"  {node['state']:<10}", *_style(ACTOR_STYLES, node["state"]))
    yield painted(f"  {node['restart']}, generation {node['generation']}")
    if node["restarts"]:
        yield painted(f", restarted {count(node['restarts'], 'time')}", "yellow")
    if node["mailbox"]:
        yield painted(f", {node['mailbox']:,} waiting")
    if node["busy_seconds"] is not None:
        yield painted(f", busy for {span(node['busy_seconds'])}")


def info(
    context: typer.Context,
    name: ActorName,
    *,
    kinds: Annotated[bool, typer.Option("--kinds", help="Show the messages that it may be told, and their fields.")] = (
        False
    ),
    every: Annotated[bool, typer.Option("--all", help="With --kinds: also those that only its senders can send.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """Show all that is known of an actor without asking it; with --kinds, what it may be told.

    \b
    Examples:
      kora-actors info ledger
      kora-actors info poller --kinds
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    if every and not kinds:
        raise typer.BadParameter("goes with --kinds", ctx=context, param_hint="--all")
    from kora.cli.admin.kinds import show_kinds

    if kinds:
        found = client(context).get(actor_path(name, "kinds"))
        found = [each for each in found if every or each["may_be_told"]]
        if as_json:
            plain_document(found)
        elif found:
            show_kinds(found)
        else:
            say(f"{name} may be told nothing; --all shows what it handles")
        return
    found = client(context).get(actor_path(name))
    if as_json:
        plain_document(found)
    else:
        _tell(found)


def _tell(found: Document) -> None:
    first, *others = found["description"].strip().split("\n")
    write_line(painted(found["name"], "bold"), painted(f"  {found['actor']}: {first}"))
    for line in others:
        write_line(painted(line, "dim"))
    write_line()
    _line("state", found["state"], *_style(ACTOR_STYLES, found["state"]))
    if found["busy_seconds"] is not None:
        _line("busy", span(found["busy_seconds"]))
    _line("supervisor", found["supervisor"])
    restarted = f", restarted {count(found['restarts'], 'time')}" if found["restarts"] else ""
    _line("generation", f"{found['generation']}{restarted}")
    _line("mailbox", _pairs(found["mailbox"]))
    _line("policy", _pairs(found["policy"]))
    for key, value in flat(found["facts"]):
        _line(key, value)
    _line("handles", ", ".join(found["kinds"]))


def _line(label: str, value: Any, *styles: str) -> None:  # noqa: ANN401 - whatever an actor has in mind
    from kora.cli.output import shown

    write_line(painted(f"{label:<20}", "dim"), painted(shown(value), *styles))


def _pairs(values: Document) -> str:
    return ", ".join(f"{name} {figure(value)}" for name, value in values.items())


def mailbox(context: typer.Context, name: ActorName, *, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show what waits for an actor, in the order in which it will be handled; what it is at now comes first.

    \b
    Examples:
      kora-actors mailbox ledger
      kora-actors mailbox worker-1 --limit 5 --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get(actor_path(name, "mailbox"), {"limit": limit})
    if as_json:
        plain_document(found)
        return
    messages = found["messages"]
    rows = [
        (each["lane"], each["kind"], each["sender"], ago(each["age_seconds"]), each["preview"]) for each in messages
    ]
    table(_WAITING, rows, f"nothing waits for {name}", styles={"suspect": "red", "in_hand": "cyan"})
    shown = sum(each["lane"] != "in_hand" for each in messages)
    if found["waiting"] > shown:
        say(f"and {found['waiting'] - shown:,} more")


def stack(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this actor's threads.", show_default=False)
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show where an actor is, or every thread of the runtime; the innermost call comes last.

    \b
    Examples:
      kora-actors stack
      kora-actors stack ledger
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/stack" if name is None else actor_path(name, "stack"))
    if as_json:
        plain_document(found)
        return
    for number, thread in enumerate(found):
        if number:
            say("")
        actor = f" ({thread['actor']})" if thread["actor"] and thread["actor"] != thread["thread"] else ""
        write_line(painted(thread["thread"], "bold"), painted(actor))
        for line in thread["lines"]:
            for part in line.split("\n"):
                write_line("  ", painted(part))
    if not found:
        say(f"{name} has no thread")
