"""The places that attempts had to themselves, swept away when they are old and nobody completed a ticket in them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from kora.agents.port import Lease
from kora.agents.workspace import Workspace, marked
from kora.clock import from_us
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.git import Git, GitRun
    from kora.clock import TimeSource

GIT_SECONDS: Final = 120.0
"""how long each call of git may take"""
_OWNER_ONLY: Final = 0o700
_GONE_ALREADY: Final = (
    *("is not a working tree", "not found", "not a git repository"),
    *("checked out at", "used by worktree at"),
)
"""in git's words: there is nothing to be forgotten, or the branch is somebody's by now"""

logger = logging.getLogger(__name__)


class Fate(NamedTuple):
    """What the store says of an attempt."""

    is_completed: bool
    ended_at: datetime | None
    """None: it is under way"""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Removes the places of attempts that ended `keep_days` ago, or longer, without completing their ticket.

    What belongs to a completed attempt, to one under way, or to one of which the store knows nothing stays as it is.
    Of a worktree its branch goes, too; the log says what it held that nothing else in the repository has. Killed at
    any point, it is finished by the next.
    """

    state_dir: Path
    keep_days: float
    fate_of: Callable[[str, str], Fate | None]
    """of a ticket's attempt; None: the store does not know it"""
    live: Callable[[str], bool]
    git: Git
    time_source: TimeSource

    def run(self) -> int:
        """How many were removed. What cannot be removed is logged, and left to the next sweep.

        Raises:
            OSError: the folder cannot be read.
            KoraError: the store cannot be read.
        """
        removed = 0
        for found in marked(self.state_dir):
            try:
                if isinstance(found, Path):
                    self._remove_broken(found)
                elif not self.live(found.work_attempt_id):
                    removed += self._sweep_one(found)
            except (OSError, AgentError) as error:
                if self.git.is_closed:
                    return removed
                logger.warning("a workspace could not be swept: %s: %s", found, error)
        return removed

    def _sweep_one(self, workspace: Workspace) -> bool:
        fate = self.fate_of(workspace.ticket_id, workspace.work_attempt_id)
        if fate is None or fate.ended_at is None:
            return False
        if fate.is_completed:
            # Its owner has taken the place away: the branch is the owner's, and there is nothing left to be named.
            if not os.path.lexists(workspace.folder(self.state_dir)):
                workspace.mark(self.state_dir).unlink(missing_ok=True)
            return False
        now = from_us(self.time_source.now_us())
        if now - fate.ended_at <= timedelta(days=self.keep_days):
            return False
        self._remove(workspace)
        return True

    def _remove_broken(self, mark: Path) -> None:
        """A mark that a crash cut short has no place beside it: that is made only once its mark is on the disk."""
        folder = mark.with_suffix("")
        if os.path.lexists(folder):
            logger.warning("%s: is damaged; '%s' is left as it is, and is yours to remove", mark, folder)
        else:
            mark.unlink(missing_ok=True)

    def _remove(self, workspace: Workspace) -> None:
        folder = workspace.folder(self.state_dir)
        there = os.path.lexists(folder)
        held = self._held(workspace, folder) if workspace.kind == "worktree" else ""
        remove_tree(folder)
        if workspace.repository is not None and workspace.repository.is_dir():
            self._forget(workspace, folder)
        workspace.mark(self.state_dir).unlink(missing_ok=True)
        if there:
            logger.log(
                logging.WARNING if held else logging.INFO,
                "attempt %d of ticket %s did not complete it, %g days ago or longer: its %s '%s' was removed%s",
                workspace.attempt,
                workspace.ticket_id,
                self.keep_days,
                "worktree" if workspace.kind == "worktree" else "folder",
                folder,
                f", with {held}" if held else "",
            )

    def _held(self, workspace: Workspace, folder: Path) -> str:
        """What is in the worktree and its branch and nowhere else; empty: nothing."""
        branch, repository = str(workspace.branch), workspace.repository
        if repository is None or not repository.is_dir() or not folder.is_dir():
            return ""
        others = ("--not", f"--exclude={branch}", "--branches", "--remotes", "--tags")
        commits = self._git(folder, ("rev-list", "--count", "HEAD", f"refs/heads/{branch}", *others))
        changes = self._git(folder, ("status", "--porcelain", "--untracked-files=normal"))
        if commits.fault is not None or changes.fault is not None:
            return f"what nobody can tell any more ({commits.fault or changes.fault})"
        held: list[str] = []
        if commits.last_line != "0":
            last = self._git(folder, ("rev-parse", "HEAD")).last_line
            held.append(f"commits of its own ({commits.last_line}, on branch {branch}, the last {last})")
        if changes.last_line:
            held.append("changes that were not committed")
        return " and ".join(held)

    def _forget(self, workspace: Workspace, folder: Path) -> None:
        """The repository knows neither worktree nor branch any more; but a branch that is in use elsewhere is left.

        Raises:
            AgentError: git could not do that.
        """
        for arguments in (("worktree", "remove", "-f", "-f", str(folder)), ("branch", "-D", str(workspace.branch))):
            fault = self._git(workspace.repository or Path(), arguments, alone=True).fault
            if fault is not None and not any(words in fault for words in _GONE_ALREADY):
                raise AgentError(fault)

    def _git(self, folder: Path, arguments: Sequence[str], *, alone: bool = False) -> GitRun:
        lease = Lease(self.time_source.boot_seconds() + GIT_SECONDS, GIT_SECONDS)
        # A daemon that watches files would only be ended again with the call that starts it.
        said = ("-C", str(folder), "-c", "core.fsmonitor=false", *arguments)
        return self.git.run("a sweep", said, lease, alone_in=folder if alone else None)


def remove_tree(folder: Path) -> None:
    """Remove the folder and all in it, read-only folders too; a link is removed, and not what it leads to.

    Raises:
        OSError: something of it stays.
    """
    with suppress(FileNotFoundError):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink()
            return
        try:
            shutil.rmtree(folder)
        except PermissionError:
            _make_writable(folder)
            shutil.rmtree(folder)


def _make_writable(folder: Path) -> None:
    folder.chmod(_OWNER_ONLY)
    for root, names, _ in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(_OWNER_ONLY)
