"""Streams: read once for all, resumed where they were left, and never held up by who does not read."""

import itertools
import threading
from contextlib import ExitStack, closing

import pytest

from kora.admin import streams
from kora.admin.client import Client
from kora.admin.sources import EventSource
from kora.domain.events import EventType
from kora.domain.ticket import NewTicket
from kora.errors import BadRequestError, NotFoundError, UnknownNameError
from tests.unit.kora.admin.stand_in import Ring, changed, line, traced
from tests.unit.kora.admin.wire import PATIENCE_SECONDS, connected, request, until


def add(console, count=1):
    """So many events, and the tickets they are of."""
    with closing(console.store.board()) as board:
        return [board.add([NewTicket(ticket_title="x")], who="test")[0] for _ in range(count)]


def seqs(console):
    with console.reader() as reader:
        return [event.seq for event in reader.events()]


def take(stream, count):
    return list(itertools.islice(stream, count))


def texts(items):
    return [item.data["text"] for item in items]


def test_the_log_is_followed_from_now_on(client, console):
    console.log.add(line("before"))
    stream = client.stream("/log/stream")
    console.log.add(line("after"), line("and after"))

    items = take(stream, 2)
    stream.close()

    assert [(item.id, item.event, item.data["text"]) for item in items] == [
        (2, "log", "after"),
        (3, "log", "and after"),
    ]
    assert items[0].data["at"] == "2026-01-02T03:04:05Z"


def test_every_kind_of_stream_is_followed(client, console):
    state, trace = client.stream("/state/stream"), client.stream("/actors/poller/trace")
    console.transitions.add(changed("active"))
    console.traces["poller"].add(traced())

    assert next(state).data["state"]["primary_state"] == "active"
    assert next(trace).data["kind"] == "Poll"
    state.close()
    trace.close()
    until(lambda: console.tracing == 0)


def test_events_are_followed_as_the_store_has_them(client, console):
    add(console)
    stream = client.stream("/events/stream")
    (ticket,) = add(console)

    item = next(stream)
    stream.close()

    with console.reader() as reader:
        event = list(reader.events())[-1]
    assert (item.id, item.event, item.data) == (event.seq, "event", event.model_dump(mode="json"))
    assert ticket in str(item.data)


def test_events_are_followed_from_one_on_without_a_gap(client, console):
    add(console, 700)
    stream = client.stream("/events/stream", {"after": 0})
    before = take(stream, 650)
    add(console, 50)

    assert [item.id for item in before + take(stream, 100)] == seqs(console)
    stream.close()


def test_only_some_events_are_followed(client, console):
    stream = client.stream("/events/stream", {"type": EventType.BOOT_READY, "after": 0})
    others = client.stream("/events/stream", {"type": EventType.OPERATOR_ACTED, "after": 0})
    add(console, 3)

    assert [item.id for item in take(others, 3)] == seqs(console)
    stream.close()
    others.close()


@pytest.mark.parametrize("path", ["/log/stream", "/events/stream"])
def test_a_stream_goes_on_where_it_was_left(client, console, path):
    def grow():
        console.log.add(line(), line())
        add(console, 2)

    first = client.stream(path)
    grow()
    one = next(first)
    first.close()
    grow()
    again = client.stream(path, after=one.id)

    ids = [item.id for item in take(again, 3)]
    again.close()
    assert ids == [one.id + 1, one.id + 2, one.id + 3]


def test_what_is_not_kept_any_more_is_counted(client, console):
    console.log = Ring(kept=10)
    console.log.add(*(line(f"{number}") for number in range(30)))
    stream = client.stream("/log/stream", after=5)

    missed, *others = take(stream, 11)
    stream.close()

    assert (missed.event, missed.data, missed.id) == ("missed", {"count": 15}, 20)
    assert texts(others) == [str(number) for number in range(20, 30)]


def test_an_id_of_an_earlier_runtime_begins_with_all_that_is_kept(client, console):
    console.log.add(line("one"), line("two"))
    stream = client.stream("/log/stream", after=1_000)

    assert texts(take(stream, 2)) == ["one", "two"]
    stream.close()


def test_a_flood_is_shown_in_part_and_the_rest_counted(client, console, monkeypatch):
    monkeypatch.setattr(streams, "ITEMS_A_SECOND", 100)
    console.log = Ring(kept=100_000)
    stream = client.stream("/log/stream")
    console.log.add(*(line(f"{number}") for number in range(10_000)))

    items = [next(stream)]
    while items[-1].id < 10_000:
        items.append(next(stream))
    stream.close()

    missed = sum(item.data["count"] for item in items if item.event == "missed")
    shown = [item for item in items if item.event == "log"]
    assert missed + len(shown) == 10_000
    assert shown[-1].data["text"] == "9999"
    assert len(shown) <= 300
    assert client.get("/stats")["admin"]["items_left_out"] == missed


def test_a_flood_of_events_is_shown_in_part_and_the_rest_counted(client, console, monkeypatch):
    monkeypatch.setattr(streams, "ITEMS_A_SECOND", 20)
    stream = client.stream("/events/stream")
    with closing(console.store.board()) as board:
        for _ in range(60):
            board.add([NewTicket(ticket_title="x")], who="test")

    last, items = seqs(console)[-1], []
    while not items or items[-1].id < last:
        items.append(next(stream))
    stream.close()

    missed = sum(item.data["count"] for item in items if item.event == "missed")
    assert missed + sum(item.event == "event" for item in items) == 60


def test_fifty_readers_cost_one_reading_and_see_the_same(client, console):
    with ExitStack() as stack:
        readers = [stack.enter_context(closing(client.stream("/log/stream"))) for _ in range(50)]
        before = console.log.readings
        for number in range(5):
            console.log.add(line(f"{number}"))
            assert {texts([next(reader)])[0] for reader in readers} == {f"{number}"}
        readings = console.log.readings - before
        assert client.get("/stats")["admin"]["streams_open"] == 50

    # Ten looks a second, however many read; each round took at least one.
    assert readings < 5 * 50
    until(lambda: client.get("/stats")["admin"]["streams_open"] == 0)


def test_readers_that_join_late_miss_nothing_and_get_nothing_twice(client, console):
    with ExitStack() as stack:
        readers = []
        for number in range(20):
            console.log.add(line(f"{number}"))
            readers.append(stack.enter_context(closing(client.stream("/log/stream", after=0))))
        for reader in readers:
            assert texts(take(reader, 20)) == [str(number) for number in range(20)]


def test_a_reader_that_falls_far_behind_is_told_how_much_it_missed(client, console):
    console.log = Ring(kept=500)
    with client.stream("/log/stream") as slow, client.stream("/log/stream") as reader:
        for _ in range(60):
            console.log.add(*(line("x" * 5_000) for _ in range(50)))
            take(reader, 50)
        items = [next(slow)]
        while items[-1].id < 3_000:
            items.append(next(slow))

    missed = sum(item.data["count"] for item in items if item.event == "missed")
    assert missed > 0
    assert missed + sum(item.event == "log" for item in items) == 3_000


def test_a_reader_that_is_frozen_is_dropped_and_the_others_go_on(listening, serving, state_dir, console):
    console.log = Ring(kept=10_000)
    served = serving(stall_seconds=2.0)
    with closing(connected(listening.path)) as frozen, Client(state_dir).stream("/log/stream") as reader:
        frozen.sendall(request("GET", "/log/stream"))
        until(lambda: listening.counters.streams_open == 2)
        rounds = []

        def is_dropped():
            console.log.add(*(line("x" * 5_000) for _ in range(20)))
            rounds.append(take(reader, 20))
            return listening.counters.clients_dropped

        until(is_dropped)
        until(lambda: listening.counters.streams_open == 1)
        console.log.add(line("still here"))
        assert texts(take(reader, 1)) == ["still here"]

    served.check()
    assert listening.counters.clients_dropped == 1
    assert len(rounds) > 2


def test_a_reader_that_goes_away_is_forgotten(client, console, listening):
    for _ in range(3):
        client.stream("/actors/poller/trace").close()
    connected(listening.path).close()

    until(lambda: listening.counters.streams_open == 0 and listening.counters.connections_open == 0)
    until(lambda: console.tracing == 0)


def test_a_source_is_not_closed_under_a_reading_that_is_under_way(client, console, listening, monkeypatch):
    reading, may_end, closed, overlaps = threading.Event(), threading.Event(), threading.Event(), []

    def has_changed(_source):
        reading.set()
        may_end.wait(PATIENCE_SECONDS)
        reading.clear()
        return False

    def close(_source):
        overlaps.append(reading.is_set())
        closed.set()

    monkeypatch.setattr(EventSource, "has_changed", has_changed)
    monkeypatch.setattr(EventSource, "close", close)
    stream = client.stream("/events/stream")
    assert reading.wait(PATIENCE_SECONDS)
    stream.close()
    until(lambda: listening.counters.streams_open == 0)
    for _ in range(20):
        client.get("/ping")
    may_end.set()

    assert closed.wait(PATIENCE_SECONDS)
    assert overlaps == [False]


def test_streams_end_with_their_server_and_can_be_taken_up_at_the_next(state_dir, serving, console):
    client, served = Client(state_dir), serving()
    stream = client.stream("/log/stream")
    console.log.add(line("one"))
    (one,) = take(stream, 1)
    served.close()
    assert list(stream) == []
    console.log.add(line("two"))
    serving()

    again = client.stream("/log/stream", after=one.id)
    assert texts(take(again, 1)) == ["two"]
    again.close()


def test_a_stream_outlasts_a_store_that_is_away_for_a_while(client, console, monkeypatch):
    monkeypatch.setattr(streams, "_AGAIN_SECONDS", 0.05)
    with client.stream("/events/stream") as stream, client.stream("/events/stream", after=0) as other:
        console.is_away = True
        assert console.found_away.wait(60)
        add(console)
        console.is_away = False

        assert next(stream) == next(other)


def test_a_stream_that_cannot_go_on_ends(client, console):
    stream = client.stream("/log/stream")
    console.log.since = None

    assert list(stream) == []


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/actors/nobody/trace", UnknownNameError),
        ("/events/stream?ticket=nowhere", NotFoundError),
        ("/events/stream?type=nothing", BadRequestError),
        ("/log/stream?limit=1", BadRequestError),
    ],
)
def test_what_cannot_be_followed_is_refused_before_it_begins(client, path, error, listening):
    with pytest.raises(error):
        client.stream(path)
    assert listening.counters.streams_open == 0


def test_an_id_that_is_none_is_refused(listening, client):
    with closing(connected(listening.path)) as connection:
        connection.sendall(request("GET", "/log/stream", b"", "Last-Event-ID: yesterday"))
        assert b"422" in connection.recv(100)


def test_an_idle_stream_says_that_it_is_there(listening, serving, monkeypatch):
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.01)
    serving()
    with closing(connected(listening.path)) as connection:
        connection.sendall(request("GET", "/log/stream"))
        content = b""
        while content.count(b": still following\n\n") < 2:
            content += connection.recv(1_000)
    assert b"content-type: text/event-stream" in content
