"""What the shared logic needs of a database: a place, and connections to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from kora.clock import TimeSource

Mark = tuple[int, bytes]
"""how far a chain has come: its last `chain_seq`, and the hash there"""


class Cursor(Protocol):
    """What a statement has answered."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:  # noqa: ANN401 - a row's columns are as many as its statement says
        """The next row; None where there is none."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> object:
        """Read no more of it."""


class Counted(Protocol):
    """What changed rows."""

    @property
    def rowcount(self) -> int:
        """How many it changed; to ask is to wait until it is done."""


class Count(NamedTuple):
    """Implements `Counted` where it is known."""

    rowcount: int


class Executing(Protocol):
    """Whoever runs statements."""

    def execute(self, statement: str, bound: Sequence[Any] = (), /) -> Cursor:
        """What the statement answers for these values."""


class Connection(Executing, Protocol):
    """One connection; one thread at a time."""

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """The statement, done for each of these rows; `rowcount` counts them all."""

    def translated(self) -> AbstractContextManager[None]:
        """Whatever the driver raises inside leaves as `StoreUnusableError` or `StoreUnavailableError`."""

    def writing(self) -> AbstractContextManager[None]:
        """Everything inside is committed together, or nothing is. Raises what `translated` says."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one moment. Raises what `translated` says."""

    def undone(self) -> AbstractContextManager[None]:
        """As `writing`, and at its end everything inside is undone."""

    def damage_shown(self) -> AbstractContextManager[None]:
        """Text that is none is read all the same inside, so that whoever verifies can say where it stands."""

    def now_us(self) -> int:
        """The store's time, in microseconds since 1970: leases and delays go by it."""

    def wall_us(self) -> int:
        """What the wall clock says that the store's time follows; where it is set, from the next change on."""

    def open_chain(self, chain_id: str) -> tuple[int, Mark]:
        """The first thing of a transaction that appends to this chain: the time, and where the chain stands.

        From here to its end nobody else appends to it.
        """

    def run_ahead(self) -> None:
        """From here to the commit no statement need be waited for before its answer is looked at.

        What a statement does wrong may be raised by a later one.
        """

    def proven_by(self, chain_id: str, tail: Mark) -> None:
        """Be told the last event of the transaction under way: if it is there, the transaction was committed."""

    def changed(self) -> bool:
        """Whether somebody else may have committed since this was last asked, or since the connection was made."""

    def close(self) -> None:
        """Give the connection back."""


class Place(Protocol):
    """Where a store's handles work: one database, one workspace, one actor."""

    @property
    def name(self) -> str:
        """The database, as messages name it."""

    @property
    def workspace_id(self) -> str:
        """The workspace: no statement reads or writes another's rows."""

    @property
    def actor_id(self) -> str:
        """Whose tickets are claimed here."""

    @property
    def time(self) -> TimeSource:
        """This machine's clocks."""

    @property
    def row_errors(self) -> tuple[type[Exception], ...]:
        """What one row's own content can cause, as against the disk, the lock or the server."""

    def check(self) -> None:
        """Nothing, while the database is still the one that was opened. Raises `StoreUnusableError`."""

    def connect(self, *, is_patient: bool = False, only_reads: bool = False) -> Connection:
        """A connection to the database. A patient one waits long for a lock: a person would only try again."""
