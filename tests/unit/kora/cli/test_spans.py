"""Times and spans, as people write and read them."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.cli.spans import ago, moment_before, span

NOW = datetime(2026, 7, 4, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0 s"),
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7_800, "2 h 10 min"),
        (7_201, "2 h"),
        (86_400 * 4 + 3_600 * 6, "4 d 6 h"),
    ],
)
def test_a_span_in_two_units_at_most(seconds, text):
    assert span(seconds) == text
    assert ago(seconds) == f"{text} ago"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-04T08:00:00Z", datetime(2026, 7, 4, 8, tzinfo=UTC)),
        ("2026-07-04T08:00:00.5+02:00", datetime(2026, 7, 4, 6, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-07-04 08:00", datetime(2026, 7, 4, 8, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
        ("08:15", datetime(2026, 7, 4, 8, 15, tzinfo=UTC)),
        ("9:30", datetime(2026, 7, 4, 9, 30, tzinfo=UTC)),
        ("22:30", datetime(2026, 7, 3, 22, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("90 min", NOW - timedelta(minutes=90)),
        ("12h", NOW - timedelta(hours=12)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("0.5d", NOW - timedelta(hours=12)),
        (" 1w ", NOW - timedelta(days=7)),
    ],
)
def test_what_people_write_for_a_moment(utc, text, moment):
    assert moment_before(text, NOW) == moment


def test_an_hour_is_that_of_the_machines_own_zone(monkeypatch):
    monkeypatch.setenv("TZ", "UTC-02:00")
    time.tzset()
    try:
        assert moment_before("11:00", NOW) == datetime(2026, 7, 4, 9, tzinfo=UTC)
        assert moment_before("12:00", NOW) == datetime(2026, 7, 3, 10, tzinfo=UTC)
        assert moment_before("2026-07-04 11:00", NOW) == datetime(2026, 7, 4, 9, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday", "12", "25:00", "12:60", "h", "12h ago", "-3h", "1.5", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_what_would_be(utc, text):
    with pytest.raises(ValueError, match="write 2026-07-04T08:00:00Z, 22:30, or how long ago: 90m, 12h, 2d"):
        moment_before(text, NOW)


def test_the_future_and_the_far_past_are_refused(utc):
    with pytest.raises(ValueError, match="lies in the future"):
        moment_before("2026-07-04T09:30:01Z", NOW)
    with pytest.raises(ValueError, match="lies too far back"):
        moment_before("99999999999d", NOW)


@given(text=st.text(max_size=20))
def test_any_text_is_a_moment_that_has_been_or_is_refused(text):
    try:
        moment = moment_before(text, NOW)
    except ValueError:
        return
    assert moment <= NOW
