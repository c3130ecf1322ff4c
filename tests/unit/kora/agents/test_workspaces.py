"""The sweep of places that attempts had to themselves: what stays, what goes, and what the log says of it."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta

import pytest

from kora.agents.git import Git
from kora.agents.port import Lease
from kora.agents.workspace import existing, put_mark, workspace_for
from kora.agents.workspaces import Fate, Sweep
from kora.clock import SystemTime
from kora.errors import AgentError
from tests.repository import a_repository, branches, commit, git

from .conftest import a_claim

NOW = datetime.now(UTC)
LONG_AGO = Fate(is_completed=False, ended_at=NOW - timedelta(days=31))
LATELY = Fate(is_completed=False, ended_at=NOW - timedelta(days=29))
UNDER_WAY = Fate(is_completed=False, ended_at=None)
COMPLETED = Fate(is_completed=True, ended_at=NOW - timedelta(days=400))
BRANCH = "kora/ticket-1/2"


@pytest.fixture
def repository(tmp_path):
    return a_repository(tmp_path / "repository")


@pytest.fixture
def the_git(containment):
    return Git(containment, SystemTime(), environ={b"PATH": os.environb[b"PATH"]})


@pytest.fixture
def sweep(the_git, tmp_path, caplog):
    """Sweeps as if the store said this of every attempt; how many were removed."""
    caplog.set_level(logging.INFO)

    def sweeps(fate, *, live=()):
        return Sweep(
            state_dir=tmp_path,
            keep_days=30,
            fate_of=lambda _ticket, _attempt: fate,
            live=lambda attempt: attempt in live,
            git=the_git,
            time_source=SystemTime(),
        ).run()

    return sweeps


@pytest.fixture
def worktree(tmp_path, repository):
    """A worktree as an attempt leaves it."""
    made = workspace_for(a_claim(), "worktree", repository)
    put_mark(made, tmp_path)
    git(repository, "worktree", "add", "--no-track", "-b", made.branch, str(made.folder(tmp_path)))
    return made.folder(tmp_path)


def a_fresh(tmp_path, attempt="attempt-1"):
    made = workspace_for(a_claim(attempt_id=attempt), "fresh", tmp_path)
    put_mark(made, tmp_path)
    made.folder(tmp_path).mkdir()
    (made.folder(tmp_path) / "work").write_text("work")
    return made.folder(tmp_path)


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "workspaces").iterdir() if path.name != ".gitignore")


def test_a_folder_without_any_place_is_swept_in_no_time(sweep):
    assert sweep(LONG_AGO) == 0


@pytest.mark.parametrize("fate", [LATELY, UNDER_WAY, COMPLETED, None])
def test_what_is_new_or_under_way_or_completed_or_unknown_stays(sweep, worktree, fate, tmp_path):
    assert sweep(fate) == 0
    assert worktree.is_dir()
    assert left(tmp_path) == ["attempt-1", "attempt-1.json"]


def test_what_a_live_attempt_has_stays_whatever_the_store_says(sweep, worktree):
    assert sweep(LONG_AGO, live={"attempt-1"}) == 0
    assert worktree.is_dir()


def test_an_old_place_of_an_attempt_that_completed_nothing_goes(sweep, tmp_path, caplog):
    folder = a_fresh(tmp_path)

    assert sweep(LONG_AGO) == 1

    assert left(tmp_path) == []
    (said,) = caplog.messages
    assert said.startswith("attempt 2 of ticket ticket-1 did not complete it, 30 days ago or longer: its folder")
    assert str(folder) in said
    assert sweep(LONG_AGO) == 0


def test_a_worktree_goes_with_its_branch_and_the_repository_is_as_before(sweep, worktree, repository, tmp_path, caplog):
    assert sweep(LONG_AGO) == 1

    assert left(tmp_path) == []
    assert branches(repository) == ["main"]
    assert git(repository, "worktree", "list").count("\n") == 0
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_work_that_is_lost_with_a_worktree_is_named_in_the_log(sweep, worktree, caplog):
    (worktree / "deck").write_text("pine")
    commit(worktree, "The deck")
    (worktree / "mast").write_text("fir")
    last = git(worktree, "rev-parse", "HEAD")

    assert sweep(LONG_AGO) == 1

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    expected = f"with commits of its own (1, on branch {BRANCH}, the last {last}) and changes that were not committed"
    assert expected in record.getMessage()


def test_commits_that_another_branch_has_are_not_lost(sweep, worktree, repository, caplog):
    (worktree / "deck").write_text("pine")
    commit(worktree, "The deck")
    git(repository, "merge", "-q", BRANCH)

    assert sweep(LONG_AGO) == 1

    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert (repository / "deck").read_text() == "pine"


def test_a_completed_worktree_that_its_owner_took_away_leaves_its_branch_and_no_mark(
    sweep, worktree, repository, tmp_path
):
    git(repository, "worktree", "remove", str(worktree))

    assert sweep(COMPLETED) == 0

    assert left(tmp_path) == []
    assert branches(repository) == [BRANCH, "main"]


def test_a_branch_that_somebody_has_checked_out_elsewhere_is_left(sweep, worktree, repository, tmp_path):
    git(worktree, "checkout", "-q", "--detach")
    git(repository, "checkout", "-q", BRANCH)

    assert sweep(LONG_AGO) == 1

    assert left(tmp_path) == []
    assert BRANCH in branches(repository)


@pytest.mark.parametrize("step", ["marked", "branched", "folder removed", "worktree forgotten"])
def test_whatever_a_kill_left_half_made_or_half_swept_is_found(sweep, repository, tmp_path, step):
    made = workspace_for(a_claim(), "worktree", repository)
    put_mark(made, tmp_path)
    folder = made.folder(tmp_path)
    if step == "branched":
        git(repository, "branch", BRANCH)
        (folder / "half").mkdir(parents=True)
    elif step != "marked":
        git(repository, "worktree", "add", "--no-track", "-b", BRANCH, str(folder))
        for path in (folder / "hull", folder / ".git"):
            path.unlink()
        folder.rmdir()
        if step == "worktree forgotten":
            git(repository, "worktree", "prune")

    assert sweep(LONG_AGO) == 1

    assert left(tmp_path) == []
    assert branches(repository) == ["main"]


def test_a_mark_that_a_crash_cut_short_goes_unless_there_is_a_place_beside_it(sweep, tmp_path, caplog):
    folder = a_fresh(tmp_path)
    for mark in (folder.with_suffix(".json"), folder.with_name("attempt-2.json")):
        mark.write_text('{"work_at')

    assert sweep(LONG_AGO) == 0

    assert left(tmp_path) == ["attempt-1", "attempt-1.json"]
    assert "is damaged" in caplog.text


def test_a_repository_that_is_gone_or_is_none_any_more_keeps_no_place(sweep, worktree, repository, tmp_path):
    repository.rename(tmp_path / "elsewhere")
    repository.mkdir()

    assert sweep(LONG_AGO) == 1
    assert left(tmp_path) == []


def test_an_agent_that_put_a_link_in_the_place_of_its_folder_has_only_the_link_removed(sweep, tmp_path):
    folder = a_fresh(tmp_path)
    folder.rename(tmp_path / "precious")
    folder.symlink_to(tmp_path / "precious")

    assert sweep(LONG_AGO) == 1

    assert left(tmp_path) == []
    assert (tmp_path / "precious" / "work").read_text() == "work"


def test_folders_that_may_not_be_written_go_as_well(sweep, tmp_path):
    deep = a_fresh(tmp_path) / "cache" / "read-only"
    deep.mkdir(parents=True)
    (deep / "file").write_text("")
    deep.chmod(0o500)
    deep.parent.chmod(0o500)

    assert sweep(LONG_AGO) == 1
    assert left(tmp_path) == []


def test_one_place_that_cannot_be_swept_keeps_no_other(sweep, worktree, repository, tmp_path, caplog):
    a_fresh(tmp_path, "attempt-2")
    lock = repository / ".git" / "refs" / "heads" / f"{BRANCH}.lock"
    lock.write_text("")

    assert sweep(LONG_AGO) == 1
    assert left(tmp_path) == ["attempt-1.json"]
    assert "could not be swept" in caplog.text
    lock.unlink()
    assert sweep(LONG_AGO) == 1
    assert left(tmp_path) == []
    assert branches(repository) == ["main"]


def test_a_runtime_that_ends_lets_no_git_hold_it_up_and_no_place_go_unseen(sweep, worktree, the_git, caplog):
    the_git.close()

    assert sweep(LONG_AGO) == 0
    assert worktree.is_dir()
    assert caplog.records == []
    with pytest.raises(AgentError, match="the runtime is ending"):
        the_git.run("a test", ("version",), Lease(SystemTime().boot_seconds() + 9, 9))


def test_places_that_remain_are_told(worktree, tmp_path):
    assert [found.branch for found in existing(tmp_path, ["attempt-1"])] == [BRANCH]
    assert worktree.is_dir()
