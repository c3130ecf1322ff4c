"""git, run as an attempt's programs are: contained, within a lease, and never in anybody's way."""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kora.agents.attempt import Attempt
from kora.agents.hearing import Unheeded
from kora.agents.lines import clean
from kora.agents.output import Output
from kora.agents.reader import Plan
from kora.domain.resolution import StopReason
from kora.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kora.agents.containment import Containment
    from kora.agents.port import Lease
    from kora.agents.record import Record
    from kora.clock import TimeSource

STREAM: Final = "git"
PROGRAM: Final = "git"
LOCK_PROGRAM: Final = "flock"
_GRACE_SECONDS: Final = 5.0
_ENVIRONMENT: Final = (b"PATH", b"HOME", b"TMPDIR", b"XDG_CONFIG_HOME")
"""git's own, and its hooks'; what an agent is allowed to see is another matter"""
_LINES_KEPT: Final = 20
_LINES_TOLD: Final = 3
_TOLD_CHARACTERS: Final = 500
_MISSING: Final = "are git and flock (of util-linux) installed, and on the runtime's PATH?"
_HINTS: Final = (
    ("cannot open lock file", "is the repository still there?"),
    ("not a git repository", "make it one (git init, and a first commit), or set `repository` to one"),
    ("'HEAD'", "it has no commit yet: make a first one"),
    ("reference: HEAD", "it has no commit yet: make a first one"),
    ("already exists", "that branch is left from before: rename it (git branch -m) or delete it (git branch -D)"),
    ("cannot lock ref", "another branch is in the way of that name, or a git that died has left its lock there"),
    ("dubious ownership", "it is another user's: allow it with git config --global --add safe.directory"),
    ("No space left", "make room on that disk"),
    ("unable to write", "is there room on that disk, and may it be written?"),
    ("Permission denied", "let the runtime's user read and write it"),
)
"""what git says, and what is to be done about it"""


class Tail:
    """The last lines that git printed; all of them go into the attempt's record, where there is one."""

    def __init__(self, record: Record | None) -> None:
        self._record = record
        self.lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def write(self, stream: str, lines: list[bytes]) -> None:
        """Keep these."""
        self.lines.extend(clean(line) for line in lines[-_LINES_KEPT:])
        if self._record is not None:
            self._record.write(stream, lines)

    def close(self) -> None:
        """Nothing is held open here: the record is its maker's to close."""


@dataclass(frozen=True, slots=True)
class GitRun:
    """One call of git: `attempt.run()` sees it through, in the caller's thread."""

    attempt: Attempt
    tail: Tail

    @property
    def last_line(self) -> str:
        """The last line that it printed."""
        return self.tail.lines[-1] if self.tail.lines else ""

    @property
    def fault(self) -> str | None:
        """What went wrong, and what to do about it; None if nothing did."""
        outcome = self.attempt.outcome
        if outcome is None:
            raise AssertionError("it has not been run to its end")
        if outcome.exit_code == 0:
            return None
        if outcome.exit_code is None:
            said = outcome.fault or "git was ended before it was done"
            return f"{said}; {_MISSING}" if self.attempt.unrunnable else said
        told = [line for line in self.tail.lines if line.startswith(("fatal:", "error:"))] or list(self.tail.lines)
        said = "; ".join(told[-_LINES_TOLD:])[:_TOLD_CHARACTERS]
        hint = next((what for words, what in _HINTS if words in said), "what it printed stands in `ticket log`")
        return f"git exited with {outcome.exit_code}: {said} ({hint})"


class Git:
    """Calls git in the runtime's containment; `environ` is this process's own, if not given. For any thread."""

    def __init__(
        self, containment: Containment, time_source: TimeSource, *, environ: Mapping[bytes, bytes] | None = None
    ) -> None:
        environ = os.environb if environ is None else environ
        self._containment = containment
        self._time_source = time_source
        # In English, so that the hints know what it says.
        self._env = {name: environ[name] for name in _ENVIRONMENT if name in environ} | {b"LC_ALL": b"C"}
        self._mutex = threading.Lock()
        self._under_way: set[Attempt] = set()
        self.is_closed = False
        """whether `run` runs nothing any more"""

    def prepare(
        self,
        name: str,
        arguments: Sequence[str],
        lease: Lease,
        *,
        alone_in: Path | None = None,
        record: Record | None = None,
    ) -> GitRun:
        """A call that is ready to be run; what it prints goes into the record, too. `name` is for logs.

        No two calls run at once that are to be alone in the same folder, whichever runtime makes them.
        """
        tail = Tail(record)
        # Held by a process and not by this thread, so that whoever waits for it can be ended like any program. With
        # the dot, no file is made in the place of a folder that is gone.
        lock = () if alone_in is None else (LOCK_PROGRAM, f"{alone_in}/.")
        plan = Plan(
            name=name,
            document=lambda: b"",
            launcher=lambda stdio, current, _: self._containment.launch(
                argv=[os.fsencode(word) for word in (*lock, PROGRAM, *arguments)],
                env=self._env,
                cwd=b"/",
                stdio=stdio,
                grace_seconds=_GRACE_SECONDS,
                lease=current,
            ),
            output=Output(tail, Unheeded(), self._time_source, kept_as=STREAM),
        )
        return GitRun(Attempt(plan, lease, self._time_source, _nobody_waits), tail)

    def run(self, name: str, arguments: Sequence[str], lease: Lease, *, alone_in: Path | None = None) -> GitRun:
        """The call, run to its end in this thread.

        Raises:
            AgentError: this was closed meanwhile, and the call ended.
        """
        made = self.prepare(name, arguments, lease, alone_in=alone_in)
        with self._mutex:
            self._under_way.add(made.attempt)
            if self.is_closed:
                made.attempt.kill(StopReason.DRAINED)
        try:
            made.attempt.run()
        finally:
            with self._mutex:
                self._under_way.discard(made.attempt)
        if self.is_closed:
            raise AgentError("the runtime is ending")
        return made

    def close(self) -> None:
        """End what `run` has under way, and let it run nothing more."""
        with self._mutex:
            self.is_closed = True
            for attempt in self._under_way:
                attempt.kill(StopReason.DRAINED)


def _nobody_waits() -> None:
    """The caller's own thread sees it through."""
