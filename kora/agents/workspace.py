"""Where an attempt's programs run, when that is a place of its own: a clean folder, or a git worktree and its branch.

Each is `state_dir/workspaces/ATTEMPT_ID`, and beside it stands its mark, `ATTEMPT_ID.json`, from before the place is
made until after it is gone: so whatever dies in between, the sweep finds what there is.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kora.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kora.domain.claim import Claim

WorkspaceKind = Literal["shared", "fresh", "worktree"]
FOLDER: Final = "workspaces"
MARK: Final = ".json"
BRANCHES: Final = "kora"
"""what the branches of worktrees stand below"""
_MARK_BYTES: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_IGNORE_ALL: Final = "*\n"


class Workspace(BaseModel):
    """One attempt's own place, as its mark has it."""

    model_config = ConfigDict(frozen=True)

    work_attempt_id: str
    ticket_id: str
    attempt: int
    kind: Literal["fresh", "worktree"]
    repository: Path | None = None
    """whose worktree it is"""
    branch: str | None = None

    def folder(self, state_dir: Path) -> Path:
        """Where it is."""
        return state_dir / FOLDER / self.work_attempt_id

    def mark(self, state_dir: Path) -> Path:
        """The file that says that it is there."""
        return state_dir / FOLDER / f"{self.work_attempt_id}{MARK}"


def workspace_for(claim: Claim, kind: Literal["fresh", "worktree"], repository: Path) -> Workspace:
    """The place that this attempt is to have; nothing is made yet.

    Raises:
        AgentError: the store's ids are not such that files can be named after them.
    """
    ticket_id, _, attempt_id = claim.key
    if not _NAME.fullmatch(attempt_id):
        raise AgentError(f"no workspace can be named after the attempt's id {attempt_id!r}")
    made = Workspace(work_attempt_id=attempt_id, ticket_id=ticket_id, attempt=claim.attempt, kind=kind)
    if kind == "fresh":
        return made
    return made.model_copy(update={"repository": repository, "branch": branch_of(ticket_id, claim.attempt)})


def branch_of(ticket_id: str, attempt: int) -> str:
    """The branch of a ticket's attempt: kora/TICKET/NUMBER, of letters, digits, `-`, `_` and those slashes alone."""
    return f"{BRANCHES}/{_UNSAFE.sub('-', ticket_id).strip('-')[:100] or 'ticket'}/{attempt}"


def put_mark(workspace: Workspace, state_dir: Path) -> None:
    """The mark stands, on the disk too: from now on the sweep knows of the place.

    Raises:
        OSError: it could not be written.
    """
    place = state_dir / FOLDER
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where the state directory lies in a repository, that is not to see what lies here as its own.
    ignored = place / ".gitignore"
    if not ignored.exists():
        ignored.write_text(_IGNORE_ALL)
    descriptor = os.open(workspace.mark(state_dir), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(workspace.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def marked(state_dir: Path) -> Iterator[Workspace | Path]:
    """Every place there is a mark of, oldest first; the mark's own path, where a crash left it unreadable.

    Raises:
        OSError: the folder is there, and cannot be read.
    """
    try:
        names = sorted(os.listdir(state_dir / FOLDER))  # noqa: PTH208 - many names, no paths
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(MARK) and _NAME.fullmatch(name.removesuffix(MARK)):
            path = state_dir / FOLDER / name
            with suppress(FileNotFoundError):
                yield _read(path) or path


def existing(state_dir: Path, work_attempt_ids: Iterable[str]) -> Iterator[Workspace]:
    """The places of these attempts that are still there."""
    for attempt_id in work_attempt_ids:
        if not _NAME.fullmatch(attempt_id):
            continue
        with suppress(OSError):
            found = _read(state_dir / FOLDER / f"{attempt_id}{MARK}")
            if found is not None and found.folder(state_dir).is_dir():
                yield found


def _read(mark: Path) -> Workspace | None:
    with mark.open("rb") as file:
        content = file.read(_MARK_BYTES)
    try:
        found = Workspace.model_validate_json(content)
    except ValidationError:
        return None
    return found if found.work_attempt_id == mark.name.removesuffix(MARK) else None
