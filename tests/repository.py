"""A git repository for tests: its own user, no configuration of the machine's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """What git prints, run in this folder."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "test@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def a_repository(folder: Path) -> Path:
    """One with a single commit, of the file `hull` that says `oak`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "hull").write_text("oak\n")
    commit(folder, "The hull")
    return folder


def commit(folder: Path, message: str) -> None:
    """All that is in the folder, committed."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def branches(folder: Path) -> list[str]:
    """The names of all branches."""
    return git(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
