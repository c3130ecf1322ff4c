"""Bringing a schema up to date. Imports alembic and SQLAlchemy: to be imported only when a schema is behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

ONE_AT_A_TIME: Final = "LOCK TABLE kora.alembic_version IN EXCLUSIVE MODE"
"""of two that migrate at once the second waits here, and finds the first's work done; it ends with the transaction"""

_MAKE_LOCK: Final = (
    "CREATE SCHEMA IF NOT EXISTS kora",
    """
CREATE TABLE IF NOT EXISTS kora.alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
""",
)
_TRIES: Final = 5


def upgrade(conninfo: str) -> None:
    """The schema is at the newest revision, brought there in one transaction; nothing changes if it was already there.

    What psycopg raises leaves unwrapped.
    """
    for _ in range(_TRIES - 1):
        # Of two that make a schema of one name at once PostgreSQL refuses the second, once the first has done.
        with suppress(errors.UniqueViolation):
            _upgrade(conninfo)
            return
    _upgrade(conninfo)


def _upgrade(conninfo: str) -> None:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", "kora.store.postgres:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            for statement in (*_MAKE_LOCK, ONE_AT_A_TIME):
                connection.exec_driver_sql(statement)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()
