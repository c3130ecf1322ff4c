"""What an attempt has told of its cost, kept where it outlives the runtime: a file for each attempt that may tell."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from kora.agents.wire import CHUNK_BYTES, REST_BYTES
from kora.domain.claim import Claim, ClaimKey
from kora.domain.cost import NO_CAPS, Caps, amount_usd, most_usd

FOLDER: Final = "meters"
HEAD_BYTES: Final = 512
"""what the head takes of the file: whose it is, and what was told so far"""
_HEARD_BYTES: Final = 1_048_576
"""of what was heard already, how much is kept before the file is begun anew"""
_MID_LINE: Final = b"\0"
"""stands for the beginning of a line that was too long to be kept, so that its end is not taken for a line"""

logger = logging.getLogger(__name__)


class Meters:
    """The meters of one runtime's attempts, below `state_dir/meters/RUNTIME_ID`. For any thread.

    A meter that was told something stays until the attempt's end is on record, so that whatever befalls the runtime
    before, its successor finds it (see `left_by`); any other goes with its attempt.
    """

    def __init__(self, folder: Path, caps: Caps = NO_CAPS) -> None:
        self._folder = folder
        self.caps = caps
        """what attempts that start from now on may cost"""
        self._told: set[str] = set()
        """attempts whose meters wait for their ends to be on record"""

    def left_usd(self, claim: Claim) -> float | None:
        """What this attempt may cost; None: whatever it takes."""
        return self.caps.left_usd(claim.spent_micro_usd)

    def refusal(self, claim: Claim) -> str:
        """What is to be said of an attempt that is not begun at all, since its ticket has cost too much; else empty."""
        return "not begun" if self.caps.stops_ticket(claim.spent_micro_usd) else ""

    def meter(self, claim: Claim) -> Meter:
        """A meter for this attempt; nothing is written yet."""
        return Meter(self._folder, claim, self.caps, self._told)

    def forget(self, work_attempt_ids: Iterable[str]) -> None:
        """The ends of these attempts are on record: what they have cost is charged."""
        if not self._told:
            return
        for attempt in self._told.intersection(work_attempt_ids):
            self._told.discard(attempt)
            _remove(self._folder / attempt)


class Meter:
    """What one attempt has told, and what was read of its stdout and may not have been heard yet. For any thread.

    What was told is in the file as soon as `tell` returns; what `read` returns is there before it does, without a
    moment in which it is nowhere: the kernel moves it from the pipe into the file. So it is lost only with the machine.
    A file that cannot be written costs that promise and one WARNING, never the attempt.
    """

    def __init__(self, folder: Path, claim: Claim, caps: Caps, told: set[str]) -> None:
        self._folder = folder
        self._claim = claim
        self._caps = caps
        self._told = told
        self._lock = threading.RLock()  # a finalizer of a callable may run amid, and tell
        self._fd: int | None = None
        self._is_broken = self._is_over = False
        self._read_to = self._line_at = HEAD_BYTES
        self.spent_usd: float | None = None
        """the highest that was told; None before the first"""

    @property
    def _path(self) -> Path:
        # Made when it is needed: most attempts of a callable tell nothing, and end within microseconds.
        return self._folder / self._claim.key.work_attempt_id

    @property
    def fd(self) -> int | None:
        """The file, for whoever keeps on reading when the runtime is gone; None if it cannot be had."""
        with self._lock:
            self._opened()
            return self._fd

    def tell(self, usd: object) -> bool:
        """Take in what the attempt says that it has spent so far; True, once, when that is more than it may.

        What is no amount of money is left out.
        """
        amount = amount_usd(usd)
        if amount is None or (self.spent_usd is not None and amount <= self.spent_usd):
            return False
        with self._lock:
            self.spent_usd = most_usd(self.spent_usd, amount)
            if amount > 0:
                self._told.add(self._claim.key.work_attempt_id)
                self._opened()
                self._write_head()
            was_over = self._is_over
            self._is_over |= self._caps.stops_attempt(self.spent_usd)
            self._is_over |= self._caps.stops_ticket(self._claim.spent_micro_usd, self.spent_usd)
            return self._is_over and not was_over

    def read(self, descriptor: int) -> bytes:
        """What is in the pipe now, as `os.read` of a pipe that does not block has it; for one thread.

        All that was read before has been heard by then.
        """
        if self._fd is None:
            return os.read(descriptor, CHUNK_BYTES)
        if self._line_at - HEAD_BYTES >= _HEARD_BYTES or self._read_to - self._line_at > REST_BYTES:
            self._begin_anew()
        blocked = None
        try:
            os.splice(descriptor, self._fd, CHUNK_BYTES, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError as error:
            blocked = error
        except OSError as error:
            self._break(error)
            return os.read(descriptor, CHUNK_BYTES)
        # Also what the guardian may have put there, when it took this runtime for gone.
        chunk = os.pread(self._fd, CHUNK_BYTES, self._read_to)
        if blocked is not None and not chunk:
            raise blocked
        ended = chunk.rfind(b"\n") + 1
        if ended:
            self._line_at = self._read_to + ended
        self._read_to += len(chunk)
        return chunk

    def close(self) -> None:
        """The attempt is over; what it has told is kept."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
                if not self.spent_usd:
                    _remove(self._path)
            self._is_broken = True

    def _opened(self) -> None:
        """Make the file, unless it is there, or cannot be; the caller holds the lock."""
        if self._fd is not None or self._is_broken:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.lseek(self._fd, HEAD_BYTES, os.SEEK_SET)
        except OSError as error:
            self._break(error)
            return
        self._write_head()

    def _write_head(self) -> None:
        if self._fd is None:
            return
        key = self._claim.key
        said = orjson.dumps([*key, self._claim.ticket.agent, self.spent_usd])
        try:
            # One write within one page: it is there whole, or not at all.
            os.pwrite(self._fd, said.ljust(HEAD_BYTES - 1) + b"\n", 0)
        except OSError as error:
            self._break(error)

    def _begin_anew(self) -> None:
        """Keep only the line that has not ended yet; all others were heard, and what they told is in the head."""
        if self._fd is None:
            return
        rest = os.pread(self._fd, self._read_to - self._line_at, self._line_at)
        if len(rest) > REST_BYTES:
            rest = _MID_LINE
        end = HEAD_BYTES + len(rest)
        try:
            os.pwrite(self._fd, rest, HEAD_BYTES)
            # In this order: the guardian cuts off what stands behind the place at which it goes on.
            os.lseek(self._fd, end, os.SEEK_SET)
            os.ftruncate(self._fd, end)
        except OSError as error:
            self._break(error)
        self._read_to, self._line_at = end, HEAD_BYTES

    def _break(self, error: OSError) -> None:
        logger.warning(
            "%s: cannot be written (%s): should the runtime be killed, what the attempt has told of its cost is lost",
            self._path,
            error.strerror,
        )
        self._is_broken = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of an attempt whose runtime is gone."""

    key: ClaimKey
    agent: str | None
    """the agent's name in the configuration; None for the default one"""
    spent_usd: float | None
    """the highest that the runtime has heard"""
    unheard: bytes
    """what the agent printed behind that, and perhaps a little of what was heard: whole lines, but the last"""


def left_by(state_dir: Path, runtime_id: str) -> Iterator[Left]:
    """What is left of this runtime's attempts; it and its guardians are gone. One that cannot be read is told of."""
    folder = state_dir / FOLDER / runtime_id
    try:
        names = sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        logger.warning("%s: what its attempts have cost is not charged: %s", folder, error)
        return
    for name in names:
        try:
            left = _left(folder / name)
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s: what the attempt has cost is not charged: %s", folder / name, error)
            continue
        if left is not None:
            yield left


def is_charged(state_dir: Path, runtime_id: str) -> bool:
    """Whether the ends of all attempts of this runtime that told of a cost are on record; its empty folder goes."""
    try:
        (state_dir / FOLDER / runtime_id).rmdir()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return True


def forget(state_dir: Path, runtime_id: str) -> None:
    """What this runtime's attempts have cost is charged, or can never be."""
    shutil.rmtree(state_dir / FOLDER / runtime_id, ignore_errors=True)


def _left(path: Path) -> Left | None:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
        head, unheard = file.read(HEAD_BYTES), file.read(_HEARD_BYTES + 2 * REST_BYTES)
    if not head:
        # Its runtime was killed before the agent was started.
        return None
    ticket_id, fence, attempt, agent, spent_usd = orjson.loads(head)
    return Left(ClaimKey(str(ticket_id), int(fence), str(attempt)), agent, amount_usd(spent_usd), unheard)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
