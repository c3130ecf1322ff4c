"""What an operator does to a runtime, and what is put on record of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from loguru import logger
from pykka import ActorDeadError
from pykka import Timeout as PykkaTimeout

from actors.actor import KoraActor
from actors.kinds import answers, message_of
from actors.messages import Describe, Flush, Release
from actors.names import ADMIN, CONTROL, FACES, LEDGER
from actors.steering import Recheck
from actors.supervision import (
    CommandTimeoutError,
    InboxFullError,
    ResendRefusedError,
    SupervisionError,
    UnknownLetterError,
)
from kora.admin.views import Restarted
from kora.app.console.recorder import Acted
from kora.errors import (
    AdminError,
    BadMessageError,
    KoraError,
    NoAnswerError,
    NotFoundError,
    RefusedError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from kora.app.console.inside import Inside

COMMAND_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 2.0
_DOWN: Final = frozenset({"stopped", "failed"})
_CHANGES_NOTHING: Final = (Describe, Flush)
_SERVES_THIS: Final = frozenset({ADMIN, FACES})


class Acting:
    """The half of the Console that changes something. What is done is on record, if not at once."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._permitting = threading.Lock()
        """so that the last on record of those who pause, drain and resume at once is what holds"""

    # --- one actor ---

    def tell(self, name: str, message: Mapping[str, Any], *, who: str) -> None:
        """Send a message, checked whole first."""
        made = self._message(name, message)
        if answers(type(made)):
            kind = type(made).__name__
            raise BadMessageError(f"{kind} is answered, and so it is asked, not told: `ask {name} …`")
        self._inside.directory.tell(name, made)
        self._record(who, "tell", name, after={"message": dict(message)})

    def ask(self, name: str, message: Mapping[str, Any], timeout_seconds: float, *, who: str) -> object:
        """The actor's answer."""
        made = self._message(name, message)
        if not isinstance(made, _CHANGES_NOTHING):
            self._record(who, "ask", name, after={"message": dict(message)})
        return self._inside.text.plain(self._answer(name, made, timeout_seconds))

    def start_actor(self, name: str, *, who: str) -> None:
        """A stopped actor runs again."""
        self._command(who, "start", name, self._inside.supervisor.start_child)

    def stop_actor(self, name: str, *, who: str) -> None:
        """It is down until it is started."""
        if name in _SERVES_THIS:
            raise RefusedError(
                f"{name} serves the admin API: nobody could ask for it to be started again; `restart {ADMIN}` instead"
            )
        self._command(who, "stop", name, self._inside.supervisor.stop_child)

    def restart_actor(self, name: str, *, who: str) -> Restarted:
        """A successor serves the name, and has answered.

        Where it serves this very API, the answer goes out first: it names the generation that will come, in no time.
        """
        before, began = self._standing(name), time.monotonic()
        if name in _SERVES_THIS:
            return self._restart_the_served(name, before, who)
        after = self._command(who, "restart", name, self._inside.supervisor.restart_child)
        if issubclass(self._inside.describe(name).actor_class or object, KoraActor):
            self._answer(name, Describe(), COMMAND_SECONDS)
        return Restarted(name, after["generation"], time.monotonic() - began)

    # --- the whole runtime ---

    def pause(self, *, who: str) -> None:
        """Nothing new is claimed by this runtime, also after its restart, until `resume`; what runs goes on."""
        with self._permitting:
            before = self._paused()
            self._pause(who)
            self._record(who, "pause", self._runtime, before=before, after={"paused": True})

    def resume(self, *, who: str) -> None:
        """Claims are made again, as far as nothing else holds them up; Control has seen to that, if it answers."""
        with self._permitting:
            before = self._paused()
            self._inside.state_dir.resume()
            self._inside.draining.take_back()
            self._record(who, "resume", self._runtime, before=before, after={"paused": False, "draining": False})
        with suppress(AdminError):
            self._answer(CONTROL, Recheck(), _LOOK_SECONDS)

    def drain(self, seconds: float | None, *, who: str) -> int:
        """As `pause`; and what runs is given so long to end, then is released. How many claims are held."""
        inside = self._inside
        given = inside.settings().control.drain_seconds if seconds is None else seconds
        with self._permitting:
            before = self._paused()
            # It is refused when the runtime ends, and then there is to be no pause for the next one either.
            inside.draining.begin(given)
            try:
                self._pause(who)
            except RefusedError:
                inside.draining.take_back()
                raise
            held = inside.claims_held()
            after = {"paused": True, "draining": True, "seconds": given, "claims_held": held}
            self._record(who, "drain", self._runtime, before=before, after=after)
        return held

    def release(self, ticket_id: str, *, who: str) -> None:
        """The ticket's agent is ended, and the ticket goes back to the board, eligible at once."""
        for name, post in list(self._inside.posts().items()):
            for claim in post.claims():
                if claim.key.ticket_id == ticket_id:
                    if self._inside.describe(name).status.state in _DOWN:
                        raise RefusedError(
                            f"{name} has ticket {ticket_id} and is down; `start {name}`, which releases it"
                        )
                    attempt = claim.key.work_attempt_id
                    self._inside.directory.tell(name, Release(work_attempt_id=attempt))
                    before = {"worker": name, "work_attempt_id": attempt}
                    self._record(who, "release", ticket_id, before=before)
                    return
        raise self._not_held(ticket_id)

    def reread(self) -> Sequence[str]:
        """What `update` would change, a line for each thing."""
        return self._inside.main.ask(self._inside.reread)

    def update(self, *, who: str) -> Sequence[str]:
        """The configuration is read again and followed, with the fewest restarts; what was changed."""

        def follow() -> Sequence[str]:
            # On record there, for whoever asked may have lost patience before it is done.
            try:
                changed = self._inside.update()
            except SupervisionError as error:
                self._record(who, "update", self._runtime, after={"failed": str(error)})
                raise
            self._record(who, "update", self._runtime, after={"changed": list(changed)})
            return changed

        with _translated("update"):
            return self._inside.main.ask(follow)

    def shutdown(self, *, at_once: bool, who: str) -> None:
        """The runtime drains and ends, as on SIGTERM; or ends its agents now, as on a second one."""
        if self._inside.signals is None:
            raise RefusedError("this runtime is driven by a program of its own, which ends it")
        self._record(who, "shutdown", self._runtime, after={"at_once": at_once})
        self._inside.signals.ask_to_end(at_once=at_once)

    # --- dead letters ---

    def resend(self, number: int, *, who: str) -> None:
        """A dead letter is sent again."""
        try:
            letter = self._inside.directory.resend(number)
        except UnknownLetterError as error:
            raise UnknownNameError(str(error)) from None
        except (ResendRefusedError, InboxFullError) as error:
            raise RefusedError(str(error)) from None
        before = {"number": number, "kind": type(letter.message).__name__, "reason": letter.reason}
        self._record(who, "resend", letter.name, before=before)

    def drop(self, number: int | None, *, who: str) -> int:
        """A dead letter, or all of them, are forgotten; how many."""
        letters = self._inside.directory.dead_letters
        if number is None:
            count = letters.drop_all()
            self._record(who, "drop", self._runtime, before={"dead_letters": count}, after={"dead_letters": 0})
            return count
        try:
            letter = letters.drop(number)
        except UnknownLetterError as error:
            raise UnknownNameError(str(error)) from None
        before = {"number": number, "kind": type(letter.message).__name__, "reason": letter.reason}
        self._record(who, "drop", letter.name, before=before)
        return 1

    # --- how ---

    @property
    def _runtime(self) -> str:
        return self._inside.identity.runtime_id

    def _record(
        self,
        who: str,
        verb: str,
        target: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        plain = self._inside.text.plain
        said: list[Any] = [plain({} if each is None else each) for each in (before, after)]
        self._inside.recorder.add(Acted(who, verb, target, *said))

    def _message(self, name: str, given: Mapping[str, Any]) -> object:
        found = self._inside.describe(name)
        made = found.actor_class
        if made is None or not issubclass(made, KoraActor):
            raise RefusedError(f"{name} is a supervisor, which takes no messages")
        message = message_of(made, name, given)
        if found.status.state in _DOWN:
            raise RefusedError(f"{name} is down, and the message would be a dead letter; `start {name}` first")
        return message

    def _answer(self, name: str, message: object, seconds: float) -> object:
        kind = type(message).__name__
        try:
            return self._inside.directory.ask(name, message, seconds)
        except PykkaTimeout:
            text = f"{name} has not answered {kind} within {seconds:g} s; it handles it all the same, if it comes to it"
            raise NoAnswerError(text) from None
        except InboxFullError:
            raise NoAnswerError(f"{name} has no room for {kind}: its mailbox is full") from None
        except ActorDeadError:
            raise NoAnswerError(f"{name} did not handle {kind}: it is a dead letter now") from None
        except KoraError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the actor raised, it is said and no more
            said = self._inside.text.plain(f"{type(error).__name__}: {error}")
            raise AdminError(f"{name} failed at {kind}: {said}") from None

    def _command(self, who: str, verb: str, name: str, command: Callable[[str, float], object]) -> dict[str, Any]:
        """How the actor stands after it. On record even if it fails, or takes longer: it may have been done by half."""
        before = after = self._standing(name)
        failed: dict[str, str] = {}
        try:
            with _translated(name):
                command(name, COMMAND_SECONDS)
        except KoraError as error:
            failed = {"failed": str(error)}
            raise
        finally:
            with suppress(UnknownNameError):
                after = self._standing(name)
            self._record(who, verb, name, before=before, after=after | failed)
        return after

    def _standing(self, name: str) -> dict[str, Any]:
        status = self._inside.describe(name).status
        return {"state": status.state, "generation": status.generation}

    def _restart_the_served(self, name: str, before: Mapping[str, Any], who: str) -> Restarted:
        def restart() -> None:
            try:
                self._inside.supervisor.restart_child(name, COMMAND_SECONDS)
            except SupervisionError as error:
                logger.error("{} was not restarted as asked: {}", name, error)

        generation = before["generation"] + 1
        self._record(who, "restart", name, before=before, after={"generation": generation})
        threading.Thread(target=restart, name=f"restarting-{name}", daemon=True).start()
        return Restarted(name, generation, 0.0)

    def _pause(self, who: str) -> None:
        self._inside.state_dir.pause(who, datetime.now(UTC))
        self._inside.directory.tell(CONTROL, Recheck())

    def _paused(self) -> dict[str, Any]:
        pause = self._inside.state_dir.paused()
        before: dict[str, Any] = {"paused": pause is not None, "draining": self._inside.draining.deadline is not None}
        return before if pause is None else {**before, "who": pause.who, "at": pause.at}

    def _not_held(self, ticket_id: str) -> KoraError:
        try:
            with closing(self._inside.store.reader()) as reader:
                ticket = reader.ticket(ticket_id)
        except NotFoundError as error:
            return UnknownNameError(str(error))
        claim = ticket.claim
        if claim is None:
            return RefusedError(
                f"ticket {ticket_id} is {ticket.sea_status}: nobody holds it, so there is nothing to end"
            )
        if claim.holder != self._runtime:
            return RefusedError(f"ticket {ticket_id} is held by runtime {claim.holder}: ask that one to release it")
        return RefusedError(f"ticket {ticket_id} is on its way to a Worker, or back; try again, or `restart {LEDGER}`")


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """What the supervisor refuses, as an operator's error."""
    try:
        yield
    except CommandTimeoutError:
        raise NoAnswerError(f"{name}: not done within {COMMAND_SECONDS:g} s; it goes on") from None
    except SupervisionError as error:
        raise AdminError(f"{name}: {error}") from None
