"""A Python function as an agent: however it ends, its ticket ends as said, and nobody else is harmed."""

import contextvars
import gc
import gzip
import logging
import sys
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kora.agents import deadlines
from kora.agents.call import Call
from kora.agents.callable import CallableAgent, CallableSettings
from kora.agents.deadlines import Deadlines
from kora.agents.executor import Executor
from kora.agents.meter import FOLDER, Meters, left_by
from kora.agents.port import Lease, RunningAgent
from kora.agents.record import await_closed, plain_path
from kora.clock import SystemTime
from kora.domain.cost import Caps
from kora.domain.operation import Step, Verdict
from kora.domain.resolution import AgentResult, Outcome, Resolution, StopReason, settle
from kora.work import LeaseLostError
from tests.claims import a_claim
from tests.operations import MemoryLedger

WAIT_SECONDS = 60.0
HERE = Path(__file__).parent


def a_lease(seconds=600.0):
    return Lease(SystemTime().boot_seconds() + seconds, seconds)


@dataclass
class Run:
    """One attempt, and the moment of its end."""

    claim: Any
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ends: list[int] = field(default_factory=list)
    running: RunningAgent | None = None

    def on_end(self) -> None:
        self.ends.append(threading.get_ident())
        self.ended.release()

    def wait(self) -> Outcome:
        assert self.ended.acquire(timeout=WAIT_SECONDS), "the attempt did not end"
        assert self.running.outcome is not None
        return self.running.outcome


class Workshop:
    """An agent whose function is whatever a test says."""

    def __init__(self, state_dir, **settings):
        self.state_dir = state_dir
        self.meters = Meters(state_dir / FOLDER / "runtime-1")
        self.executor, self.deadlines, self.ledger = Executor(), Deadlines(SystemTime()), MemoryLedger()
        self.agent = self.made(**settings)

    def made(self, executor=None, watched_by=None, time_source=None, **settings):
        made = CallableAgent(
            CallableSettings("a_callable:run", HERE, HERE, **{"grace_seconds": 0.05, **settings}),
            state_dir=self.state_dir,
            meters=self.meters,
            time_source=time_source or SystemTime(),
            executor=executor or self.executor,
            deadlines=watched_by or self.deadlines,
        )
        made.function = lambda ticket, work: made.acts[ticket.ticket_id](ticket, work)
        made.acts = {}
        return made

    def start(self, act, agent=None, lease=None, claim=None) -> Run:
        agent = agent or self.agent
        run = Run(claim or a_claim())
        agent.acts[run.claim.key.ticket_id] = act
        run.running = agent.start(run.claim, lease or a_lease(), run.on_end, self.ledger)
        return run

    def outcome(self, act) -> Outcome:
        return self.start(act).wait()

    def record(self, run) -> list[str]:
        """What is kept of the attempt, without the times."""
        assert await_closed(WAIT_SECONDS)
        path = plain_path(self.state_dir, run.claim.key.work_attempt_id)
        with gzip.open(path.with_name(path.name + ".gz"), "rt") as file:
            return [line.rstrip("\n").partition(" ")[2] for line in file]

    def close(self):
        self.executor.close()
        self.deadlines.close()


@pytest.fixture
def shop(tmp_path):
    made = Workshop(tmp_path / "state")
    yield made
    made.close()


def test_what_is_over_is_gone_without_being_looked_for(shop):
    """Thousands end a second: were each a circle, the interpreter would have to stop and look through them all."""

    def ended():
        run = shop.start(lambda *_: None)
        run.wait()
        return weakref.ref(run)

    gc.disable()
    try:
        left = [ended() for _ in range(50)]
        # A thread that waits for its next one may have its last one in hand.
        assert sum(run() is not None for run in left) < 10
    finally:
        gc.enable()


@pytest.fixture
def gate():
    """What a callable can wait at; open at the test's end, so that no thread is left."""
    made = Gate()
    yield made
    made.open()


class Gate:
    def __init__(self):
        self._open = threading.Event()
        self._reached = threading.Event()

    def pass_through(self, *_):
        self._reached.set()
        assert self._open.wait(WAIT_SECONDS)

    def wait_until_reached(self):
        assert self._reached.wait(WAIT_SECONDS)

    def open(self):
        self._open.set()


class Heard(logging.Handler):
    """Log records, to be waited for."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.records = SimpleQueue()

    def emit(self, record):
        self.records.put(record)

    def next(self):
        return self.records.get(timeout=WAIT_SECONDS)


@pytest.fixture
def heard():
    handler, logger = Heard(), logging.getLogger("kora.agents.call")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def resolution(outcome, claim=None):
    return settle(claim or a_claim(), outcome, max_attempts=10).resolution


def raises(error):
    def act(ticket, work):
        raise error

    return act


# --- what it returns ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Resolution.COMPLETED),
        *((resolution, resolution) for resolution in Resolution),
        *((resolution.value, resolution) for resolution in Resolution),
        *((AgentResult(resolution=resolution), resolution) for resolution in Resolution),
    ],
)
def test_its_word_is_the_resolution(shop, value, expected):
    outcome = shop.outcome(lambda ticket, work: value)

    assert resolution(outcome) is expected
    assert outcome.protocol_fault is None


def test_a_result_is_taken_as_a_whole(shop):
    said = AgentResult(
        resolution=Resolution.RELEASED,
        summary="later",
        model_tier="small",
        cost_usd=0.25,
        next_eligible_offset_seconds=7,
    )

    assert shop.outcome(lambda ticket, work: said).result == said


async def a_coroutine():
    return None


def a_generator():
    yield None


class Odd:
    def __repr__(self):
        raise ValueError


class Liar:
    @property
    def __class__(self):
        return AgentResult


class Word(str):
    __slots__ = ()

    def __eq__(self, other):
        raise ValueError

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: True, "it returned True (a bool); a callable returns None, a Resolution, its string value, or an Age"),
        (lambda: 0, "0 (a int)"),
        (lambda: "done", "'done', which is none of completed, failed_terminal, failed_retryable, released, deferred"),
        (lambda: Word("done"), "'done', which is none of"),
        (lambda: "\ud800\0", "which is none of"),
        (lambda: [1] * 1_000, "[1, 1, 1, 1, 1, 1, ...] (a list)"),
        (a_coroutine, "a coroutine, which does nothing by itself"),
        (a_generator, "a generator, which does nothing by itself"),
        (Odd, "(a Odd)"),
        (Liar, "(a Liar)"),
        (lambda: Resolution, "(a EnumType)"),
        (lambda: AgentResult.model_construct(resolution="fine"), "an AgentResult that is none: resolution: Input shou"),
        (AgentResult.model_construct, "an AgentResult that is none: resolution"),
        (lambda: AgentResult.model_construct(resolution="completed", summary=3), "that is none: summary"),
    ],
)
def test_junk_is_a_fault_that_says_what_came(shop, make, said):
    outcome = shop.outcome(lambda ticket, work: make())

    assert said in outcome.protocol_fault
    assert resolution(outcome) is Resolution.FAILED_RETRYABLE
    assert "\0" not in outcome.protocol_fault
    outcome.protocol_fault.encode()
    gc.collect()  # what was never awaited would be warned of here


def test_a_result_is_fit_to_be_stored_whatever_it_holds(shop):
    said = AgentResult.model_construct(resolution=Word("completed"), summary=Word("a\0b\ud800"), cost_usd=None)

    result = shop.outcome(lambda ticket, work: said).result

    assert result.summary == "a\N{REPLACEMENT CHARACTER}b?"
    assert type(result.summary) is str


# --- what it raises ---


class SilentError(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class LyingError(BaseException):
    @property
    def __class__(self):
        raise SystemExit


def deep(ticket, work):
    return deep(ticket, work)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (raises(ValueError("bad page")), "ValueError: bad page"),
        (raises(SystemExit(0)), "SystemExit: 0"),
        (lambda ticket, work: sys.exit("enough"), "SystemExit: enough"),
        (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raises(GeneratorExit()), "GeneratorExit"),
        (raises(MemoryError()), "MemoryError"),
        (raises(LeaseLostError("so I think")), "LeaseLostError: so I think"),
        (raises(SilentError()), "an exception that cannot be shown"),
        (raises(LyingError("x")), "LyingError: x"),
        (raises(ExceptionGroup("many", [ValueError(1), TypeError(2)])), "ExceptionGroup: many (2 sub-exceptions)"),
        (deep, "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_whatever_it_raises_is_how_the_attempt_ended(shop, act, said):
    run = shop.start(act)
    outcome = run.wait()

    assert outcome.raised.startswith(said)
    assert outcome.stop_reason is None
    assert resolution(outcome) is Resolution.FAILED_RETRYABLE
    assert len(run.ends) == 1
    assert shop.outcome(lambda ticket, work: None) == Outcome(), "and the next one runs"


def test_what_it_raised_is_bounded_and_its_traceback_is_kept_from_its_own_first_line_on(shop):
    def inner():
        raise ValueError("x" * 10_000)

    run = shop.start(lambda ticket, work: inner())

    assert len(run.wait().raised) == 500
    kept = shop.record(run)
    assert kept[0] == "stderr Traceback (most recent call last):"
    assert "in inner" in "".join(kept)
    assert "call.py" not in "".join(kept)


def test_what_it_raises_keeps_nothing_alive(shop):
    class Big:
        pass

    gone = threading.Event()

    def act(ticket, work):
        big = Big()
        weakref.finalize(big, gone.set)
        raise ValueError(big)

    shop.outcome(act)
    gc.collect()

    assert gone.wait(WAIT_SECONDS)


# --- what it is given ---


def test_its_ticket_is_its_own(shop):
    claim = a_claim(failure_count_by_reason={"agent_raised": 1})

    def act(ticket, work):
        ticket.failure_count_by_reason["agent_raised"] = object()
        ticket.__dict__["work_attempt_count"] = "many"

    shop.start(act, claim=claim).wait()

    assert claim.ticket.failure_count_by_reason == {"agent_raised": 1}
    assert claim.attempt == 1


def test_its_progress_and_its_operations_are_seen(shop, gate):
    def act(ticket, work):
        work.token()
        with work.operation("send", key="page-1") as op:
            gate.pass_through()
            op.commit(1)

    run = shop.start(act)
    gate.wait_until_reached()
    assert run.running.progress_at >= run.running.started_at
    assert run.running.tool_since >= run.running.started_at
    gate.open()

    run.wait()
    assert run.running.tool_since is None


def test_its_limits_are_those_of_its_settings(shop):
    agent = shop.made(timeout_seconds=7.0, stall_seconds=3.0)
    run = shop.start(lambda ticket, work: None, agent=agent)
    run.wait()

    assert (run.running.timeout_seconds, run.running.stall_seconds) == (7.0, 3.0)


def test_what_it_logs_is_kept_and_its_last_line_is_the_summary(shop):
    def act(ticket, work):
        work.log("first\nsecond \0 \ud800")
        work.log("  \n")

    run = shop.start(act)

    assert run.wait().last_output == "second \N{REPLACEMENT CHARACTER} ?"
    assert shop.record(run) == ["log first", "log second \N{REPLACEMENT CHARACTER} ?", "log   "]
    assert run.running.progress_at is None


def test_a_bare_resolution_is_explained_by_the_last_line(shop):
    def act(ticket, work):
        work.log("no such page")
        return "failed_terminal"

    assert shop.outcome(act).result.summary == "no such page"


def test_an_attempt_that_writes_nothing_has_no_record(shop):
    shop.outcome(lambda ticket, work: None)

    assert not shop.state_dir.exists()


def test_what_a_leaked_thread_logs_later_is_not_kept(shop, gate):
    logged = threading.Event()

    def act(ticket, work):
        def later():
            gate.pass_through()
            work.log("late")
            work.token()
            logged.set()

        threading.Thread(target=later).start()
        work.log("in time")

    run = shop.start(act)
    run.wait()
    gate.open()
    assert logged.wait(WAIT_SECONDS)

    assert shop.record(run) == ["log in time"]
    assert run.running.progress_at is None


# --- its thread ---


def test_threads_are_used_again(shop):
    seen = set()
    for _ in range(20):
        shop.outcome(lambda ticket, work: seen.add(threading.get_ident()))

    assert len(seen) <= 2, "the thread that tells of an end may not be free yet"


def test_attempts_run_beside_one_another(shop):
    together = threading.Barrier(5)

    runs = [shop.start(lambda ticket, work: together.wait(WAIT_SECONDS) and None) for _ in range(5)]

    assert [run.wait().raised for run in runs] == [None] * 5


def test_the_next_attempt_may_be_started_by_the_end_of_the_one_before_and_needs_no_other_thread(shop):
    seen, done = [], threading.Event()

    def act(ticket, work):
        seen.append(threading.get_ident())

    claim = a_claim()
    shop.agent.acts[claim.key.ticket_id] = act

    def next_one():
        if len(seen) == 1_000:
            done.set()
        else:
            shop.agent.start(claim, a_lease(), next_one, shop.ledger)

    next_one()

    assert done.wait(WAIT_SECONDS)
    assert len(set(seen)) == 1


def test_it_leaves_nothing_to_the_next_one_on_its_thread(shop):
    variable = contextvars.ContextVar("variable", default="nothing")
    seen = []

    def act(ticket, work):
        seen.append(variable.get())
        variable.set("left")

    for _ in range(3):
        shop.outcome(act)

    assert seen == ["nothing"] * 3


def fails_as_hook(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize("hook", [fails_as_hook, lambda *_: None])
@pytest.mark.parametrize("hang", [sys.settrace, sys.setprofile])
def test_a_hook_that_it_hangs_on_its_thread_goes_with_it(shop, hang, hook):
    hooks, done = [], threading.Event()
    claim = a_claim()
    shop.agent.acts[claim.key.ticket_id] = lambda ticket, work: hooks.extend((sys.gettrace(), sys.getprofile()))

    def same_thread():
        shop.agent.start(claim, a_lease(), done.set, shop.ledger)

    first = a_claim()
    shop.agent.acts[first.key.ticket_id] = lambda ticket, work: hang(hook)
    shop.agent.start(first, a_lease(), same_thread, shop.ledger)

    assert done.wait(WAIT_SECONDS)
    assert hooks == [None, None]


def test_a_listener_that_fails_harms_nobody(shop, heard):
    claim = a_claim()
    shop.agent.acts[claim.key.ticket_id] = lambda ticket, work: None
    failing = shop.agent.start(claim, a_lease(), lambda: 1 / 0, shop.ledger)

    assert "failed" in heard.next().getMessage()
    assert failing.outcome == Outcome()
    assert shop.outcome(lambda ticket, work: None) == Outcome()


def test_without_a_thread_the_attempt_ends_with_a_fault(shop, monkeypatch):
    def refuses(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuses)

    run = shop.start(lambda ticket, work: None)

    assert run.wait() == Outcome(fault="no thread could be had for the attempt: can't start new thread")


def test_a_thread_that_was_refused_once_leaves_no_attempt_unminded(shop, gate, monkeypatch):
    def refuses(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        assert "no thread" in shop.start(lambda ticket, work: None).wait().fault

    run = shop.start(gate.pass_through, lease=a_lease(0.3))

    assert run.wait() == Outcome(stop_reason=StopReason.LEASE_LOST)


def test_after_the_close_nothing_is_begun(shop):
    shop.outcome(lambda ticket, work: None)
    shop.close()

    assert "the runtime is ending" in shop.start(lambda ticket, work: None).wait().fault


# --- its end, by order ---


def test_told_to_end_it_may_still_say_how_it_ended(shop, gate):
    agent = shop.made(grace_seconds=WAIT_SECONDS)

    def act(ticket, work):
        gate.pass_through()
        assert work.lost
        return Resolution.FAILED_TERMINAL

    run = shop.start(act, agent=agent)
    gate.wait_until_reached()
    run.running.stop(StopReason.DRAINED)
    gate.open()
    outcome = run.wait()

    assert (resolution(outcome), outcome.stop_reason) == (Resolution.FAILED_TERMINAL, None)


@pytest.mark.parametrize(
    "answer", [lambda work: None, lambda work: work.raise_if_lost(), lambda work: 1 / 0, lambda work: 7]
)
def test_told_to_end_anything_but_a_word_is_the_answer_to_that(shop, gate, answer):
    agent = shop.made(grace_seconds=WAIT_SECONDS)

    def act(ticket, work):
        gate.pass_through()
        assert work.lost
        return answer(work)

    run = shop.start(act, agent=agent)
    gate.wait_until_reached()
    run.running.stop(StopReason.TIMED_OUT)
    gate.open()

    assert run.wait().stop_reason is StopReason.TIMED_OUT
    assert agent.lingering() == frozenset()


def test_a_lost_lease_is_never_settled_whatever_it_says(shop, gate):
    agent = shop.made(grace_seconds=WAIT_SECONDS)

    def act(ticket, work):
        gate.pass_through()
        return Resolution.COMPLETED

    run = shop.start(act, agent=agent)
    gate.wait_until_reached()
    run.running.stop(StopReason.LEASE_LOST)
    gate.open()

    assert settle(run.claim, run.wait(), max_attempts=10) is None


def test_an_operation_that_is_lost_ends_the_attempt_as_lost(shop):
    shop.ledger.verdicts[Step.BEGIN] = Verdict.LOST

    def act(ticket, work):
        with work.operation("send"):
            pass

    run = shop.start(act)

    assert run.wait().stop_reason is StopReason.LEASE_LOST
    assert not shop.state_dir.exists(), "that is no traceback worth keeping"


@pytest.fixture
def only_when_due(monkeypatch):
    """No deadline is looked at by chance."""
    monkeypatch.setattr(deadlines, "_IDLE_SECONDS", 3_600.0)


@pytest.mark.usefixtures("only_when_due")
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda running: running.stop(StopReason.STALLED), StopReason.STALLED),
        (lambda running: running.kill(StopReason.DRAINED), StopReason.DRAINED),
        (lambda running: None, StopReason.LEASE_LOST),
    ],
    ids=["stopped", "killed", "its lease ran out"],
)
def test_one_that_does_not_return_is_declared_over_and_lingers(shop, gate, heard, end, reason):
    def act(ticket, work):
        work.token()
        gate.pass_through()
        seen.append(work.lost)
        work.token()
        work.log("late")
        try:
            with work.operation("send"):
                seen.append("entered")
        except LeaseLostError as error:
            seen.append(type(error))
        return Resolution.FAILED_TERMINAL

    seen = []
    run = shop.start(act, lease=a_lease(1.0 if reason is StopReason.LEASE_LOST else 600.0))
    gate.wait_until_reached()
    end(run.running)
    outcome = run.wait()
    progress = run.running.progress_at

    assert outcome == Outcome(stop_reason=reason)
    assert shop.agent.lingering() == {run.claim.key.ticket_id}
    record = heard.next()
    assert (record.levelno, "has not returned" in record.getMessage()) == (logging.WARNING, True)
    assert run.claim.key.ticket_id in record.getMessage()
    assert shop.outcome(lambda ticket, work: None) == Outcome(), "others get another thread"

    gate.open()
    record = heard.next()
    assert (record.levelno, "returned at last" in record.getMessage()) == (logging.INFO, True)
    assert shop.agent.lingering() == frozenset()
    assert seen == [True, LeaseLostError]
    assert run.running.outcome is outcome
    assert run.running.progress_at == progress
    assert len(run.ends) == 1
    assert not shop.state_dir.exists(), "nothing of what it logged late is kept"


def test_what_waits_for_the_ledger_is_let_go_when_the_attempt_is_declared_over(shop, heard):
    shop.ledger.holds = True

    def act(ticket, work):
        with work.operation("send"):
            pass

    run = shop.start(act)
    assert shop.ledger.arrived.acquire(timeout=WAIT_SECONDS)
    run.running.kill(StopReason.LEASE_LOST)
    run.wait()

    assert heard.next().levelno == logging.WARNING
    assert heard.next().levelno == logging.INFO
    assert shop.agent.lingering() == frozenset()


class HandClock:
    """A clock that only a test moves."""

    def __init__(self):
        self.seconds = 1_000.0

    def now_us(self):
        return 0

    def boot_seconds(self):
        return self.seconds


class Unwatched:
    """Deadlines that nobody looks at but the test."""

    def __init__(self):
        self.guarded = set()

    def guard(self, guarded, due):
        self.guarded.add(guarded)

    def forget(self, guarded):
        self.guarded.discard(guarded)

    def hasten(self, due):
        """Nobody sleeps."""


class OnDemand:
    """An executor that runs a job when a test says so."""

    def __init__(self):
        self.jobs = []

    def submit(self, job):
        self.jobs.append(job)


@pytest.fixture
def bench(shop):
    return Bench(shop)


class Bench:
    """One attempt, every moment of which is a test's to choose."""

    def __init__(self, shop, act=lambda ticket, work: None, grace_seconds=5.0):
        self.clock, self.deadlines, self.executor = HandClock(), Unwatched(), OnDemand()
        self.agent = shop.made(self.executor, self.deadlines, self.clock, grace_seconds=grace_seconds)
        self.called = []

        def counted(ticket, work):
            self.called.append(work)
            return act(ticket, work)

        self.run = shop.start(counted, agent=self.agent, lease=Lease(self.clock.seconds + 100, 100))
        self.running: Call = self.run.running

    def work(self):
        for job in self.executor.jobs:
            job()()
        self.executor.jobs = []

    def look_at(self, seconds):
        """The clock shows so many seconds after the start, and the deadlines are looked at."""
        self.clock.seconds = 1_000.0 + seconds
        return [one.look(self.clock.seconds) - 1_000.0 for one in list(self.deadlines.guarded)]


def test_one_whose_lease_ends_before_its_thread_is_refused_has_ended_once(shop, heard):
    clock, watched = HandClock(), Unwatched()

    class Refusing:
        def submit(self, job):
            clock.seconds += 1_000
            for one in list(watched.guarded):
                one.look(clock.seconds)
            raise RuntimeError("can't start new thread")

    agent = shop.made(Refusing(), watched, clock)

    run = shop.start(lambda ticket, work: None, agent=agent, lease=Lease(clock.seconds + 100, 100))

    assert run.running.outcome == Outcome(stop_reason=StopReason.LEASE_LOST)
    assert (len(run.ends), agent.lingering(), watched.guarded) == (1, frozenset(), set())
    assert heard.records.empty(), "it has not returned: it never began"


def test_it_is_known_to_linger_before_it_is_seen_to_be_over(shop, gate, monkeypatch):
    seen = []
    left_behind = shop.agent.left_behind

    def looks(call):
        seen.append((call.outcome, shop.agent.lingering()))
        left_behind(call)
        seen.append((call.outcome, shop.agent.lingering()))

    monkeypatch.setattr(shop.agent, "left_behind", looks)
    run = shop.start(gate.pass_through)
    gate.wait_until_reached()

    run.running.kill(StopReason.DRAINED)

    assert seen == [(None, frozenset()), (None, {run.claim.key.ticket_id})]


@pytest.mark.parametrize(
    "end", [lambda bench: bench.running.stop(StopReason.DRAINED), lambda bench: bench.running.kill(StopReason.DRAINED)]
)
def test_what_is_ended_before_it_began_is_never_called(bench, end):
    end(bench)
    bench.work()

    assert bench.called == []
    assert bench.running.outcome == Outcome(stop_reason=StopReason.DRAINED)
    assert (len(bench.run.ends), bench.agent.lingering(), bench.deadlines.guarded) == (1, frozenset(), set())


def test_what_got_its_thread_only_after_its_lease_is_never_called(bench):
    bench.clock.seconds += 100
    bench.work()

    assert bench.called == []
    assert bench.running.outcome == Outcome(stop_reason=StopReason.LEASE_LOST)


def test_the_lease_is_kept_to_the_moment_at_which_a_guardian_kills(bench):
    assert bench.look_at(98.9) == [99.0]
    assert bench.running.outcome is None

    bench.look_at(99.0)

    assert bench.running.outcome == Outcome(stop_reason=StopReason.LEASE_LOST)
    assert bench.deadlines.guarded == set()


def test_a_short_lease_is_kept_a_tenth_ahead(bench):
    bench.running.extend(Lease(1_101.0, 5.0))

    assert bench.look_at(0) == [100.5]


def test_a_longer_lease_lets_it_go_on_and_a_shorter_one_changes_nothing(bench):
    bench.running.extend(Lease(1_200.0, 100.0))
    bench.running.extend(Lease(1_050.0, 100.0))

    assert bench.look_at(150) == [199.0]
    assert bench.running.outcome is None


def test_the_grace_is_counted_from_the_first_order_and_cut_by_the_lease(bench):
    bench.running.stop(StopReason.DRAINED)
    bench.clock.seconds += 3
    bench.running.stop(StopReason.TIMED_OUT)
    assert bench.look_at(4.9) == [5.0]

    bench.look_at(5.0)
    assert bench.running.outcome == Outcome(stop_reason=StopReason.DRAINED)


def test_a_grace_longer_than_the_lease_ends_with_it(shop):
    bench = Bench(shop, grace_seconds=1_000.0)
    bench.running.stop(StopReason.DRAINED)

    bench.look_at(99.0)

    assert bench.running.outcome == Outcome(stop_reason=StopReason.DRAINED)


ACTIONS = ("return", "stop", "kill", "lose", "grace ends", "lease ends", "extend")
KILLS = {"kill": StopReason.WORKER_RESTARTED, "lose": StopReason.LEASE_LOST, "lease ends": StopReason.LEASE_LOST}


def expected_end(actions, word):
    """Whether it is over after each action, and the reason that its outcome names: the rules, once more."""
    reason, over, named = None, [], None
    for action in actions:
        ends = action == "return" or action in KILLS or (action == "grace ends" and reason is not None)
        if action == "stop":
            reason = reason or StopReason.DRAINED
        reason = reason or KILLS.get(action)
        if ends and not (over and over[-1]):
            named = None if action == "return" and word is Resolution.COMPLETED else reason
        over.append(ends or bool(over and over[-1]))
    return over, named


@settings(deadline=None)
@given(
    actions=st.lists(st.sampled_from(ACTIONS), max_size=8),
    word=st.sampled_from([None, Resolution.COMPLETED, "raise"]),
)
def test_in_whatever_order_things_come_the_attempt_ends_once_and_by_the_rules(tmp_path_factory, actions, word):
    actions = [*actions, "return"]
    shop, gate = Workshop(tmp_path_factory.getbasetemp() / "never-written"), Gate()

    def act(ticket, work):
        gate.pass_through()
        if word != "raise":
            return word
        return work.raise_if_lost()

    bench = Bench(shop, act)
    thread = threading.Thread(target=bench.work)
    thread.start()
    gate.wait_until_reached()
    running = bench.running

    def come_back():
        gate.open()
        thread.join(WAIT_SECONDS)

    do = {
        "return": come_back,
        "stop": lambda: running.stop(StopReason.DRAINED),
        "kill": lambda: running.kill(StopReason.WORKER_RESTARTED),
        "lose": lambda: running.kill(StopReason.LEASE_LOST),
        "grace ends": lambda: bench.look_at(bench.clock.seconds - 1_000.0 + 5.0),
        "lease ends": lambda: bench.look_at(500.0),
        "extend": lambda: running.extend(Lease(1_300.0, 100.0)),
    }
    over, named = expected_end(actions, word)
    outcomes = []
    for number, action in enumerate(actions):
        do[action]()
        outcomes.append(running.outcome)
        assert (running.outcome is not None) == over[number]
        assert len(bench.run.ends) == over[number]
        assert bool(bench.deadlines.guarded) != over[number]
        assert bool(bench.agent.lingering()) == (over[number] and thread.is_alive())

    assert not thread.is_alive()
    assert len({id(outcome) for outcome in outcomes if outcome is not None}) == 1
    assert running.outcome.stop_reason == named
    shop.close()


def test_raced_by_every_end_at_once_it_ends_once(shop):
    ends = [
        lambda running: running.stop(StopReason.DRAINED),
        lambda running: running.kill(StopReason.TIMED_OUT),
        lambda running: running.look(float("inf")),
        lambda running: running.extend(a_lease(900.0)),
    ]
    for _ in range(100):
        together = threading.Barrier(len(ends) + 1)

        def act(ticket, work, together=together):
            together.wait(WAIT_SECONDS)

        run = shop.start(act)

        def end(how, run=run, together=together):
            together.wait(WAIT_SECONDS)
            how(run.running)

        threads = [threading.Thread(target=end, args=(how,)) for how in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        outcome = run.wait()
        assert outcome.stop_reason in (None, StopReason.DRAINED, StopReason.TIMED_OUT, StopReason.LEASE_LOST)
        assert shop.outcome(lambda ticket, work: None) == Outcome()
        assert len(run.ends) == 1


# --- what it costs ---


@pytest.mark.parametrize("then", [None, "failed_retryable", RuntimeError("gone wrong")])
def test_what_it_says_to_have_spent_is_what_it_has_cost_however_it_ends(shop, then):
    def act(ticket, work):
        for usd in (0.25, 1, 0.5):
            work.spent(usd)
        if isinstance(then, Exception):
            raise then
        return then

    assert shop.outcome(act).cost_usd == 1.0


class Sly(float):
    def __eq__(self, other):
        raise ValueError

    __ne__ = __lt__ = __le__ = __float__ = __eq__
    __hash__ = None


@pytest.mark.parametrize(
    "odd", ["much", None, True, -1, float("nan"), float("inf"), [1], object()], ids=lambda odd: type(odd).__name__
)
def test_what_is_no_amount_of_money_is_left_out_and_told(shop, heard, odd):
    def act(ticket, work):
        work.spent(0.5)
        work.spent(odd)

    outcome = shop.outcome(act)
    assert (outcome.raised, outcome.cost_usd) == (None, 0.5)
    assert "no amount of money" in heard.next().getMessage()


def test_a_number_of_its_own_making_is_the_number_that_it_is(shop):
    outcome = shop.outcome(lambda ticket, work: work.spent(Sly(0.75)))
    assert (outcome.raised, outcome.cost_usd) == (None, 0.75)


def test_one_that_has_spent_more_than_it_may_is_to_end_and_its_own_word_counts_if_it_gives_one(shop):
    shop.meters.caps = Caps(attempt_usd=1.0)

    def act(ticket, work):
        work.spent(1.0)
        assert not work.lost
        work.spent(1.01)
        work.raise_if_lost()

    outcome = shop.outcome(act)
    assert (outcome.stop_reason, outcome.cost_usd) == (StopReason.OVER_BUDGET, 1.01)

    def completes(ticket, work):
        work.spent(2)
        return Resolution.COMPLETED

    assert resolution(shop.outcome(completes)) is Resolution.COMPLETED


def test_what_it_has_told_is_kept_before_it_goes_on_until_its_end_is_on_record(shop):
    seen = []

    def act(ticket, work):
        work.spent(0.5)
        seen.extend(left_by(shop.state_dir, "runtime-1"))
        return AgentResult(resolution=Resolution.COMPLETED, cost_usd=0.75)

    run = shop.start(act)
    run.wait()
    assert [left.spent_usd for left in seen] == [0.5]
    assert [left.spent_usd for left in left_by(shop.state_dir, "runtime-1")] == [0.75]
    shop.meters.forget([run.claim.key.work_attempt_id])
    assert list(left_by(shop.state_dir, "runtime-1")) == []


def test_one_that_is_left_behind_has_cost_what_it_had_told_and_tells_no_more(shop, gate, heard):
    def act(ticket, work):
        work.spent(0.5)
        gate.pass_through()
        work.spent(5)

    run = shop.start(act)
    gate.wait_until_reached()
    run.running.kill(StopReason.LEASE_LOST)
    assert run.wait().cost_usd == 0.5
    assert "has not returned" in heard.next().getMessage()
    gate.open()
    assert "returned at last" in heard.next().getMessage()
    assert [left.spent_usd for left in left_by(shop.state_dir, "runtime-1")] == [0.5]
