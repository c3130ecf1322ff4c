"""A board that was copied is the same board, whatever the kinds of the two stores; or nobody can work there."""

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kora.clock import from_us
from kora.domain.claim import ClaimResult
from kora.domain.control import StopLevel
from kora.domain.cost import Ramp
from kora.domain.resolution import Resolution
from kora.domain.ticket import NewTicket, Status
from kora.errors import BoardError, CopyError, StoreUnavailableError, StoreUnusableError
from kora.store.copying import copy_board, discard_copy
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sql import copy_source, copy_target
from tests import boards
from tests.contract.conftest import ACTOR, WORKSPACE

WAYS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")]
one_way = pytest.mark.parametrize("way", WAYS[:1], indirect=True, ids="-".join)
back = pytest.mark.parametrize("way", WAYS[1:2], indirect=True, ids="-".join)
every_way = pytest.mark.parametrize(
    "way", [*WAYS[:2], *(pytest.param(way, marks=pytest.mark.prove) for way in WAYS[2:])], indirect=True, ids="-".join
)


@pytest.fixture(params=[WAYS[0], *(pytest.param(way, marks=pytest.mark.prove) for way in WAYS[1:])], ids="-".join)
def way(request):
    """From which kind of store to which."""
    return request.param


@pytest.fixture
def source(way, new_place_of):
    return new_place_of(way[0])


@pytest.fixture
def target(way, new_place_of):
    return new_place_of(way[1])


@pytest.fixture
def fill(start, ends, clock, tmp_path):
    return partial(boards.fill, start=start, ends=ends, clock=clock, directory=tmp_path / "cold")


class Killed(BaseException):
    """The copy ends here."""


@pytest.fixture
def copy(clock):
    """Copy from one place to another; killed at the so-manieth time that it tells of its progress."""

    def copied(source, target, killed_at=None, told=None):
        heard = []

        def hear(*progress):
            heard.append(progress)
            if told:
                told(*progress)
            if len(heard) == killed_at:
                raise Killed

        return copy_board(
            source.url, target.url, workspace_id=WORKSPACE, actor_id=ACTOR, who="copier", told=hear, time=clock
        )

    return copied


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(copy_source, "PAGE_ROWS", 2)


@every_way
def test_the_copy_shows_what_the_board_shows(source, target, fill, copy):
    fill(source)
    before = boards.seen(source)

    result = copy(source, target)

    assert boards.seen(target) == before
    assert boards.seen(source) == before
    assert result.rows["tickets"] == len(before["tickets"])
    assert (result.rows["events"], result.events_verified) == (len(before["events"]), before["verified"])


@one_way
def test_the_copy_says_who_has_copied_it(source, target, fill, copy):
    fill(source)

    result = copy(source, target)

    with closing(target.open().reader()) as reader:
        *_, last = reader.events()
    assert (last.event_type, last.payload["verb"], last.payload["who"]) == ("kora.operator.acted", "copy", "copier")
    assert last.payload["after"] == {"from": result.source, **result.rows}


@every_way
def test_work_goes_on_on_the_copy(source, target, *, fill, copy, start, ends):
    fill(source)
    copy(source, target)
    store = target.open()
    newest = boards.seen(target)["events"][-1].seq

    with closing(store.board()) as board, closing(store.reader()) as reader:
        (new,) = board.add([NewTicket(ticket_title="new", sea_priority="critical")], who="tester")
        runtime = start(store, "runtime-3")
        claims = runtime.claim(100)
        runtime.settle(*(ends(claim) for claim in claims))

        assert claims[0].ticket.ticket_id == new
        assert {claim.ticket.sea_status for claim in claims} == {Status.IN_PROGRESS}
        assert [ticket.ticket_id for ticket in reader.tickets()][-1] == new
        assert all(event.seq > newest for event in reader.events(ticket_id=new))
        assert reader.verify().fault is None
    runtime.writer.close()


@every_way
def test_a_board_whose_work_is_stopped_is_stopped_where_it_is_copied_to(source, target, *, fill, copy, start):
    fill(source)
    with closing(source.open().board()) as board:
        board.refresh_credit(Ramp(3_600.0, 30.0), who="tester")
        board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="over night", enforce_seconds=1.0, who="tester")

    copy(source, target)

    assert boards.seen(target) == boards.seen(source)
    with closing(target.open().reader()) as reader, closing(start(target.open(), "runtime-3").writer) as writer:
        assert reader.steering().pool.ramp_seconds == 3_600.0
        result = writer.turn(1, Turn(claim=ClaimOrder(1, 60.0)))
    assert (result.claims, result.blocked_by) == ([], ClaimResult.BLOCKED_BY_CONTROL)


def test_an_empty_board_is_copied(source, target, copy):
    source.open()

    assert copy(source, target).rows["tickets"] == 0
    with closing(target.open().reader()) as reader:
        assert [event.payload["verb"] for event in reader.events()] == ["copy"]


@pytest.mark.parametrize("killed_at", [3, 14, 30])
def test_a_copy_that_was_interrupted_goes_on_where_it_was(killed_at, *, source, target, fill, copy, small_pages):
    fill(source)
    with pytest.raises(Killed):
        copy(source, target, killed_at)
    heard = []

    result = copy(source, target, told=lambda *progress: heard.append(progress))

    assert boards.seen(target) == boards.seen(source)
    assert result.has_gone_on == (killed_at > 3)
    assert len(heard) < 90


@pytest.mark.parametrize("seed", ["1", *(pytest.param(str(seed), marks=pytest.mark.prove) for seed in range(2, 7))])
def test_a_copy_that_is_killed_again_and_again_comes_to_its_end(seed, source, target, fill):
    """With SIGKILL, wherever it is: more than one process dies before one came through."""
    fill(source)
    script = Path(__file__).with_name("killed_copies.py")

    done = subprocess.run(
        [sys.executable, "-P", script, source.url, target.url, WORKSPACE, ACTOR, seed],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 1
    assert boards.seen(target) == boards.seen(source)


def test_nobody_can_work_on_an_unfinished_copy(source, target, fill, copy):
    fill(source)
    opened_before = target.open()
    with pytest.raises(Killed):
        copy(source, target, 6)

    with pytest.raises(StoreUnusableError, match=r"workspace is an unfinished copy of .*; give the same"):
        target.open()
    with (
        closing(opened_before.writer(RuntimeRecord("runtime-3", "here", 1, "0"))) as writer,
        pytest.raises(StoreUnusableError, match="unfinished copy"),
    ):
        writer.next_incarnation()
    with closing(opened_before.reader()) as reader:
        assert reader.steering().granted == "none"


@one_way
def test_an_unfinished_copy_is_no_source(source, fill, copy, new_place_of):
    target, third = new_place_of("sqlite"), new_place_of("sqlite")
    fill(source)
    with pytest.raises(Killed):
        copy(source, target, 6)

    with pytest.raises(StoreUnusableError, match="unfinished copy"):
        copy(target, third)


@one_way
def test_an_unfinished_copy_is_of_one_source(source, target, fill, copy, new_place_of):
    other = new_place_of("sqlite")
    fill(source)
    other.open()
    with pytest.raises(Killed):
        copy(source, target, 6)

    with pytest.raises(StoreUnusableError, match=r"unfinished copy of .*kora"):
        copy(other, target)


def test_an_unfinished_copy_can_be_given_up(source, target, *, fill, copy, clock, small_pages):
    fill(source)
    with pytest.raises(Killed):
        copy(source, target, 40)

    discard_copy(target.url, workspace_id=WORKSPACE, actor_id=ACTOR, time=clock)

    with closing(target.open().reader()) as reader:
        assert (list(reader.tickets()), list(reader.events()), reader.steering().granted) == ([], [], "normal")
    with pytest.raises(CopyError, match="no copy to workspace workspace is unfinished"):
        discard_copy(target.url, workspace_id=WORKSPACE, actor_id=ACTOR, time=clock)
    copy(source, target)
    assert boards.seen(target) == boards.seen(source)


@one_way
def test_a_board_is_copied_to_an_empty_workspace(target, fill, copy, new_place_of):
    source = new_place_of("sqlite")
    fill(source)
    with closing(target.open().board()) as board:
        board.add([NewTicket(ticket_title="mine")], who="tester")
    before = boards.seen(target)

    with pytest.raises(CopyError, match="workspace workspace has tickets and events already"):
        copy(source, target)
    assert boards.seen(target) == before


@back
def test_a_board_that_is_worked_is_not_copied(source, fill, copy, start, new_place_of):
    fill(source)
    runtime = start(source.open(), "runtime-3")
    (claim,) = runtime.claim()
    target = new_place_of("sqlite")

    with pytest.raises(CopyError, match=f"{claim.key.ticket_id} by runtime runtime-3 \\(here, process 1\\)"):
        copy(source, target)
    runtime.writer.close()
    target.open()


def test_what_changes_meanwhile_is_brought_over_by_the_next_run(
    source, target, *, fill, copy, clock, small_pages, tmp_path, start, ends
):
    fill(source)
    store = source.open()

    def change(what, done, total):
        """Somebody works the board once the tickets were copied."""
        if (what, done) == ("operations", 0):
            with closing(store.board()) as board, closing(start(store, "runtime-3").writer):
                board.add([NewTicket(ticket_title="late")], who="tester")
                blocked = [t for t in boards.seen(source)["tickets"] if t.sea_status == "blocked_needs_operator"]
                board.unblock(blocked[0].ticket_id, who="tester")
                runtime = start(store, "runtime-4")
                runtime.settle(*(ends(claim) for claim in runtime.claim(3)))
                runtime.writer.close()
                clock.advance(1)
                source.open_as_owner().archive(
                    tmp_path / "cold", from_us(clock.us + 1), who="tester", progress=lambda *_: None
                )

    with pytest.raises(CopyError, match="was changed while it was copied; give the same copy again"):
        copy(source, target, told=change)
    with pytest.raises(StoreUnusableError, match="unfinished copy"):
        target.open()

    assert copy(source, target).has_gone_on
    assert boards.seen(target) == boards.seen(source)


@back
def test_a_broken_board_is_not_copied(source, fill, copy, new_place_of):
    fill(source)
    source.ask("UPDATE events SET payload = '{}' WHERE seq = (SELECT max(seq) FROM events)")
    target = new_place_of("sqlite")

    with pytest.raises(CopyError, match=r"chain workspace:workspace is broken at event \d+ \(its hash"):
        copy(source, target)


@one_way
def test_what_somebody_else_writes_to_the_target_is_found(target, fill, copy, new_place_of):
    source = new_place_of("sqlite")
    fill(source)

    def meddle(what, done, total):
        if (what, done) == ("archives", 0):
            target.ask(
                "INSERT INTO tallies (workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us)"
                " VALUES ('workspace', 1, 'x', 'added', 1, 1, 1)"
            )

    with pytest.raises(CopyError, match=r"is no true copy of .*: it has \d+ tallies for \d+"):
        copy(source, target, told=meddle)


@one_way
def test_of_two_copies_at_once_one_ends(source, target, fill, copy, small_pages):
    fill(source)
    done = []

    def another(what, count, total):
        if (what, count) == ("operations", 0) and not done:
            done.append(copy(source, target))

    with pytest.raises(StoreUnavailableError, match="another copy to this workspace is under way"):
        copy(source, target, told=another)
    assert boards.seen(target) == boards.seen(source)


@pytest.mark.parametrize("way", WAYS[2:3], indirect=True, ids="-".join)
def test_a_file_that_others_share_gives_events_the_next_free_places(source, fill, copy, new_place_of):
    fill(source)
    target = new_place_of("sqlite")
    with closing(target.open("another").board()) as board:
        board.add([NewTicket(ticket_title=f"theirs {n}") for n in range(30)], who="tester")

    copy(source, target)

    there, here = boards.seen(target), boards.seen(source)
    assert [event.event_id for event in there["events"]] == [event.event_id for event in here["events"]]
    assert [(a.chain_seq, a.this_event_hash) for a in there["events"]] == [
        (b.chain_seq, b.this_event_hash) for b in here["events"]
    ]
    assert there["tickets"] == here["tickets"]
    with closing(target.open("another").reader()) as reader:
        assert len(list(reader.tickets())) == 30
        assert reader.verify().fault is None


@back
def test_a_ticket_of_another_workspace_is_not_overwritten(source, fill, copy, new_place_of):
    fill(source)
    target = new_place_of("sqlite")
    theirs = boards.seen(source)["tickets"][3].ticket_id
    with closing(target.open("another").board()) as board:
        board.add([NewTicket(ticket_title="theirs", ticket_id=theirs)], who="tester")

    with pytest.raises(CopyError, match=r"of \d+ tickets 1 have the ids of another workspace's"):
        copy(source, target)
    with closing(target.open("another").reader()) as reader:
        assert reader.ticket(theirs).ticket_title == "theirs"


@one_way
def test_the_source_is_only_read(target, fill, copy, new_place_of):
    source = new_place_of("sqlite")
    fill(source)
    with closing(sqlite3.connect(source.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = source.path.read_bytes()

    copy(source, target)

    assert source.path.read_bytes() == before


@one_way
def test_a_source_that_is_none_is_said_to_be_so(target, copy, new_place_of):
    source = new_place_of("sqlite")
    with pytest.raises(StoreUnusableError, match="there is no such file, and so no board"):
        copy(source, target)
    assert not source.path.exists()
    source.open("another")
    with pytest.raises(StoreUnusableError, match="has no workspace workspace"):
        copy(source, target)


def test_pages_are_bounded_by_what_they_hold(source, copy, new_place_of, monkeypatch):
    """A page of objectives is as many as come to the limit, and one more at most."""
    with closing(source.open().board()) as board:
        board.add([NewTicket(ticket_title="fat", ticket_objective="x" * 2**20)] * 8, who="tester")
    sizes = []
    write = copy_target.Target.write

    def weighed(self, part, rows, progress):
        sizes.append(sum(len(value) for row in rows for value in row if isinstance(value, str)))
        write(self, part, rows, progress)

    monkeypatch.setattr(copy_target.Target, "write", weighed)
    copy(source, new_place_of("sqlite"))

    assert max(sizes) <= 5 * 2**20


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)),
        st.tuples(st.just("wait"), st.integers(0, 9)),
        st.tuples(st.just("work"), st.sampled_from([status for status in Resolution if status != "released"])),
        st.tuples(st.just("release"), st.sampled_from(["runtime-1", "runtime-2"])),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("unblock"), st.integers(0, 9)),
        st.tuples(st.just("pass"), st.integers(1, 100)),
        st.tuples(st.just("archive"), st.integers(0, 60)),
    ),
    max_size=25,
)


def act(board, runtimes, ends, name, what):
    """Do one of these on the board, where it can be done."""
    with contextlib.suppress(BoardError), closing(board.open().board()) as operator:
        ids = [ticket_id for (ticket_id,) in board.ask("SELECT ticket_id FROM tickets ORDER BY ticket_no")]
        match name:
            case "add":
                operator.add([NewTicket(ticket_title="t" + what, ticket_objective=what)], who=what)
            case "wait" if ids:
                operator.add([NewTicket(ticket_title="w", blocked_by=(ids[what % len(ids)], ids[-1]))], who="tester")
            case "cancel" if ids:
                operator.cancel(ids[what % len(ids)], who="tester")
            case "unblock" if ids:
                operator.unblock(ids[what % len(ids)], who="tester")
            case "work":
                runtimes["runtime-1"].settle(*(ends(c, Status(what)) for c in runtimes["runtime-1"].claim(2)))
            case "release":
                runtime = runtimes[what]
                runtime.settle(*(ends(c, Status.RELEASED, next_eligible_offset_seconds=5.0) for c in runtime.claim(1)))


@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=pytest.mark.prove)])
def test_any_board_is_the_same_there_and_back(examples, *, new_place_of, start, ends, clock, copy, tmp_path):
    numbers = itertools.count()

    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
        derandomize=True,
    )  # fmt: skip
    @given(acts=ACTS)
    def check(acts):
        places = [new_place_of(kind) for kind in ("sqlite", "postgres", "sqlite")]
        first, store = places[0], places[0].open()
        runtimes = {name: start(store, f"{name}-{next(numbers)}") for name in ("runtime-1", "runtime-2")}
        for name, what in acts:
            if name == "pass":
                clock.advance(what)
            elif name == "archive":
                store.archive(
                    tmp_path / "cold", from_us(clock.us) - timedelta(seconds=what), who="t", progress=lambda *_: None
                )
            else:
                act(first, runtimes, ends, name, what)
        for runtime in runtimes.values():
            runtime.writer.close()
        for source, target in itertools.pairwise(places):
            copy(source, target)
        assert boards.seen(places[1]) == boards.seen(first)
        assert {**boards.seen(places[2]), "verified": 0} == {**boards.seen(first), "verified": 0}
        for place in places:
            place.give_back()

    check()
