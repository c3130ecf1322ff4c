"""Where a PostgreSQL store's handles work, as the shared logic has it."""

from __future__ import annotations

from dataclasses import dataclass

from kora.clock import TimeSource
from kora.store.postgres.connection import PostgresConnection
from kora.store.postgres.errors import ROW_ERRORS


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Implements `Place`: one database, one workspace, one actor. The server's clock is the store's."""

    url: str
    name: str
    """the URL without its password"""
    workspace_id: str
    actor_id: str
    time: TimeSource
    """this machine's, for what may be late"""

    @property
    def row_errors(self) -> tuple[type[Exception], ...]:
        """What one row's own content can cause."""
        return ROW_ERRORS

    def check(self) -> None:
        """Nothing: a server cannot be replaced under a connection."""

    def connect(self, *, is_patient: bool = False, only_reads: bool = False) -> PostgresConnection:  # noqa: ARG002 - it reads without waiting in any case
        """A connection, which is made when it is first needed."""
        return PostgresConnection(self.url, self.name, self.workspace_id, is_patient=is_patient)
