"""What an attempt printed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kora.agents import records
from kora.agents.records import RecordLine
from kora.cli import attempt_log
from kora.errors import NotFoundError
from kora.store.views import AttemptRecord

TICKET = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"
THEN = datetime(2026, 7, 4, 8, tzinfo=UTC)
FIRST = AttemptRecord("first", 1, THEN, THEN + timedelta(seconds=3), "failed_retryable", "exited with 1")
SECOND = AttemptRecord("second", 2, THEN + timedelta(hours=1), None, None, None)
UNKNOWN = "it printed nothing, or it ran in a runtime with another state_dir"


class History:
    def __init__(self, *attempts):
        self.found = list(attempts)
        self.writes = 0

    def attempts(self, ticket_id):
        if ticket_id != TICKET:
            raise NotFoundError(f"there is no ticket {ticket_id}")
        return list(self.found)

    def changed(self):
        before, self.writes = self.writes, 0
        return before > 0


@pytest.fixture
def printed(monkeypatch):
    """Have these lines printed by this attempt."""
    lines = {}
    monkeypatch.setattr(records, "read", lambda _, attempt_id: iter(lines.get(attempt_id, [])))
    return lines


def line(second, stream, text):
    return RecordLine(THEN + timedelta(seconds=second), stream, text)


def test_the_latest_attempt_is_shown_with_time_and_stream(kora, reads, printed, utc):
    reads(History(FIRST, SECOND))
    printed["first"] = [line(1, "stdout", "old")]
    printed["second"] = [line(3_601, "stdout", "reading\x1b[2J"), line(3_602, "stderr", "oh")]

    assert kora("ticket", "log", TICKET).out == "09:00:01 stdout reading\\u001b[2J\n09:00:02 stderr oh\n"
    assert kora("ticket", "log", TICKET, "--attempt", "1").out == "08:00:01 stdout old\n"


def test_on_a_terminal_what_went_to_stderr_is_red(kora, reads, printed, on_terminal):
    reads(History(FIRST))
    printed["first"] = [line(1, "stdout", "out"), line(2, "stderr", "oh")]
    on_terminal(80)

    out, err = kora("ticket", "log", TICKET).out.splitlines()

    assert "\x1b[31moh\x1b[0m" in err
    assert "\x1b[31m" not in out


def test_the_lines_for_programs_are_one_array(kora, reads, printed):
    reads(History(FIRST))
    printed["first"] = [line(1, "stdout", "a\tb"), line(2, "verify", "c")]

    assert kora("ticket", "log", TICKET, "--json").document == [
        {"at": "2026-07-04T08:00:01Z", "stream": "stdout", "text": "a\tb"},
        {"at": "2026-07-04T08:00:02Z", "stream": "verify", "text": "c"},
    ]


def test_a_ticket_never_attempted_is_one_line(kora):
    ticket_id = kora("ticket", "add", "t", "--json").document["ticket_id"]

    assert kora("ticket", "log", ticket_id).out == f"ticket {ticket_id} was never attempted\n"
    assert kora("ticket", "log", ticket_id, "--json").document == []
    assert kora("ticket", "log", ticket_id, "--follow", "--json").out == ""


def test_no_such_ticket_or_attempt_ends_with_4(kora, reads):
    reads(History(FIRST, SECOND))

    done = kora("ticket", "log", TICKET, "--attempt", "3")

    assert (done.code, done.out) == (4, "")
    assert "has no attempt 3; there are: 1, 2" in done.err
    assert kora("ticket", "log", TICKET.replace("0", "1")).code == 4
    assert kora("ticket", "log", TICKET, "--attempt", "0").code == 2


def test_why_there_is_nothing_is_said(kora, reads, printed, here):
    long_ago = datetime.now(UTC) - timedelta(days=31)
    just_now = datetime.now(UTC)
    for attempt, says in (
        (SECOND, "attempt 2 of ticket {} has printed nothing yet"),
        (
            replace(FIRST, ended_at=long_ago),
            "the record of attempt 1 of ticket {} was swept: records are kept for 30 days (runtime.keep_days)",
        ),
        (
            replace(FIRST, ended_at=just_now),
            f"attempt 1 of ticket {{}} has no record in {here / '.kora'}: {UNKNOWN}",
        ),
    ):
        reads(History(attempt))
        assert kora("ticket", "log", TICKET).out == says.format(TICKET) + "\n"
        assert kora("ticket", "log", TICKET, "--json").document == []


def test_a_record_that_cannot_be_read_is_one_line(kora, reads, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "first.log")
        yield

    monkeypatch.setattr(records, "read", refuse)
    reads(History(FIRST))

    done = kora("ticket", "log", TICKET)

    assert done.code == 1
    assert "cannot be read: [Errno 13] Permission denied" in done.err


def test_following_ends_when_the_attempt_has_ended_and_misses_no_line(kora, reads, monkeypatch, utc):
    history = History(FIRST, SECOND)
    waits = []
    monkeypatch.setattr(attempt_log, "pause", lambda: waits.append(1))

    def follow(_, attempt_id, *, wait):
        assert attempt_id == "second"
        yield line(1, "stdout", "one")
        assert wait()
        yield line(2, "stdout", "two")
        history.found[1] = replace(SECOND, ended_at=THEN)
        history.writes += 1
        assert not wait()
        yield line(3, "stdout", "three")

    monkeypatch.setattr(records, "follow", follow)
    reads(history)

    out = kora("ticket", "log", TICKET, "--follow", "--json").out

    assert [json.loads(each)["text"] for each in out.splitlines()] == ["one", "two", "three"]
    assert len(waits) == 2


def test_an_attempt_in_a_line():
    assert attempt_log.attempt_line(FIRST) == "1  failed_retryable (2026-07-04 08:00:00Z, 3.0 s)  exited with 1"
    assert attempt_log.attempt_line(SECOND) == "2  under way since 2026-07-04 09:00:00Z"
    ended = replace(FIRST, resolution=None, summary="a\n b")
    assert attempt_log.attempt_line(ended) == "1  expired (2026-07-04 08:00:00Z, 3.0 s)  a b"
