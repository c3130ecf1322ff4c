"""What an attempt at a ticket printed, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from kora.cli.following import pause
from kora.cli.invocation import invocation, known_id
from kora.cli.output import painted, plain_document, plain_documents, say, write_line
from kora.cli.spans import span
from kora.errors import KoraError, NotFoundError

if TYPE_CHECKING:
    from kora.agents.records import RecordLine
    from kora.config import Settings
    from kora.store.port import Reader
    from kora.store.views import AttemptRecord

_STYLES: Final = {"stderr": "red", "verify": "yellow", "git": "cyan", "kora": "cyan"}


def log(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="ID", help="The ticket's id.", show_default=False)],
    *,
    number: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", min=1, help="Which attempt: the latest, if not said."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what it prints from now on, until the attempt has ended.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --follow one object a line.")
    ] = False,
) -> None:
    """Show what an attempt at a ticket printed: the time, the stream, the line.

    \b
    Examples:
      kora-actors ticket log 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3
      kora-actors ticket log 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 --attempt 1 --json
      kora-actors ticket log 0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3 --follow
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    from kora.agents import records

    ticket_id = known_id(context, ticket, "ID")
    call = invocation(context)
    settings = call.settings()
    with call.reader(settings) as reader:
        attempt = _chosen(reader, ticket_id, number)
        if attempt is None:
            _tell_none(f"ticket {ticket_id} was never attempted", as_json=as_json, follow=follow)
            return
        state_dir, work_attempt_id = settings.runtime.state_dir, attempt.work_attempt_id
        if follow:
            reader.changed()
            # Looked up again after the first `changed`: an end in between would go unseen.
            ending = _Ending(reader, _chosen(reader, ticket_id, attempt.attempt) or attempt, ticket_id)
            lines = _read(records.follow(state_dir, work_attempt_id, wait=ending.wait))
        else:
            lines = _read(records.read(state_dir, work_attempt_id))
        if as_json and not follow:
            plain_documents(_objects(lines))
        elif not _print(lines, as_json=as_json):
            _tell_none(_why_nothing(settings, ticket_id, attempt), as_json=as_json, follow=follow)


def attempt_line(attempt: AttemptRecord) -> str:
    """The attempt in a line: its number, how it ended, when it began, how long it took, its summary."""
    began = f"{attempt.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if attempt.ended_at is None:
        return f"{attempt.attempt}  under way since {began}"
    took = span((attempt.ended_at - attempt.started_at).total_seconds())
    # One line, whatever the agent put into it.
    summary = " ".join((attempt.summary or "").split())
    return f"{attempt.attempt}  {attempt.resolution or 'expired'} ({began}, {took})  {summary}".rstrip()


@dataclass(slots=True)
class _Ending:
    """Waits for an attempt's further lines."""

    reader: Reader
    attempt: AttemptRecord
    ticket_id: str

    def wait(self) -> bool:
        """Wait a little; False when the attempt has ended, so that only what it had printed by then is left."""
        pause()
        if self.attempt.ended_at is None and self.reader.changed():
            self.attempt = _chosen(self.reader, self.ticket_id, self.attempt.attempt) or self.attempt
        return self.attempt.ended_at is None


def _read(lines: Iterator[RecordLine]) -> Iterator[RecordLine]:
    try:
        yield from lines
    except BrokenPipeError:
        raise
    except OSError as error:
        raise KoraError(f"the record of the attempt cannot be read: {error}") from None


def _chosen(reader: Reader, ticket_id: str, number: int | None) -> AttemptRecord | None:
    attempts = reader.attempts(ticket_id)
    if number is None:
        return attempts[-1] if attempts else None
    for attempt in attempts:
        if attempt.attempt == number:
            return attempt
    numbers = ", ".join(str(attempt.attempt) for attempt in attempts)
    raise NotFoundError(f"ticket {ticket_id} has no attempt {number}; there are: {numbers or 'none'}")


def _print(lines: Iterable[RecordLine], *, as_json: bool) -> bool:
    """Whether there was any."""
    printed = False
    for line in lines:
        printed = True
        if as_json:
            plain_document(_object(line))
            continue
        style = [_STYLES[line.stream]] if line.stream in _STYLES else []
        write_line(
            painted(f"{line.at.astimezone():%H:%M:%S}", "dim"),
            " ",
            painted(f"{line.stream:<6}", *style),
            " ",
            painted(line.text, *style),
        )
    return printed


def _objects(lines: Iterable[RecordLine]) -> Iterator[dict[str, object]]:
    return map(_object, lines)


def _object(line: RecordLine) -> dict[str, object]:
    return {"at": line.at, "stream": line.stream, "text": line.text}


def _tell_none(why: str, *, as_json: bool, follow: bool) -> None:
    if not as_json:
        say(why)
    elif not follow:
        plain_documents(())


def _why_nothing(settings: Settings, ticket_id: str, attempt: AttemptRecord) -> str:
    which = f"attempt {attempt.attempt} of ticket {ticket_id}"
    if attempt.ended_at is None:
        return f"{which} has printed nothing yet"
    keep_days = settings.runtime.keep_days
    if keep_days and datetime.now(UTC) - attempt.ended_at > timedelta(days=keep_days):
        return f"the record of {which} was swept: records are kept for {keep_days:g} days (runtime.keep_days)"
    return (
        f"{which} has no record in {settings.runtime.state_dir}: it printed nothing, "
        "or it ran in a runtime with another state_dir"
    )
