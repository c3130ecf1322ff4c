"""The log: one line a record, nothing in it obeyed, no secret in it told, and nobody held up by it."""

import io
import json
import logging as standard
import os
import resource
import select
import signal
import threading
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from kora import logging
from kora.logging import escaped
from kora.logging.outlet import Outlet


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Stalled(io.StringIO):
    """A stream whose reader has stopped reading, until it goes on."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.goes_on = threading.Event()

    def write(self, text):
        self.entered.set()
        self.goes_on.wait(30)
        return super().write(text)


@pytest.fixture(autouse=True)
def restored():
    yield
    logging.shutdown()


def logged(stream, *, level="DEBUG", **settings):
    logging.configure(level, stream, **settings)

    def lines():
        logging.shutdown()
        return stream.getvalue().splitlines()

    return lines


def test_a_line_has_time_level_actor_and_message():
    lines = logged(io.StringIO())
    logger.bind(actor="ledger").warning("the store cannot be written: {}", "locked")

    (line,) = lines()

    assert line[23:] == " WARNING  ledger       the store cannot be written: locked"


def test_the_thread_names_the_actor_that_does_not_name_itself():
    lines = logged(io.StringIO())
    thread = threading.Thread(target=lambda: logger.info("hello"), name="worker-1")
    thread.start()
    thread.join()
    logger.info("hello")

    assert [line.split()[3] for line in lines()] == ["worker-1", "runtime"]


def test_the_standard_librarys_log_goes_the_same_way():
    lines = logged(io.StringIO())
    standard.getLogger("pykka").error("%s %s {odd}", "a", 1)
    standard.getLogger("supervision").log(17, "between two levels")

    first, second = lines()

    assert first.endswith("a 1 {odd}")
    assert " ERROR " in first
    assert "Level 17" in second


def test_what_is_below_the_level_is_left_out():
    lines = logged(io.StringIO(), level="WARNING")
    logger.info("no")
    standard.getLogger("kora.x").info("no")
    logger.warning("yes")
    standard.getLogger("kora.x").warning("yes")

    assert len(lines()) == 2


def test_a_message_of_several_lines_cannot_pass_for_several_messages():
    lines = logged(io.StringIO())
    logger.info("one\n2026-01-01 00:00:00.000 ERROR    ledger       forged\r\x1b[2K\u202e")

    first, second = lines()

    assert first.endswith("one")
    assert second == "    2026-01-01 00:00:00.000 ERROR    ledger       forged\\u000d\\u001b[2K\\u202e"


def fail(word):
    return len(word) // 0


def test_a_traceback_is_set_in_and_tells_no_values():
    lines = logged(io.StringIO())
    try:
        fail("hunter2")
    except ZeroDivisionError:
        logger.exception("it failed")

    first, *others = lines()

    assert first.endswith("it failed")
    assert others[-1] == "    ZeroDivisionError: integer division or modulo by zero"
    assert all(line.startswith("    ") for line in others)
    assert [line for line in others if "hunter2" in line and 'fail("' not in line] == []


def test_an_exceptions_words_are_escaped():
    lines = logged(io.StringIO())
    logger.opt(exception=RuntimeError("\x07boom")).error("it failed")

    assert lines()[-1] == "    RuntimeError: \\u0007boom"


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_only_a_terminal_gets_colour(monkeypatch, stream, environ, coloured):
    for name, value in ({"NO_COLOR": "", "TERM": "xterm"} | environ).items():
        monkeypatch.setenv(name, value)
    lines = logged(stream())
    logger.error("red")

    assert ("\x1b[31m" in lines()[0]) is coloured


def test_a_stream_that_stalls_holds_nobody_up_and_what_was_dropped_is_counted():
    stream = Stalled()
    lines = logged(stream)
    logger.info("first")
    assert stream.entered.wait(30)

    for number in range(logging.LINES_WAITING + 5):
        logger.info("{}", number)
    stream.goes_on.set()

    _, note, *others = lines()
    assert note == "(5 older log lines dropped: they were not read fast enough)"
    assert others[0].endswith(" 5")
    assert others[-1].endswith(f" {logging.LINES_WAITING + 4}")


def test_a_stream_that_is_gone_stops_nobody():
    stream = io.StringIO()
    logging.configure("INFO", stream)
    stream.close()
    logger.info("into the void")

    logging.shutdown()


def test_shutting_down_writes_out_what_waits_and_may_be_done_twice():
    lines = logged(io.StringIO())
    for _ in range(1_000):
        logger.info("x")

    assert len(lines()) == 1_000
    logging.shutdown()


def test_configuring_again_replaces_the_stream():
    first = io.StringIO()
    logging.configure("INFO", first)
    lines = logged(io.StringIO())
    logger.info("once")

    assert len(lines()) == 1
    assert first.getvalue() == ""


TICKET = "0190a000-0000-7000-8000-00000000aaaa"
ATTEMPT = "0190a000-0000-7000-8000-00000000bbbb"


def test_a_line_for_people_names_ticket_and_attempt_in_short_where_the_message_does_not():
    lines = logged(io.StringIO())
    logger.bind(ticket=TICKET, attempt=ATTEMPT).info("it ended")
    logger.bind(ticket=TICKET, attempt=3).info("ticket {} ended", TICKET)
    logger.bind(ticket=TICKET).info("first\nsecond")
    standard.getLogger("x").warning("so", extra={"ticket": TICKET, "actor": "worker-1"})

    ends = [line[33:] for line in lines()]
    assert ends[0].endswith(" it ended (ticket …0000aaaa, attempt …0000bbbb)")
    assert ends[1].endswith(f" ticket {TICKET} ended (attempt 3)")
    assert ends[2].endswith(" first (ticket …0000aaaa)")
    assert ends[4] == "worker-1     so (ticket …0000aaaa)"


def test_a_line_for_machines_is_an_object_with_every_key():
    lines = logged(io.StringIO(), log_format="json", runtime_id="r-1")
    before = datetime.now(UTC)
    logger.bind(actor="ledger", ticket=TICKET, attempt=ATTEMPT).warning("the store is {}", "locked")
    logging.identify("r-2")
    logger.info("more\nof it ✓ \udcff")

    first, second = map(json.loads, lines())

    assert list(first) == ["time", "level", "actor", "runtime", "ticket", "attempt", "message", "exception"]
    moment = first.pop("time")
    assert moment.endswith("Z")
    assert abs(datetime.fromisoformat(moment) - before) < timedelta(minutes=1)
    assert first == {
        "level": "WARNING",
        "actor": "ledger",
        "runtime": "r-1",
        "ticket": TICKET,
        "attempt": ATTEMPT,
        "message": "the store is locked",
        "exception": None,
    }
    assert (second["runtime"], second["ticket"], second["attempt"]) == ("r-2", None, None)
    assert second["message"] == "more\nof it ✓ \\udcff"


def test_an_exception_is_text_in_the_object():
    lines = logged(io.StringIO(), log_format="json")
    try:
        fail("x")
    except ZeroDivisionError:
        logger.exception("it failed")

    (line,) = map(json.loads, lines())

    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: integer division or modulo by zero")


@given(message=st.text(st.characters(), max_size=60), ticket=st.text(st.characters(), max_size=20))
def test_whatever_is_said_is_one_line_of_json_in_ascii(message, ticket):
    lines = logged(io.StringIO(), log_format="json")
    logger.bind(ticket=ticket).info("{}", message)

    (line,) = lines()

    assert line.isascii()
    assert "\x00" not in line
    assert json.loads(line)["ticket"] == ticket.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_told(monkeypatch, log_format):
    monkeypatch.setenv("SOME_API_KEY", "aVerySecretValue")
    lines = logged(io.StringIO(), log_format=log_format)
    logger.info("password=hunter2 and {}", "aVerySecretValue")
    logger.info("key:\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\nclaim_fence_token=7")
    standard.getLogger("x").error("--token hunter2")
    try:
        json.loads('{"secret": "hunter2"}', object_hook=lambda found: fail(str(found)))
    except ZeroDivisionError:
        logger.exception("it failed")

    text = "\n".join(lines())

    for secret in ("hunter2", "aVerySecretValue", "MIIEvQ"):
        assert secret not in text
    assert text.count("***") >= 5
    assert "claim_fence_token=7" in text


def test_what_is_dropped_is_said_in_json_too():
    stream = Stalled()
    lines = logged(stream, log_format="json", runtime_id="r")
    logger.info("first")
    assert stream.entered.wait(30)
    for number in range(logging.LINES_WAITING + 5):
        logger.info("{}", number)
    stream.goes_on.set()

    note = json.loads(lines()[1])

    assert (note["level"], note["actor"], note["runtime"]) == ("WARNING", "log", "r")
    assert note["message"] == "5 older log lines dropped: they were not read fast enough"


class Refusing(io.StringIO):
    """A stream without a descriptor that refuses what it is told to, and says when it did."""

    def __init__(self):
        super().__init__()
        self.fault = None
        self.asked = threading.Semaphore(0)

    def write(self, text):
        try:
            if self.fault:
                raise self.fault
            return super().write(text)
        finally:
            self.asked.release()


def test_a_stream_that_recovers_is_told_how_many_lines_were_lost():
    stream = Refusing()
    lines = logged(stream)
    stream.fault = OSError("no room")
    for number in range(3):
        logger.info("{}", number)
        assert stream.asked.acquire(timeout=30)
    stream.fault = None
    logger.info("again")

    note, line = lines()

    assert note == "(3 log lines lost: no room)"
    assert line.endswith("again")


class Lines:
    """Makes lines of texts."""

    def of(self, text):
        return f"{text}\n"

    note = of


@pytest.fixture
def full_at():
    """Make a disk full, in the way that anybody may: by a limit on the size of files."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or limits[0], limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_what_a_full_disk_refuses_is_counted_to_the_line_and_a_torn_line_is_ended(tmp_path, full_at):
    path = tmp_path / "log"
    with path.open("w") as stream:
        outlet = Outlet(stream, Lines())

        def write(*lines):
            # As the outlet's thread does it, but at a moment of the test's choosing.
            outlet._waiting.extend(lines)
            outlet._put(outlet._next())

        full_at(25)
        write("0123456789\n", "0123456789\n", "0123456789\n", "lost\n")
        write("lost too\n")
        assert path.read_text() == "0123456789\n0123456789\n012"
        full_at(None)
        write("again\n")
        write("and again\n")
        outlet.close()

    assert path.read_text().splitlines()[2:] == [
        "012",
        "3 log lines lost: File too large",
        "again",
        "and again",
    ]


def outlet_on(descriptor, encoding="utf-8"):
    stream = os.fdopen(descriptor, "w", encoding=encoding)
    logging.configure("INFO", stream)
    return stream


def test_lines_are_written_past_the_streams_own_buffer_in_its_encoding():
    reading, writing = os.pipe()
    stream = outlet_on(writing, "latin-1")
    logger.info("größer ✓")
    logging.shutdown()

    with os.fdopen(reading, "rb") as reader, stream:
        os.set_blocking(reading, False)
        assert reader.read().rstrip().endswith("größer \\u2713".encode("latin-1"))


def test_a_pipe_that_does_not_wait_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = outlet_on(writing)
    for number in range(2_000):
        logger.info("{} " + "x" * 200, number)

    text = b""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while text.count(b"\n") < 2_000 and poll.poll(30_000):
        text += os.read(reading, 65_536)
    os.close(reading)
    stream.close()

    assert [int(line.split()[4]) for line in text.splitlines()] == list(range(2_000))


def test_a_reader_that_has_gone_stops_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    stream = outlet_on(writing)
    logger.info("into the void")

    logging.shutdown()
    stream.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer 日本　語 ✓", "größer 日本　語 ✓"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\nb\tc\x7f\x9b", "a\\u000ab\\u0009c\\u007f\\u009b"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\U000e0041\u3164\u2028", "\\U000e0041\\u3164\\u2028"),
        ("\udcff", "\\udcff"),
    ],
)
def test_escaping_shows_what_would_be_obeyed_or_not_be_seen(text, shown):
    assert escaped(text) == shown


@given(st.text(st.characters(), max_size=50))
def test_nothing_that_is_escaped_controls_anything(text):
    shown = escaped(text)

    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert escaped(shown) == shown
