"""Bringing a schema up to date. Imports alembic and SQLAlchemy: to be imported only when a schema is behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool


def upgrade(connect: Callable[[], sqlite3.Connection]) -> None:
    """The schema is at the newest revision, brought there in one transaction; nothing changes if it was already there.

    The write lock is taken before the revision is read: of two processes the second finds the first one's work done.
    What SQLite raises leaves unwrapped.
    """
    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    sqlalchemy.event.listen(engine, "begin", _begin_immediate)
    config = Config()
    config.set_main_option("script_location", "kora.store.sqlite:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
