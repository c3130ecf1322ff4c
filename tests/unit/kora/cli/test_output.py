"""What people see: tables that are not cut, and nothing that a text could do to their terminal."""

import io
import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.cli import output

CONTROLS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    def terminal(width):
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return stream

    return terminal


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_wide_terminal_gets_columns(terminal):
    stream = terminal(100)

    output.table(["id", "title"], [["1", "one"], ["22", "two " * 40]], "none")

    lines = [line.rstrip() for line in plain(stream.getvalue()).splitlines()]
    assert lines[:2] == ["id  title", "1   one"]
    assert len(lines) > 3
    assert all(line.startswith("    ") for line in lines[3:])


def lines_of(stream):
    return [line.rstrip() for line in plain(stream.getvalue()).splitlines()]


def test_on_a_narrow_terminal_the_last_column_goes_below_the_others(terminal):
    stream = terminal(40)

    output.table(["id", "n", "title"], [["x" * 34, "1", "a title that is much longer than the line is wide"]], "none")

    assert lines_of(stream) == [
        f"{'id':<34}  n",
        "  title",
        f"{'x' * 34}  1",
        "  a title that is much longer than the",
        "  line is wide",
    ]


def test_several_columns_may_go_below(terminal):
    stream = terminal(40)

    output.table(["id", "who", "title"], [["x" * 36, "me", "a title"], ["y", "you", "short"]], "none", below=2)

    assert lines_of(stream) == ["id", "  who  title", "x" * 36, "  me  a title", "y", "  you  short"]


def test_what_is_wider_than_the_terminal_is_not_cut(terminal):
    stream = terminal(30)

    output.table(["id", "title"], [["x" * 50, "y" * 70]], "none")

    assert "x" * 50 in plain(stream.getvalue())
    assert sum(line.count("y") for line in lines_of(stream)) == 70


def test_wide_letters_keep_the_columns_straight(terminal):
    stream = terminal(30)

    output.table(["name", "title"], [["日本", "a"], ["abcdef", "b"]], "none")

    assert lines_of(stream)[1:] == ["日本    a", "abcdef  b"]


def test_rows_that_come_one_by_one_keep_the_widths_they_were_given(terminal):
    stream = terminal(100)

    rolling = output.Rolling(["id", "title"], least=(6, 0))
    rolling.add([["1", "one"]])
    rolling.add([["123456", "two"]])

    assert lines_of(stream) == ["id      title", "1       one", "123456  two"]


def test_no_colour_where_none_is_wanted(terminal, monkeypatch):
    stream = terminal(100)
    monkeypatch.setenv("NO_COLOR", "1")

    output.table(["id", "title"], [["1", "[red]one[/red] :smile:"]], "none")

    assert "\x1b[3" not in stream.getvalue()
    assert "[red]one[/red] :smile:" in stream.getvalue()


def test_a_long_table_appears_in_parts_with_one_head(terminal):
    stream = terminal(100)

    output.table(["id", "title"], ([str(number), "t"] for number in range(1_200)), "none")

    lines = plain(stream.getvalue()).splitlines()
    assert len(lines) == 1_201
    assert sum("title" in line for line in lines) == 1


def test_rows_are_printed_as_they_come(capsys):
    def rows():
        yield ["1"]
        yield ["2"]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        output.table(["id"], rows(), "none")

    assert capsys.readouterr().out.splitlines() == ["id", "1", "2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("a", "a"),
        (3, "3"),
        ({}, "-"),
        ((), "-"),
        (("a", "b"), "a, b"),
        ({"a": 1, "b": {"c": None, "d": 2}}, "a=1 b={c=- d=2}"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))), "2026-01-02T02:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "2026-01-02T03:04:05.000678Z"),
    ],
)
def test_values_as_people_read_them(value, text):
    assert output.shown(value) == text


def test_only_a_terminal_is_painted(terminal, monkeypatch, capsys):
    assert output.painted("a\x1b[2J", "red") == "a\\u001b[2J"
    terminal(80)
    assert output.painted("a\x1b[2J", "red") == "\x1b[31ma\\u001b[2J\x1b[0m"
    assert output.painted("a") == "a"
    monkeypatch.setenv("TERM", "dumb")
    assert output.painted("a", "red") == "a"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.painted("a", "red") == "a"


texts = st.text(st.characters(), max_size=30)


@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=5), on_terminal=st.booleans())
def test_no_text_of_a_row_controls_the_terminal(rows, on_terminal):
    with pytest.MonkeyPatch.context() as patch:
        stream = Terminal() if on_terminal else io.StringIO()
        patch.setattr("sys.stdout", stream)
        patch.setenv("COLUMNS", "200")
        patch.setenv("TERM", "dumb")
        output.table(["a", "b"], rows, "none")
        output.fields({"a": rows[0][0], "b": {"c": rows[0][1]}})
        output.say(rows[0][0])

    seen = plain(stream.getvalue()).replace("\n", "").replace("\t", "")
    assert not {unicodedata.category(letter) for letter in seen} & CONTROLS


@given(text=texts)
def test_no_text_of_a_complaint_controls_the_terminal(text):
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO()
        patch.setattr("sys.stderr", stream)
        output.complain(text)

    assert stream.getvalue().startswith("kora-actors: ")
    assert not {unicodedata.category(letter) for letter in stream.getvalue().replace("\n", "")} & CONTROLS


@given(
    text=st.text(st.characters(codec="utf-8"), max_size=30)
    | st.text("a\x7f\x9b\u202e\u2028\ufe0f\U0001f600", max_size=9)
)
def test_no_text_in_a_document_controls_the_terminal_and_each_is_read_as_it_was(text):
    with pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
        patch.setattr("sys.stdout", stream)
        output.plain_document({text: text})
        output.plain_documents([text])
        output.document(json.dumps(text, ensure_ascii=False))
        stream.flush()
        written = stream.buffer.getvalue().decode()

    first, *array, last = written.splitlines()
    assert [json.loads(first), json.loads("".join(array)), json.loads(last)] == [{text: text}, [text], text]
    seen = {unicodedata.category(letter) for letter in written.replace("\n", "") if ord(letter) < 0x10000}
    assert not seen & {"Cc", "Cf", "Zl", "Zp"}
