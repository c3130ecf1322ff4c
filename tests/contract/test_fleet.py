"""The fleet: which runtimes are there, as far as the store can tell."""

from contextlib import closing
from datetime import timedelta

import pytest

from kora.errors import IncarnationLostError
from kora.store.port import RuntimeRecord, Turn

DAY_SECONDS = 86_400


def states(reader) -> dict[str, str]:
    return {each.runtime_id: each.state for each in reader.fleet()}


def seen_ago(reader, runtime_id: str) -> float:
    (seconds,) = (each.last_seen_seconds for each in reader.fleet() if each.runtime_id == runtime_id)
    return seconds


def test_a_runtime_is_registered_with_what_tells_it_from_others(runtime, reader, clock):
    clock.advance(4)

    (found,) = reader.fleet()

    assert (found.runtime_id, found.host, found.pid, found.version) == (runtime.id, "here", 1, "0")
    assert (found.workspace_id, found.state, found.claims) == ("workspace", "live", 0)
    assert found.started_at == found.last_seen
    assert found.last_seen_seconds == 4.0


def test_nobody_is_there_before_the_first(reader):
    assert reader.fleet() == []


def test_the_newest_runtime_comes_first_with_the_claims_that_each_holds(*, store, start, reader, add, clock):
    add(5)
    for number, claims in ((1, 2), (2, 0), (3, 3)):
        one = start(store, f"runtime-{number}")
        with closing(one.writer):
            one.claim(claims)
        clock.advance(1)

    assert [(each.runtime_id, each.claims) for each in reader.fleet()] == [
        ("runtime-3", 3),
        ("runtime-2", 0),
        ("runtime-1", 2),
    ]


def test_an_idle_runtime_says_every_ten_seconds_that_it_is_there(runtime, reader, clock):
    clock.advance(9.9)
    runtime.turn(sweep=True)
    assert seen_ago(reader, runtime.id) == 9.9

    clock.advance(0.1)
    runtime.turn(sweep=True)
    assert seen_ago(reader, runtime.id) == 0.0

    clock.advance(9.9)
    runtime.turn(sweep=True)
    assert seen_ago(reader, runtime.id) == 9.9


def test_so_does_one_that_works(runtime, reader, add, clock):
    add(2)
    clock.advance(9.9)
    runtime.claim()
    assert seen_ago(reader, runtime.id) == 9.9

    clock.advance(0.1)
    runtime.claim()
    assert seen_ago(reader, runtime.id) == 0.0


def test_one_that_is_not_seen_is_silent_while_it_holds_claims_and_else_gone(*, runtime, other, reader, add, clock):
    add(1)
    runtime.claim(lease_seconds=60)

    clock.advance(30)
    assert states(reader) == {runtime.id: "live", other.id: "live"}

    clock.advance(0.001)
    assert states(reader) == {runtime.id: "silent", other.id: "gone"}

    clock.advance(30)
    other.turn(sweep=True)
    assert states(reader) == {runtime.id: "gone", other.id: "live"}


def test_one_that_ended_in_good_order_is_known_at_once_from_one_that_crashed(runtime, other, reader, clock):
    clock.advance(5)

    runtime.writer.say_ended()

    assert states(reader) == {runtime.id: "ended", other.id: "live"}
    assert seen_ago(reader, runtime.id) == 0.0
    clock.advance(31)
    assert states(reader) == {runtime.id: "ended", other.id: "gone"}


def test_one_that_begins_again_has_not_ended(runtime, reader, clock):
    runtime.writer.say_ended()
    clock.advance(60)

    runtime.writer.next_incarnation()

    assert states(reader) == {runtime.id: "live"}
    assert seen_ago(reader, runtime.id) == 0.0


def test_a_writer_that_was_never_registered_ends_without_a_trace(store, reader):
    with closing(store.writer(RuntimeRecord("runtime-9", "here", 1, "0"))) as writer:
        writer.say_ended()

    assert reader.fleet() == []


def test_a_retired_writer_does_not_say_that_the_runtime_is_there(runtime, reader, clock):
    incarnation = runtime.incarnation
    runtime.writer.next_incarnation()
    clock.advance(20)

    with pytest.raises(IncarnationLostError):
        runtime.writer.turn(incarnation, Turn(sweep=True))

    assert seen_ago(reader, runtime.id) == 20.0


def test_what_was_not_seen_for_a_day_is_shown_only_while_it_holds_claims(*, runtime, other, reader, add, clock):
    add(1)
    runtime.claim(lease_seconds=60)

    clock.advance(DAY_SECONDS)
    assert states(reader) == {runtime.id: "silent", other.id: "gone"}

    clock.advance(0.001)
    assert states(reader) == {runtime.id: "silent"}


def test_another_workspace_has_a_fleet_of_its_own(store_factory, start, runtime, reader):
    with store_factory("elsewhere", "another actor") as elsewhere:
        one = start(elsewhere, "runtime-elsewhere")
        with closing(one.writer), closing(elsewhere.reader()) as theirs:
            assert list(states(theirs)) == [one.id]
            assert list(states(reader)) == [runtime.id]


def test_the_report_names_who_was_seen_since(*, runtime, other, reader, clock):
    clock.advance(600)
    other.turn(sweep=True)
    since = reader.fleet()[0].last_seen - timedelta(seconds=100)

    assert [each.runtime_id for each in reader.report(since).runtimes] == [other.id]
    assert reader.report(since - timedelta(seconds=600)).runtimes == reader.fleet()
