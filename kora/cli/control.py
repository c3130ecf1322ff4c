"""STOP commands: given, cleared and listed in the store, so that no runtime need answer; and what holds now."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kora.cli.admin.asked import AsJson, client, count, flat
from kora.cli.control_view import (
    MEANINGS,
    document_of,
    in_a_line,
    levels,
    names_of,
    progress_of,
    show_commands,
    watcher,
    what_follows,
)
from kora.cli.fleet import described
from kora.cli.invocation import invocation, login_name
from kora.cli.output import complain, fields, plain_document, plain_documents, say
from kora.domain.control import StopLevel
from kora.domain.cost import Rung, micro_usd
from kora.errors import StoreError

if TYPE_CHECKING:
    from kora.cli.invocation import Invocation
    from kora.config import Settings
    from kora.domain.control import Command
    from kora.store.port import Reader

app = typer.Typer(
    help="""Show what the running runtime may claim, and who says so; stop the work of every runtime, or let it go on.

    Its commands work on the store: no runtime need answer, or run.

    \b
    Examples:
      kora-actors control
      kora-actors control stop 3 --reason "the agents delete tests"
      kora-actors control list
      kora-actors control reset
    """,  # typer is told by a backspace to keep the lines
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_REASON_CHARACTERS: Final = 1_000
_SILENT: Final = "silent"

StopWord = Annotated[str, typer.Argument(metavar="1|2|3|4|5", help="How hard: see the list above.", show_default=False)]


@app.callback(invoke_without_command=True)
def show(context: typer.Context, *, as_json: AsJson = False) -> int:
    """Show what may be claimed, and who says so."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise typer.BadParameter("goes behind the command", ctx=context, param_hint="--json")
        return 0
    found: dict[str, Any] = dict(client(context).get("/control"))
    code = 0
    try:
        with invocation(context).reader() as reader:
            command = reader.steering().command
        found["command"] = None if command is None else document_of(command) if as_json else in_a_line(command)
    except StoreError as error:
        # What the runtime says is worth knowing above all while the store is away.
        complain(f"the open command is not known: {error}")
        code = error.exit_code
    if as_json:
        plain_document(found)
    else:
        fields(dict(flat(found)))
    return code


@app.command(short_help="Stop the work of every runtime of the workspace.")
def stop(
    context: typer.Context,
    word: StopWord,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until every runtime has enforced it.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0,
            help="With --wait: for no longer than this; if not said, as long as its enforcement may take.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Stop the work of every runtime of the workspace, until `control reset`. It asks nothing: it stops.

    From any level on nothing new is claimed. What runs:

    \b
      1  goes on to its end
      2  begins no new operation, and may end within control.drain_seconds
      3  is stopped now; its tickets go back, eligible at once
      4  is killed; each runtime releases what it can, and exits with 5
      5  is killed as by 4, and what these runtimes could still write is refused
    With --wait it ends with 1 if the command was not enforced.

    \b
    Examples:
      kora-actors control stop 1 --reason "the provider is down"
      kora-actors control stop 3 --reason "the agents delete tests" --wait
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    level = _level(context, word)
    if timeout is not None and not wait:
        raise typer.BadParameter("goes with --wait", ctx=context, param_hint="--timeout")
    why = checked_reason(context, reason)
    call = invocation(context)
    settings = call.settings()
    with call.store(settings) as store:
        with closing(store.board()) as board:
            command = board.stop(level, reason=why, enforce_seconds=_seconds(settings, level), who=login_name())
        with closing(store.reader()) as reader:
            if not as_json:
                where = f"workspace {settings.runtime.workspace} in {store.url}"
                fields(_told(command, reader, where) | {"until": call.typed("control", "reset")})
            return _end(reader, command, timeout, wait=wait, as_json=as_json)


@app.command(short_help="Clear what stops the work.")
def reset(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")] = "seen to",
    as_json: AsJson = False,
) -> None:
    """Clear what stops the work: every open command, the retry ceiling, and what a boot gate held for an operator.

    \b
    Examples:
      kora-actors control reset
      kora-actors control reset --reason "the provider is back"
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    why = checked_reason(context, reason)
    call = invocation(context)
    settings = call.settings()
    with call.store(settings) as store:
        with closing(store.board()) as board:
            superseded = board.reset(reason=why, who=login_name())
        if as_json:
            plain_document({"superseded": [document_of(each) for each in superseded]})
            return
        with closing(store.reader()) as reader:
            _tell_reset(superseded, reader, call, settings)


@app.command("list", short_help="Show every command, and how far it has come.")
def list_commands(
    context: typer.Context,
    *,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="No more than this many.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the command log, the newest first, with how far each runtime has come.

    \b
    Examples:
      kora-actors control list
      kora-actors control list --limit 5 --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    with invocation(context).reader() as reader:
        found = reader.commands(limit)
        if as_json:
            plain_documents(map(document_of, found))
        else:
            show_commands(found, names_of(reader.fleet()))


def checked_reason(context: typer.Context, reason: str) -> str:
    """The reason, if it is one. Raises `BadParameter`."""
    if not reason.strip() or len(reason) > _REASON_CHARACTERS:
        message = f"must have 1 to {_REASON_CHARACTERS:,} characters: whoever finds the work stopped will read it"
        raise typer.BadParameter(message, ctx=context, param_hint="--reason")
    return reason.strip()


def _level(context: typer.Context, word: str) -> StopLevel:
    for level in MEANINGS:
        if word == str(level.value):
            return level
    what = "0 stops nothing: that is `control reset`" if word == "0" else f"no such level: {word!r}"
    message = f"{what}; from each of these on nothing new is claimed, and what runs\n{levels()}"
    raise typer.BadParameter(message, ctx=context, param_hint="1|2|3|4|5")


def _seconds(settings: Settings, level: StopLevel) -> float:
    control = settings.control
    return {
        StopLevel.BLOCK_NEW_INTAKE: control.level_1_seconds,
        StopLevel.DRAIN_CURRENT_FINISH: control.level_2_seconds,
        StopLevel.ABORT_RELEASE_CLAIM: control.level_3_seconds,
    }.get(level, control.level_4_seconds)


def _told(command: Command, reader: Reader, where: str) -> dict[str, object]:
    """What will happen."""
    steering, fleet = reader.steering(), reader.fleet()
    holds = steering.command
    said: dict[str, object] = {
        "command": f"{command.command_id}: level {command.level.value}, {command.level.action}",
        "claims": f"none from now on, by any runtime of {where}",
        "what runs": MEANINGS[command.level],
        "within": what_follows(command),
        "watcher": watcher(steering.watcher_seen_seconds),
        "runtimes": progress_of(command, names_of(fleet)) or "none is there",
    }
    # Who was not seen for so long may be frozen, and its agents at work until their leases end.
    if silent := [described(each) for each in fleet if each.state == _SILENT]:
        said["silent"] = "\n".join(silent)
    if holds is not None and holds.command_id != command.command_id:
        said["holds"] = f"{in_a_line(holds)}; this one softens nothing"
    return said


def _end(reader: Reader, command: Command, timeout: float | None, *, wait: bool, as_json: bool) -> int:
    from kora.cli.control_wait import followed, verdict

    def tell(text: str) -> None:
        if not as_json:
            say(text)

    code = 0
    if wait:
        seconds = command.enforce_seconds if timeout is None else timeout
        command = followed(reader, command, seconds, tell=tell)
        code = verdict(command, seconds, tell=tell)
    if as_json:
        plain_document(document_of(command))
    return code


def _tell_reset(superseded: list[Command], reader: Reader, call: Invocation, settings: Settings) -> None:
    """What it cleared, and what else keeps runtimes from claiming."""
    cleared = count(len(superseded), "command")
    say(f"reset: {cleared} superseded; over too: the retry ceiling, what a boot gate held, a wait for a provider")
    for command in superseded:
        say(f"  {in_a_line(command)}")
    if any(command.level >= StopLevel.EXTERNAL_KILL for command in superseded):
        say(f"runtimes that it ended are to be started again: {call.typed('run')}")
    if reader.steering().pool.rung(micro_usd(settings.cost.pool_usd)) is Rung.HARD_STOP_100:
        say(f"nothing is claimed yet: the credit pool is used up, until {call.typed('cost', 'refresh')}")
