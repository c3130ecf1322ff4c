"""Who is woken by what the store tells of."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from actors.messages import Poll
from actors.names import CONTROL, POLLER
from actors.steering import Recheck
from kora.app.hearing import Hearing
from kora.store.hints import Hint

PATIENCE_SECONDS = 30.0


class Told:
    """Hints of which the test says when they come."""

    def __init__(self) -> None:
        self.hints: SimpleQueue[Hint] = SimpleQueue()
        self.is_closed = False

    def wait(self, seconds: float) -> Hint | None:
        try:
            return self.hints.get(timeout=seconds)
        except Empty:
            return None

    def close(self) -> None:
        self.is_closed = True


def test_new_tickets_wake_the_poller_and_what_steers_wakes_control_first() -> None:
    told, heard = Told(), SimpleQueue[tuple[str, object]]()
    hearing = Hearing(told, lambda name, message: heard.put((name, message)))
    hearing.start()
    told.hints.put(Hint.TICKETS)
    assert heard.get(timeout=PATIENCE_SECONDS) == (POLLER, Poll())
    told.hints.put(Hint.STEERING)
    assert heard.get(timeout=PATIENCE_SECONDS) == (CONTROL, Recheck())
    assert heard.get(timeout=PATIENCE_SECONDS) == (POLLER, Poll())
    hearing.close()
    assert told.is_closed


def test_a_store_that_tells_of_nothing_is_not_listened_to() -> None:
    hearing = Hearing(None, lambda _name, _message: None)
    hearing.start()
    hearing.close()
