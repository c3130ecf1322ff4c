"""Hearing of new tickets and commands at once. A hint and no more: whoever polls finds everything when one is lost."""

from __future__ import annotations

from hashlib import sha256
from time import monotonic, sleep
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kora.store.hints import Hint
from kora.store.postgres.bare import ANSWER_SECONDS, Waiting
from kora.store.postgres.circuit import Circuit
from kora.store.postgres.connection import CONNECT_SECONDS
from kora.store.postgres.place import PostgresPlace

_PAUSE_LEAST_SECONDS: Final = 0.5
_PAUSE_MOST_SECONDS: Final = 30.0
"""between two tries to connect: nobody waits for this"""


def channel(workspace_id: str) -> str:
    """The channel on which a workspace's pollers are woken: whoever reads it learns no workspace's name by it."""
    return f"kora_{sha256(workspace_id.encode()).hexdigest()[:32]}"


class Listener:
    """Implements `Hints`. It has a connection of its own, since listening is a session's; lost, it is made anew."""

    def __init__(self, place: PostgresPlace) -> None:
        self._conninfo = make_conninfo(
            place.url, application_name="kora listener", connect_timeout=CONNECT_SECONDS, keepalives_idle=5
        )
        self._channel = channel(place.workspace_id)
        self._circuit = Circuit(least_seconds=_PAUSE_LEAST_SECONDS, most_seconds=_PAUSE_MOST_SECONDS)
        self._bare: Waiting | None = None

    def wait(self, seconds: float) -> Hint | None:
        """Wait for as long, or until there may be something; what, or None."""
        until = monotonic() + seconds
        try:
            bare = self._listening(until)
            if bare is None:
                return None
            heard = [word.payload for word in bare.notifies(timeout=max(0.0, until - monotonic()), stop_after=1)]
        except (psycopg.Error, OSError):
            self._lose()
            return None
        if not heard:
            return None
        return Hint.STEERING if Hint.STEERING.value in heard else Hint.TICKETS

    def close(self) -> None:
        """Give the connection back."""
        if self._bare is not None:
            self._bare.close()

    def _listening(self, until: float) -> Waiting | None:
        """The connection, on which is listened; None if there is none until then."""
        if self._bare is None:
            sleep(max(0.0, min(until - monotonic(), self._circuit.left_seconds())))
            if self._circuit.left_seconds() > 0:
                return None
            self._bare = Waiting.opened(self._conninfo, ANSWER_SECONDS)
            self._bare.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._circuit.succeeded()
        return self._bare

    def _lose(self) -> None:
        if self._bare is not None:
            self._bare.close()
            self._bare = None
        self._circuit.failed()
