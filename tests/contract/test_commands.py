"""STOP commands: they close the gate with their commit, their marks only move forward, and resets clear them."""

from contextlib import closing

import pytest

from kora.domain.claim import ClaimResult
from kora.domain.control import CommandStatus, IssuerKind, NewMark, StopLevel
from kora.domain.ticket import Status
from kora.errors import NotFoundError, RefusedError, StoreUnusableError
from kora.store.port import ClaimOrder, Turn

ONE, TWO, THREE, FOUR = (StopLevel(level) for level in (1, 2, 3, 4))
S = CommandStatus


@pytest.fixture
def board(store):
    with closing(store.board()) as handle:
        yield handle


@pytest.fixture
def stop(board):
    return lambda level=ONE: board.stop(level, reason="a test", enforce_seconds=1.5, who="ada")


def said(reader, *event_types):
    return [(event.event_type, event.payload) for event in reader.events(event_types=event_types)]


def acted(reader):
    return [
        (payload["verb"], payload["before"], payload["after"]) for _, payload in said(reader, "kora.operator.acted")
    ]


def marked(reader):
    return {mark.holder: mark.status for mark in reader.commands()[0].marks}


def test_a_stop_claims_nothing_from_its_commit_on_and_says_why(runtime, add, stop, board):
    add(3)
    stop()

    result = runtime.turn(claim=ClaimOrder(2, 60.0))

    assert (result.claims, result.blocked_by, result.next_eligible_in_seconds) == (
        [],
        ClaimResult.BLOCKED_BY_CONTROL,
        None,
    )
    board.reset(reason="seen to", who="ada")
    result = runtime.turn(claim=ClaimOrder(2, 60.0))
    assert (len(result.claims), result.blocked_by) == (2, None)


def test_what_is_held_is_refreshed_and_settled_while_work_is_stopped(runtime, add, stop, ends):
    add(2)
    one, two = runtime.claim(2)
    stop(THREE)

    assert runtime.refresh(one).refreshed == [one.key]
    assert runtime.settle(ends(one), ends(two)).settled == [one.key, two.key]


def test_the_highest_open_command_holds_whatever_comes_later(reader, stop, board, clock):
    two = stop(TWO)
    clock.advance(1)
    stop(TWO)
    stop(ONE)

    assert reader.steering().command == two
    three = stop(THREE)
    assert reader.steering().command == three
    assert [command.level for command in reader.commands()] == [3, 1, 2, 2]
    assert reader.steering().open_commands == reader.commands()
    assert [command.command_id for command in reader.commands(1)] == [three.command_id]


def test_a_command_says_all_that_was_said(reader, stop, clock):
    command = stop(TWO)

    assert (command.level, command.reason, command.issuer, command.enforce_seconds) == (TWO, "a test", "ada", 1.5)
    assert (command.issuer_actor_kind, command.status) == (IssuerKind.OPERATOR, S.CREATED)
    assert reader.steering().now == command.created_at
    ((verb, before, after),) = acted(reader)
    assert (verb, before, after["stop_level"]) == ("stop", {"stop_level": 0}, 2)
    assert (after["command_id"], after["level"], after["action"]) == (command.command_id, 2, "drain_current_finish")


def test_a_stop_of_level_0_is_refused(board, reader):
    with pytest.raises(RefusedError, match="control reset"):
        board.stop(StopLevel.RESET, reason="", enforce_seconds=1, who="ada")

    assert (reader.commands(), list(reader.events())) == ([], [])


def test_no_runtime_writes_a_command(place, stop):
    stop()

    with pytest.raises(Exception, match=r"(?i)check"):
        place.ask("UPDATE control_commands SET issuer_actor_kind = 'kora'")


def test_a_reset_supersedes_what_is_open_and_only_that(reader, stop, board, clock):
    first = stop(TWO)
    assert reader.steering().reset_no == 0
    board.reset(reason="one", who="ada")
    number = reader.steering().reset_no
    second, third = stop(ONE), stop(FOUR)
    clock.advance(1)

    cleared = board.reset(reason="two", who="bob")

    assert [command.command_id for command in cleared] == [third.command_id, second.command_id]
    assert {command.status for command in cleared} == {S.SUPERSEDED}
    newest, *_, reset, oldest = reader.commands()
    assert (newest.level, newest.status, newest.issuer) == (StopLevel.RESET, S.ENFORCED, "bob")
    assert (oldest.command_id, oldest.superseded_by) == (first.command_id, reset.command_id)
    steering = reader.steering()
    assert steering.command is None
    assert 0 < number < steering.reset_no
    assert acted(reader)[-1] == (
        "reset",
        {"stop_level": 4, "retry_ceiling": False},
        {"stop_level": 0, "reason": "two", "superseded": [third.command_id, second.command_id]},
    )


def test_a_command_waits_for_those_that_were_there_and_have_not_ended(
    *, reader, runtime, other, start, store, stop, clock
):
    with closing(start(store, "gone").writer), closing(start(store, "ended").writer) as ended:
        clock.advance(31)
        runtime.turn()
        other.turn()
        ended.turn(1, Turn())
        ended.say_ended()
        command = stop()
        clock.advance(1)
        with closing(start(store, "later").writer):
            assert command.awaited == (runtime.id, other.id)
            assert reader.steering().command == command


def test_a_command_waits_also_for_who_was_not_seen_for_long_and_holds_claims(*, reader, runtime, stop, clock, add):
    add(1)
    runtime.claim(1)
    clock.advance(3_600)

    command = stop()

    assert command.awaited == (runtime.id,)
    assert reader.commands()[0].status is S.CREATED


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)
def test_who_was_there_is_waited_for_whatever_the_clock_is_set_to(*, reader, runtime, stop, clock, when, seconds):
    runtime.turn()
    if when == "before":
        clock.jump(seconds)
    command = stop()
    if when == "after":
        clock.jump(seconds)
    # The clock is taken up with what is written next.
    runtime.turn(claim=ClaimOrder(1, 60.0))

    assert (command.awaited, reader.commands()[0].awaited) == ((runtime.id,), (runtime.id,))
    assert reader.steering().open_commands[0].status is S.CREATED


def test_marks_only_move_forward_and_the_end_is_told_once(runtime, other, reader, stop, clock):
    command = stop(TWO)

    def mark(status, detail=""):
        return NewMark(command.command_id, status, detail)

    assert reader.commands()[0].status is S.CREATED

    runtime.turn(marks=[mark(S.ACKNOWLEDGED)])
    assert (marked(reader), reader.commands()[0].status) == ({runtime.id: S.ACKNOWLEDGED}, S.CREATED)
    runtime.turn(marks=[mark(S.VISIBLE_TO_RUNTIME), mark(S.ACKNOWLEDGED)])
    other.turn(marks=[mark(S.ENFORCING)])
    assert reader.commands()[0].status is S.ACKNOWLEDGED
    clock.advance(2)
    runtime.turn(marks=[mark(S.ENFORCED)])
    runtime.turn(marks=[mark(S.ENFORCED), mark(S.FAILED, "too late"), mark(S.ENFORCING)])
    other.turn(marks=[mark(S.FAILED, "one agent was left")])

    assert marked(reader) == {runtime.id: S.ENFORCED, other.id: S.FAILED}
    assert reader.commands()[0].status is S.FAILED
    told = {"command_id": command.command_id, "workspace_id": "workspace", "level": 2}
    events = said(reader, "kora_control.enforced", "kora_control.failed")
    assert [payload.pop("time")[-1] for _, payload in events] == ["Z", "Z"]
    assert events == [
        ("kora_control.enforced", {**told, "holder": runtime.id}),
        ("kora_control.failed", {**told, "holder": other.id, "detail": "one agent was left"}),
    ]


def test_the_marks_of_a_superseded_command_do_not_move(runtime, reader, stop, board):
    command = stop()
    runtime.turn(marks=[NewMark(command.command_id, S.ENFORCING)])
    board.reset(reason="", who="ada")

    runtime.turn(marks=[NewMark(command.command_id, S.ENFORCED)])

    assert reader.commands()[1].marks[0].status is S.ENFORCING
    assert said(reader, "kora_control.enforced") == []


def test_a_runtime_says_nothing_that_is_not_its_to_say(runtime, reader, stop):
    command = stop()

    result = runtime.turn(
        marks=[
            NewMark(command.command_id, S.EXPIRED),
            NewMark("no such command", S.ENFORCED),
            NewMark(command.command_id, S.ENFORCED),
        ]
    )

    assert ["no runtime says expired" in said for said in result.set_aside] == [True]
    assert marked(reader) == {runtime.id: S.ENFORCED}


def test_a_runtime_that_ended_in_good_order_is_awaited_no_more(runtime, other, reader, stop, clock):
    command = stop()
    runtime.turn(marks=[NewMark(command.command_id, S.ENFORCING)])
    clock.advance(1)
    runtime.writer.say_ended()
    other.writer.say_ended()

    found = reader.commands()[0]
    assert (found.awaited, [mark.status for mark in found.marks]) == ((), [S.EXPIRED])
    assert found.status is S.EXPIRED


def test_a_late_command_is_escalated_once(reader, runtime, stop, board, add):
    add(1)
    late = stop(TWO)

    four = board.escalate(late.command_id, reason="late", enforce_seconds=0.5, who="watcher")

    assert (four.level, four.issuer_actor_kind, four.issuer) == (FOUR, IssuerKind.WATCHER, "watcher")
    assert reader.steering().command == four
    assert reader.commands()[1].status is S.ESCALATED
    assert reader.commands()[1].escalated_by == four.command_id
    for command in (late, four):
        assert board.escalate(command.command_id, reason="", enforce_seconds=1, who="watcher") is None
    assert len(reader.commands()) == 2
    assert runtime.claim(1) == []
    with pytest.raises(NotFoundError, match="no command x"):
        board.escalate("x", reason="", enforce_seconds=1, who="watcher")


def test_what_was_enforced_or_superseded_is_not_escalated(reader, runtime, stop, board):
    enforced = stop(TWO)
    runtime.turn(marks=[NewMark(enforced.command_id, S.ENFORCED)])
    assert board.escalate(enforced.command_id, reason="", enforce_seconds=1, who="watcher") is None
    failed = stop(TWO)
    runtime.turn(marks=[NewMark(failed.command_id, S.FAILED)])
    assert board.escalate(failed.command_id, reason="", enforce_seconds=1, who="watcher") is not None
    open_one = stop(ONE)
    board.reset(reason="", who="ada")

    assert board.escalate(open_one.command_id, reason="", enforce_seconds=1, who="watcher") is None


def test_a_runtime_that_is_gone_is_marked_so_unless_it_had_enforced(reader, runtime, other, stop, board):
    command = stop(THREE)
    runtime.turn(marks=[NewMark(command.command_id, S.ENFORCED)])

    for holder in (runtime.id, other.id, other.id):
        board.expire(command.command_id, holder, detail="its process is gone", who="watcher")

    assert marked(reader) == {runtime.id: S.ENFORCED, other.id: S.EXPIRED}
    assert [verb for verb, *_ in acted(reader)] == ["stop", "expire"]
    other.turn(marks=[NewMark(command.command_id, S.ENFORCED)])
    assert marked(reader)[other.id] is S.EXPIRED
    for missing in (("x", other.id), (command.command_id, "x")):
        with pytest.raises(NotFoundError, match="there is no"):
            board.expire(*missing, detail="", who="watcher")


def test_whatever_a_revoked_runtime_writes_is_refused(*, runtime, other, store, start, add, board, reader, ends):
    (ticket,) = add(1)
    (claim,) = runtime.claim(1)
    board.revoke(runtime.id, reason="it was told to stop", who="watcher")
    board.revoke(runtime.id, reason="again", who="watcher")

    for parts in ({}, {"sweep": True}, {"settle": [ends(claim)]}):
        with pytest.raises(StoreUnusableError, match="runtime-1 was revoked"):
            runtime.turn(**parts)
    with pytest.raises(StoreUnusableError, match="runtime-1 was revoked"):
        runtime.writer.next_incarnation()
    assert reader.ticket(ticket).claim.holder == runtime.id
    assert [(verb, after["reason"]) for verb, _, after in acted(reader) if verb == "revoke"] == [
        ("revoke", "it was told to stop")
    ]
    other.turn(claim=ClaimOrder(1, 60.0))
    with pytest.raises(NotFoundError, match="no runtime x"):
        board.revoke("x", reason="", who="watcher")


def test_a_watcher_is_there_for_as_long_as_it_says_so(reader, board, clock):
    assert reader.steering().watcher_seen_seconds is None

    board.watch("one", host="here", pid=1)
    clock.advance(3)
    assert reader.steering().watcher_seen_seconds == 3.0
    board.watch("two", host="there", pid=2)
    clock.advance(1)
    board.watch("one", host="here", pid=1)
    clock.advance(1)
    assert reader.steering().watcher_seen_seconds == 1.0
    board.unwatch("one")
    assert reader.steering().watcher_seen_seconds == 2.0
    board.unwatch("two")
    assert (reader.steering().watcher_seen_seconds, list(reader.events())) == (None, [])


def test_three_tickets_tried_too_often_within_an_hour_raise_the_ceiling_until_a_reset(
    *, runtime, other, add, reader, board, clock, ends
):
    add(3)
    runtime.turn(claim=ClaimOrder(1, 60.0))
    clock.advance(61)
    runtime.turn(sweep=True, max_attempts=1)
    other.claim(1)
    clock.advance(3_500)
    runtime.turn(return_holders=[other.id], max_attempts=1)
    assert not reader.steering().has_ceiling
    (claim,) = runtime.claim(1)
    clock.advance(100)

    runtime.settle(ends(claim, Status.BLOCKED_NEEDS_OPERATOR))

    assert reader.steering().has_ceiling
    clock.advance(86_400)
    assert reader.steering().has_ceiling
    board.reset(reason="seen to", who="ada")
    assert not reader.steering().has_ceiling
