"""A backup of a PostgreSQL store, restored on a server that has not come as far: work and log go on in order."""

from __future__ import annotations

import subprocess
from contextlib import closing

import pytest

from kora.domain.ticket import NewTicket
from kora.store.open import roles_sql
from kora.store.port import RuntimeRecord, Turn
from tests.postgres import Server
from tests.unit.kora.store.postgres_roles import OURS, Roles, made, psql

AHEAD = """
DO $$ BEGIN
    FOR number IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP;
END $$
"""


@pytest.fixture
def target():
    with Server() as server:
        yield server


def run(server: Server, program: str, *words: object) -> None:
    done = subprocess.run([server.programs / program, *map(str, words)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_owner_gets_no_backup_rather_than_a_part_of_one(postgres, database, tmp_path):
    source = made(postgres, f"owned_{database}")
    command = ["pg_dump", "--file", tmp_path / "backup", source.url(source.owner)]
    done = subprocess.run([postgres.programs / command[0], *command[1:]], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "row-level security" in done.stderr


def number(server: Server) -> int:
    return server.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]


def test_a_restored_board_goes_on_where_the_backup_was_made(postgres, target, tmp_path):
    postgres.execute(AHEAD)
    source = made(postgres, "before")
    with source.open(source.ours, OURS) as store, closing(store.reader()) as reader:
        before, (claim,), heard_until = list(reader.events()), reader.claims(), reader.last_seq()
    backup = tmp_path / "backup"
    run(postgres, "pg_dump", "--format", "custom", "--file", backup, postgres.url("before"))

    restored = Roles(target, source.database, source.owner, source.ours, source.theirs)
    for role in (source.ours, source.theirs):
        psql(target, roles_sql(restored.url(source.owner), workspace_id=OURS, runtime_role=role))
    run(target, "pg_restore", "--exit-on-error", "--single-transaction", "--dbname", target.url("before"), backup)
    assert number(target) < number(postgres)

    with restored.open(source.ours, OURS) as store, closing(store.reader()) as reader, closing(store.board()) as board:
        assert list(reader.events()) == before
        assert [each.ticket_id for each in reader.claims()] == [claim.ticket_id]

        (added,) = board.add([NewTicket(ticket_title="after")], who="ada")
        heard = list(reader.events(after_seq=heard_until))
        assert [(event.event_type, event.ticket_id) for event in heard] == [("kora.operator.acted", added)]
        assert heard[0].seq > before[-1].seq

        # Who held a claim when the backup was made is gone, or goes on: its lease runs out all the same.
        target.execute("UPDATE kora.tickets SET lease_expires_at = 0 WHERE queue_state = 3", database="before")
        with closing(store.writer(RuntimeRecord(runtime_id="another", host="", pid=1, version="0"))) as writer:
            swept = writer.turn(writer.next_incarnation(), Turn(sweep=True))
        assert [key.ticket_id for key in swept.returned] == [claim.ticket_id]
        report = reader.verify()
        assert (report.fault, report.events) == (None, len(list(reader.events())))
        places = [event.seq for event in reader.events()]
        assert places == sorted(places)
