"""Notices: told once, one at a time, and never to anybody's harm."""

import itertools
import json
import os
import select
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from loguru import logger

from kora import notify
from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket
from kora.errors import StoreUnavailableError
from kora.notify import Notifier
from kora.store.port import RuntimeRecord, Turn
from tests.stores import open_new

EVERY = ("blocked", "paused", "gave_up", "poisoned")
PATIENCE_SECONDS = 60


class Told:
    """What comes out of a FIFO, line by line."""

    def __init__(self, path: Path):
        os.mkfifo(path)
        # Open for writing too, so that it never comes to an end.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._rest = b""

    def line(self, patience=PATIENCE_SECONDS):
        while b"\n" not in self._rest:
            assert self._poll.poll(patience * 1_000), "nothing was told in time"
            self._rest += os.read(self._fd, 65_536)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def notice(self):
        """The next notice, as its name and its event."""
        return self.line(), json.loads(self.line())

    def nothing_more(self):
        return not self._rest and not self._poll.poll(0)

    def close(self):
        os.close(self._fd)


@pytest.fixture
def told(tmp_path):
    with closing(Told(tmp_path / "told")) as told:
        yield told


@pytest.fixture
def store(tmp_path):
    with open_new(f"sqlite:///{tmp_path}/kora.db", workspace_id="w", actor_id="a") as store:
        yield store


class Runtime:
    """Writes events into its own chain."""

    def __init__(self, store, runtime_id):
        self._writer = store.writer(RuntimeRecord(runtime_id, "here", 1, "0"))
        self._incarnation = self._writer.next_incarnation()
        self.close = self._writer.close

    def says(self, *events):
        turn = Turn(append=[NewEvent(event_type, payload) for event_type, payload in events])
        self._writer.turn(self._incarnation, turn)


@pytest.fixture
def runtime(store):
    with closing(Runtime(store, "r-1")) as runtime:
        yield runtime


@pytest.fixture
def warnings():
    lines = []
    number = logger.add(lambda message: lines.append(message.record["message"]), level="WARNING")
    yield lines
    logger.remove(number)


@pytest.fixture
def notifier(store, tmp_path):
    """Start one, of a command or a shell's script; it is closed with the test."""
    made = []

    def start(command, *, on=EVERY, timeout_seconds=30.0, open_reader=store.reader, starts=True):
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        made.append(
            Notifier(
                argv,
                on=on,
                timeout_seconds=timeout_seconds,
                open_reader=open_reader,
                chain_id="r-1",
                workdir=tmp_path,
                look_seconds=0.01,
            )
        )
        if starts:
            made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


TELL = '{ echo "$KORA_NOTICE"; cat; } > told'


def blocked(number=0):
    return EventType.BLOCKED, {"sea_ticket_id": str(number), "workspace_id": "w", "reason": "max_attempts"}


def resolved(resolution):
    return EventType.RESOLVED, {"sea_ticket_id": "t", "workspace_id": "w", "resolution": resolution}


def transitioned(source, target):
    return EventType.TRANSITIONED, {"from_primary_state": source, "to_primary_state": target}


GAVE_UP = (EventType.SUPERVISOR_GAVE_UP, {"context": "gave_up"})


def test_the_command_gets_the_notice_and_its_event_and_nothing_else(notifier, runtime, told, store):
    notifier(TELL)
    runtime.says(
        resolved("completed"),
        blocked(1),
        transitioned("ready", "active"),
        resolved("failed_retryable"),
        resolved("failed_terminal"),
        transitioned("active", "paused"),
        transitioned("paused", "paused"),
        (EventType.SUPERVISOR_RESTARTED, {}),
        GAVE_UP,
    )

    notices = [told.notice() for _ in range(4)]

    assert [notice for notice, _ in notices] == ["blocked", "poisoned", "paused", "gave_up"]
    with closing(store.reader()) as reader:
        events = {event.event_id: json.loads(event.model_dump_json()) for event in reader.events()}
    assert [event for _, event in notices] == [events[event["event_id"]] for _, event in notices]
    assert notices[0][1]["payload"]["sea_ticket_id"] == "1"
    assert told.nothing_more()


@pytest.mark.parametrize("on", EVERY)
def test_only_what_is_asked_for_is_told(notifier, runtime, told, on):
    follower = notifier(TELL, on=(on,))
    runtime.says(blocked(), resolved("failed_terminal"), transitioned("ready", "paused"), GAVE_UP)

    assert told.notice()[0] == on
    follower.close()
    assert told.nothing_more()


def test_what_was_in_the_log_before_and_what_others_wrote_is_not_told(notifier, runtime, told, store):
    runtime.says(blocked(1))
    follower = notifier(TELL, starts=False)
    with closing(Runtime(store, "r-2")) as other:
        other.says(blocked(2))
    # Between the making and the start nothing is missed.
    runtime.says(blocked(3))
    follower.start()

    assert told.notice()[1]["payload"]["sea_ticket_id"] == "3"
    follower.close()
    assert told.nothing_more()


@pytest.mark.parametrize(("command", "on"), [((), EVERY), (["sh", "-c", TELL], ())])
def test_without_a_command_or_anything_to_tell_the_store_is_not_even_opened(notifier, command, on):
    def refuse():
        raise AssertionError("opened")

    before = threading.active_count()
    silent = notifier(command, on=on, open_reader=refuse)
    assert threading.active_count() == before
    silent.close()
    silent.close()


def test_closing_tells_what_is_in_the_log_by_then(notifier, runtime, told):
    follower = notifier(TELL)
    runtime.says(*(blocked(number) for number in range(5)))
    follower.close()

    assert [told.notice()[1]["payload"]["sea_ticket_id"] for _ in range(5)] == list("01234")


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("echo 'no mail here' >&2; echo >&2; exit 3", "it exited with 3: no mail here"),
        ("kill -9 $$", "it died of signal 9"),
        (["no-such-program"], "it cannot be run: No such file or directory: no-such-program"),
        (["/"], "it cannot be run: Permission denied: /"),
    ],
)
def test_what_goes_wrong_is_one_warning_and_the_next_notice_is_tried(notifier, runtime, warnings, command, fault):
    follower = notifier(command)
    runtime.says(blocked(), GAVE_UP)
    follower.close()

    assert [line.split(": ", 2)[2] for line in warnings] == [fault, fault]
    assert "(blocked, event " in warnings[0]
    assert "(gave_up, event " in warnings[1]


def test_one_that_hangs_is_killed_with_all_of_its_group_and_the_next_is_told(notifier, runtime, told, warnings):
    # The first hangs, its child too; neither reads its stdin, and a handler of SIGTERM changes nothing.
    hang = 'trap "" TERM; sleep 600 & echo $$ $! > told; wait; sleep 600'
    notifier(f'if [ "$KORA_NOTICE" = blocked ]; then {hang}; else echo next > told; fi', timeout_seconds=2.0)
    runtime.says(blocked(), GAVE_UP)

    processes = [psutil.Process(int(pid)) for pid in told.line().split() if psutil.pid_exists(int(pid))]
    assert told.line() == "next"

    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert len(warnings) == 1
    assert "it was killed after 2 s" in warnings[0]


def test_closing_does_not_wait_for_one_that_hangs(notifier, runtime, told, warnings, monkeypatch):
    monkeypatch.setattr(notify, "CLOSE_SECONDS", 0.2)
    follower = notifier("echo started > told; exec sleep 600", timeout_seconds=600)
    runtime.says(blocked(), GAVE_UP, GAVE_UP)
    assert told.line() == "started"

    closed = threading.Thread(target=follower.close)
    closed.start()
    closed.join(PATIENCE_SECONDS)

    assert not closed.is_alive()
    assert len(warnings) == 2
    assert warnings[1] == "the runtime ended before 2 notices were told"


def test_a_child_that_outlives_the_command_and_keeps_its_stderr_holds_up_nothing(notifier, runtime, told):
    notifier('sleep 600 & echo "$!" > told; cat > /dev/null')
    runtime.says(blocked(), GAVE_UP)

    first, second = told.line(), told.line()

    for pid in (first, second):
        psutil.Process(int(pid)).kill()


def test_a_command_that_says_a_lot_and_reads_nothing_is_no_trouble(notifier, runtime, told, warnings):
    notifier("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; echo; echo done > told")
    runtime.says((EventType.BLOCKED, {"reason": "x" * 200_000}))

    assert told.line() == "done"
    assert warnings == []


def test_of_too_many_the_oldest_are_left_out_with_one_warning(notifier, runtime, told, warnings, monkeypatch):
    monkeypatch.setattr(notify, "NOTICES_WAITING", 3)
    follower = notifier(TELL, starts=False)
    runtime.says(*(blocked(number) for number in range(10)))
    follower.start()

    assert [told.notice()[1]["payload"]["sea_ticket_id"] for _ in range(3)] == ["7", "8", "9"]
    follower.close()
    assert [line for line in warnings if "left out" in line] == [
        "more than 3 notices wait for notify.command: the oldest are left out"
    ]
    assert told.nothing_more()


def test_commands_are_run_one_at_a_time_in_order(notifier, runtime, told):
    # A directory can be made only once: a second one at work would fail to make it.
    notifier(f"mkdir alone && {TELL} && rmdir alone")
    runtime.says(*(blocked(number) for number in range(4)))

    assert [told.notice()[1]["payload"]["sea_ticket_id"] for _ in range(4)] == list("0123")


def test_a_store_that_fails_is_one_warning_and_nothing_is_missed(notifier, runtime, told, store, warnings):
    calls = itertools.count()
    tried = threading.Semaphore(0)

    def open_reader():
        tried.release()
        # The first is for the end of the log, the next ten are the outage.
        if 1 <= next(calls) <= 10:
            raise StoreUnavailableError("locked")
        return store.reader()

    notifier(TELL, open_reader=open_reader)
    runtime.says(blocked(7))

    assert told.notice()[1]["payload"]["sea_ticket_id"] == "7"
    assert warnings == ["no notices as long as the store cannot be read: locked"]


def test_a_reader_that_fails_is_opened_anew(notifier, runtime, told, store, warnings):
    class Failing:
        """A handle that works a few times and then never again."""

        def __init__(self, reader):
            self._reader = reader
            self._left = 3
            self.last_seq, self.events = reader.last_seq, reader.events

        def changed(self):
            self._left -= 1
            if self._left < 0:
                raise StoreUnavailableError("locked")
            return self._reader.changed()

        def close(self):
            closed.append(self)
            self._reader.close()

    closed = []
    notifier(TELL, open_reader=lambda: Failing(store.reader()))
    for number in range(10):
        runtime.says(blocked(number))
        assert told.notice()[1]["payload"]["sea_ticket_id"] == str(number)
    assert len(closed) > 1


def test_what_an_operator_does_is_not_told_to_him(notifier, store, told, runtime):
    follower = notifier(TELL)
    with closing(store.board()) as board:
        (ticket_id,) = board.add([NewTicket(ticket_title="t")], who="tester")
        board.cancel(ticket_id, who="tester")
    runtime.says(GAVE_UP)

    assert told.notice()[0] == "gave_up"
    follower.close()
    assert told.nothing_more()
