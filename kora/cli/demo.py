"""The demo: a dozen tickets on a board of its own, one actor crashed on purpose, and the record of it all."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kora import logging
from kora.cli.demo_view import Live, Plain, View, close_with
from kora.cli.invocation import login_name
from kora.cli.log import verdict
from kora.cli.output import complain
from kora.config import Settings, load
from kora.domain.events import Event, EventType
from kora.domain.resolution import Resolution
from kora.domain.ticket import NewTicket, Priority, Status, Ticket

if TYPE_CHECKING:
    from types import FrameType

    from kora.cli.port import Launcher, RuntimeHandle
    from kora.store.port import Reader
    from kora.store.views import ChainReport

VICTIM: Final = "ledger"
CRASH_AFTER: Final = 3
LIMIT_SECONDS: Final = 28.0
EXIT_OF_SIGNALS: Final = 128
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS: Final = 0.1
_AGENT: Final = Path(__file__).resolve().parents[2] / "examples" / "demo_agent.py"
_WORK: Final = tuple(
    NewTicket(ticket_title=f"Primes below {60_000 + 2_500 * number}", sea_priority=priority)
    for number, priority in enumerate([Priority.LOW, Priority.HIGH, Priority.MEDIUM, Priority.CRITICAL] * 3)
)
_CONFIGURATION: Final = """\
[runtime]
workspace = "demo"
tick_seconds = 0.1

[poller]
poll_interval_seconds = 0.5
lease_seconds = 20

[workers]
count = 3

[agent]
command = [{python}, {agent}]

[control]
drain_seconds = 5
"""


class Unknown:
    """A message that no actor knows: whoever receives it dies of it."""


@dataclass(slots=True)
class Seen:
    """What the event log has told so far."""

    last_seq: int = 0
    completed: int = 0
    crashed: bool = False
    restarted: Counter[str] = field(default_factory=Counter)


def perform(launcher: Launcher, *, live: bool) -> int:
    """Play it through; 0 if every ticket was completed, the actor came back and the chains verify.

    Interrupted or told to end, it leaves nothing behind; its folder stays only where something went wrong.
    """
    with _ended_by_signals():
        folder = Path(tempfile.mkdtemp(prefix="kora-demo-"))
        keep = True
        try:
            with (folder / "demo.log").open("w", encoding="utf-8") as log:
                logging.configure("DEBUG", log)
                try:
                    keep = not _play(launcher, _prepare(folder), Live() if live else Plain())
                finally:
                    logging.shutdown()
        except (KeyboardInterrupt, SystemExit, BrokenPipeError):
            keep = False
            raise
        finally:
            if keep:
                complain(f"the demo did not end as it should; its board and its log are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return 1 if keep else 0


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """The first signal that asks for the end raises; further ones do nothing, so that tidying up is not cut short."""
    asked = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            return
        asked = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(EXIT_OF_SIGNALS + number)

    # One that is ignored, by nohup or a shell's `&`, stays so.
    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, on_signal) for number in heard]
    try:
        yield
    finally:
        for number, handler in zip(heard, before, strict=True):
            signal.signal(number, handler)


def _prepare(folder: Path) -> Settings:
    path = folder / "supervisor.toml"
    text = _CONFIGURATION.format(python=json.dumps(sys.executable), agent=json.dumps(str(_AGENT)))
    path.write_text(text, encoding="utf-8")
    # The user's own KORA_STORE is none of the demo's business.
    return load(path, {})


def _play(launcher: Launcher, settings: Settings, view: View) -> bool:
    from kora.store.open import open_store

    runtime = settings.runtime
    seen = Seen()
    with open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor) as store:
        board = store.board()
        try:
            board.add(_WORK, who=login_name())
        finally:
            board.close()
        reader = store.reader()
        try:
            with view, launcher.open(settings) as handle:
                handle.start()
                view.begin(settings.workers.count, len(_WORK))
                _follow(handle, reader, view, seen)
                handle.drain()
            _read_on(reader, view, seen)
            return _tell(list(reader.tickets()), seen, reader.verify())
        finally:
            reader.close()


def _follow(handle: RuntimeHandle, reader: Reader, view: View, seen: Seen) -> None:
    """Watch until all is done and the crashed actor is back, the runtime has failed, or the time is up."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        _read_on(reader, view, seen)
        view.board(list(reader.tickets()))
        if seen.completed >= CRASH_AFTER and not seen.crashed:
            seen.crashed = True
            view.alarm(f"crashing the {VICTIM} on purpose: it is sent a message that it does not know")
            handle.tell(VICTIM, Unknown())
        if VICTIM in seen.restarted and not handle.outstanding().any:
            break
        if handle.wait(_LOOK_SECONDS):
            break
    _read_on(reader, view, seen)
    view.board(list(reader.tickets()))


def _read_on(reader: Reader, view: View, seen: Seen) -> None:
    for event in reader.events(after_seq=seen.last_seq):
        seen.last_seq = event.seq
        match event.event_type:
            case EventType.CLAIMED:
                view.note(f"{_title(reader, event)}: claimed")
            case EventType.RESOLVED:
                seen.completed += event.payload["resolution"] == Resolution.COMPLETED
                view.note(f"{_title(reader, event)}: {event.payload['resolution']}")
            case EventType.SUPERVISOR_RESTARTED:
                offender = str(event.payload["offender"])
                seen.restarted[offender] += 1
                view.recovered(f"the supervisor restarted the {offender}")


def _title(reader: Reader, event: Event) -> str:
    return reader.ticket(event.ticket_id).ticket_title if event.ticket_id else "?"


def _tell(tickets: list[Ticket], seen: Seen, report: ChainReport) -> bool:
    done = sum(ticket.sea_status is Status.COMPLETED for ticket in tickets)
    restarts = seen.restarted[VICTIM]
    findings = [
        f"{done} of {len(tickets)} tickets completed, each by a real process",
        f"the {VICTIM} was crashed on purpose after {CRASH_AFTER} tickets, and restarted ({restarts} times)"
        if restarts
        else f"the {VICTIM} was not seen to be restarted",
        verdict(report),
    ]
    close_with(tickets, findings)
    return done == len(tickets) == len(_WORK) and restarts > 0 and report.fault is None
