"""Callables that do everything a callable should not; which one a ticket gets stands in its title."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings

from kora.domain.resolution import Resolution
from kora.errors import LeaseLostError

LEAKED_SECONDS = 0.05


class UnspeakableError(Exception):
    """One that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def raises(_ticket, _work):
    raise ValueError("no good")


def raises_at_length(_ticket, _work):
    raise ValueError("x" * 1_000_000)


def raises_the_unspeakable(_ticket, _work):
    raise UnspeakableError


def interrupts(_ticket, _work):
    raise KeyboardInterrupt


def exits(_ticket, _work):
    sys.exit(3)


def exits_well(_ticket, _work):
    sys.exit(0)


def recurses(ticket, work):
    recurses(ticket, work)


def loses_itself(_ticket, _work):
    raise LeaseLostError("it was not")


def ends_a_generator(_ticket, _work):
    raise GeneratorExit


def returns_a_number(_ticket, _work):
    return 42


def returns_a_word(_ticket, _work):
    return "done"


def returns_true(_ticket, _work):
    return True


def returns_a_coroutine(_ticket, _work):
    made = asyncio.sleep(0)
    made.close()
    return made


def fails_an_operation(_ticket, work):
    with work.operation("impossible"):
        raise OSError("the other side is gone")


def commits_what_is_no_json(_ticket, work):
    with work.operation("impossible") as operation:
        operation.commit(object())


def swallows_everything(_ticket, _work):
    try:
        sys.exit("nobody hears this")
    except BaseException:  # noqa: BLE001 - that is what it is for
        return


def leaks_a_thread(_ticket, _work):
    threading.Thread(target=threading.Event().wait, args=(LEAKED_SECONDS,)).start()


def warns(_ticket, _work):
    warnings.warn("of nothing", stacklevel=1)


def says_so(_ticket, _work):
    return Resolution.COMPLETED


RAISED, JUNK = ("failed_retryable", "agent_raised"), ("failed_retryable", "agent_protocol")
DONE = ("completed", None)
EXPECTED = {
    raises: RAISED,
    raises_at_length: RAISED,
    raises_the_unspeakable: RAISED,
    interrupts: RAISED,
    exits: RAISED,
    exits_well: RAISED,
    recurses: RAISED,
    loses_itself: RAISED,
    ends_a_generator: RAISED,
    fails_an_operation: RAISED,
    commits_what_is_no_json: RAISED,
    returns_a_number: JUNK,
    returns_a_word: JUNK,
    returns_true: JUNK,
    returns_a_coroutine: JUNK,
    swallows_everything: DONE,
    leaks_a_thread: DONE,
    warns: DONE,
    says_so: DONE,
}
BY_NUMBER = tuple(EXPECTED)


def run(ticket, work):
    """Do as the ticket's number says."""
    number = int(ticket.ticket_title.rpartition(" ")[2])
    return BY_NUMBER[number % len(BY_NUMBER)](ticket, work)


def never_returns(_ticket, work):
    """Neither return nor make progress; then try to write, when it is too late."""
    while not work.lost:
        LATE.wait(0.05)
    try:
        with work.operation("late", key="late") as operation:
            operation.commit("written all the same")
    except LeaseLostError:
        REFUSED.append(work.work_attempt_id)
    RELEASE.wait()
    work.token()


LATE = threading.Event()
RELEASE = threading.Event()
REFUSED: list[str] = []
