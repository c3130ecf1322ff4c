"""What is done to a running runtime: its actors, its claims, its configuration, its end. Each is on record."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import typer

from kora.cli.admin.asked import ActorName, AsJson, Document, actor_path, client, count
from kora.cli.invocation import known_id
from kora.cli.output import plain_document, say


def start(context: typer.Context, name: ActorName) -> None:
    """Start an actor that was stopped; what was stopped by its failures as well.

    \b
    Example:
      kora-actors start heartbeat
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    client(context).post(actor_path(name, "start"))
    say(f"{name}: started")


def stop(context: typer.Context, name: ActorName) -> None:
    """Stop an actor until `start`; what it is sent meanwhile are dead letters.

    \b
    Example:
      kora-actors stop heartbeat
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    client(context).post(actor_path(name, "stop"))
    say(f"{name}: stopped")


def restart(context: typer.Context, name: ActorName) -> None:
    """Replace an actor, and wait until its successor answers. No message is lost; it counts as no failure.

    \b
    Example:
      kora-actors restart state_holder
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    done = client(context).restart(name)
    say(f"{name}: stopped")
    say(f"{name}: started")
    say(f"answered after {done['seconds']:.3f} s, as generation {done['generation']}")


def pause(context: typer.Context) -> None:
    """Have nothing new claimed by this runtime, also after its restart, until `resume`. What runs goes on.

    \b
    Example:
      kora-actors pause
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    client(context).post("/pause")
    say("paused: nothing new is claimed until `resume`; what runs goes on")


def resume(context: typer.Context) -> None:
    """Have claims made again, after `pause` or `drain`; says what else holds them up.

    \b
    Example:
      kora-actors resume
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    held_up_by = client(context).post("/resume")["held_up_by"]
    say(f"resumed; still held up by: {'; '.join(held_up_by)}" if held_up_by else "resumed: claims are made again")


def drain(
    context: typer.Context,
    *,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="S",
            min=0,
            help="How long what runs may take to end: control.drain_seconds, if not said.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Pause, and give what runs so long to end; what has not ended by then is released. `resume` takes it back.

    \b
    Examples:
      kora-actors drain
      kora-actors drain --seconds 600
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    done = client(context).post("/drain", {} if seconds is None else {"seconds": seconds})
    say(f"draining: {count(done['claims_held'], 'claim')} held; nothing new is claimed until `resume`")


def release(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's id.", show_default=False)],
) -> None:
    """End a ticket's agent, and give the ticket back to the board, eligible at once.

    \b
    Example:
      kora-actors release 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    ticket_id = known_id(context, ticket, "TICKET")
    client(context).post(f"/tickets/{ticket_id}/release")
    say(f"{ticket_id}: its agent is ended, and it goes back to the board")


def reread(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Read the configuration again, and show what `update` would change; nothing is changed.

    \b
    Example:
      kora-actors reread
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _differences(client(context).post("/reread"), "would_change", "nothing to update", as_json=as_json)


def update(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Read the configuration again and follow it, with the fewest restarts; as SIGHUP does.

    \b
    Example:
      kora-actors update
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    _differences(client(context).post("/update"), "changed", "nothing has changed", as_json=as_json)


def _differences(found: Document, key: str, nothing: str, *, as_json: bool) -> None:
    if as_json:
        plain_document(found)
        return
    for line in found[key] or [nothing]:
        say(line)


def shutdown(
    context: typer.Context,
    *,
    now: Annotated[bool, typer.Option("--now", help="End the agents at once; their tickets go back.")] = False,
) -> None:
    """End the runtime, as SIGTERM does: what runs may end first. With --now as a second SIGTERM does.

    \b
    Examples:
      kora-actors shutdown
      kora-actors shutdown --now
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    client(context).post("/shutdown", {"at_once": now})
    say("the runtime ends its agents, and itself" if now else "the runtime lets what runs end, then ends")


def ping(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show whether the runtime answers, and how fast.

    \b
    Example:
      kora-actors ping
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    began = perf_counter()
    found = client(context).get("/ping")
    seconds = perf_counter() - began
    if as_json:
        plain_document(found | {"seconds": seconds})
    else:
        say(f"pong after {seconds:.3f} s")


def version(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show which version runs; `kora-actors --version` shows which one this is.

    \b
    Example:
      kora-actors version
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/version")
    if as_json:
        plain_document(found)
    else:
        say(found["version"])
