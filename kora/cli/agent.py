"""Trying an agent of the configuration: one attempt, outside the board."""

from __future__ import annotations

import os
import shlex
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kora.cli.invocation import invocation
from kora.cli.output import fields, painted, write_line
from kora.errors import KoraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kora.agents.coding.stream import Mark
    from kora.agents.kinds import Spec
    from kora.agents.records import RecordLine
    from kora.config import Settings
    from kora.config.agent import AnchoredAgent
    from kora.domain.claim import Claim
    from kora.domain.resolution import Settlement

app = typer.Typer(help="Try an agent of the configuration.", rich_markup_mode=None)

_DEFAULT: Final = "default"
_GIST_CHARACTERS: Final = 120
_TOLD: Final = ("text", "partial_json", "thinking", "name", "tool_name", "command", "content", "output", "result")
_WITHIN: Final = ("message", "event", "item", "delta", "content", "error", "input", "parameters")


class UnknownAgentError(KoraError):
    """The configuration has no agent of that name."""

    exit_code = 4


@app.callback()
def _agents() -> None:
    """Try an agent of the configuration, outside the board."""


@app.command("try", short_help="Make one attempt outside the board, and show all of it.")
def attempt(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which [agents.NAME]; `default`: [agent].", show_default=False)
    ],
    objective: Annotated[str, typer.Argument(metavar="OBJECTIVE", help="What it is to do.", show_default=False)],
    *,
    title: Annotated[str, typer.Option("--title", metavar="TITLE", help="The ticket's title.")] = "A trial",
) -> None:
    """Make one attempt outside the board, and show live what the agent does and what Kora makes of it.

    It is contained, leased and checked as any attempt, and works where the configuration says: what it changes there
    stays, but in a place that was made for it alone, which goes. Nothing is written to the store.
    Exits with 0 if the ticket would be completed, else with 1.

    \b
    Examples:
      kora-actors agent try default "Say hello"
      kora-actors agent try review "Look at the last commit" --title "Review"
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from pydantic import ValidationError

    from kora.agents import kinds, trial
    from kora.clock import SystemTime
    from kora.domain.ticket import NewTicket
    from kora.redact import Redactor

    settings = invocation(context).settings()
    key, chosen = _chosen(settings, name)
    spec = chosen.spec()
    kinds.check(spec, key=key)
    try:
        ticket = NewTicket(ticket_title=title, ticket_objective=objective)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], ctx=context) from None
    claim = trial.a_claim(
        ticket, settings.runtime.workspace, settings.runtime.actor, lease_seconds=settings.poller.lease_seconds
    )
    redact = Redactor.of(os.environ)
    _introduce(key, spec, claim, redact)
    times = trial.Times(
        settings.poller.lease_seconds, settings.heartbeat.interval_seconds, settings.heartbeat.tool_seconds
    )
    screen = Screen(redact)
    settlement = trial.attempt(spec, claim, times, SystemTime(), tell=screen.tell, watch=screen.watch, line=screen.line)
    if not _conclude(settlement, redact):
        raise typer.Exit(1)


def _chosen(settings: Settings, name: str) -> tuple[str, AnchoredAgent]:
    if name in settings.agents:
        return f"agents.{name}", settings.agents[name]
    if name == _DEFAULT:
        return "agent", settings.agent
    known = ", ".join((_DEFAULT, *settings.agents))
    raise UnknownAgentError(f"there is no agent '{name}' in {settings.path}; there are: {known}")


def _introduce(key: str, spec: Spec, claim: Claim, redact: Callable[[str], str]) -> None:
    """What is to be run, where, and what it is given."""
    from kora.agents.coding.agent import arguments_of, prompt_of
    from kora.agents.coding.settings import CodingSettings
    from kora.agents.command import CommandSettings, document_for

    said: dict[str, object] = {"agent": f"[{key}]"}
    match spec:
        case CodingSettings():
            said["runs"] = redact(shlex.join((spec.executable, *arguments_of(spec, None))))
            said["asks"] = redact(prompt_of(spec, claim, spec.workdir).strip("\n"))
        case CommandSettings():
            said["runs"] = redact(shlex.join(spec.command))
            said["asks"] = redact(document_for(claim).decode().strip())
        case _:
            said["calls"] = spec.function
    said["in"] = spec.workdir
    said["sees"] = [name for name in spec.env_allow if name in os.environ]
    if spec.verify:
        said["checks"] = redact(shlex.join(spec.verify))
    fields(said)


def _conclude(settlement: Settlement | None, redact: Callable[[str], str]) -> bool:
    """What would be written of its end; whether that is a success."""
    from kora.cli.spans import span
    from kora.domain.resolution import Resolution

    if settlement is None:
        fields({"ended": "its lease was lost: nothing would be written, and the ticket would go back to the board"})
        return False
    offset = settlement.next_eligible_offset_seconds
    said: dict[str, object] = {"ended": settlement.resolution, "summary": redact(settlement.summary) or "-"}
    if settlement.failure_count_by_reason:
        said["counts as"] = ", ".join(settlement.failure_count_by_reason)
    if offset is not None:
        said["again in"] = span(offset)
    said["model"] = settlement.model_tier_used or "-"
    said["cost"] = "not known" if settlement.cost_usd is None else f"{settlement.cost_usd:.4f} USD"
    fields(said)
    return settlement.resolution is Resolution.COMPLETED


class Screen:
    """Prints what happens, a line each, with the seconds since it began. For any thread."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._began_at = time.monotonic()
        self._mutex = threading.Lock()

    def tell(self, text: str) -> None:
        """What a runtime would have done."""
        self._print("kora", text, "cyan")

    def watch(self, said: dict[str, Any], mark: Mark | None) -> None:
        """What a coding agent's stream said, and what progress that is."""
        if mark is None and said.get("type") == "stream_event":
            return
        kind = "/".join(str(said[key])[:_GIST_CHARACTERS] for key in ("type", "subtype") if key in said)
        signal = "" if mark is None else f"  [{mark.signal.value}]"
        self._print("stream", f"{kind}{signal}  {gist(said)}".rstrip(), *(() if mark else ("dim",)))

    def line(self, line: RecordLine) -> None:
        """What it printed; of a stream, only what is not understood, since `watch` is told the rest."""
        if line.stream != "stdout" or not line.text.startswith("{"):
            self._print(line.stream, line.text, "red" if line.stream == "stderr" else "yellow")

    def _print(self, what: str, text: str, *styles: str) -> None:
        with self._mutex:
            seconds = painted(f"{time.monotonic() - self._began_at:6.1f} s ", "dim")
            write_line(seconds, f" {what:<7} ", painted(self._redact(text), *styles))


def gist(said: dict[str, Any]) -> str:
    """What a line says in words, as far as it has any; short."""
    words = " ".join(" · ".join(_words(said, 0)).split())
    return words if len(words) <= _GIST_CHARACTERS else f"{words[:_GIST_CHARACTERS]}…"


def _words(said: object, depth: int) -> Iterator[str]:
    if isinstance(said, list):
        for item in said[:3]:
            yield from _words(item, depth + 1)
    if not isinstance(said, dict) or depth > len(_WITHIN):
        return
    for key in _TOLD:
        if isinstance(value := said.get(key), str) and value.strip():
            yield value[: _GIST_CHARACTERS + 1]
    if isinstance(said.get("message"), str):
        yield said["message"][: _GIST_CHARACTERS + 1]
    for key in _WITHIN:
        yield from _words(said.get(key), depth + 1)
