"""A server on which an administrator has carried out what `migrate --print-roles` prints."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import dataclass

import psycopg
from psycopg import sql

from kora.domain.control import CommandStatus, NewMark, StopLevel
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import migrate, open_store, roles_sql
from kora.store.port import ClaimOrder, RuntimeRecord, Store, Turn, Writer
from tests.postgres import Server

ACTOR = "0190a000-0000-7000-8000-000000000001"
OURS, THEIRS = "ours", "their's"
HASH = b"\0" * 32


def psql(server: Server, script: str) -> str:
    """Carry a script out as the administrator, stopping at the first fault; what it says."""
    command = [server.programs / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", server.url()]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Roles:
    """One database with Kora's tables, the role that owns them, and one for each of two workspaces."""

    server: Server
    database: str
    owner: str
    ours: str
    theirs: str

    def url(self, role: str) -> str:
        return self.server.url(self.database, user=role.replace(" ", "%20"))

    def open(self, role: str, workspace_id: str) -> Store:
        return open_store(self.url(role), workspace_id=workspace_id, actor_id=ACTOR)

    def ask(self, role: str, statement: str, *bound: object) -> list[tuple]:
        """Execute one statement as this role, in a session of its own."""
        with psycopg.connect(self.url(role), autocommit=True) as connection:
            cursor = connection.execute(statement, bound or None)
            return cursor.fetchall() if cursor.description else []

    def changed(self, role: str, statement: str) -> int:
        """How many rows the statement changes."""
        with psycopg.connect(self.url(role), autocommit=True) as connection:
            return connection.execute(statement).rowcount

    def tables(self) -> list[str]:
        found = self.server.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'kora'::regnamespace AND relkind = 'r' ORDER BY 1",
            database=self.database,
        )
        return [name for (name,) in found]

    def rows(self, role: str, table: str) -> set[str]:
        """Where the rows lie that this role sees."""
        asked = sql.SQL("SELECT ctid::text FROM kora.{}").format(sql.Identifier(table))
        return {place for (place,) in self.ask(role, asked)}


def made(server: Server, database: str) -> Roles:
    """The roles, made by what is printed; the tables, made by the role that then owns them; something in each."""
    roles = Roles(server, database, f"keeper of {database}", f"ours of {database}", f"theirs of {database}")
    for workspace_id, role in ((OURS, roles.ours), (THEIRS, roles.theirs)):
        psql(server, roles_sql(roles.url(roles.owner), workspace_id=workspace_id, runtime_role=role))
        migrate(roles.url(roles.owner), workspace_id=workspace_id, runtime_role=role)
        with roles.open(role, workspace_id) as store:
            work(store, f"runtime of {workspace_id}")
        server.execute(
            "INSERT INTO kora.archives VALUES (%s, 'a file', '', 0, 0, 0, 0)", workspace_id, database=database
        )
    return roles


def work(store: Store, runtime_id: str) -> None:
    """Two tickets, one of which waits for the other; that one is worked, and so the other can be claimed."""
    with closing(store.board()) as board:
        (first,) = board.add([NewTicket(ticket_title="first")], who="ada")
        board.add([NewTicket(ticket_title="second", blocked_by=[first])], who="ada")
    writer = store.writer(RuntimeRecord(runtime_id=runtime_id, host="here", pid=1, version="0"))
    with closing(writer):
        incarnation = writer.next_incarnation()
        (claim,) = writer.turn(incarnation, Turn(claim=ClaimOrder(1, 600.0))).claims
        end = Settlement(
            key=claim.key,
            resolution=Resolution.COMPLETED,
            sea_status=Status.COMPLETED,
            summary="done",
            next_eligible_offset_seconds=None,
            failure_count_by_reason={},
        )
        result = writer.turn(incarnation, Turn(settle=[end]))
        assert [key.ticket_id for key in result.settled] == [first]
        assert len(writer.turn(incarnation, Turn(claim=ClaimOrder(1, 600.0))).claims) == 1
        steer(store, writer, incarnation)


def steer(store: Store, writer: Writer, incarnation: int) -> None:
    """A command with a mark, a charge, a ticket that was tried too often, and a watcher."""
    with closing(store.board()) as board:
        command = board.stop(StopLevel.BLOCK_NEW_INTAKE, reason="a test", enforce_seconds=1.0, who="ada")
        board.watch("watcher", host="here", pid=1)
        (held,) = writer.held()
        end = Settlement(held.key, Resolution.RELEASED, Status.BLOCKED_NEEDS_OPERATOR, "", None, {}, cost_usd=0.5)
        writer.turn(incarnation, Turn(settle=[end], marks=[NewMark(command.command_id, CommandStatus.ENFORCED)]))
        board.reset(reason="a test", who="ada")
        board.unblock(held.key.ticket_id, who="ada")
        assert len(writer.turn(incarnation, Turn(claim=ClaimOrder(1, 600.0))).claims) == 1
