"""Messages to actors: told, or asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kora.cli.admin.asked import ActorName, AsJson, actor_path, client, flat
from kora.cli.output import complain, fields, plain_document, say

if TYPE_CHECKING:
    from kora.errors import BadMessageError

_ANSWER_SECONDS: Final = 5.0
"""what the runtime may take to say that there is no answer"""

Spelt = Annotated[
    str, typer.Argument(metavar="JSON", help="The message: an object with its `kind` and fields.", show_default=False)
]


def tell(context: typer.Context, name: ActorName, message: Spelt) -> None:
    """Send an actor a message, checked whole first; `info NAME --kinds` shows what it may be told.

    \b
    Example:
      kora-actors tell poller '{"kind": "Poll"}'
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    spelt = _object(context, message)
    _checked(name, lambda: client(context).post(actor_path(name, "tell"), {"message": spelt}))
    say(f"told {name}: {spelt['kind']}")


def ask(
    context: typer.Context,
    name: ActorName,
    message: Spelt,
    *,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.01, max=300, help="How many seconds to wait.")
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Send an actor a message, and show what it answers.

    \b
    Examples:
      kora-actors ask ledger '{"kind": "Describe"}'
      kora-actors ask ledger '{"kind": "Describe"}' --timeout 30 --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    body = {"message": _object(context, message), "timeout_seconds": timeout}
    found = _checked(
        name, lambda: client(context).post(actor_path(name, "ask"), body, timeout_seconds=timeout + _ANSWER_SECONDS)
    )
    answer = found["answer"]
    if as_json:
        plain_document(answer)
    elif isinstance(answer, dict) and answer:
        fields(dict(flat(answer)))
    else:
        plain_document(answer)


def _object(context: typer.Context, spelt: str) -> dict[str, Any]:
    import orjson

    try:
        message = orjson.loads(spelt)
    except orjson.JSONDecodeError as error:
        why = f"no JSON: {error}"
    else:
        if isinstance(message, dict):
            return message
        why = 'no object; a message is spelt {"kind": "Poll"}'
    raise typer.BadParameter(why, ctx=context, param_hint="JSON")


def _checked(name: str, send: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the API has answered
    from kora.errors import BadMessageError

    try:
        return send()
    except BadMessageError as error:
        _explain(name, error)
        raise typer.Exit(error.exit_code) from None


def _explain(name: str, error: BadMessageError) -> None:
    """What was wrong, and what may be sent."""
    from kora.cli.admin.kinds import show_kinds

    complain(str(error))
    if error.kinds:
        # What is asked for with --json is a document, or nothing.
        with redirect_stdout(sys.stderr):
            say(f"what {name} may be sent:")
            show_kinds(error.kinds)
