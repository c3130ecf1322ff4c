"""`health`: the words and the exit codes, and whether a watcher is there, over a stand-in for the runtime."""

from dataclasses import replace

import pytest

from kora.admin.views import WatcherView
from kora.cli.repl.live import bottom_line
from kora.domain.control import NO_WATCHER
from kora.domain.cost import Rung
from kora.domain.health import STILL_SECONDS
from kora.domain.vitals import LedgerVitals
from tests.unit.kora.admin.stand_in import WELL

BROKEN = replace(WELL, ledger=LedgerVitals(STILL_SECONDS, 1.0))


@pytest.mark.parametrize(
    ("vitals", "code", "first"),
    [
        (WELL, 0, ["ok"]),
        (replace(WELL, paused="by ann"), 0, ["ok", "stopped on purpose: paused by ann"]),
        (
            replace(WELL, steering=replace(WELL.steering, rung=Rung.HARD_STOP_100)),
            0,
            ["degraded", "stopped on purpose"],
        ),
        (BROKEN, 1, ["broken", "nothing is claimed: ledger: turned 30.0 s ago"]),
        (replace(BROKEN, paused="by ann"), 1, ["broken", "stopped on purpose: paused by ann"]),
    ],
)
def test_only_what_is_broken_ends_with_1(kora, runtime, vitals, code, first):
    runtime.console.well = vitals

    shown, told = kora("health"), kora("health", "--json")

    assert (shown.code, told.code, shown.err, told.err) == (code, code, "", "")
    assert all(line.startswith(words) for line, words in zip(shown.out.splitlines(), first, strict=False))
    assert "ledger\t" in shown.out
    assert told.document["status"] == first[0]
    assert (told.document["stopped_on_purpose"] is None) == (not any("purpose" in words for words in first))


def test_without_a_runtime_it_ends_with_3(kora, here):
    done = kora("health")

    assert (done.code, done.out) == (3, "")
    assert "`kora-actors run`" in done.err


def test_status_says_whether_a_watcher_is_there(kora, runtime, monkeypatch):
    assert "watcher      seen 0.4 s ago" in kora("status").out
    status, gone = runtime.console.status(), WatcherView(is_alive=False, seen_seconds=7.0)
    monkeypatch.setattr(runtime.console, "status", lambda: replace(status, watcher=gone))

    found = kora("status", "--json").document

    assert f"watcher      {NO_WATCHER}" in kora("status").out
    assert found["watcher"] == {"is_alive": False, "seen_seconds": 7.0}
    assert ("class:yellow", NO_WATCHER) in bottom_line(found)
