"""The log: one line a record, nothing in it obeyed, and nobody held up by it."""

import io
import logging as standard
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from kora import logging
from kora.logging import escaped


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


def logged(stream, *, level="DEBUG"):
    logging.configure(level, stream)

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
