"""A workspace that is copied to: in short transactions, each with a mark in it of how far the copy has come.

The mark is a row of the target: as long as it is there, the store cannot be opened to be worked on. It says from where
the board comes, how that stood when the copy was begun (`Source.state`), and behind which row it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

from kora.domain.events import EventType
from kora.errors import CopyError, StoreUnavailableError
from kora.store.archive_file import Head
from kora.store.sql.change import changing
from kora.store.sql.copy_parts import (
    DEPENDENCIES,
    EVENTS,
    PARTS,
    Key,
    Part,
    Row,
    TargetStatements,
)
from kora.store.sql.copy_source import Source
from kora.store.sql.place import Place
from kora.store.sql.unfinished import refusal

_DELETED_AT_A_TIME: Final = 2_000
_SEQ: Final = EVENTS.columns.index("seq")
_CHAIN: Final = EVENTS.columns.index("chain_id")
_CHAIN_SEQ: Final = EVENTS.columns.index("chain_seq")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy has come: all parts before this one are there, and of this one all up to this row."""

    part: int
    after: Key
    events_after: int
    """up to where events were copied, ever: they are never written again"""

    @property
    def spelt(self) -> str:
        """As the mark has it."""
        return orjson.dumps(asdict(self)).decode()


BEGIN: Final = Progress(0, PARTS[0].begin, 0)


class Target:
    """One writing connection. Of two copies at work at once, the second finds the mark moved, and ends."""

    def __init__(self, place: Place, say: TargetStatements) -> None:
        self._place = place
        self._say = say
        self._connection = place.connect(is_patient=True)
        self._mark = ""
        self._state = ""
        self.seen = Source(place, say.source)
        """the same workspace, to be read and verified"""

    @property
    def name(self) -> str:
        """The database, as messages name it."""
        return self._place.name

    def begin(self, source: str, state: str) -> Progress:
        """From where to go on. A copy of a source that is as it was goes on where it was; else it is gone over again.

        Raises `CopyError` for a workspace that is not empty, `StoreUnusableError` for one that is another's unfinished
        copy.
        """
        with self._connection.writing():
            found = self._connection.execute(self._say.unfinished, self._bound).fetchone()
            if found is None:
                self._refuse_contents()
                self._connection.execute(self._say.begin, (*self._bound, source, state, BEGIN.spelt))
                # Whoever had the store open before claims nothing of what comes.
                self._connection.execute(self._say.permit, (*self._bound, "none"))
                self._state, self._mark = state, BEGIN.spelt
                return BEGIN
            if found[0] != source:
                raise refusal(self.name, self._place.workspace_id, found[0])
            self._state, self._mark = state, found[2]
            before = Progress(**orjson.loads(found[2]))
            progress = replace(before, after=tuple(before.after))
            if found[1] != state:
                progress = replace(BEGIN, events_after=before.events_after)
            self._move(progress)
        return progress

    def begin_part(self, part: Part, anchors: dict[str, Head], progress: Progress) -> None:
        """What an earlier run has left of this kind, and the source has no more, is gone."""
        if part is DEPENDENCIES:
            self._delete(part, progress)
        elif part is EVENTS:
            self._forget_archived(anchors, progress)

    def write(self, part: Part, rows: Sequence[Row], progress: Progress) -> None:
        """These rows are there, and the mark says so, or nothing has changed."""
        with self._connection.writing(), self._faults_named(part):
            self._move(progress)
            if part is EVENTS:
                rows = self._placed(rows)
            changed = self._connection.executemany(self._say.writes[part], rows).rowcount
            if changed != len(rows):
                raise CopyError(
                    f"{self.name}: of {len(rows):,} {part.name} {len(rows) - changed:,} have the ids of another"
                    " workspace's there; copy to a store of its own"
                )

    def move(self, progress: Progress) -> None:
        """The mark says so."""
        with self._connection.writing():
            self._move(progress)

    def finish(self, permission: str, *, who: str, told: dict[str, Any]) -> None:
        """The workspace is open for work; its log says who has copied what from where."""
        with changing(self._connection, self._place, self._say.board, who) as change:
            if self._connection.execute(self._say.finish, self._bound).rowcount != 1:
                raise self._overtaken()
            self._connection.execute(self._say.permit, (*self._bound, permission))
            acted = {"who": who, "verb": "copy", "target": self.name, "before": None, "after": told}
            change.log.append(EventType.OPERATOR_ACTED, acted)

    def discard(self) -> None:
        """What an unfinished copy has brought here is gone. Raises `CopyError` where none is unfinished."""
        with self._connection.writing():
            found = self._connection.execute(self._say.unfinished, self._bound).fetchone()
            if found is None:
                raise CopyError(
                    f"{self.name}: no copy to workspace {self._place.workspace_id} is unfinished; nothing was changed"
                )
            self._state, self._mark = found[1], found[2]
            self._move(BEGIN)
        for part in reversed(PARTS):
            self._delete(part, BEGIN)
        with self._connection.writing():
            self._connection.execute(self._say.permit, (*self._bound, "normal"))
            self._connection.execute(self._say.finish, self._bound)

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()
        self.seen.close()

    @property
    def _bound(self) -> tuple[str]:
        return (self._place.workspace_id,)

    def _move(self, progress: Progress) -> None:
        bound = (self._state, progress.spelt, *self._bound, self._mark)
        if self._connection.execute(self._say.move, bound).rowcount != 1:
            raise self._overtaken()
        self._mark = progress.spelt

    def _overtaken(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"{self.name}: another copy to this workspace is under way; wait for its end")

    def _refuse_contents(self) -> None:
        has = self._connection.execute(self._say.contents, self._bound).fetchone()
        what = [name for name, is_there in zip(("tickets", "events", "runtimes"), has, strict=True) if is_there]
        if what:
            raise CopyError(
                f"{self.name}: workspace {self._place.workspace_id} has {' and '.join(what)} already, and a board is"
                " copied to an empty one; a copy that was finished stands in its log: `kora-actors events --type"
                " kora.operator.acted`"
            )

    def _placed(self, rows: Sequence[Row]) -> list[Row]:
        """The events at the places that they had, or at the next that are free: behind all that are there."""
        (last,) = self._connection.execute(self._say.last_seq, self._bound).fetchone()
        placed = []
        for row in rows:
            last = max(row[_SEQ], last + 1)
            placed.append((last, *row[_SEQ + 1 :]))
        return placed

    def _forget_archived(self, anchors: dict[str, Head], progress: Progress) -> None:
        """Events that were copied and have been archived at the source since: they leave from the front, as there."""
        full = True
        while full:
            rows, _ = self.seen.page(EVENTS, EVENTS.begin)
            gone = [row for row in rows if row[_CHAIN_SEQ] <= anchors.get(row[_CHAIN], (0, b""))[0]]
            if gone:
                with self._connection.writing():
                    self._move(progress)
                    bound = (*self._bound, gone[0][_SEQ], gone[-1][_SEQ])
                    self._connection.execute(self._say.forget_events, bound)
            full = len(gone) == len(rows) > 0

    def _delete(self, part: Part, progress: Progress) -> None:
        changed = True
        while changed:
            with self._connection.writing():
                self._move(progress)
                bound = (*self._bound, _DELETED_AT_A_TIME)
                changed = self._connection.execute(self._say.discards[part], bound).rowcount > 0

    @contextmanager
    def _faults_named(self, part: Part) -> Iterator[None]:
        try:
            yield
        except self._place.row_errors as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CopyError(f"{self.name}: cannot hold one of the {part.name}: {said}") from error
