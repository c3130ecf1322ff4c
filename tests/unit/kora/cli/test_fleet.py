"""Who runs where, as people and programs see it."""

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from kora.config import load
from kora.domain.ticket import NewTicket
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.views import Presence, RuntimeSeen
from tests.unit.kora.cli.conftest import plain

NOW = datetime(2026, 7, 4, 9, 30, tzinfo=UTC)
RUNTIME = "0199c2f0-6d1e-7a3b-8c4d-0123456789ab"


def seen(**changes):
    fields = {
        "runtime_id": RUNTIME,
        "host": "ship",
        "pid": 4711,
        "version": "0.1.0",
        "workspace_id": "w",
        "state": Presence.LIVE,
        "started_at": NOW - timedelta(hours=2),
        "last_seen": NOW - timedelta(seconds=4),
        "last_seen_seconds": 4.0,
        "claims": 3,
    }
    return RuntimeSeen(**{**fields, **changes})


class Fleet:
    def __init__(self, *runtimes):
        self.runtimes = list(runtimes)

    def fleet(self):
        return self.runtimes


def test_a_runtime_is_a_line(kora, reads):
    reads(Fleet(seen(), seen(host="boat\x1b[2J", state=Presence.SILENT, last_seen_seconds=95.0, claims=0)))

    head, first, second = (line.split("\t") for line in kora("status", "--fleet").out.splitlines())

    assert head == ["host", "pid", "version", "workspace", "state", "last_seen", "claims", "runtime_id"]
    assert first == ["ship", "4711", "0.1.0", "w", "live", "4.0 s ago", "3", RUNTIME]
    assert second == ["boat\\u001b[2J", "4711", "0.1.0", "w", "silent", "1 min 35 s ago", "0", RUNTIME]


def test_the_fleet_for_programs_is_one_array_with_every_field(kora, reads):
    reads(Fleet(seen(state=Presence.ENDED)))

    (found,) = kora("status", "--fleet", "--json").document

    assert found == {
        "runtime_id": RUNTIME,
        "host": "ship",
        "pid": 4711,
        "version": "0.1.0",
        "workspace_id": "w",
        "state": "ended",
        "started_at": "2026-07-04T07:30:00Z",
        "last_seen": "2026-07-04T09:29:56Z",
        "last_seen_seconds": 4.0,
        "claims": 3,
    }


@pytest.mark.parametrize("width", [80, 160])
def test_a_fleet_fits_on_any_terminal(kora, reads, on_terminal, width):
    reads(Fleet(seen(), seen(state=Presence.GONE)))
    on_terminal(width)

    lines = plain(kora("status", "--fleet").out)

    assert any(RUNTIME in line for line in lines)
    assert all(len(line) <= width for line in lines)


def test_no_runtime_is_one_line_or_an_empty_array_and_no_runtime_need_run(kora):
    done = kora("status", "--fleet")

    assert (done.code, done.out) == (0, "no runtime was seen within a day, and none holds a claim\n")
    assert kora("status", "--fleet", "--json").document == []


def test_the_fleet_is_read_from_the_store(kora, here):
    runtime = load(here / "supervisor.toml", {}).runtime
    with open_store(runtime.store, workspace_id="w", actor_id=runtime.actor) as store:
        with closing(store.board()) as board:
            board.add([NewTicket(ticket_title="t")], who="tester")
        with closing(store.writer(RuntimeRecord(RUNTIME, "ship", os.getpid(), "0.1.0"))) as writer:
            writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(1, 60.0)))

    (found,) = kora("status", "--fleet", "--json").document

    assert (found["runtime_id"], found["state"], found["claims"]) == (RUNTIME, "live", 1)


def test_the_fleet_has_no_single_actor(kora):
    done = kora("status", "poller", "--fleet")

    assert (done.code, done.out) == (2, "")
    assert "--fleet" in done.err
