"""A STOP command that is followed: what is told meanwhile, how it ends, and when nobody waits any longer."""

from contextlib import closing

import pytest

from kora.cli.control_wait import followed
from kora.domain.control import StopLevel
from tests.unit.kora.cli.conftest import SHIP, boarding, newest


@pytest.fixture
def meanwhile(monkeypatch):
    """Have these done one after the other, one at each pause of whoever follows a command."""

    def meanwhile(*steps):
        left = list(steps)

        def pause():
            assert left, "nothing more happens, and it is waited for all the same"
            left.pop(0)()

        monkeypatch.setattr("kora.cli.control_wait.pause", pause)
        return left

    return meanwhile


def test_a_command_is_followed_until_it_is_enforced(kora, ship, meanwhile):
    left = meanwhile(
        lambda: ship.mark("acknowledged"), lambda: ship.mark("enforcing"), list, lambda: ship.mark("enforced")
    )

    done = kora("control", "stop", "2", "--reason", "r", "--wait")

    assert (done.code, done.err, left) == (0, "", [])
    *_, last = done.out.splitlines()
    steps = [line for line in done.out.splitlines() if line.startswith("ship/4711")]
    assert steps == [f"ship/4711 {step}" for step in ("acknowledged", "enforcing", "enforced")]
    assert last.startswith("enforced after ")


def test_what_came_about_before_anybody_looked_is_not_waited_for(store, ship, meanwhile):
    meanwhile()
    with boarding(store) as board:
        command = board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="r", enforce_seconds=120.0, who="ada")
    ship.mark("enforced")
    told = []

    with closing(store.reader()) as reader:
        assert followed(reader, command, 120.0, tell=told.append).status == "enforced"

    assert told == ["ship/4711 enforced"]


def failed(ship):
    ship.mark("failed", "2 claims are held")


def escalated(ship):
    with boarding(ship.store) as board:
        board.escalate(ship.newest, reason="late", enforce_seconds=15.0, who="watcher")


def superseded(ship):
    with boarding(ship.store) as board:
        board.reset(reason="r", who="bob")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (failed, "failed: see what is left with `claims`; `control stop 4` stops harder"),
        (escalated, "escalated: command "),
        (superseded, "superseded: a reset has cleared it"),
    ],
)
def test_a_command_that_was_not_enforced_ends_with_1(kora, ship, meanwhile, end, told):
    left = meanwhile(lambda: end(ship))

    done = kora("control", "stop", "1", "--reason", "r", "--wait")

    assert (done.code, left) == (1, [])
    assert done.err.startswith(f"kora-actors: {told}")
    assert "enforced after" not in done.out


def test_what_a_runtime_could_not_do_is_told(kora, ship, meanwhile):
    meanwhile(lambda: failed(ship))

    out = kora("control", "stop", "3", "--reason", "r", "--wait").out

    assert out.splitlines()[-1] == "ship/4711 failed (2 claims are held)"


def test_a_runtime_that_is_gone_has_nothing_left_to_be_stopped(kora, ship, meanwhile):
    def expire():
        with boarding(ship.store) as board:
            board.expire(ship.newest, SHIP, detail="its process is gone", who="watcher")

    meanwhile(expire)
    done = kora("control", "stop", "3", "--reason", "r", "--wait")

    assert (done.code, done.err) == (0, "")
    assert "nothing is left to be stopped" in done.out


def test_where_no_runtime_is_there_nothing_is_waited_for(kora, meanwhile):
    meanwhile()
    done = kora("control", "stop", "3", "--reason", "r", "--wait")

    assert (done.code, done.out.splitlines()[-1]) == (0, "no runtime is there: nothing is to be waited for")


@pytest.mark.parametrize(("level", "harder"), [("3", "`control stop 4` stops harder"), ("4", "`kill -9` ends")])
def test_one_waits_no_longer_than_one_has_said(kora, ship, level, harder):
    done = kora("control", "stop", level, "--reason", "r", "--wait", "--timeout", "0")

    assert done.code == 1
    assert "not enforced within 0.0 s" in done.err
    assert harder in done.err


def test_for_programs_a_stop_is_one_document_as_it_stands_at_the_end(kora, ship, meanwhile):
    meanwhile(lambda: ship.mark("enforced"))

    document = kora("control", "stop", "3", "--reason", "r", "--wait", "--json").document

    assert document == newest(kora)
    assert document["status"] == "enforced"
    assert kora("control", "stop", "1", "--reason", "r", "--json").document["awaited"] == [SHIP]
