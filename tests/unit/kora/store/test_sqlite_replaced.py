"""A store whose file is removed or replaced while it is open."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from kora.domain.ticket import NewTicket
from kora.errors import StoreUnusableError
from kora.store.open import open_store
from kora.store.port import RuntimeRecord

HANDLES = {
    "writer": lambda store, _: store.writer(RuntimeRecord("r", "here", 1, "0")),
    "reader": lambda store, _: store.reader(),
    "board": lambda store, _: store.board(),
    "archive": lambda store, folder: store.archive(
        folder, datetime(2100, 1, 1, tzinfo=UTC), who="tester", progress=lambda *_: None
    ),
}


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


@pytest.mark.parametrize("instead", ["nothing", "an empty file", "another store"])
@pytest.mark.parametrize("handle", HANDLES)
def test_no_handle_is_made_to_another_file_and_none_is_changed(*, tmp_path, store, path, add, handle, instead):
    other = tmp_path / "other.db"
    if instead == "another store":
        with closing(open_store(f"sqlite:///{other}", workspace_id="w", actor_id="a").board()) as board:
            board.add([NewTicket(ticket_title="theirs")], who="them")
    elif instead == "an empty file":
        other.touch()
    # One that stays open, so that something stands in the log.
    with closing(store.reader()) as reader:
        ids = add(3)
        path.rename(tmp_path / "away.db")
        if other.exists():
            other.rename(path)
        before = contents(tmp_path)
        assert before["kora.db-wal"]

        with pytest.raises(StoreUnusableError, match="was removed or replaced while it was in use; put the file back"):
            HANDLES[handle](store, tmp_path / "cold")

        assert contents(tmp_path) == before
        assert [ticket.ticket_id for ticket in reader.tickets()] == ids
    (tmp_path / "away.db").rename(path)
    with closing(store.reader()) as reader:
        assert [ticket.ticket_id for ticket in reader.tickets()] == ids


def test_a_file_that_is_replaced_between_the_look_and_the_opening_is_not_worked_on(store, path, monkeypatch):
    real = sqlite3.connect

    def late(*args, **options):
        path.rename(path.with_name("away.db"))
        path.touch()
        return real(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", late)
    with pytest.raises(StoreUnusableError, match="was removed or replaced"):
        store.board()
