"""Threads for callables: used again, left behind, and holding on to nothing."""

import threading
import weakref

import pytest

from kora.agents import executor as module
from kora.agents.executor import Executor

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.001


@pytest.fixture
def executor():
    made = Executor()
    yield made
    made.close()


def do(executor, body):
    """Have it run, and wait until what it hands back was called; on which thread."""
    done, idents = threading.Event(), []

    def job():
        idents.append(threading.get_ident())
        body()
        return done.set

    executor.submit(job)
    assert done.wait(WAIT_SECONDS)
    return idents[0]


def until(holds):
    """Wait for it: of a thread's end nobody else tells."""
    looked, look = 0, threading.Event()
    while not holds():
        looked += 1
        assert looked < WAIT_SECONDS / LOOK_SECONDS
        look.wait(LOOK_SECONDS)


def idle(executor, count=1):
    """Wait until so many threads are idle: what was submitted last is then wholly done with."""
    until(lambda: executor._idle == count)


def test_a_job_that_fails_costs_nobody_a_thread(executor, caplog):
    def fails():
        raise SystemExit

    first = do(executor, lambda: None)
    idle(executor)
    executor.submit(fails)
    idle(executor)

    assert do(executor, lambda: None) == first
    assert "a callable's thread failed" in caplog.text


def test_what_a_job_held_is_let_go_before_the_next_one_comes(executor):
    gone = threading.Event()

    class Job:
        def __call__(self):
            return str

    job = Job()
    weakref.finalize(job, gone.set)
    executor.submit(job)
    del job

    assert gone.wait(WAIT_SECONDS)


def test_what_a_job_hands_back_may_submit_several(executor):
    """The first runs on the thread that is about to be free, the others elsewhere, at once."""
    together = threading.Barrier(3)
    idents = []

    def job():
        idents.append(threading.get_ident())
        together.wait(WAIT_SECONDS)
        return str

    def first():
        idents.append(threading.get_ident())
        return lambda: [executor.submit(job), executor.submit(job)]

    executor.submit(first)
    together.wait(WAIT_SECONDS)

    assert len(idents) == 3
    assert len(set(idents)) == 2
    assert idents[0] in idents[1:]


def test_only_so_many_threads_stay_idle(executor, monkeypatch):
    monkeypatch.setattr(module, "IDLE_MAX", 1)
    together = threading.Barrier(3)
    threads = []

    def job():
        threads.append(threading.current_thread())
        together.wait(WAIT_SECONDS)
        return str

    for _ in range(2):
        executor.submit(job)
    together.wait(WAIT_SECONDS)
    until(lambda: not all(thread.is_alive() for thread in threads))
    idle(executor)

    assert [thread.is_alive() for thread in threads].count(True) == 1


def test_closed_it_lets_its_threads_end_and_takes_nothing(executor):
    threads = []
    do(executor, lambda: threads.append(threading.current_thread()))
    idle(executor)

    executor.close()
    threads[0].join(WAIT_SECONDS)

    assert not threads[0].is_alive()
    with pytest.raises(RuntimeError, match="ending"):
        executor.submit(lambda: str)
