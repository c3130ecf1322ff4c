"""The morning's page."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from kora.config import SHIPPED
from kora.domain.cost import Pool
from kora.store.views import BoardReport, Presence, TicketLine
from tests.unit.kora.cli.conftest import plain
from tests.unit.kora.cli.test_fleet import RUNTIME, seen

NOW = datetime(2026, 7, 4, 9, 30, tzinfo=UTC)
IDS = [f"0199c2f0-6d1e-7a3b-8c4d-5e6f7081920{number}" for number in range(5)]


def line(number, status="completed", attempts=1, **changes):
    made = TicketLine(IDS[number], f"ticket {number}", status, attempts, 61.0, 0.0, "one\ntwo")
    return replace(made, **changes)


EMPTY = BoardReport(
    since=NOW - timedelta(hours=24),
    now=NOW,
    tickets_by_status={},
    waiting_for_others=0,
    attempts_by_resolution={},
    tickets_added=0,
    cost_usd=0.0,
    worked_seconds=0.0,
    needs_a_person=(),
    needs_a_person_count=0,
    longest=(),
    flakiest=(),
    runtimes=(),
)
NIGHT = replace(
    EMPTY,
    tickets_by_status={"completed": 38, "assigned": 10, "blocked_needs_operator": 1, "failed_terminal": 1},
    waiting_for_others=4,
    attempts_by_resolution={"completed": 38, "failed_retryable": 3, "failed_terminal": 1, "released": 2, "expired": 1},
    tickets_added=1,
    cost_usd=1234.5,
    worked_seconds=7_800.0,
    needs_a_person=(line(0, "blocked_needs_operator", 10), line(1, "failed_terminal", 0, last_summary=None)),
    needs_a_person_count=22,
    longest=(line(2, worked_seconds=185, cost_usd=0.012),),
    flakiest=(line(3, attempts=7),),
    runtimes=(seen(), *[seen(state=Presence.GONE, claims=1, host="boat")] * 11),
)


class Night:
    def __init__(self, found=NIGHT):
        self.found = found
        self.asked = []

    def report(self, since):
        self.asked.append(since)
        return self.found

    def steering(self):
        return SimpleNamespace(pool=Pool(202607, 150_000_000, 2_500_000, None, 0.0))


PROGRAM = "kora-actors"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    """Whoever has the program on PATH is told its name alone."""
    monkeypatch.setenv("PATH", f"{SHIPPED.parent / 'bin'}{os.pathsep}{os.environ['PATH']}")


GONE = f"  gone        boat/4711, {RUNTIME}, seen 4.0 s ago, 1 claim\n"
PAGE = f"""\
Since 2026-07-03 09:30 (1 d)
  done        38 attempts completed
  failed      1 failed_terminal, 3 failed_retryable
  given back  2 released, 1 expired
  added       1 ticket
  spent       1,234.50 USD, 2 h 10 min of work

The board now
  tickets  38 completed, 10 assigned, 1 blocked_needs_operator, 1 failed_terminal
  blocked  1 by a failure, until a person decides; 4 by other tickets that are not completed

Cost
  pool  152.50 USD of 200.00 USD spent (76.2 %): warn_75

Needs a person: 22
  blocked_needs_operator  ticket 0: one two
    {PROGRAM} ticket log {IDS[0]}
    {PROGRAM} ticket unblock {IDS[0]}
  failed_terminal         ticket 1
    {PROGRAM} ticket force-retry {IDS[1]}
  and 20 more             not shown here
    {PROGRAM} ticket list --status blocked_needs_operator --status failed_terminal

Worked longest
  3 min 5 s  ticket 2 ({IDS[2]}, completed, 1 attempt, 0.0120 USD)

Flakiest
  7 attempts  ticket 3 ({IDS[3]}, completed, 7 attempts)

Runtimes
  live        ship/4711, {RUNTIME}, seen 4.0 s ago, 3 claims
{GONE * 9}\
  and 2 more  not shown here
    {PROGRAM} status --fleet
"""


def test_the_page_in_a_pipe(kora, reads, utc):
    reads(Night())

    assert kora("report").out == PAGE


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_on_a_terminal_says_the_same_and_fits(kora, reads, utc, on_terminal, width):
    reads(Night())
    on_terminal(width)

    out = kora("report").out

    assert "\x1b[" in out
    lines = plain(out)
    assert all(len(each) <= width for each in lines if PROGRAM not in each)
    assert f"    {PROGRAM} ticket force-retry {IDS[1]}" in lines
    assert "".join("".join(plain(out)).split()) == "".join(PAGE.split())


def test_no_colour_where_none_is_wanted(kora, reads, on_terminal, monkeypatch):
    reads(Night())
    on_terminal(100)
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[3" not in kora("report").out


def test_a_title_does_nothing_to_a_terminal(kora, reads, on_terminal):
    reads(Night(replace(NIGHT, needs_a_person=(line(0, "failed_terminal", ticket_title="[red]a\x1b[2J\u202e"),))))
    assert "[red]a\\u001b[2J\\u202e" in kora("report").out
    on_terminal(100)
    assert "[red]a\\u001b[2J\\u202e" in kora("report").out


def test_the_commands_name_the_configuration_that_was_named(kora, reads, here):
    (here / "my night.toml").write_text((here / "supervisor.toml").read_text())
    reads(Night())

    out = kora("--config", "my night.toml", "report").out

    assert f"    {PROGRAM} --config 'my night.toml' ticket unblock {IDS[0]}\n" in out


def test_since_is_handed_on_and_a_day_if_not_said(kora, reads):
    night = Night()
    reads(night)

    kora("report")
    kora("report", "--since", "2026-07-03T22:00:00+02:00")
    kora("report", "--since", "7d")

    assert night.asked[1] == datetime(2026, 7, 3, 20, tzinfo=UTC)
    assert round((night.asked[0] - night.asked[2]) / timedelta(days=1)) == 6


def test_a_time_that_is_none_is_wrong_usage(kora, here):
    for since in ("soon", "2999-01-01"):
        done = kora("report", "--since", since)
        assert (done.code, done.out) == (2, "")
        assert since in done.err
    assert not (here / "kora.db").exists()


def test_an_empty_board_is_one_line_and_for_programs_one_document(kora, reads, utc):
    reads(Night(EMPTY))

    assert kora("report").out == (
        "nothing to report: the board is empty, and nothing was attempted since 2026-07-03 09:30\n"
    )
    assert kora("report", "--json").document["tickets_by_status"] == {}


def test_the_page_for_programs_has_every_field(kora, reads):
    reads(Night())

    page = kora("report", "--json").document

    assert page["since"] == "2026-07-03T09:30:00Z"
    assert page["attempts_by_resolution"]["expired"] == 1
    assert page["needs_a_person"][0] == {
        "ticket_id": IDS[0],
        "ticket_title": "ticket 0",
        "sea_status": "blocked_needs_operator",
        "work_attempt_count": 10,
        "worked_seconds": 61.0,
        "cost_usd": 0.0,
        "last_summary": "one\ntwo",
        "failure_count_by_reason": {},
    }
    assert list(page) == [*BoardReport.__dataclass_fields__, "cost"]


def test_tickets_that_were_stopped_for_their_cost_or_for_failing_are_named_with_it(kora, reads, here):
    config = here / "supervisor.toml"
    config.write_text(config.read_text() + "\n[cost]\npool_usd = 0\nticket_usd = 10\n")
    blocked = line(0, "blocked_needs_operator", 4, cost_usd=10.5)
    attempts = line(1, "blocked_needs_operator", 10, cost_usd=9.5)
    given_up = line(2, "failed_terminal", 3, cost_usd=3.0, failure_count_by_reason={"over_limits": 2, "agent_exit": 1})
    said_so = line(3, "failed_terminal", 1, cost_usd=12.0, failure_count_by_reason={"agent_exit": 1})
    night = replace(NIGHT, needs_a_person=(blocked, attempts, given_up, said_so))
    reads(Night(night))

    out = kora("report").out
    assert "  pool     152.50 USD spent, of no limit\n" in out
    assert [each for each in out.splitlines() if each.startswith("  stopped")] == [
        "  stopped  ticket 0: 10.50 USD; its attempts may cost 10.00 USD (cost.ticket_usd)",
        "  stopped  ticket 2: 3.00 USD; it failed 3 times, 2 of them over an attempt's budget or turns",
    ]
    cost = kora("report", "--json").document["cost"]
    assert (cost["pool_usd"], cost["spent_usd"], cost["rung"]) == (0, 152.5, "normal")
    assert [(each["ticket_id"], each["cost_usd"]) for each in cost["stopped"]] == [(IDS[0], 10.5), (IDS[2], 3.0)]


def test_a_real_board_reports_what_was_added(kora):
    kora("ticket", "add", "t")

    assert "  added   1 ticket\n" in kora("report").out
    assert kora("report", "--json").document["tickets_added"] == 1
