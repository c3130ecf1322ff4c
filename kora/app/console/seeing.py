"""What is seen of a runtime. Nothing here asks an actor, or waits for one."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.actor import KoraActor
from actors.kinds import kinds_of
from actors.names import CONTROL, POLLER
from actors.supervision import ChildStatus, SupervisorStatus, stack_text
from kora.admin.views import (
    ActorInfo,
    ActorStatus,
    ActorView,
    DeadLettersView,
    DeadLetterView,
    Mailbox,
    MessageKind,
    RuntimeStatus,
    SupervisorView,
    ThreadStack,
    Waiting,
)
from kora.app.console.feeds import traced
from kora.app.console.vitals import vitals_of, watcher_of
from kora.errors import UnknownNameError

if TYPE_CHECKING:
    from actors.supervision import ChildDescription
    from kora.admin.port import Feed
    from kora.admin.views import ActorState, LogLine, StateChange, Traced
    from kora.app.console.inside import Inside
    from kora.domain.vitals import Vitals
    from kora.store.port import Reader

_STATES: Final[Mapping[str, ActorState]] = {
    "starting": "starting",
    "stopping": "busy",
    "restarting": "restarting",
    "stopped": "stopped",
    "failed": "failed",
}
_STATM: Final = Path("/proc/self/statm")


class Seeing:
    """The half of the Console that changes nothing."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def status(self) -> RuntimeStatus:
        """How the runtime and its actors stand."""
        inside = self._inside
        actors = [self._actor_status(status) for status in inside.actors()]
        watcher = watcher_of(inside)
        return RuntimeStatus(inside.identity, inside.state.view, actors, inside.claims_held(), watcher=watcher)

    def tree(self) -> SupervisorView:
        """The supervision tree."""
        return self._supervisor_view(self._inside.supervisor.tree())

    def info(self, name: str) -> ActorInfo:
        """All that is known of one actor, or of one supervisor below the root."""
        found = self._inside.describe(name)
        status, made = found.status, found.actor_class
        return ActorInfo(
            name=name,
            supervisor=status.supervisor,
            state=self._state_of(status),
            actor="supervisor" if made is None else made.__name__,
            description="" if made is None else inspect.getdoc(made) or "",
            generation=status.generation,
            restarts=status.restarts,
            busy_seconds=status.busy_seconds,
            mailbox=found.depths._asdict(),
            policy={key: self._inside.text.plain(value) for key, value in found.policy.items()},
            facts=self._facts(found),
            kinds=[kind.kind for kind in self._kinds(found)],
        )

    def kinds(self, name: str) -> Sequence[MessageKind]:
        """What one actor understands, what may be told first."""
        return self._kinds(self._inside.describe(name))

    def mailbox(self, name: str, limit: int) -> Mailbox:
        """What waits for one actor, its first `limit` messages."""
        inside = self._inside
        if inside.describe(name).actor_class is None:
            return Mailbox(name, 0, ())
        backlog = inside.directory.waiting(name, limit)
        messages = [
            Waiting(
                each.lane, type(each.message).__name__, each.sender, each.age_seconds, inside.text.preview(each.message)
            )
            for each in backlog.messages
        ]
        return Mailbox(name, backlog.total, messages)

    def stacks(self, name: str | None = None) -> Sequence[ThreadStack]:
        """Where one actor is, or every thread of the process; none of an actor that is not there."""
        inside = self._inside
        if name is not None:
            if name != inside.supervisor.name:
                inside.describe(name)
            stack = inside.supervisor.stack(name)
            return () if stack is None else (ThreadStack(name, name, inside.text.lines("\n".join(stack))),)
        serves, names = inside.supervisor.threads(), {each.ident: each.name for each in threading.enumerate()}
        frames = sys._current_frames()  # noqa: SLF001 - the only way to other threads' stacks
        return [
            ThreadStack(
                names.get(ident, str(ident)),
                serves.get(ident),
                inside.text.lines(stack_text(frame)),
            )
            for ident, frame in frames.items()
        ]

    def dead_letters(self) -> DeadLettersView:
        """The messages that nobody handled."""
        text, letters = self._inside.text, self._inside.directory.dead_letters
        kept = [
            DeadLetterView(
                letter.number,
                letter.name,
                type(letter.message).__name__,
                letter.reason,
                letter.at,
                text.preview(letter.message),
                text.detail(letter.detail),
                letter.may_be_resent,
            )
            for letter in letters
        ]
        return DeadLettersView(letters.total, kept)

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start: what was done, what waits, what it takes of the machine."""
        inside = self._inside
        actors = list(inside.actors())
        now = datetime.now(UTC)
        return {
            "uptime_seconds": (now - inside.identity.started_at).total_seconds(),
            "attempts_ended": dict(inside.ended),
            "claims_held": inside.claims_held(),
            "restarts": sum(status.restarts for status in actors),
            "messages_waiting": sum(status.mailbox for status in actors),
            "dead_letters": inside.directory.dead_letters.total,
            "records_waiting": inside.recorder.waiting,
            "transitions": inside.state.transitions.position(),
            "log_lines": inside.log.lines.position(),
            "threads": threading.active_count(),
            "memory_bytes": _memory_bytes(),
            "garbage_collections": sum(generation["collections"] for generation in gc.get_stats()),
        }

    def control(self) -> Mapping[str, Any]:
        """What may be claimed, and who says so."""
        inside = self._inside
        pause = inside.state_dir.paused()
        deadline = inside.draining.deadline
        return {
            "claim_permission": inside.state.view.claim_permission,
            "degradation_reasons": list(inside.state.view.degradation_reasons),
            "paused": None if pause is None else {"who": pause.who, "at": pause.at, "fault": pause.fault},
            "draining": deadline is not None,
            CONTROL: self._facts(inside.describe(CONTROL)),
            POLLER: self._facts(inside.describe(POLLER)),
        }

    def vitals(self) -> Vitals:
        """What the runtime's health follows from."""
        return vitals_of(self._inside, [self._actor_status(status) for status in self._inside.actors()])

    def reader(self) -> AbstractContextManager[Reader]:
        """A reading handle on the store, closed at the end."""
        return _closed(self._inside)

    @property
    def log(self) -> Feed[LogLine]:
        """The last log lines."""
        return self._inside.log.lines

    @property
    def transitions(self) -> Feed[StateChange]:
        """The last transitions of the operational state."""
        return self._inside.state.transitions

    def trace(self, name: str) -> AbstractContextManager[Feed[Traced]]:
        """What one actor is sent and sends, from now until the end of the context."""
        self._inside.describe(name)
        return traced(self._inside.directory, name, self._inside.text)

    def _actor_status(self, status: ChildStatus) -> ActorStatus:
        post = self._inside.posts().get(status.name)
        running = None if post is None else post.running
        ticket_id = None if running is None else running.claim.key.ticket_id
        state = self._state_of(status)
        return ActorStatus(status.name, state, status.restarts, status.mailbox, status.busy_seconds, ticket_id)

    def _supervisor_view(self, status: SupervisorStatus) -> SupervisorView:
        children = [
            self._supervisor_view(child) if isinstance(child, SupervisorStatus) else self._actor_view(child)
            for child in status.children
        ]
        return SupervisorView(
            name=status.name,
            state=status.state,
            strategy=status.strategy,
            restarts_used=status.restarts_used,
            max_restarts=status.max_restarts,
            within_seconds=status.within_seconds,
            restarts=status.restarts,
            retired=status.retired,
            max_retired=status.max_retired,
            children=children,
        )

    def _actor_view(self, status: ChildStatus) -> ActorView:
        return ActorView(
            status.name,
            self._state_of(status),
            status.restart,
            status.generation,
            status.restarts,
            status.mailbox,
            status.busy_seconds,
        )

    def _state_of(self, status: ChildStatus) -> ActorState:
        if status.state != "running":
            return _STATES[status.state]
        if status.busy_seconds is None:
            return "idle"
        hang_seconds = None
        # One that has just gone keeps nobody from seeing the others.
        with suppress(UnknownNameError):
            hang_seconds = self._inside.describe(status.name).policy.get("hang_seconds")
        return "hung" if hang_seconds is not None and status.busy_seconds >= hang_seconds else "busy"

    def _facts(self, found: ChildDescription) -> Mapping[str, Any]:
        if not isinstance(found.actor, KoraActor):
            return {}
        plain = self._inside.text.plain(found.actor.facts())
        return plain if isinstance(plain, Mapping) else {}

    def _kinds(self, found: ChildDescription) -> tuple[MessageKind, ...]:
        made = found.actor_class
        return kinds_of(made) if made is not None and issubclass(made, KoraActor) else ()


@contextmanager
def _closed(inside: Inside) -> Iterator[Reader]:
    with closing(inside.store.reader()) as reader:
        yield reader


def _memory_bytes() -> int | None:
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
