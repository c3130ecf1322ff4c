"""Places of their own for attempts, with the real program and the real git."""

from __future__ import annotations

import os
import sys

import pytest

from tests.acceptance.home import wait_until
from tests.repository import a_repository, branches, git

# Whose it was is said in the commit: two of the same within a second are one.
BUILD = """
cat hull; echo "$KORA_TICKET_ID" > hull; git -c user.name=a -c user.email=a@b commit -qam "Hull $$"
test -e "$0" || { echo reached > "$0"; exec sleep 1000; }
"""


def worktrees(home, **agent):
    """Attempts that commit in their worktrees; the first waits there to be killed, unless `reached` is there."""
    reached = home.folder / "reached"
    home.configure(
        agent={
            "command": ["sh", "-c", BUILD, str(reached)],
            "workdir": "worktree",
            "repository": "project",
            **agent,
        },
    )
    return a_repository(home.folder / "project"), reached


def marks(home):
    return sorted(path.stem for path in (home.folder / ".kora" / "workspaces").glob("*.json"))


def test_attempts_side_by_side_on_one_repository_each_have_a_worktree_that_is_kept_and_shown(home):
    repository, reached = worktrees(home, verify=["grep", "-", "hull"])
    reached.touch()
    home.add(6)

    done = home.kora("run", "--until-idle")

    assert done.returncode == 0, done.stderr
    tickets = home.tickets()
    assert {ticket["sea_status"] for ticket in tickets} == {"completed"}
    assert len(branches(repository)) == 7
    for ticket in tickets:
        ticket_id = ticket["ticket_id"]
        branch = f"kora/{ticket_id}/1"
        assert git(repository, "show", f"{branch}:hull") == ticket_id
    shown = home.json("ticket", "show", ticket_id)
    (place,) = shown.pop("workspaces")
    assert (place["attempt"], place["workdir"], place["branch"], place["kept_until"]) == (1, "worktree", branch, None)
    assert git(home.folder / place["folder"], "branch", "--show-current") == branch
    assert shown == ticket
    assert f"{place['folder']}, branch {branch}\n" in home.kora("ticket", "show", ticket_id).stdout
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("moment", ["at work", pytest.param("checking out", marks=pytest.mark.prove)])
def test_what_a_killed_runtime_leaves_of_an_attempt_is_shown_and_then_swept(home, moment):
    repository, reached = worktrees(home)
    if moment == "checking out":
        os.mkfifo(home.folder / "nobody-writes")
        hook = repository / ".git" / "hooks" / "post-checkout"
        hook.parent.mkdir(exist_ok=True)
        wait = f"echo > {reached}; read word < {home.folder}/nobody-writes"
        hook.write_text(f"#!/bin/sh\ntest -e {reached} || {{ {wait}; }}\n")
        hook.chmod(0o700)
    home.add(1)
    process = home.start("run")
    wait_until(home, reached.exists, process)
    (first,) = marks(home)

    process.kill()
    process.wait()
    assert home.kora("run", "--until-idle").returncode == 0

    (ticket,) = home.tickets()
    assert (ticket["sea_status"], ticket["work_attempt_count"]) == ("completed", 2)
    assert first in marks(home)
    second = f"kora/{ticket['ticket_id']}/2"
    if moment == "at work":
        until = [place["kept_until"] for place in home.json("ticket", "show", ticket["ticket_id"])["workspaces"]]
        assert until[0] > ticket["created_at"]
        assert until[1] is None
    home.configure(runtime={"keep_days": 1e-9}, agent={"command": [sys.executable, "-c", ""]})
    again = home.start("run")
    wait_until(home, lambda: first not in marks(home), again)
    assert branches(repository) == [second, "main"]
    assert len(marks(home)) == 1, "what was completed is kept"
    if moment == "at work":
        wait_until(home, lambda: f"commits of its own (1, on branch kora/{ticket['ticket_id']}/1" in home.log(), again)
