"""One attempt outside the board: ended and refreshed as a runtime would, and nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kora.agents.command import CommandSettings
from kora.agents.trial import Times, Trial, a_claim, attempt
from kora.clock import SystemTime
from kora.domain.ticket import NewTicket
from tests.repository import a_repository, branches, git

from .conftest import sh

LONG = Times(600.0, 60.0, 1_800.0)


@pytest.fixture
def tried(tmp_path):
    """The settlement of a command, and all that was told of it."""

    def tries(*command, times=LONG, **more):
        told, lines = [], []

        def line(kept):
            lines.append((kept.stream, kept.text))

        spec = CommandSettings(command=command, **{"workdir": tmp_path, "grace_seconds": 0.2, **more})
        claim = a_claim(NewTicket(ticket_title="A trial"), "default", "actor", lease_seconds=600.0)
        settlement = attempt(spec, claim, times, SystemTime(), tell=told.append, watch=lambda *_: None, line=line)
        return settlement, told, lines

    return tries


def test_what_it_prints_is_told_and_what_it_comes_to(tried):
    settlement, told, lines = tried(*sh("echo one; echo two >&2; exit 3"))

    assert (settlement.resolution, settlement.summary) == ("failed_retryable", "exited with 3: two")
    assert sorted(lines) == [("stderr", "two"), ("stdout", "one")]
    assert told == []


def test_a_check_is_run_and_told(tried):
    settlement, _, lines = tried("/bin/true", verify=sh("echo looked; exit 1"))

    assert settlement.resolution == "failed_retryable"
    assert lines == [("verify", "looked")]


@pytest.mark.parametrize(
    ("limits", "summary"),
    [({"timeout_seconds": 0.2}, "over its wall-clock limit"), ({"stall_seconds": 0.2}, "made no progress")],
)
def test_one_that_has_no_time_left_is_ended(tried, limits, summary):
    settlement, _, _ = tried(*sh("while :; do sleep 0.05; done"), **limits)

    assert settlement.summary == summary


def test_a_lease_is_refreshed_for_progress_and_runs_out_without(tried):
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.2; done; while :; do sleep 1; done"

    settlement, told, lines = tried(*sh(script), times=Times(1.0, 0.3, 0.0))

    assert settlement is None
    assert len(lines) == 9, "it lived longer than its first lease"
    assert "the heartbeat refreshes the lease" in told
    assert told[-1].startswith("no progress")


def test_operations_are_answered_and_told(tried):
    begin, end = '{"kora":"operation","tool":"push","key":"k"}', '{"kora":"operation","key":"k","result":1}'
    settlement, told, _ = tried(*sh(f"echo '{begin}'; read a; echo '{end}'; read b; exit 0"), interactive=True)

    assert settlement.resolution == "completed"
    assert told == ["operation push (k): begins", "operation push (k): committed 1"]


def test_interrupted_it_stops_the_agent_and_says_what_came_of_it(tried, monkeypatch):
    def interrupted(_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "look", interrupted)

    settlement, _, _ = tried(*sh("while :; do sleep 1; done"))

    assert settlement.summary == "released by an operator"


def test_nothing_is_left_of_it(tried, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    Path(tmp_path / "tmp").mkdir()

    tried(*sh("echo x"))

    assert list((tmp_path / "tmp").iterdir()) == []


def test_nothing_is_left_of_a_worktree_of_its_own(tried, tmp_path):
    repository = a_repository(tmp_path / "repository")

    settlement, _, lines = tried(*sh("ls; touch made"), workdir=repository, workspace="worktree")

    assert settlement.resolution == "completed"
    assert ("stdout", "hull") in lines
    assert branches(repository) == ["main"]
    assert git(repository, "worktree", "list").count("\n") == 0
