"""Bringing a schema up to date. Imports alembic and SQLAlchemy: to be imported only when a schema is behind."""

from __future__ import annotations

from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

# Of two that migrate at once the second waits here, and finds the first one's work done. The lock ends with the
# transaction.
_ONE_AT_A_TIME: Final = (
    "CREATE SCHEMA IF NOT EXISTS kora",
    """
CREATE TABLE IF NOT EXISTS kora.alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
""",
    "LOCK TABLE kora.alembic_version IN EXCLUSIVE MODE",
)


def upgrade(conninfo: str) -> None:
    """The schema is at the newest revision, brought there in one transaction; nothing changes if it was already there.

    What psycopg raises leaves unwrapped.
    """
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", "kora.store.postgres:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            for statement in _ONE_AT_A_TIME:
                connection.exec_driver_sql(statement)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()
