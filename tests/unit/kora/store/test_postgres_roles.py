"""What each role may do in a PostgreSQL store, refused by the server itself; and what it may not see."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from psycopg import errors

from kora.domain.ticket import NewTicket
from kora.errors import RefusedError, StoreUnusableError
from kora.store.open import migrate, roles_sql
from kora.store.postgres.connection import steps
from kora.store.postgres.operate_statements import BEGIN, END, STANDING
from kora.store.postgres.read_statements import READ, REPORT
from kora.store.postgres.statements import HELD_BY, TICKET
from kora.store.postgres.turn_statements import ANY_RAN_OUT, OPEN_TURN, TURN
from tests.unit.kora.store.postgres_roles import ACTOR, OURS, THEIRS, Roles, made, psql

SHARED = {"alembic_version"}
"""tables in which nothing is anybody's"""
NUMBERED = {"objectives", "operations", "dependencies"}
"""tables whose rows say by a ticket's number whose they are"""


@pytest.fixture(scope="module")
def roles(postgres) -> Roles:
    return made(postgres, "two_workspaces")


def test_what_is_printed_may_be_applied_again_and_changes_nothing(roles):
    before = roles.server.execute("SELECT datname, datacl::text FROM pg_database ORDER BY 1")

    printed = roles_sql(roles.url(roles.owner), workspace_id=OURS, runtime_role=roles.ours)
    said = psql(roles.server, printed)

    assert "CREATE" not in said
    assert roles.server.execute("SELECT datname, datacl::text FROM pg_database ORDER BY 1") == before


def test_what_is_printed_shows_each_step_of_migrate_and_carries_none_out(roles):
    printed = roles_sql(roles.url(roles.owner), workspace_id=THEIRS, runtime_role=roles.ours)

    done, shown = printed.split("-- Part 2")
    assert all(line.startswith("--") for line in shown.splitlines()[1:])
    for step in ("'their''s'", f'TO "{roles.ours}"', "GRANT DELETE ON kora.dependencies", "workspace_roles"):
        assert step in shown
        assert step not in done.replace(f'DATABASE "{roles.database}" TO "{roles.ours}"', "")


@pytest.mark.parametrize(
    ("url", "role", "why"),
    [
        ("postgresql://here/kora", 'a"; DROP ROLE x; --', None),
        ("postgresql://here/kora", "it's\\", None),
        ("postgresql://here/kora", "a\nb", "a control character"),
        ("postgresql://a%0Ab@here/kora", "b", "a control character"),
        ("postgresql://same@here/kora", "same", "cannot be both"),
    ],
)
def test_a_name_is_quoted_or_refused(postgres, url, role, why):
    if why is None:
        psql(postgres, f"BEGIN;{roles_sql(url, workspace_id='w', runtime_role=role).split('-- Sorted')[0]}")
        return
    with pytest.raises(StoreUnusableError, match=why):
        roles_sql(url, workspace_id="w", runtime_role=role)


@pytest.fixture
def unfinished_copies(roles):
    """One into each workspace, in which nobody can work for as long."""
    roles.server.execute(
        "INSERT INTO kora.unfinished_copies SELECT workspace_id, '', '', '' FROM kora.workspaces",
        database=roles.database,
    )
    yield
    roles.server.execute("DELETE FROM kora.unfinished_copies", database=roles.database)


@pytest.mark.usefixtures("unfinished_copies")
def test_each_role_sees_its_own_workspaces_rows_of_every_table_and_no_others(roles):
    for table in sorted(set(roles.tables()) - SHARED):
        ours, theirs = roles.rows(roles.ours, table), roles.rows(roles.theirs, table)
        assert ours, table
        assert theirs, table
        assert not ours & theirs, table


def test_no_way_of_asking_shows_another_workspaces_rows(roles):
    for statement in (
        "SELECT 1 FROM kora.tickets AS a CROSS JOIN kora.tickets AS b WHERE b.workspace_id <> 'ours'",
        "SELECT 1 FROM kora.operations AS o LEFT JOIN kora.tickets AS t USING (ticket_no) WHERE t.ticket_no IS NULL",
        "SELECT 1 FROM kora.events WHERE (SELECT count(*) FROM kora.events WHERE workspace_id <> 'ours') > 0",
        "SELECT 1 FROM pg_stats WHERE schemaname = 'kora' AND tablename = 'tickets'",
        "TABLE kora.workspaces EXCEPT SELECT * FROM kora.workspaces WHERE workspace_id = 'ours'",
    ):
        assert roles.ask(roles.ours, statement) == [], statement


def test_a_condition_of_ones_own_is_not_asked_about_another_workspaces_rows(roles):
    """As a function that tells what it was asked would."""
    statement = "SELECT ticket_title FROM kora.tickets WHERE 1 / (CASE workspace_id WHEN 'ours' THEN 1 ELSE 0 END) = 1"

    assert len(roles.ask(roles.ours, statement)) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE kora.tickets SET last_summary = 'mine'",
        "UPDATE kora.operations SET state = 'abandoned'",
        "UPDATE kora.chains SET last_chain_seq = 0",
        "UPDATE kora.tallies SET attempts = 0",
        "UPDATE kora.runtimes SET last_incarnation = 99",
        "UPDATE kora.workspaces SET seq_shift = 0",
        "UPDATE kora.workspaces SET stop_level = 0, epoch = 9, paced_at = 0",
        "UPDATE kora.control_marks SET stage = 0",
        "UPDATE kora.spend SET micro_usd = 0",
        "UPDATE kora.watchers SET seen_at = 0",
        "DELETE FROM kora.watchers",
        "DELETE FROM kora.dependencies",
    ],
)
def test_what_a_runtime_changes_it_changes_in_its_own_workspace_alone(roles, change):
    with psycopg.connect(roles.url(roles.ours)) as connection:
        table = change.split("kora.")[1].split()[0]
        changed = connection.execute(change).rowcount
        connection.rollback()

    assert changed == len(roles.rows(roles.ours, table))


def theirs_number(roles) -> int:
    return roles.ask(roles.theirs, "SELECT max(ticket_no) FROM kora.tickets")[0][0]


def test_no_row_can_be_put_into_another_workspace(roles):
    number = theirs_number(roles)
    rows = {
        "actor_registry": "(workspace_id, actor_id, actor_kind, registered_at) VALUES ('their''s', 'x', 'kora', 0)",
        "runtimes": "(runtime_id, workspace_id, host, pid, version, started_at, last_seen, last_incarnation)"
        " VALUES ('x', 'their''s', '', 0, '', 0, 0, 0)",
        "events": "SELECT * FROM kora.events WHERE false UNION ALL SELECT 1, 0, NULL, 1, 'their''s', 'x', 'x', 'x',"
        " '{}', decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')",
        "chains": "(workspace_id, chain_id, last_chain_seq, last_event_hash)"
        " VALUES ('their''s', 'x', 0, decode(repeat('00', 32), 'hex'))",
        "tallies": "VALUES ('their''s', 0, 1, 0, 0, 'x', 'added')",
        "objectives": f"VALUES ({number + 1}, 'x', 'x')",
        "operations": "(ticket_no, allocated_at, sequence_within_attempt, attempt, work_attempt_id, kora_operation_id,"
        f" tool_name, state) VALUES ({number}, 0, 9, 1, 'x', 'x', 'x', 'allocated')",
        "dependencies": f"VALUES ({number}, {number - 1})",
        "control_commands": "(workspace_id, command_no, command_id, level, reason, issuer, issuer_actor_kind,"
        " created_at, enforce_us) VALUES ('their''s', 99, 'x', 1, '', '', 'operator', 0, 0)",
        "control_marks": "VALUES ('their''s', 'x', 'x', 'enforced', 4, 0, '')",
        "spend": "VALUES ('their''s', 202611, 'x', 1)",
        "ceilings": "VALUES ('their''s', 0, 0, 'x')",
        "watchers": "VALUES ('their''s', 'x', '', 0, 0)",
    }
    ticket = (
        "(ticket_no, created_at, sea_captured_at, queue_state, rank, ticket_id, workspace_id, assigned_to_actor_id,"
        " sea_status, sea_idea_kind, ticket_title) VALUES ({}, 0, 0, 1, 1, 'x', '{}', 'x', 'assigned', '', '')"
    )
    for table, row in rows.items():
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            roles.ask(roles.ours, f"INSERT INTO kora.{table} {row}")
    for workspace_id, no in (("their''s", number + 1), ("ours", number + 1)):
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            roles.ask(roles.ours, f"INSERT INTO kora.tickets {ticket.format(no, workspace_id)}")
    (own,) = roles.ask(roles.ours, "SELECT max(ticket_no) FROM kora.tickets")[0]
    with pytest.raises(errors.CheckViolation):
        roles.ask(roles.ours, "INSERT INTO kora.dependencies VALUES (%s, %s)", own, number)


REFUSED = [
    "UPDATE kora.events SET payload = '{}'",
    "DELETE FROM kora.events",
    "TRUNCATE kora.events",
    "SELECT 1 FROM kora.events FOR UPDATE",
    "UPDATE kora.chains SET archived_chain_seq = 1",
    "DELETE FROM kora.chains",
    "UPDATE kora.tickets SET ticket_id = 'x'",
    "UPDATE kora.tickets SET ticket_no = 1",
    "UPDATE kora.tickets SET workspace_id = 'their''s'",
    "DELETE FROM kora.tickets",
    "UPDATE kora.objectives SET ticket_objective = 'x'",
    "UPDATE kora.objectives SET ticket_id = 'x'",
    "UPDATE kora.operations SET kora_operation_id = 'x'",
    "DELETE FROM kora.operations",
    "DELETE FROM kora.runtimes",
    "DELETE FROM kora.tallies",
    "INSERT INTO kora.archives SELECT * FROM kora.archives",
    "DELETE FROM kora.archives",
    "INSERT INTO kora.unfinished_copies VALUES ('ours', '', '', '')",
    "DELETE FROM kora.unfinished_copies",
    "UPDATE kora.workspaces SET claim_permission = 'none'",
    "UPDATE kora.control_commands SET level = 0",
    "DELETE FROM kora.control_commands",
    "DELETE FROM kora.control_marks",
    "DELETE FROM kora.spend",
    "UPDATE kora.ceilings SET reset_no = 0",
    "DELETE FROM kora.ceilings",
    "INSERT INTO kora.workspaces (workspace_id, created_at) VALUES ('mine', 0)",
    "INSERT INTO kora.workspace_roles SELECT current_user, 'their''s', 2",
    "UPDATE kora.workspace_roles SET workspace_no = 2",
    "UPDATE kora.alembic_version SET version_num = '0002'",
    "LOCK TABLE kora.tickets IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE kora.events IN SHARE MODE",
    "ALTER POLICY own_workspace ON kora.tickets USING (true)",
    "DROP POLICY own_workspace ON kora.tickets",
    "ALTER TABLE kora.tickets NO FORCE ROW LEVEL SECURITY",
    "CREATE OR REPLACE FUNCTION kora.now_us() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
    "CREATE TRIGGER t BEFORE INSERT ON kora.tickets FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TABLE kora.mine (a integer)",
    "CREATE TABLE public.mine (a integer)",
    "CREATE TEMPORARY TABLE mine (a integer)",
    "CREATE SCHEMA mine",
    "SET ROLE {owner}",
    "SET ROLE {theirs}",
    "SET SESSION AUTHORIZATION {owner}",
    "GRANT SELECT ON kora.tickets TO PUBLIC",
    "COPY kora.tickets TO PROGRAM 'cat'",
    "SET row_security = off; SELECT 1 FROM kora.tickets",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_a_runtimes_role_may_not(roles, statement):
    named = {name: f'"{getattr(roles, name)}"' for name in ("owner", "theirs")}
    spelt = statement.replace("{owner}", named["owner"]).replace("{theirs}", named["theirs"])

    with psycopg.connect(roles.url(roles.ours)) as connection:
        if statement.startswith("GRANT"):
            connection.execute(spelt)
            assert "no privileges were granted" in notices(connection, spelt)
            return
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(spelt)


def notices(connection, statement: str) -> str:
    said = []
    connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
    connection.execute(statement)
    return " ".join(said)


def test_the_owner_sees_only_what_it_is_admitted_to(roles):
    """Which it can change: this keeps its mistakes small, and keeps nothing from it."""
    with psycopg.connect(roles.url(roles.owner)) as connection:
        connection.execute("DELETE FROM kora.workspace_roles WHERE role_name = current_user AND workspace_id <> 'ours'")
        seen = connection.execute("SELECT DISTINCT workspace_id FROM kora.tickets").fetchall()
        events = connection.execute("DELETE FROM kora.events RETURNING workspace_id").fetchall()
        connection.rollback()

    assert seen == [(OURS,)]
    assert set(events) == {(OURS,)}


def test_a_superuser_sees_everything(roles):
    found = roles.server.execute("SELECT DISTINCT workspace_id FROM kora.tickets ORDER BY 1", database=roles.database)

    assert found == [(OURS,), (THEIRS,)]


def test_a_role_of_no_workspace_sees_nothing_and_is_told_what_to_do(roles):
    roles.server.execute(f'CREATE ROLE "idle of {roles.database}" LOGIN')
    idle = f"idle of {roles.database}"
    roles.server.execute(f'GRANT CONNECT ON DATABASE "{roles.database}" TO "{idle}"')
    with pytest.raises(StoreUnusableError, match="does not let this role do that: see `kora-actors migrate --print"):
        roles.open(idle, OURS)

    roles.server.execute(f'GRANT "ours of {roles.database}" TO "{idle}"')
    for table in sorted(set(roles.tables()) - SHARED):
        assert roles.rows(idle, table) == set(), table
    with pytest.raises(StoreUnusableError, match=f"no workspace {OURS} there; .* `kora-actors migrate`"):
        roles.open(idle, OURS)


def test_a_role_that_may_only_read_sees_the_board_and_changes_nothing(roles):
    looker = f"looker of {roles.database}"
    for statement in (
        f'CREATE ROLE "{looker}" LOGIN',
        f'GRANT CONNECT ON DATABASE "{roles.database}" TO "{looker}"',
        f'GRANT USAGE ON SCHEMA kora TO "{looker}"',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA kora TO "{looker}"',
    ):
        roles.server.execute(statement, database=roles.database)
    roles.server.execute(
        "INSERT INTO kora.workspace_roles SELECT %s, workspace_id, workspace_no FROM kora.workspaces"
        " WHERE workspace_id = %s",
        *(looker, OURS),
        database=roles.database,
    )

    with roles.open(looker, OURS) as store, closing(store.reader()) as reader, closing(store.board()) as board:
        assert [ticket.ticket_title for ticket in reader.tickets()] == ["first", "second"]
        assert reader.verify().fault is None
        with pytest.raises(StoreUnusableError, match="does not let this role do that"):
            board.add([NewTicket(ticket_title="third")], who="ada")


def test_a_runtime_is_told_of_a_workspace_that_is_not_its(roles):
    for workspace_id in (THEIRS, "no such workspace"):
        with pytest.raises(StoreUnusableError, match=f"this role has no workspace {workspace_id} there"):
            roles.open(roles.ours, workspace_id)


def test_a_role_that_would_see_more_is_not_admitted(roles):
    server, all_seeing, member = roles.server, f"all of {roles.database}", f"member of {roles.database}"
    server.execute(f'CREATE ROLE "{all_seeing}" LOGIN BYPASSRLS')
    server.execute(f'CREATE ROLE "{member}" LOGIN IN ROLE "{roles.owner}"')
    before = server.execute("SELECT * FROM kora.workspace_roles ORDER BY 1", database=roles.database)

    for role, why in (
        (all_seeing, "BYPASSRLS"),
        ("postgres", "superuser"),
        (member, "is a member of the role that migrates"),
        (roles.owner, "is the role that migrates"),
        ("nobody at all", "has no role nobody at all; create it"),
    ):
        with pytest.raises(StoreUnusableError, match=why):
            migrate(roles.url(roles.owner), workspace_id=OURS, runtime_role=role)
    assert server.execute("SELECT * FROM kora.workspace_roles ORDER BY 1", database=roles.database) == before


def test_an_id_that_another_workspace_has_is_refused_without_a_word_of_it(roles):
    (theirs,) = roles.ask(roles.theirs, "SELECT ticket_id FROM kora.tickets LIMIT 1")[0]
    before = roles.rows(roles.ours, "tickets")

    with roles.open(roles.ours, OURS) as store, closing(store.board()) as board:
        with pytest.raises(RefusedError, match="another workspace has a ticket of one of these ids"):
            board.add([NewTicket(ticket_title="a", ticket_id=theirs)], who="ada")
        with pytest.raises(errors.UniqueViolation) as refused:
            roles.ask(
                roles.ours,
                "INSERT INTO kora.objectives (ticket_no, ticket_id, ticket_objective)"
                " SELECT max(ticket_no) + 1, %s, '' FROM kora.tickets",
                theirs,
            )
    assert refused.value.diag.message_detail is None
    assert roles.rows(roles.ours, "tickets") == before


# Whether the policies leave each statement its index

TICKETS = 10_000
CROWD = """
SET search_path = kora;
INSERT INTO tickets (ticket_no, created_at, sea_captured_at, queue_state, rank, ticket_id, workspace_id,
                     assigned_to_actor_id, sea_status, sea_idea_kind, ticket_title, next_eligible_at)
SELECT (workspace_no << 40) + 100 + n, n, 0, n % 3, n % 4, workspace_no || '-' || n, workspace_id, %(actor)s,
       CASE n % 3 WHEN 0 THEN 'completed' ELSE 'assigned' END, '', '', CASE n % 3 WHEN 2 THEN n END
FROM workspaces, generate_series(1, %(tickets)s) AS n;
INSERT INTO objectives SELECT ticket_no, 'x', ticket_id FROM tickets ON CONFLICT DO NOTHING;
INSERT INTO operations (ticket_no, allocated_at, sequence_within_attempt, attempt, work_attempt_id, kora_operation_id,
                        tool_name, state)
SELECT ticket_no, 0, sequence, 1, ticket_id, sequence, 'x', 'committed' FROM tickets, generate_series(0, 2) AS sequence;
INSERT INTO events
SELECT n, 0, (workspace_no << 40) + 100 + n, n, workspace_id, n, 'x', 'a', '{}', decode(repeat('00', 32), 'hex'),
       decode(repeat('00', 32), 'hex')
FROM workspaces, generate_series(1, %(tickets)s) AS n
""".replace(" % ", " %% ")


@pytest.fixture(scope="module")
def crowd(postgres) -> Roles:
    """A board in whose workspaces the tickets lie in all states."""
    roles = made(postgres, "crowd")
    with psycopg.connect(postgres.url(roles.database), autocommit=True, cursor_factory=psycopg.ClientCursor) as bare:
        bare.execute(CROWD, {"tickets": TICKETS, "actor": ACTOR})
    postgres.execute("ANALYZE", database=roles.database)
    return roles


KEYS = '[["1-1", 1, "1-1", 1]]'
ASKED = {
    "open turn": (OPEN_TURN, (OURS, f"runtime of {OURS}", ACTOR)),
    "any ran out": (ANY_RAN_OUT, (OURS, f"runtime of {OURS}")),
    "refresh": (TURN.refresh, (1, KEYS, OURS, "x", 0)),
    "refreshed": (TURN.refreshed, (1, KEYS, OURS, "x")),
    "to settle": (TURN.to_settle.statement, (OURS, "x", [0], ["1-1"], [1], ["1-1"])),
    "run out": (TURN.run_out, (OURS, 5)),
    "held by any": (TURN.held_by_any, (OURS, '["x"]')),
    "held by": (HELD_BY, (OURS, "x")),
    "promote": (TURN.promote, (OURS, ACTOR, 50, 200)),
    "ready": (TURN.ready, (OURS, ACTOR, 64)),
    "next eligible": (TURN.next_eligible, (OURS, ACTOR)),
    "claim": (TURN.claim_tickets.statement, ("x", 1, 1, [1], ["1-1"])),
    "standing": (STANDING, ('[["1-1", 1, "1-1", 1, "a"]]', OURS, "x")),
    "begin": (BEGIN, ("1-1", OURS, 1, "1-1", "x", 1, "k", 1, "t", "key")),
    "end": (END, ("1-1", OURS, 1, "1-1", "x", 1, "k", 1, "committed", None, None)),
    "charged": (TURN.steering.charged, (OURS, '[["1-1", "1-1"]]')),
    "charge": (TURN.steering.charge, ('[["1-1", 1]]',)),
    "add cost": (TURN.steering.add_cost, ("[[1, 1]]",)),
    "abandon earlier": (TURN.abandon_earlier, (1, "[1]")),
    "ticket": (TICKET, ("1-1", OURS)),
    "tickets after": (READ.tickets_after, (OURS, 0, 10)),
    "events after": (READ.events_after, (OURS, 0, 2**62, 10)),
    "events of a ticket": (READ.events_of_ticket_after, ("1-1", OURS, 0, 2**62, None, 10)),
    "claims": (REPORT.claims, (OURS,)),
    "for a person": (REPORT.for_a_person, (OURS, 5)),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_policy_leaves_a_statement_its_index(crowd, name):
    text, bound = ASKED[name]
    with psycopg.connect(crowd.url(crowd.ours), autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        for statement, places in steps(text):
            asked = connection.execute(f"EXPLAIN {statement}", [bound[place] for place in places])
            plan = "\n".join(line for (line,) in asked.fetchall())
            for table in ("tickets", "objectives", "operations", "events"):
                assert f"Seq Scan on {table}" not in plan, plan


def test_a_plan_that_reads_the_whole_table_is_seen(crowd):
    plan = crowd.ask(crowd.ours, "EXPLAIN SELECT count(*) FROM kora.tickets WHERE ticket_title = 'x'")

    assert any("Seq Scan on tickets" in line for (line,) in plan)
