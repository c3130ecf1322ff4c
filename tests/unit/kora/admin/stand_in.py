"""A Console without a runtime: rings in memory, a real store, and a record of every change that was asked of it."""

import itertools
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from kora.admin.port import Batch
from kora.admin.views import (
    ActorInfo,
    ActorStatus,
    ActorView,
    DeadLettersView,
    DeadLetterView,
    LogLine,
    Mailbox,
    MessageKind,
    Restarted,
    RuntimeIdentity,
    RuntimeStatus,
    StateChange,
    StateView,
    SupervisorView,
    ThreadStack,
    Traced,
    Waiting,
    WatcherView,
)
from kora.domain.control import ClaimPermission
from kora.domain.state import PrimaryState
from kora.domain.vitals import (
    ActorVitals,
    HeartbeatVitals,
    LedgerVitals,
    SteeringVitals,
    SupervisorVitals,
    Vitals,
)
from kora.errors import BadMessageError, NoAnswerError, RefusedError, StoreUnavailableError, UnknownNameError
from tests.stores import open_new

NAMES = ("admin", "clock", "control", "heartbeat", "ledger", "poller", "state_holder", "worker-1")
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
POLL = MessageKind(
    kind="Poll",
    description="Ask for work now.",
    json_schema={
        "type": "object",
        "properties": {"kind": {"const": "Poll"}},
        "required": ["kind"],
        "additionalProperties": False,
    },
    may_be_told=True,
    answers=False,
)
DESCRIBE = MessageKind(
    kind="Describe",
    description="Say how you stand.",
    json_schema={
        "type": "object",
        "properties": {"kind": {"const": "Describe"}, "depth": {"type": "integer"}},
        "required": ["kind"],
        "additionalProperties": False,
    },
    may_be_told=True,
    answers=True,
)
KINDS = (POLL, DESCRIBE)
WELL = Vitals(
    primary_state=PrimaryState.READY,
    is_supervised=True,
    ledger=LedgerVitals(turned_seconds=0.1, written_seconds=2.0),
    heartbeat=HeartbeatVitals(ticked_seconds=0.1),
    steering=SteeringVitals(
        permission=ClaimPermission.NORMAL,
        spent_micro_usd=1_500_000,
        pool_micro_usd=200_000_000,
        watcher_seen_seconds=0.5,
    ),
    workers=1,
    actors=tuple(ActorVitals(name, "idle", restarts=2, mailbox=3) for name in NAMES),
    supervisors=(SupervisorVitals("kora", "running", 1, 30),),
    max_retired=16,
    dead_letters_total=7,
    attempts_ended={"completed": 5},
)


class Ring:
    """A feed that keeps the newest."""

    def __init__(self, kept=1_000):
        self._kept = kept
        self._items = []
        self._lock = threading.Lock()
        self.readings = 0

    def add(self, *items):
        with self._lock:
            self._items += items

    def position(self):
        return len(self._items)

    def since(self, position, limit):
        with self._lock:
            self.readings += 1
            oldest = max(0, len(self._items) - self._kept)
            start = max(position, oldest)
            items = self._items[start : start + limit]
            return Batch(items, start + len(items), start - position)


class _Reader:
    """A reader whose store may go away."""

    def __init__(self, console, reader):
        self._console = console
        self._reader = reader

    def __getattr__(self, name):
        if self._console.is_away:
            self._console.found_away.set()
            raise StoreUnavailableError("the store is out of reach")
        return getattr(self._reader, name)


class StandIn:
    """`changes` has what was done, each as a verb, its arguments and who asked."""

    def __init__(self, store_url, workspace="w"):
        self.store = open_new(store_url, workspace_id=workspace, actor_id="00000000-0000-5000-8000-000000000001")
        self.log = Ring()
        self.transitions = Ring()
        self.traces = {name: Ring() for name in NAMES}
        self.tracing = 0
        self.changes = []
        self.generations = dict.fromkeys(NAMES, 1)
        self.stopped = set()
        self.letters = {7}
        self.released = threading.Event()
        """what a question of a depth above 1,000 waits for"""
        self.asking = threading.Semaphore(0)
        """released for each such question that waits"""
        self.on_restart_admin = lambda: None
        self.is_away = False
        """whether the store is out of reach"""
        self.found_away = threading.Event()
        self.well = WELL
        """its vitals"""
        self.raises = {}
        """by the name of a method: what it raises"""

    def close(self):
        self.released.set()
        self.store.close()

    def _check(self, method, name=None):
        if method in self.raises:
            raise self.raises[method]
        if name is not None and name not in NAMES:
            raise UnknownNameError(f"nobody has the name {name!r}; there are {', '.join(NAMES)}")

    def _did(self, verb, *args, who):
        self.changes.append((verb, *args, who))

    def _actor(self, name):
        state = "stopped" if name in self.stopped else "idle"
        return ActorStatus(name, state, self.generations[name] - 1, 0, None, None)

    def status(self):
        self._check("status")
        return RuntimeStatus(
            RuntimeIdentity(4711, "019b0000-0000-7000-8000-000000000001", THEN, "0.1.0"),
            StateView("ready", "normal", ()),
            [self._actor(name) for name in NAMES],
            0,
            watcher=WatcherView(is_alive=True, seen_seconds=0.4),
        )

    def tree(self):
        self._check("tree")
        children = [ActorView(name, "idle", "permanent", self.generations[name], 0, 0, None) for name in NAMES]
        return SupervisorView("kora", "running", "one_for_one", 0, 5, 60.0, 0, 0, 16, children)

    def info(self, name):
        self._check("info", name)
        counts = {"control": 0, "work": 0, "suspects": 0, "in_hand": 0}
        return ActorInfo(
            name,
            "kora",
            "stopped" if name in self.stopped else "idle",
            name.title(),
            f"The {name}.",
            self.generations[name],
            self.generations[name] - 1,
            None,
            counts,
            {"restart": "permanent", "hang_seconds": 60.0},
            {},
            [kind.kind for kind in KINDS],
        )

    def kinds(self, name):
        self._check("kinds", name)
        return KINDS

    def mailbox(self, name, limit):
        self._check("mailbox", name)
        waiting = [Waiting("work", "Poll", "clock", 0.25 * number, "Poll()") for number in range(3)]
        return Mailbox(name, len(waiting), waiting[:limit])

    def stacks(self, name=None):
        self._check("stacks", name)
        return [ThreadStack(other, other, ["file.py:1 in run"]) for other in NAMES if name in {None, other}]

    def dead_letters(self):
        self._check("dead_letters")
        letters = [
            DeadLetterView(number, "poller", "Poll", "poison", THEN, "Poll()", "", may_be_resent=True)
            for number in sorted(self.letters)
        ]
        return DeadLettersView(7, letters)

    def stats(self):
        self._check("stats")
        return {"turns": 12}

    def control(self):
        self._check("control")
        return {"claim_permission": "normal", "paused": None}

    def vitals(self):
        self._check("vitals")
        return self.well

    @contextmanager
    def reader(self):
        self._check("reader")
        with closing(self.store.reader()) as reader:
            yield _Reader(self, reader)

    @contextmanager
    def trace(self, name):
        self._check("trace", name)
        self.tracing += 1
        try:
            yield self.traces[name]
        finally:
            self.tracing -= 1

    def _validated(self, name, message):
        self._check("tell", name)
        kind = next((kind for kind in KINDS if kind.kind == message.get("kind")), None)
        fields = kind.json_schema["properties"] if kind else {}
        if kind is None or set(message) - set(fields) or not isinstance(message.get("depth", 0), int):
            known = [{"kind": kind.kind, "json_schema": kind.json_schema} for kind in KINDS]
            raise BadMessageError(f"{name}: no message that it may be sent: {message!r:.200}", known)

    def tell(self, name, message, *, who):
        self._validated(name, message)
        self._did("tell", name, dict(message), who=who)

    def ask(self, name, message, timeout_seconds, *, who):
        self._validated(name, message)
        self._did("ask", name, dict(message), who=who)
        if message.get("depth", 0) > 1_000:
            self.asking.release()
            if not self.released.wait(timeout_seconds):
                raise NoAnswerError(f"{name}: no answer within {timeout_seconds:g} s")
        return {"name": name, "at": THEN}

    def start_actor(self, name, *, who):
        self._check("start_actor", name)
        if name not in self.stopped:
            raise RefusedError(f"{name}: runs already")
        self.stopped.discard(name)
        self._did("start", name, who=who)

    def stop_actor(self, name, *, who):
        self._check("stop_actor", name)
        self.stopped.add(name)
        self._did("stop", name, who=who)

    def restart_actor(self, name, *, who):
        self._check("restart_actor", name)
        if name == "admin":
            self.on_restart_admin()
        self.generations[name] += 1
        self._did("restart", name, who=who)
        return Restarted(name, self.generations[name], 0.012)

    def pause(self, *, who):
        self._check("pause")
        self._did("pause", who=who)

    def resume(self, *, who):
        self._check("resume")
        self._did("resume", who=who)

    def drain(self, seconds, *, who):
        self._check("drain")
        self._did("drain", seconds, who=who)
        return 3

    def release(self, ticket_id, *, who):
        self._check("release")
        with self.reader() as reader:
            reader.ticket(ticket_id)
        self._did("release", ticket_id, who=who)

    def resend(self, number, *, who):
        self._check("resend")
        if number not in self.letters:
            raise UnknownNameError(f"there is no dead letter {number}")
        self._did("resend", number, who=who)

    def drop(self, number, *, who):
        self._check("drop")
        if number is not None and number not in self.letters:
            raise UnknownNameError(f"there is no dead letter {number}")
        self._did("drop", number, who=who)
        return len(self.letters) if number is None else 1

    def reread(self):
        self._check("reread")
        return ["workers.count: 2 -> 4"]

    def update(self, *, who):
        self._check("update")
        self._did("update", who=who)
        return ["workers.count: 2 -> 4"]

    def shutdown(self, *, at_once, who):
        self._check("shutdown")
        self._did("shutdown", at_once, who=who)


_numbers = itertools.count(1)


def line(text=None):
    """A line of the log."""
    return LogLine(THEN, "INFO", "poller", text or f"line {next(_numbers)}")


def traced(kind="Poll"):
    """A message that was sent."""
    return Traced(THEN, "clock", "poller", kind, f"{kind}()")


def changed(state="active"):
    """A transition."""
    return StateChange(THEN, "ready", StateView(state, "normal", ()), "claim acquired")
