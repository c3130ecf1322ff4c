"""Copying a board from the store at one URL to the store at another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kora.clock import SystemTime
from kora.store.open import sqlite_path
from kora.store.sql.copy_source import Source
from kora.store.sql.copy_target import Target
from kora.store.sql.copying import copy
from kora.store.sqlite.connection import identity
from kora.store.sqlite.copy_statements import COPYING
from kora.store.sqlite.place import SqlitePlace
from kora.store.sqlite.schema import check_source, prepare, register_to_copy
from kora.store.url import SQLITE, checked_url, is_postgres, shown_url

if TYPE_CHECKING:
    from kora.clock import TimeSource
    from kora.store.postgres.place import PostgresPlace
    from kora.store.views import CopyResult


def copy_board(
    from_url: str,
    to_url: str,
    *,
    workspace_id: str,
    actor_id: str,
    who: str,
    told: Callable[[str, int, int], None],
    time: TimeSource | None = None,
) -> CopyResult:
    """The workspace's board stands at the other URL as it stands here: history, chains and archive records included.

    The source is only read. A file is made there if need be; a server's tables must be there (`migrate`). `told` hears
    what is done, how much of it, and of how much. Killed at any point, the same call goes on where it was, and until it
    has come to its end nobody else can work there.

    Raises:
        CopyError: claims are held, a chain is broken, the source has changed meanwhile, or the target is not empty.
        StoreUnusableError: one of them is no store, or not fit for this; the message says what is to be done.
        StoreUnavailableError: one of them is locked, full or out of reach.
    """
    time = time or SystemTime()
    with (
        _source(from_url, workspace_id, actor_id, time) as source,
        _target(to_url, workspace_id, actor_id, time) as target,
    ):
        return copy(source, target, origin=_origin(from_url), who=who, told=told)


def discard_copy(to_url: str, *, workspace_id: str, actor_id: str, time: TimeSource | None = None) -> None:
    """The workspace at this URL is empty, whose unfinished copy was given up. Raises as `copy_board` does."""
    with _target(to_url, workspace_id, actor_id, time or SystemTime()) as target:
        target.discard()


def is_same_store(one_url: str, other_url: str) -> bool:
    """Whether both URLs are known to lead to the same place. Raises `StoreUnusableError` for a URL that names none."""
    if is_postgres(one_url) or is_postgres(other_url):
        return one_url == other_url
    one, other = sqlite_path(one_url), sqlite_path(other_url)
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _origin(url: str) -> str:
    """The source as the target's mark and log name it."""
    return shown_url(url) if is_postgres(url) else f"{SQLITE}{sqlite_path(url).resolve()}"


@contextmanager
def _source(url: str, workspace_id: str, actor_id: str, time: TimeSource) -> Iterator[Source]:
    if is_postgres(url):
        from kora.store.postgres.copy_statements import COPYING as COPYING_THERE  # noqa: PLC0415 - psycopg costs 100 ms
        from kora.store.postgres.schema import check_source as check_there  # noqa: PLC0415 - as above

        place = _postgres(url, workspace_id, actor_id, time)
        check_there(place)
        source = Source(place, COPYING_THERE.source)
    else:
        path = sqlite_path(url)
        check_source(path, workspace_id)
        source = Source(SqlitePlace(path, workspace_id, actor_id, time, identity(path)), COPYING.source)
    with closing(source):
        yield source


@contextmanager
def _target(url: str, workspace_id: str, actor_id: str, time: TimeSource) -> Iterator[Target]:
    if is_postgres(url):
        from kora.store.postgres.copy_statements import COPYING as COPYING_THERE  # noqa: PLC0415 - psycopg costs 100 ms
        from kora.store.postgres.schema import check_target  # noqa: PLC0415 - as above

        there = _postgres(url, workspace_id, actor_id, time)
        check_target(there)
        target = Target(there, COPYING_THERE)
    else:
        path = sqlite_path(url)
        prepare(path)
        place = SqlitePlace(path, workspace_id, actor_id, time, identity(path))
        register_to_copy(place)
        target = Target(place, COPYING)
    with closing(target):
        yield target


def _postgres(url: str, workspace_id: str, actor_id: str, time: TimeSource) -> PostgresPlace:
    from kora.store.postgres.place import PostgresPlace  # noqa: PLC0415 - psycopg costs 100 ms

    return PostgresPlace(checked_url(url), shown_url(url), workspace_id, actor_id, time)
