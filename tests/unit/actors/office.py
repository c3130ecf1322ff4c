"""A Ledger on a stage, with a board of its own; the Workers' words are the test's."""

from __future__ import annotations

from collections import Counter

from actors.ledger import Ledger
from actors.messages import Announce, Ends, Order, Tick, Work
from actors.names import LEDGER, worker_names
from kora.domain.ids import default_actor_id, new_id
from kora.domain.resolution import Outcome, settle
from kora.domain.ticket import NewTicket
from kora.store.port import RuntimeRecord
from tests.stores import open_new

WORKERS = worker_names(3)


class NoPredecessors:
    def __init__(self):
        self.gone, self.owing, self.forgotten = (), (), []

    def ended(self):
        return self.gone

    def charges(self, runtime_ids):
        return self.owing if runtime_ids else ()

    def forget(self, runtime_ids):
        self.forgotten += runtime_ids


class Office:
    """A Ledger on a stage, with a board of its own."""

    def __init__(self, stage, path, tick_seconds=1_000.0):
        self.stage, self.path, self.tick_seconds = stage, path, tick_seconds
        self.store = open_new(
            f"sqlite:///{path}", workspace_id="default", actor_id=default_actor_id("default"), time=stage.time
        )
        self.reader = self.store.reader()
        self.record = RuntimeRecord(new_id(), "host", 1, "0")
        self.predecessors = NoPredecessors()
        self.ledger = None
        self.lingering = frozenset()
        self.ended = Counter()

    def sit(self):
        """A new Ledger; the answers of the Workers are the test's."""
        self.ledger = self.stage.put(
            LEDGER,
            lambda seat: Ledger(
                seat,
                open_writer=lambda: self.store.writer(self.record),
                workers=WORKERS,
                predecessors=self.predecessors,
                lingering=lambda: self.lingering,
                lease_seconds=600.0,
                tick_seconds=self.tick_seconds,
                max_attempts=10,
                ended=self.ended,
                time_source=self.stage.time,
            ),
        )
        self.ledger.on_wake()

    def hear(self, *messages):
        self.ledger.on_batch(list(messages))

    def hear_ended(self, *ends):
        self.hear(Ends(ends))

    def tick(self, seconds=0.0):
        self.stage.time.seconds += seconds
        self.hear(Tick(now=self.stage.time.seconds))

    def announce(self, worker, *, running=(), ended=(), generation=1):
        return Announce(
            worker=worker, generation=generation, incarnation=self.incarnation, running=running, ended=ended
        )

    def man(self, *workers):
        self.hear(*(self.announce(worker) for worker in workers or WORKERS))

    @property
    def incarnation(self):
        return self.ledger._incarnation

    def order(self, want=3, seconds=5.0):
        self.hear(Order(want=want, permitted_until=self.stage.time.seconds + seconds))

    def add(self, count):
        board = self.store.board()
        ids = board.add([NewTicket(ticket_title=f"t{number}") for number in range(count)], who="test")
        board.close()
        return ids

    def does(self, verb, ticket_id):
        """An operator does this to a ticket."""
        board = self.store.board()
        getattr(board, verb)(ticket_id, who="test")
        board.close()

    def works(self):
        """The work given out since the last look, by worker."""
        return {
            worker: message for worker in WORKERS for message in self.stage.said(worker) if isinstance(message, Work)
        }

    def one_at_work(self):
        """A board of one ticket, given to somebody: who that is, and the claim."""
        self.add(1)
        self.man()
        self.order()
        [(worker, work)] = self.works().items()
        [claim] = work.claims
        return worker, claim

    def status(self, ticket_id):
        return self.reader.ticket(ticket_id).sea_status

    def close(self):
        self.ledger.on_stop()
        self.reader.close()
        self.store.close()


def done(claim):
    return settle(claim, Outcome(exit_code=0), max_attempts=10)
