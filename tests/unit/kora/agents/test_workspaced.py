"""Attempts that get a place of their own: real folders, real git, real programs."""

from __future__ import annotations

import json
import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.git import Git
from kora.agents.meter import Meters
from kora.agents.port import Lease
from kora.agents.verify import VerifiedAgent
from kora.agents.workspace import branch_of, existing, marked, workspace_for
from kora.agents.workspaced import WorkspacedAgent
from kora.clock import SystemTime
from kora.domain.resolution import Resolution, StopReason, settle
from kora.errors import AgentError
from tests.repository import a_repository, branches, git

from .conftest import Run, a_claim, a_lease, kept, sh

SHOW = "pwd; cat hull 2>/dev/null; echo done > work"


@pytest.fixture
def repository(tmp_path):
    return a_repository(tmp_path / "repository")


@pytest.fixture
def begin(containment, tmp_path):
    """Starts an attempt of a command, and of its check, in a place of its own."""

    def begins(kind, command, repository=tmp_path, *, claim=None, lease=None, verify=(), environ=None, **settings):
        clock, state_dir = SystemTime(), tmp_path / "state"

        def make(folder):
            inner = CommandAgent(
                CommandSettings(command, folder, grace_seconds=0.2),
                containment,
                state_dir=state_dir,
                meters=Meters(state_dir / "meters"),
            )
            if not verify:
                return inner
            return VerifiedAgent(
                inner,
                verify,
                workdir=folder,
                env_allow=("PATH",),
                grace_seconds=0.2,
                containment=containment,
                state_dir=state_dir,
                time_source=clock,
            )

        agent = WorkspacedAgent(
            make,
            kind,
            repository=repository,
            git=Git(containment, clock, environ={b"PATH": os.environb[b"PATH"], **(environ or {})}),
            state_dir=state_dir,
            time_source=clock,
            **{"timeout_seconds": 7.0, "stall_seconds": 8.0, **settings},
        )
        run = Run(threading.Event())
        run.running = agent.start(claim or a_claim(), lease or a_lease(), run.on_end, run.ledger)
        return run

    return begins


def place(tmp_path, attempt="attempt-1"):
    return tmp_path / "state" / "workspaces" / attempt


def printed(tmp_path, stream="stdout"):
    return [text for name, text in kept(tmp_path / "state") if name == stream]


def slow_git(tmp_path, script):
    """A PATH whose git is this script first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o700)
    return {b"PATH": f"{folder}:{os.environ['PATH']}".encode()}


def test_a_fresh_place_is_an_empty_folder_and_the_check_runs_there_too(begin, tmp_path):
    outcome = begin("fresh", sh("ls -A; " + SHOW), verify=sh("pwd; cat work")).wait()

    here = str(place(tmp_path))
    assert outcome.exit_code == 0
    assert outcome.verify_fault is None
    assert printed(tmp_path) == [here]
    assert printed(tmp_path, "verify") == [here, "done"]
    assert [mark.work_attempt_id for mark in marked(tmp_path / "state")] == ["attempt-1"]


def test_a_worktree_is_what_was_committed_on_a_branch_named_after_ticket_and_attempt(begin, repository, tmp_path):
    (repository / "hull").write_text("not committed\n")
    git(repository, "add", "hull")

    outcome = begin("worktree", sh(SHOW), repository, verify=sh("cat work")).wait()

    here = place(tmp_path)
    assert outcome.exit_code == 0
    assert printed(tmp_path) == [str(here), "oak"]
    assert printed(tmp_path, "verify") == ["done"]
    assert branches(repository) == ["kora/ticket-1/2", "main"]
    assert git(here, "branch", "--show-current") == "kora/ticket-1/2"
    assert git(here, "status", "--porcelain") == "?? work"
    assert git(repository, "status", "--porcelain") == "M  hull"


def test_a_check_that_fails_in_the_place_fails_the_attempt(begin, tmp_path):
    outcome = begin("fresh", sh("echo no > work"), verify=sh("grep yes work")).wait()

    assert outcome.verify_fault is not None
    assert (place(tmp_path) / "work").read_text() == "no\n"


def test_what_lies_in_the_state_directory_is_nothing_to_a_repository_around_it(begin, tmp_path):
    a_repository(tmp_path)

    begin("fresh", sh("echo done > work")).wait()

    assert "workspaces" not in git(tmp_path, "status", "--porcelain", "--untracked-files=all")


def test_many_attempts_at_once_on_one_repository_do_not_fail_one_another(begin, repository):
    claims = [a_claim(attempt_id=f"attempt-{n}", ticket_id=f"ticket-{n}") for n in range(24)]

    runs = [begin("worktree", sh("cat hull"), repository, claim=claim) for claim in claims]

    assert {(run.wait().fault, run.outcome.exit_code, run.outcome.last_output) for run in runs} == {(None, 0, "oak")}
    assert len(branches(repository)) == 25


def faults(tmp_path):
    """How a repository may be no good: its name, what is told, what is to be done."""
    return {
        "none": (tmp_path, "not a git repository", "git init"),
        "empty": (tmp_path / "empty", "HEAD", "make a first one"),
        "taken": (tmp_path / "taken", "already exists", "git branch -m"),
        "blocked": (tmp_path / "blocked", "cannot create", "in the way of that name"),
        "gone": (tmp_path / "gone", "No such file or directory", "is the repository still there?"),
    }


@pytest.mark.parametrize("which", ["none", "empty", "taken", "blocked", "gone"])
def test_a_repository_that_is_no_good_is_a_fault_that_names_it_and_says_what_to_do(begin, tmp_path, which):
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    git(a_repository(tmp_path / "taken"), "branch", "kora/ticket-1/2")
    git(a_repository(tmp_path / "blocked"), "branch", "kora")
    repository, said, hint = faults(tmp_path)[which]

    outcome = begin("worktree", sh("echo never"), repository).wait()

    assert outcome.fault.startswith(f"no worktree of '{repository}' could be made at '{place(tmp_path)}'")
    assert said in outcome.fault
    assert hint in outcome.fault
    assert printed(tmp_path) == []
    assert settle(a_claim(), outcome, max_attempts=10).resolution is Resolution.RELEASED


def test_a_machine_without_git_is_told_so(begin, tmp_path, repository):
    outcome = begin("worktree", sh("echo never"), repository, environ={b"PATH": bytes(tmp_path / "nothing")}).wait()

    assert "cannot run 'flock'" in outcome.fault
    assert "are git and flock (of util-linux) installed" in outcome.fault


def test_a_place_that_is_a_file_is_a_fault_that_names_it(begin, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "workspaces").write_text("")

    fault = begin("fresh", sh("echo never")).wait().fault

    assert fault.startswith(f"no workspace could be made at '{place(tmp_path)}': ")
    assert "may the runtime write there?" in fault


def test_a_checkout_that_fills_the_disk_names_where_and_what_to_do(begin, tmp_path, repository):
    full = 'echo half > half; echo "error: unable to write file hull" >&2; exit 128'
    script = f'PATH={os.environ["PATH"]}; case "$*" in *checkout\\ *) cd "$2"; {full};; esac; exec git "$@"'

    outcome = begin("worktree", sh("echo never"), repository, environ=slow_git(tmp_path, script)).wait()

    assert "git exited with 128: error: unable to write file hull (is there room on that disk" in outcome.fault
    assert printed(tmp_path, "git")[-1] == "error: unable to write file hull"
    assert not place(tmp_path).exists(), "the disk is not left full"


def test_a_checkout_that_takes_too_long_is_ended_and_is_a_fault(begin, tmp_path, repository):
    outcome = begin(
        "worktree",
        sh("echo never"),
        repository,
        environ=slow_git(tmp_path, "exec sleep 1000"),
        checkout_seconds=1.0,
        lease=a_lease(8),
    ).wait()

    assert "git took longer than 1 s and was ended; is the repository too large" in outcome.fault


@pytest.mark.parametrize("order", ["stop", "kill"])
def test_an_attempt_can_be_ended_while_its_place_is_made(begin, tmp_path, repository, leash, order):
    deaf = "trap '' TERM;" if order == "kill" else ""
    script = f"exec 9>{leash.path}; ({deaf} setsid sleep 1000 &) ; echo up >&9; sleep 1000"
    run = begin("worktree", sh("echo never"), repository, environ=slow_git(tmp_path, script))
    leash.wait_for(1)
    assert run.tool_since == run.progress_at == run.started_at, "it is at work all the while"
    assert (run.timeout_seconds, run.stall_seconds) == (7.0, 8.0)

    getattr(run.running, order)(StopReason.TIMED_OUT)

    assert run.wait().stop_reason is StopReason.TIMED_OUT
    assert run.wait().fault is None
    assert leash.is_free(), "nothing of git is left"
    assert printed(tmp_path) == []


def test_a_lease_that_ends_while_the_place_is_made_is_a_lease_lost(begin, tmp_path, repository):
    run = begin("worktree", sh("echo never"), repository, environ=slow_git(tmp_path, "sleep 1000"), lease=a_lease(0.5))

    assert run.wait().stop_reason is StopReason.LEASE_LOST


def test_a_lease_that_is_prolonged_while_the_place_is_made_holds_for_git_and_the_agent(
    begin, tmp_path, repository, leash
):
    # Git takes longer than the first lease.
    script = f'PATH={os.environ["PATH"]}; echo up > {leash.path}; sleep 2.3; exec git "$@"'
    run = begin("worktree", sh("cat hull"), repository, environ=slow_git(tmp_path, script), lease=a_lease(2))
    leash.wait_for(1)

    run.running.extend(a_lease(600))

    assert (run.wait().exit_code, run.wait().last_output) == (0, "oak")


def test_an_order_that_comes_before_anything_was_begun_is_heeded(begin, tmp_path, repository):
    run = begin("worktree", sh("echo never"), repository)
    run.running.kill(StopReason.DRAINED)

    outcome = run.wait()
    assert outcome.stop_reason is StopReason.DRAINED
    assert len(run.ends) == 1


def test_orders_reach_the_agent_once_it_runs(begin, leash):
    run = begin("fresh", sh(f"echo up > {leash.path}; exec sleep 1000"))
    leash.wait_for(1)
    run.running.extend(a_lease(900))
    run.running.stop(StopReason.OPERATOR)

    assert run.wait().stop_reason is StopReason.OPERATOR
    assert run.progress_at >= run.started_at


def test_a_lease_that_is_over_when_the_place_is_made_starts_nothing(begin, tmp_path):
    run = begin("fresh", sh("echo never"), lease=Lease(SystemTime().boot_seconds() - 1, 10))

    assert run.wait().stop_reason is StopReason.LEASE_LOST
    assert printed(tmp_path) == []


def test_a_second_attempt_of_the_same_id_never_gets_the_first_ones_place(begin):
    begin("fresh", sh("true")).wait()

    assert "File exists" in begin("fresh", sh("true")).wait().fault


@pytest.mark.parametrize("attempt_id", ["../x", "a/b", "-", ".", "a\0b", "x" * 200])
def test_no_place_is_named_after_an_id_that_leads_elsewhere(attempt_id, tmp_path):
    with pytest.raises(AgentError, match="no workspace can be named"):
        workspace_for(a_claim(attempt_id=attempt_id), "fresh", tmp_path)
    assert list(existing(tmp_path, [attempt_id])) == []


@given(st.text(), st.integers(1, 10**9))
def test_a_branch_is_a_name_that_git_takes_whatever_the_ticket_is_called(ticket_id, attempt):
    name = branch_of(ticket_id, attempt)

    assert re.fullmatch(r"kora/[A-Za-z0-9_][A-Za-z0-9_-]*/\d+", name)


def test_places_that_are_gone_and_marks_that_are_damaged_are_not_shown(begin, tmp_path):
    begin("fresh", sh("true")).wait()
    state_dir = tmp_path / "state"
    (found,) = existing(state_dir, ["attempt-1", "attempt-2"])
    assert (found.ticket_id, found.attempt, found.kind, found.branch) == ("ticket-1", 2, "fresh", None)

    mark = found.mark(state_dir)
    mark.write_text(json.dumps({"work_attempt_id": "other"}))
    assert list(existing(state_dir, ["attempt-1"])) == []
    assert list(marked(state_dir)) == [mark]


def test_an_agent_may_commit_in_its_worktree(begin, repository, tmp_path):
    script = "echo new > deck; git add deck; git -c user.name=a -c user.email=a@b commit -qm Deck"
    begin("worktree", sh(script), repository).wait()

    assert git(repository, "show", "kora/ticket-1/2:deck") == "new"
    assert branches(repository) == ["kora/ticket-1/2", "main"]
