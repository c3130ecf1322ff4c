"""Who works what, as people and programs see it."""

from datetime import UTC, datetime, timedelta

import pytest

from kora.store.views import ActiveWork
from tests.unit.kora.cli.conftest import plain

NOW = datetime(2026, 7, 4, 9, 30, tzinfo=UTC)
TICKET = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"


class Claims:
    def __init__(self, *held):
        self.held = list(held)

    def claims(self):
        return self.held


def work(**changes):
    fields = {
        "ticket_id": TICKET,
        "ticket_title": "Weigh the anchor",
        "holder": "0199c2f0-6d1e-7a3b-8c4d-0123456789ab",
        "host": "ship",
        "pid": 4711,
        "claim_fence_token": 3,
        "work_attempt_id": "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a4",
        "attempt": 2,
        "claimed_at": NOW - timedelta(seconds=100),
        "lease_expires_at": NOW + timedelta(seconds=540),
        "lease_left_seconds": 540.0,
        "progress_at": NOW - timedelta(seconds=61),
    }
    return ActiveWork(**{**fields, **changes})


def test_a_claim_is_a_line(kora, reads):
    reads(Claims(work(), work(lease_left_seconds=-4.2, progress_at=None)))

    head, first, second = (line.split("\t") for line in kora("claims").out.splitlines())

    assert head == [
        "ticket_id",
        "attempt",
        "fence",
        "lease_left",
        "last_progress",
        "holder",
        "process",
        "ticket_title",
    ]
    assert first == [TICKET, "2", "3", "9 min", "1 min 1 s ago", "456789ab", "ship/4711", "Weigh the anchor"]
    assert second[3:5] == ["out 4.2 s ago", "-"]


def test_claims_for_programs_are_one_array_with_every_field(kora, reads):
    reads(Claims(work()))

    (found,) = kora("claims", "--json").document

    assert list(found) == [
        "ticket_id",
        "ticket_title",
        "holder",
        "host",
        "pid",
        "claim_fence_token",
        "work_attempt_id",
        "attempt",
        "claimed_at",
        "lease_expires_at",
        "lease_left_seconds",
        "progress_at",
    ]
    assert found["lease_expires_at"] == "2026-07-04T09:39:00Z"
    assert found["lease_left_seconds"] == 540.0


def test_nothing_claimed_is_one_line_or_an_empty_array(kora):
    assert kora("claims").out == "nothing is claimed\n"
    assert kora("claims", "--json").document == []


@pytest.mark.parametrize("width", [80, 160])
def test_a_title_is_whole_on_any_terminal(kora, reads, on_terminal, width):
    reads(Claims(work(ticket_title="Weigh\x1b[2J the anchor")))
    on_terminal(width)

    lines = plain(kora("claims").out)

    assert any(line.startswith(TICKET) for line in lines)
    assert "Weigh\\u001b[2J the anchor" in lines[-1]
    assert all(len(line) <= width for line in lines)
