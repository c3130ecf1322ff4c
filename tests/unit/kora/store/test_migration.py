"""A store of an earlier revision comes up to this one with everything that stood in it."""

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from kora.domain.events import GENESIS, canonical, event_hash
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import Status
from kora.errors import StoreUnusableError
from kora.store.open import migrate, open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sqlite.errors import translate
from kora.store.sqlite.migrations import run
from kora.store.sqlite.schema import KNOWN_REVISIONS, REVISION

TICKET = "0190a000-0000-7000-8000-0000000000{:02x}"
ATTEMPT = "0190b000-0000-7000-8000-0000000000{:02x}"
NOW = 1_790_000_000_000_000


def make_first(path) -> sqlite3.Connection:
    """A file of revision 0001, by the revision's own words."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: connection, poolclass=sqlalchemy.pool.StaticPool)
    config = Config()
    config.set_main_option("script_location", "kora.store.sqlite:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as begun:
        config.attributes["connection"] = begun
        command.upgrade(config, "0001")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def tell(connection, number, prev, ticket_no, payload, *, event_type="kora.operator.acted"):
    fields = {
        "chain_id": "old",
        "chain_seq": number,
        "event_id": f"event {number}",
        "event_type": event_type,
        "occurred_at_us": NOW + number,
        "workspace_id": "w",
        "ticket_id": None if ticket_no is None else TICKET.format(ticket_no),
        "payload": canonical(payload),
    }
    this = event_hash(prev, **fields)
    connection.execute(
        "INSERT INTO events (event_id, event_type, occurred_at, workspace_id, ticket_no, payload, chain_id, chain_seq,"
        " prev_event_hash, this_event_hash) VALUES (?, ?, ?, 'w', ?, ?, 'old', ?, ?, ?)",
        (fields["event_id"], fields["event_type"], NOW + number, ticket_no, fields["payload"], number, prev, this),
    )
    return this


@pytest.fixture
def first(path):
    """Three tickets, the second of them held, one operation, six events."""
    with closing(make_first(path)) as connection:
        connection.execute("INSERT INTO workspaces VALUES ('w', 'normal', 1)")
        connection.execute("INSERT INTO actor_registry VALUES ('w', 'a', 'kora', 1)")
        connection.execute("INSERT INTO runtimes VALUES ('old', 'w', 'here', 1, '0', 1, 4)")
        for number in (1, 2, 3):
            held = (1, "old", NOW + 10**15, ATTEMPT.format(2)) if number == 2 else (None,) * 4
            connection.execute(
                "INSERT INTO tickets (ticket_no, ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank,"
                " created_at, sea_status, claim_count, work_attempt_count, claim_fence_token, holder, lease_expires_at,"
                " work_attempt_id, sea_idea_kind, sea_captured_at, ticket_title)"
                " VALUES (?, ?, 'w', 'a', ?, 2, ?, ?, ?, ?, ?, ?, ?, ?, 'task', ?, ?)",
                (
                    *(number, TICKET.format(number), 3 if number == 2 else 1, NOW),
                    *("in_progress" if number == 2 else "assigned", int(number == 2), int(number == 2)),
                    *(*held, NOW, f"ticket {number}"),
                ),
            )
            connection.execute("INSERT INTO objectives VALUES (?, ?)", (number, f"objective {number}"))
        connection.execute(
            "INSERT INTO operations VALUES (?, 0, 2, 'operation', 'kora__claim_sea_ticket', 'allocated', NULL, NULL,"
            " ?, NULL)",
            (ATTEMPT.format(2), NOW),
        )
        tail = GENESIS
        for number in range(1, 7):
            tail = tell(connection, number, tail, number if number < 4 else None, {"n": number})
        connection.execute("INSERT INTO chains VALUES ('w', 'old', 6, ?)", (tail,))
    return path


def contents(path, tables):
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608
        return {table: [dict(row) for row in rows] for table, rows in found.items()}


def test_the_first_revision_comes_up_with_everything_there(first):
    tables = ("workspaces", "actor_registry", "runtimes", "objectives", "tickets", "operations", "events", "chains")
    before = contents(first, tables)

    assert migrate(f"sqlite:///{first}", workspace_id="w") == ("0001", REVISION)

    after = contents(first, tables)
    for row in before["runtimes"]:
        row["last_incarnation"] = row.pop("incarnation")
    for table in tables:
        columns = before[table][0].keys()
        assert [{name: row[name] for name in columns} for row in after[table]] == before[table], table
    with closing(sqlite3.connect(first)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_migrated_store_verifies_and_is_worked_on(first):
    with open_store(f"sqlite:///{first}", workspace_id="w", actor_id="a") as store:
        writer = store.writer(RuntimeRecord("old", "here", 1, "1"))
        with closing(writer), closing(store.reader()) as reader:
            assert (reader.verify().events, reader.verify().fault) == (6, None)
            incarnation = writer.next_incarnation()
            assert incarnation == 5
            (held,) = writer.held()
            assert (held.key.ticket_id, held.attempts_forgiven) == (TICKET.format(2), 0)
            end = Settlement(held.key, Resolution.COMPLETED, Status.COMPLETED, "done", None, {})
            result = writer.turn(incarnation, Turn(settle=[end], claim=ClaimOrder(5, 60.0)))
            assert result.settled == [held.key]
            assert [claim.ticket.ticket_objective for claim in result.claims] == ["objective 1", "objective 3"]
            assert (reader.verify().events, reader.verify().fault) == (10, None)


def test_a_migrated_store_is_made_as_a_new_one(first, tmp_path):
    migrate(f"sqlite:///{first}", workspace_id="w")
    migrate(f"sqlite:///{tmp_path / 'new.db'}", workspace_id="w")
    shape = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"

    with closing(sqlite3.connect(first)) as old, closing(sqlite3.connect(tmp_path / "new.db")) as new:
        assert old.execute(shape).fetchall() == new.execute(shape).fetchall()


@pytest.fixture
def worked(first):
    """The second ticket's present attempt follows three: one expired, one put off, one that failed."""
    with closing(sqlite3.connect(first, isolation_level=None)) as connection:
        ended = [
            (3, "abandoned", None, -60, -50),
            (4, "committed", '{"resolution":"released"}', -40, -20),
            (5, "committed", '{"resolution":"failed_retryable"}', -10, -5),
        ]
        for number, state, result, begun, over in ended:
            connection.execute(
                "INSERT INTO operations VALUES (?, 0, 2, ?, 'kora__claim_sea_ticket', ?, ?, NULL, ?, ?)",
                (ATTEMPT.format(number), f"o{number}", state, result, NOW + begun * 1_000_000, NOW + over * 1_000_000),
            )
        connection.execute("UPDATE tickets SET work_attempt_count = 4 WHERE ticket_no = 2")
        (tail,) = connection.execute("SELECT last_event_hash FROM chains").fetchone()
        told = [
            (2, {"verb": "add"}, "kora.operator.acted"),
            (2, {"work_attempt_id": ATTEMPT.format(3)}, "sea_ticket.claim_expired"),
            (2, {"resolution": "released", "cost_usd": 0.25}, "kora.sea_ticket.resolved"),
            (2, {"work_attempt_id": ATTEMPT.format(4)}, "sea_ticket.claim_released"),
            (2, {"resolution": "failed_retryable", "cost_usd": 1.5}, "kora.sea_ticket.resolved"),
            (2, {"work_attempt_id": ATTEMPT.format(5)}, "sea_ticket.claim_released"),
            (1, {"resolution": "completed"}, "kora.sea_ticket.resolved"),
        ]
        for number, (ticket_no, payload, event_type) in enumerate(told, 7):
            tail = tell(connection, number, tail, ticket_no, payload, event_type=event_type)
        connection.execute("UPDATE chains SET last_chain_seq = ?, last_event_hash = ?", (6 + len(told), tail))
    return first


def test_what_is_counted_is_counted_for_the_time_before_too(worked):
    migrate(f"sqlite:///{worked}", workspace_id="w")

    with closing(sqlite3.connect(worked)) as connection:
        tallies = connection.execute("SELECT * FROM tallies ORDER BY resolution").fetchall()
        tickets = connection.execute("SELECT claimed_at, ended_at, worked_us, cost_micro_usd FROM tickets").fetchall()
        attempts = connection.execute("SELECT work_attempt_id, attempt FROM operations ORDER BY attempt").fetchall()
        spent = connection.execute("SELECT * FROM spend").fetchall()
    minute = NOW // 60_000_000
    assert tallies == [
        ("w", minute, "old", "added", 1, 0, 0),
        ("w", minute, "old", "completed", 1, 0, 0),
        ("w", minute, "old", "expired", 1, 0, 10_000_000),
        ("w", minute, "old", "failed_retryable", 1, 1_500_000, 5_000_000),
        ("w", minute, "old", "released", 1, 250_000, 20_000_000),
    ]
    assert tickets == [(None, None, 0, 0), (NOW, NOW - 5_000_000, 35_000_000, 1_750_000), (None, None, 0, 0)]
    assert spent == [("w", 202609, "old", 1_750_000)]
    assert attempts == [(ATTEMPT.format(number), place) for place, number in enumerate((3, 4, 5, 2), 1)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT incarnation FROM runtimes WHERE runtime_id = ? AND workspace_id = ?",
        """INSERT INTO runtimes (runtime_id, workspace_id, host, pid, version, started_at, incarnation)
        VALUES (?, ?, 'here', 1, '0', 1, 1) ON CONFLICT (runtime_id) DO UPDATE SET incarnation = incarnation + 1
        WHERE workspace_id = excluded.workspace_id RETURNING incarnation""",
    ],
)
def test_a_writer_of_the_first_revision_that_is_still_there_writes_no_more(first, statement):
    with closing(sqlite3.connect(first, isolation_level=None)) as old:
        old.execute(statement, ("old", "w")).fetchall()
        migrate(f"sqlite:///{first}", workspace_id="w")

        with pytest.raises(sqlite3.OperationalError, match="incarnation") as raised:
            old.execute(statement, ("old", "w")).fetchall()

    assert isinstance(translate(raised.value, first), StoreUnusableError)


def test_a_migration_that_fails_leaves_the_store_as_it_was(first, monkeypatch):
    before = contents(first, ("sqlite_master", "events", "operations"))
    with closing(sqlite3.connect(first, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE clocks (in_the_way)")
    before["sqlite_master"] = contents(first, ("sqlite_master",))["sqlite_master"]

    with pytest.raises(Exception, match="clocks already exists"):
        run.upgrade(lambda: sqlite3.connect(first, isolation_level=None))

    assert contents(first, ("sqlite_master", "events", "operations")) == before


def test_the_newest_revision_is_the_last_that_is_known():
    assert KNOWN_REVISIONS[-1] == REVISION
