"""A file of tickets: all good, or every bad line named."""

import io
import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.cli import intake
from kora.cli.intake import FAULTS_NAMED, checked
from kora.errors import BoardError, ImportRefusedError


@pytest.fixture
def taken(tmp_path):
    def taken(content):
        path = tmp_path / "plan.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with checked(str(path)) as tickets:
            return list(tickets)

    return taken


def refusal(taken, content):
    with pytest.raises(ImportRefusedError) as caught:
        taken(content)
    assert caught.value.exit_code == 1
    return caught.value


def faults_of(taken, content):
    return refusal(taken, content).faults


def message_of(taken, content):
    return str(refusal(taken, content))


def test_every_field_that_a_user_may_set_is_taken(taken):
    line = {
        "ticket_title": "Weigh the anchor",
        "ticket_objective": "both",
        "sea_priority": "high",
        "sea_idea_kind": "chore",
        "sea_captured_at": "2026-01-02T03:04:05+02:00",
        "assigned_to_actor_id": "6F1D0A52-6E0F-5C7E-9A35-0B1F0C6D7E11",
        "next_eligible_at": "2026-01-02T03:04:05.678Z",
        "blocked_by": ["6F1D0A52-6E0F-5C7E-9A35-0B1F0C6D7E12"],
        "ticket_id": "6F1D0A52-6E0F-5C7E-9A35-0B1F0C6D7E13",
    }
    (ticket,) = taken(json.dumps(line))

    assert ticket.sea_priority == "high"
    assert ticket.assigned_to_actor_id == "6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11"
    assert ticket.sea_captured_at.isoformat() == "2026-01-02T01:04:05+00:00"
    assert ticket.blocked_by == ("6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e12",)
    assert ticket.ticket_id == "6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e13"


def test_blank_lines_line_ends_and_a_byte_order_mark_do_no_harm(taken):
    content = b'\xef\xbb\xbf{"ticket_title": "a"}\r\n\n  \t\r\n{"ticket_title": "b"}'

    assert [ticket.ticket_title for ticket in taken(content)] == ["a", "b"]


def test_an_empty_file_is_no_tickets(taken):
    assert taken(b"") == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"ticket_title": "x"', "no JSON at character "),
        (b'{"ticket_title": "\xff"}', "not UTF-8 at byte 19"),
        (b'{"ticket_title": "a\x00b"}', "no JSON at character "),
        (b'{"ticket_title": "a\\u0000b"}', "ticket_title: must not contain a NUL character"),
        (b'{"ticket_title": "\\ud800"}', "no JSON at character "),
        (b'["a"]', "must be a JSON object, not a list"),
        (b'"a"', 'must be a JSON object, not "a"'),
        (b"null", "must be a JSON object, not null"),
        (b"{}", "ticket_title: missing"),
        (b'{"ticket_title": 3}', "ticket_title: must be text, not 3"),
        (b'{"ticket_title": ""}', "ticket_title: must have at least 1 character"),
        (b'{"ticket_title": "a", "titel": 1}', "titel: unknown key; known here: ticket_title"),
        (b'{"ticket_title": "a", "priority": 1}', "priority: unknown key; did you mean 'sea_priority'?"),
        (b'{"ticket_title": "a", "sea_status": "completed"}', "sea_status: unknown key; "),
        (b'{"ticket_title": "a", "sea_priority": "urgent"}', "sea_priority: must be 'critical', 'high', 'medium' or"),
        (b'{"ticket_title": "a", "sea_captured_at": 3}', "sea_captured_at: must be a valid datetime, not 3"),
        (b'{"ticket_title": "a", "sea_captured_at": "2026-01-02T03:04:05"}', "sea_captured_at: must have timezone"),
        (b'{"ticket_title": "a", "next_eligible_at": "0001-01-01T00:00:00+01:00"}', "next_eligible_at: is outside"),
        (b'{"ticket_title": "a", "assigned_to_actor_id": "me"}', "assigned_to_actor_id: "),
        (b'{"ticket_title": "' + b"x" * 1_001 + b'"}', "ticket_title: must have at most 1000 characters"),
        (b'{"ticket_title": "a", "ticket_objective": "' + b"x" * 1_048_577 + b'"}', "ticket_objective: is 1,048,577 b"),
        (b"[" * 100_000, "no JSON at character "),
        (b'{"a": "' + b"x" * 9_000_000 + b'"}', "longer than 8,388,608 bytes"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_its_reason(taken, line, fault):
    good = b'{"ticket_title": "good"}\n'

    (found,) = faults_of(taken, good + b"\n" + line + b"\n" + good)

    assert found.startswith(f"line 3: {fault}")
    assert found.isprintable()


def test_a_line_of_several_faults_names_them_all(taken):
    (fault,) = faults_of(taken, '{"sea_priority": 1, "x": 2}')

    assert fault.startswith("line 1: ")
    assert all(name in fault for name in ("ticket_title: ", "sea_priority: ", "x: "))


def test_ten_thousand_bad_lines_are_named_and_the_rest_are_counted(taken):
    assert len(faults_of(taken, "x\n" * FAULTS_NAMED)) == FAULTS_NAMED
    assert "more" not in message_of(taken, "x\n" * FAULTS_NAMED)
    assert len(faults_of(taken, "x\n" * (FAULTS_NAMED + 42))) == FAULTS_NAMED
    message = message_of(taken, "x\n" * (FAULTS_NAMED + 42))
    assert "nothing imported, 10,042 bad lines\n" in message
    assert message.endswith("\n  and 42 more")


def test_nothing_is_handed_on_before_all_is_checked(tmp_path):
    path = tmp_path / "plan.jsonl"
    path.write_text('{"ticket_title": "good"}\nbad\n')
    entered = False

    with pytest.raises(ImportRefusedError), checked(str(path)):
        entered = True

    assert not entered


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "plan.jsonl"
    path.write_text('{"ticket_title": "good"}\n')

    with checked(str(path)) as tickets:
        path.write_text('{"ticket_title": 3333333}\n')
        with pytest.raises(ImportRefusedError, match="line 1: was changed"):
            next(tickets)


@pytest.mark.parametrize(("name", "reason"), [("none.jsonl", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BoardError, match=reason), checked(name):
        pass


def test_standard_input_and_pipes_are_read_whole(tmp_path, monkeypatch):
    content = b'{"ticket_title": "a"}\n' * 1_000
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with checked("-") as tickets:
        assert sum(1 for _ in tickets) == 1_000

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with checked(str(pipe)) as tickets:
        assert sum(1 for _ in tickets) == 1_000
    writer.join()


def test_a_bad_line_of_standard_input_is_named_too(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"bad\n")))

    with pytest.raises(ImportRefusedError, match="stdin: nothing imported"), checked("-"):
        pass


def test_a_big_file_shows_its_progress_only_on_a_terminal(tmp_path, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    path = tmp_path / "plan.jsonl"
    path.write_bytes(b'{"ticket_title": "a"}\n' * 1_000)
    monkeypatch.setattr(intake, "_BIG_BYTES", 1_000)
    with checked(str(path)) as tickets:
        list(tickets)
    assert capsys.readouterr().err == ""

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with checked(str(path)) as tickets:
        list(tickets)
    assert "checking" in terminal.getvalue()


@given(bad=st.sets(st.integers(1, 60)), lines=st.integers(60, 80))
def test_exactly_the_bad_lines_are_named(tmp_path_factory, bad, lines):
    path = tmp_path_factory.getbasetemp() / f"lines-{os.getpid()}.jsonl"
    rows = ["{}" if number in bad else '{"ticket_title": "x"}' for number in range(1, lines + 1)]
    path.write_text("\n".join(rows), encoding="utf-8")

    try:
        with checked(str(path)) as tickets:
            assert sum(1 for _ in tickets) == lines
        named = []
    except ImportRefusedError as error:
        named = [int(fault.split(":")[0].removeprefix("line ")) for fault in error.faults]

    assert named == sorted(bad)
