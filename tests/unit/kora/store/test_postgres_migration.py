"""A database of an earlier revision comes up to this one with everything that stood in it, whoever may see it."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from kora.domain.ticket import NewTicket
from kora.errors import RefusedError
from kora.store.open import migrate, open_store
from kora.store.postgres.schema import REVISION
from tests.unit.kora.store.postgres_roles import ACTOR

TICKET = "0190a000-0000-7000-8000-00000000000{}"
FILLED = """
SET search_path = kora;
INSERT INTO workspaces (workspace_id, created_at) VALUES ('w', 0), ('x', 0);
INSERT INTO workspace_roles SELECT '{keeper}', workspace_id, workspace_no FROM workspaces WHERE workspace_id = 'w';
INSERT INTO tickets (ticket_no, created_at, sea_captured_at, queue_state, rank, ticket_id, workspace_id,
                     assigned_to_actor_id, sea_status, sea_idea_kind, ticket_title)
SELECT (workspace_no << 40) + 1, 0, 0, 1, 1, '0190a000-0000-7000-8000-00000000000' || workspace_no, workspace_id,
       '{actor}', 'assigned', 'task', 'of ' || workspace_id
FROM workspaces;
INSERT INTO objectives SELECT ticket_no, repeat(ticket_title, 10000) FROM tickets
"""


@pytest.fixture
def url(postgres, database) -> str:
    """A database of revision 0001, by the revision's own words, whose owner was admitted to one of two workspaces."""
    keeper = f"keeper_{database}"
    postgres.execute(f"CREATE ROLE {keeper} LOGIN")
    postgres.execute(f"GRANT CREATE ON DATABASE {database} TO {keeper}")
    url = postgres.url(database, user=keeper)
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    config = Config()
    config.set_main_option("script_location", "kora.store.postgres:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as begun:
        begun.exec_driver_sql("CREATE SCHEMA kora")
        config.attributes["connection"] = begun
        command.upgrade(config, "0001")
    engine.dispose()
    postgres.execute(FILLED.format(keeper=keeper, actor=ACTOR), database=database)
    return url


def test_a_ticket_of_revision_0001_is_found_by_its_id_in_each_workspace(postgres, database, url):
    assert migrate(url, workspace_id="w") == ("0001", REVISION)

    for workspace_id, number in (("w", 1), ("x", 2)):
        migrate(url, workspace_id=workspace_id)
        with open_store(url, workspace_id=workspace_id, actor_id=ACTOR) as store, closing(store.reader()) as reader:
            assert reader.ticket(TICKET.format(number)).ticket_objective == f"of {workspace_id}" * 10_000
    indexes = postgres.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'tickets'", database=database)
    assert [text for (text,) in indexes if "ticket_id" in text] == []


def test_after_the_migration_an_id_is_still_unique_and_a_workspace_still_its_own(postgres, database, url):
    migrate(url, workspace_id="w")

    with psycopg.connect(url) as connection:
        seen = "SELECT (SELECT count(*) FROM kora.tickets), (SELECT count(*) FROM kora.objectives)"
        assert connection.execute(seen).fetchone() == (1, 1)
    with open_store(url, workspace_id="w", actor_id=ACTOR) as store, closing(store.board()) as board:
        for number, why in ((1, "there is a ticket .* already"), (2, "another workspace has a ticket of one of these")):
            with pytest.raises(RefusedError, match=why):
                board.add([NewTicket(ticket_title="a", ticket_id=TICKET.format(number))], who="ada")
    assert postgres.execute("SELECT count(*) FROM kora.tickets", database=database) == [(2,)]
