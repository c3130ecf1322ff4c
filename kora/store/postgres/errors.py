"""What PostgreSQL's own errors mean to Kora: a person must act, or it is worth another try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from kora.errors import (
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreUnavailableError,
    StoreUnreachableError,
    StoreUnusableError,
)

ROW_ERRORS: Final = (
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    TypeError,
    ValueError,
    OverflowError,
)
"""what one row's own content can cause, as against the server, the network or a lock"""

_LOCKED: Final = {
    "55P03": "has what is to be written under somebody else's lock",
    "40P01": "broke off one of two changes that waited for each other",
    "40001": "broke off a change that another one overtook",
}

_FULL: Final = {
    "53100": "has no room left on its disk; make room, and a runtime at work goes on by itself",
}

_UNAVAILABLE: Final = {
    "57014": "took too long for a statement",
    "25006": "writes nothing now: it is a standby, or was set read-only",
    "25P03": "ended a transaction in which nothing had come for too long",
}

_UNREACHABLE: Final = {
    "53300": "has no connection to spare; raise max_connections, or put a pooling proxy before it",
}

_UNUSABLE: Final = {
    "3D000": "has no such database; create it, or name another in the URL",
    "28P01": "refuses the password; see PGPASSWORD, or ~/.pgpass",
    "28000": "does not let this role in; see `kora-actors migrate --print-roles`, and pg_hba.conf",
    "42501": "does not let this role do that: see `kora-actors migrate --print-roles`, and `--runtime-role`",
    "42P01": "does not have the tables that Kora made; run `kora-actors migrate`",
    "42703": "does not have the columns that Kora made; run `kora-actors migrate`",
    "42883": "does not have the functions that Kora made; run `kora-actors migrate`",
    "42P07": "has something of that name that Kora did not make; name a database of Kora's own",
    "3F000": "has no schema of Kora's; run `kora-actors migrate`",
    "XX001": "found its data damaged; restore it from a backup",
    "XX002": "found an index damaged; reindex it",
}
"""by SQLSTATE"""

# Of a connection that was refused psycopg has the words only; a server that says them in another language counts as out
# of reach, with its words in the message.
_REFUSED: Final = (
    (re.compile(r'database ".*" does not exist|no such database'), "3D000"),
    (re.compile(r"password authentication failed|no password supplied|SASL authentication failed"), "28P01"),
    (re.compile(r'role ".*" (does not exist|is not permitted to log in)|no pg_hba\.conf entry|no such user'), "28000"),
    (re.compile(r'permission denied for database ".*"'), "42501"),
    (re.compile(r"too many (clients|connections)|remaining connection slots are reserved"), "53300"),
)

_MEANINGS: Final[dict[type[StoreError], dict[str, str]]] = {
    StoreLockedError: _LOCKED,
    StoreFullError: _FULL,
    StoreUnavailableError: _UNAVAILABLE,
    StoreUnreachableError: _UNREACHABLE,
    StoreUnusableError: _UNUSABLE,
}

_CREDENTIALS: Final = frozenset({"28P01", "28000"})

_OUT_OF_REACH: Final = ("08", "57P", "53", "58")
"""classes of SQLSTATE: the connection, a server that comes or goes, its resources, its system"""


def translate(error: psycopg.Error, name: str) -> StoreError | None:
    """The same fault in Kora's words; None for what only a fault in Kora itself can cause."""
    state = error.sqlstate or _state_said(error)
    said = _first_line(error)
    for kind, meanings in _MEANINGS.items():
        if state in meanings:
            return kind(f"{name} {meanings[state]} ({said})")
    if state.startswith(_OUT_OF_REACH) or (not state and isinstance(error, psycopg.OperationalError)):
        return StoreUnreachableError(f"{name} is out of reach ({said})")
    if isinstance(error, errors.InFailedSqlTransaction | psycopg.InterfaceError):
        return StoreUnavailableError(f"{name}: the connection was lost in the middle of a change ({said})")
    return None


def turned_away(error: psycopg.Error, name: str) -> StoreUnreachableError | None:
    """What it means to one who was let in before: its credentials are being changed. None for any other error."""
    if (error.sqlstate or _state_said(error)) not in _CREDENTIALS:
        return None
    known = translate(error, name)
    return StoreUnreachableError(f"{known}; it let this program in before, and is tried again")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Whatever psycopg raises inside leaves as `StoreUnusableError` or `StoreUnavailableError`."""
    try:
        yield
    except psycopg.Error as error:
        known = translate(error, name)
        if known is None:
            raise
        raise known from error


def _state_said(error: psycopg.Error) -> str:
    return next((state for said, state in _REFUSED if said.search(str(error))), "")


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
