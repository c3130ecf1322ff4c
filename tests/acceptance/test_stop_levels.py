"""The five STOP levels, with real processes and a real agent: what stops, how fast, and what the log tells of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from kora.admin.client import Client
from kora.domain.control import Command, CommandStatus, StopLevel
from tests.acceptance.home import PATIENCE_SECONDS, Home, wait_until

AGENT = """
import fcntl, os, select, signal, sys
def end(*_):
    select.select([], [], [], 0.2)
    os._exit(1)
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
if sys.argv[1] == "gated":
    fcntl.flock(os.open(sys.argv[2], os.O_RDONLY), fcntl.LOCK_SH)
else:
    select.select([], [], [], float(sys.argv[1]))
"""
FOR_EVER = "600"
GATED = "gated"
"""as long as the gate is shut"""
LIMIT_SECONDS = 30.0
"""within which each level is to be enforced, on a machine that does other things as well; else the runtime says that it
has failed"""
DRAIN_SECONDS = 3.0
RESOLVED, RELEASED = "kora.sea_ticket.resolved", "sea_ticket.claim_released"
MOVED, ENFORCED = "kora.operational_state.transitioned", "kora_control.enforced"


class Stopped:
    """A board whose runtime is told to stop."""

    def __init__(self, home: Home, *, has_holder: bool) -> None:
        self.home, self.has_holder = home, has_holder
        home.configure(
            agent={
                "command": [sys.executable, "-I", "-S", "-c", AGENT, "{ticket_title}", str(home.gate)],
                "grace_seconds": 5,
            },
            control={"drain_seconds": DRAIN_SECONDS},
        )
        with home.store():
            """The runtime finds a store that is there."""
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        process = self.home.start("run")
        if not self.has_holder:
            wait_until(self.home, self._leave_out, process)
        return process

    def _leave_out(self) -> bool:
        try:
            Client(self.home.folder / ".kora").post("/actors/state_holder/stop")
        except Exception:  # noqa: BLE001 - it does not serve yet
            return False
        return True

    def wait_until(self, holds) -> None:
        wait_until(self.home, holds, self.process)

    def add(self, title: str) -> str:
        """A ticket whose agent takes so long."""
        before = {ticket["ticket_id"] for ticket in self.home.tickets()}
        self.home.add(1, ticket_title=title)
        [added] = {ticket["ticket_id"] for ticket in self.home.tickets()} - before
        return added

    def begin(self, title: str = FOR_EVER) -> str:
        """It is worked by now, and the mirror has said so, with all that came before."""
        ticket_id = self.add(title)
        self.wait_until(lambda: self.status(ticket_id) == "in_progress")
        self.wait_until(lambda: not self.has_holder or self.is_active())
        return ticket_id

    def status(self, ticket_id: str) -> str:
        with self.home.reading() as reader:
            return reader.ticket(ticket_id).sea_status

    def stop(self, level: int) -> Command:
        with self.home.store() as store, closing(store.board()) as board:
            return board.stop(StopLevel(level), reason="enough", enforce_seconds=LIMIT_SECONDS, who="ann")

    def reset(self) -> None:
        with self.home.store() as store, closing(store.board()) as board:
            board.reset(reason="seen to", who="ann")

    def cancel(self, ticket_id: str) -> None:
        """It is not to be worked again."""
        with self.home.store() as store, closing(store.board()) as board:
            board.cancel(ticket_id, who="ann")

    def is_heard(self, level: int, seq: int) -> bool:
        """Whether the runtime goes by the command of this level; and says so, after this event."""
        if self.has_holder:
            return (MOVED, "paused") in self.told(seq)
        return Client(self.home.folder / ".kora").get("/actors/control")["facts"]["level"] == level

    def marked(self, command: Command) -> CommandStatus:
        with self.home.reading() as reader:
            return next(each for each in reader.commands() if each.command_id == command.command_id).status

    def enforce(self, level: int) -> Command:
        """It is ordered, and enforced within its limit: else it has failed, and stays so."""
        return self.await_enforced(self.stop(level))

    def await_enforced(self, command: Command) -> Command:
        self.wait_until(lambda: self.marked(command).is_settled)
        assert self.marked(command) is CommandStatus.ENFORCED
        return command

    def come_back(self) -> None:
        """After a reset, tickets are claimed, and the mirror is READY on the way."""
        seq = self.last_seq()
        self.reset()
        ticket_id = self.add("0")
        self.wait_until(lambda: self.status(ticket_id) == "completed")
        if self.has_holder:
            # The mirror is told first, and yet may be later than the one that has worked the ticket.
            self.wait_until(lambda: self.moves(seq))
            move = self.moves(seq)[0]
            assert (move["from_primary_state"], move["to_primary_state"]) == ("paused", "ready")
            assert move["trigger"] == "operator clears by reset"

    def moves(self, seq: int) -> list[dict]:
        return [event["payload"] for event in self.since(seq) if event["event_type"] == MOVED]

    def is_active(self) -> bool:
        moves = self.moves(0)
        return bool(moves) and moves[-1]["to_primary_state"] == "active"

    def last_seq(self) -> int:
        with self.home.reading() as reader:
            return reader.last_seq()

    def since(self, seq: int) -> list[dict]:
        return [event for event in self.home.events() if event["seq"] > seq]

    def told(self, seq: int, *ticket_ids: str) -> list[tuple[str, str]]:
        """What the runtime's chain tells since then of what stops it, of these tickets, and of commands."""
        names = {MOVED: "to_primary_state", RESOLVED: "resolution"}
        found = []
        for event in self.since(seq):
            kind, ticket_id = event["event_type"], event["ticket_id"]
            if event["payload"].get("trigger", "").startswith("claim "):
                continue
            if kind in {MOVED, ENFORCED} or (kind in {RESOLVED, RELEASED} and ticket_id in ticket_ids):
                found.append((kind, event["payload"].get(names.get(kind, ""), "")))
        return found

    def assert_told(self, seq: int, state: str, *expected: tuple[str, str], of: Sequence[str]) -> None:
        """This, in this order, and the transition to this state; where that stands is said by how quick the mirror is.

        Without a StateHolder, no transition is told of.
        """
        moved = [(MOVED, state)] if self.has_holder else []
        self.wait_until(lambda: moved == [each for each in self.told(seq) if each[0] == MOVED])
        assert [each for each in self.told(seq, *of) if each[0] != MOVED] == list(expected)


@pytest.fixture(scope="module")
def stopped(request, home_on, tmp_path_factory) -> Iterator[Stopped]:
    """One that is stopped again and again, and comes back."""
    kind, has_holder = request.param
    with home_on(kind, tmp_path_factory.mktemp("home")) as home:
        yield Stopped(home, has_holder=has_holder)


@pytest.fixture
def ended(request, home_on, tmp_path) -> Iterator[Stopped]:
    """One that ends by it."""
    kind, has_holder = request.param
    with home_on(kind, tmp_path) as home:
        yield Stopped(home, has_holder=has_holder)


MIRROR, NO_MIRROR = ("sqlite", True), ("sqlite", False)
POSTGRES = ("postgres", True)


def stops(name: str, *, postgres: object) -> pytest.MarkDecorator:
    """With each of them, on PostgreSQL as well."""
    ids = ["with the mirror", "without", "postgres"]
    return pytest.mark.parametrize(name, [MIRROR, NO_MIRROR, postgres], ids=ids, indirect=True)


PROVED = pytest.param(POSTGRES, marks=pytest.mark.prove)


@stops("stopped", postgres=PROVED)
def test_level_1_takes_in_nothing_new_and_what_runs_goes_on(stopped):
    with stopped.home.shut() as open_the_gate:
        running = stopped.begin(GATED)
        seq = stopped.last_seq()
        stopped.enforce(1)
        waiting = stopped.add("0")
        open_the_gate()
        stopped.wait_until(lambda: stopped.status(running) == "completed")
    assert stopped.status(waiting) == "assigned"
    stopped.assert_told(seq, "paused", (ENFORCED, ""), (RESOLVED, "completed"), (RELEASED, ""), of=[running])
    stopped.come_back()
    stopped.wait_until(lambda: stopped.status(waiting) == "completed")


@stops("stopped", postgres=PROVED)
def test_level_2_lets_what_runs_finish_for_a_while_and_then_releases_it(stopped):
    with stopped.home.shut() as open_the_gate:
        quick, slow = stopped.begin(GATED), stopped.begin()
        seq = stopped.last_seq()
        command = stopped.stop(2)
        stopped.wait_until(lambda: stopped.is_heard(2, seq))
        open_the_gate()
        stopped.await_enforced(command)
    assert (stopped.status(quick), stopped.status(slow)) == ("completed", "released")
    stopped.assert_told(
        seq,
        "paused",
        *((RESOLVED, "completed"), (RELEASED, "")),
        *((RESOLVED, "released"), (RELEASED, "")),
        (ENFORCED, ""),
        of=[quick, slow],
    )
    stopped.cancel(slow)
    stopped.come_back()


@stops("stopped", postgres=POSTGRES)
def test_level_3_ends_what_runs_now_and_a_lower_command_after_it_changes_nothing(stopped):
    running = [stopped.begin(), stopped.begin()]
    seq = stopped.last_seq()
    stopped.enforce(3)
    assert [stopped.status(ticket_id) for ticket_id in running] == ["released"] * 2
    with stopped.home.reading() as reader:
        assert [reader.ticket(ticket_id).next_eligible_at for ticket_id in running] == [None] * 2
        assert reader.ticket(running[0]).failure_count_by_reason == {}
    for ticket_id in running:
        stopped.assert_told(seq, "paused", (RESOLVED, "released"), (RELEASED, ""), (ENFORCED, ""), of=[ticket_id])
    seq = stopped.last_seq()
    stopped.enforce(1)
    assert stopped.told(seq) == [(ENFORCED, "")]
    with stopped.home.reading() as reader:
        assert reader.steering().command.level == 3
    for ticket_id in running:
        stopped.cancel(ticket_id)
    stopped.come_back()


@pytest.mark.parametrize("level", [4, 5])
@stops("ended", postgres=PROVED)
def test_levels_4_and_5_kill_what_runs_and_the_runtime_exits_with_5(ended, level):
    running = ended.begin()
    seq = ended.last_seq()
    command = ended.stop(level)
    assert ended.process.wait(PATIENCE_SECONDS) == 5, ended.home.log()
    assert ended.home.left_over() == []
    assert ended.marked(command) is CommandStatus.ENFORCED
    assert ended.status(running) == "released"
    ended.assert_told(seq, "stopped", (RESOLVED, "released"), (RELEASED, ""), (ENFORCED, ""), of=[running])
    assert ended.told(seq)[-1] == (ENFORCED, "")
    revoked = [event["payload"]["target"] for event in ended.since(seq) if event["payload"].get("verb") == "revoke"]
    assert len(revoked) == (1 if level == 5 else 0)
    if level == 5 or not ended.has_holder:
        return

    # Started again, it ends the same way, until a reset.
    ended.process = ended.home.start("run")
    assert ended.process.wait(PATIENCE_SECONDS) == 5
    assert "control reset" in ended.home.log()
    assert ended.status(running) == "released"

    ended.cancel(running)
    ended.reset()
    done = ended.add("0")
    ended.process = ended.home.start("run")
    ended.wait_until(lambda: ended.status(done) == "completed")
