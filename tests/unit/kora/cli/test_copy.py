"""Copying the board to another store, as the command says it."""

import contextlib

import pytest

from kora.domain.ticket import NewTicket
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sql import copying
from tests.stores import open_new

ACTOR = "00000000-0000-5000-8000-000000000001"


@pytest.fixture
def board(here):
    with open_new(f"sqlite:///{here}/kora.db", workspace_id="w", actor_id=ACTOR) as store:
        with contextlib.closing(store.board()) as board:
            board.add([NewTicket(ticket_title="one"), NewTicket(ticket_title="two")], who="tester")
        yield store


@pytest.fixture
def copy(kora, board):
    def copy(*options, from_="sqlite:///kora.db", to="sqlite:///copy.db"):
        return kora("copy", "--from", from_, "--to", to, *options)

    return copy


def test_what_was_copied_is_said(copy, kora, monkeypatch):
    finished = copy()

    assert (finished.code, finished.err) == (0, "")
    assert finished.out == ("copied 2 tickets and 2 events to copy.db\nverified at both ends: 2 events in 1 chains\n")
    monkeypatch.setenv("KORA_STORE", "sqlite:///copy.db")
    assert [line.split("\t")[-1] for line in kora("ticket", "list").out.splitlines()[1:]] == ["one", "two"]


def test_a_program_gets_a_document(copy):
    document = copy("--json").document

    assert document["rows"]["tickets"] == 2
    assert (document["from"], document["to"], document["workspace"]) == ("kora.db", "copy.db", "w")
    assert (document["chains"], document["events_verified"], document["has_gone_on"]) == (1, 2, False)


@pytest.mark.parametrize(
    ("from_", "to", "said"),
    [
        ("kora.db", "sqlite:///copy.db", "--from"),
        ("sqlite:///kora.db", "mysql://db", "no store of the kind mysql"),
        ("sqlite:///kora.db", "sqlite:///./kora.db", "is the store that --from names"),
        ("postgresql://u:hidden@h:x/d", "sqlite:///copy.db", "a port that is no number"),
    ],
)
def test_wrong_urls_are_wrong_usage(copy, here, from_, to, said):
    finished = copy(from_=from_, to=to)

    assert finished.code == 2
    assert said in finished.err
    assert "hidden" not in finished.err
    assert not (here / "copy.db").exists()


def test_a_source_that_is_not_there_is_not_made(copy, here):
    finished = copy(from_="sqlite:///none.db")

    assert (finished.code, finished.err) == (
        7, "kora-actors: none.db: there is no such file, and so no board to be copied\n",
    )  # fmt: skip
    assert not (here / "none.db").exists()


def test_a_server_that_is_out_of_reach_is_said_to_be_so_without_its_password(copy):
    finished = copy(to="postgresql://u:hidden@127.0.0.1:1/d")

    assert finished.code == 7
    assert "hidden" not in finished.err
    assert "out of reach" in finished.err


def test_a_workspace_that_is_not_empty_is_refused(copy):
    copy()
    finished = copy()

    assert finished.code == 1
    assert finished.err.startswith("kora-actors: copy.db: workspace w has tickets and events already")


def test_a_board_that_is_worked_is_refused(copy, board):
    with contextlib.closing(board.writer(RuntimeRecord("runtime-1", "here", 7, "0"))) as writer:
        writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(2, 600.0)))

        finished = copy()

    assert finished.code == 1
    assert finished.err.count(" by runtime runtime-1 (here, process 7)\n") == 2


def test_an_unfinished_copy_is_refused_and_can_be_given_up(copy, kora, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(copying, "_compare", lambda *_: 1 / 0)
        assert copy().code == 1
    monkeypatch.setenv("KORA_STORE", "sqlite:///copy.db")

    refused = kora("ticket", "list")
    assert refused.code == 7
    assert "is an unfinished copy of sqlite:///" in refused.err
    given_up = copy("--discard")
    assert (given_up.code, given_up.out) == (0, "the unfinished copy was given up; the workspace is empty there\n")
    assert kora("ticket", "list", "--json").document == []
    assert copy("--discard").code == 1
