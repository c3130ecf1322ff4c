"""A workspace that is copied from: looked at as of one moment, and never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from kora.errors import CopyError
from kora.store.archive_file import Head
from kora.store.sql.copy_parts import PAGE_BYTES, PAGE_ROWS, Key, Part, Row, SourceStatements
from kora.store.sql.place import Place
from kora.store.sql.verify import verify
from kora.store.views import ChainReport

_CLAIMS_NAMED: Final = 5
_WORKED: Final = (
    "tickets are being worked, and a board is copied when nobody works it; end the runtimes (Ctrl-C, or"
    " `kora-actors shutdown`), or where they died, let `kora-actors run --until-idle` return their tickets"
)


class Source:
    """One reading connection."""

    def __init__(self, place: Place, say: SourceStatements) -> None:
        self._place = place
        self._say = say
        self._connection = place.connect(only_reads=True)

    @property
    def name(self) -> str:
        """The database, as messages name it."""
        return self._place.name

    def verify(self) -> ChainReport:
        """Recompute every chain, archived parts included."""
        return verify(self._connection, self._place, self._say.history)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside is of one moment. Raises `CopyError` when claims are held then, and names them."""
        with self._connection.snapshot():
            self._refuse_claims()
            yield

    def state(self) -> str:
        """What tells the log, and so all that it tells of, from itself at another moment."""
        told = [self.claim_permission(), self.heads(), self.anchors(), self._ask(self._say.history.archives_written)]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def claim_permission(self) -> str:
        """What may be claimed."""
        return str(self._ask(self._say.claim_permission)[0][0])

    def heads(self) -> dict[str, Head]:
        """Where each chain ends that has begun."""
        return _marks(self._ask(self._say.history.all_heads))

    def anchors(self) -> dict[str, Head]:
        """Up to where each chain was archived that was."""
        return _marks(self._ask(self._say.history.anchors))

    def counts(self, part: Part) -> int:
        """How many rows there are of this kind."""
        return int(self._ask(self._say.counts[part])[0][0])

    def page(self, part: Part, after: Key) -> tuple[list[Row], Key]:
        """The next rows, and where the last of them stands: a few hundred, or a few MiB; none where there are no more.

        Bounded by what a page may hold, and one row.
        """
        bound = (self._place.workspace_id, *after, PAGE_ROWS)
        rows: list[Row] = []
        size, width = 0, len(part.begin)
        with self._connection.translated(), closing(self._connection.execute(self._say.pages[part], bound)) as cursor:
            for found in cursor:
                rows.append(found[width:])
                after = found[:width]
                size += sum(len(value) for value in rows[-1] if isinstance(value, str | bytes))
                if size >= PAGE_BYTES:
                    break
        return rows, after

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _ask(self, statement: str, *bound: object) -> list[Row]:
        with self._connection.translated():
            return self._connection.execute(statement, (self._place.workspace_id, *bound)).fetchall()

    def _refuse_claims(self) -> None:
        held = self._ask(self._say.held, _CLAIMS_NAMED + 1)
        if not held:
            return
        lines = [
            f"  {ticket_id} by runtime {holder}" + ("" if host is None else f" ({host}, process {pid})")
            for ticket_id, holder, host, pid in held[:_CLAIMS_NAMED]
        ]
        more = ["  and more"] if len(held) > _CLAIMS_NAMED else []
        raise CopyError("\n".join([f"{self.name}: {_WORKED}:", *lines, *more]))


def _marks(rows: list[Row]) -> dict[str, Head]:
    return {chain_id: (seq, bytes(digest)) for chain_id, seq, digest in sorted(rows)}
