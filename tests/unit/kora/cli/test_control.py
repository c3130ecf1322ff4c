"""STOP commands on the command line: what is said of them, what stands in the store, and how they are followed."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from kora.domain.control import Command, CommandStatus, IssuerKind, Mark, StopLevel
from kora.domain.ticket import NewTicket
from kora.store.port import ClaimOrder
from tests.unit.kora.cli.conftest import SHIP, boarding, newest, plain

NOW = datetime(2026, 7, 4, 9, 30, tzinfo=UTC)
ID = "0199c2f0-6d1e-7a3b-8c4d-0123456789ab"
OTHER = "0199c2f0-6d1e-7a3b-8c4d-0123456789ac"
NO_WATCHER = "control escalation unavailable - use level 4 by hand"


def said(out):
    """What is told, by its label."""
    return dict(re.split(" {2,}", line, maxsplit=1) for line in out.splitlines())


def test_a_stop_says_what_will_happen_and_within_which_time(kora, here, ship):
    done = kora("control", "stop", "3", "--reason", "they delete tests")

    assert done.code == 0
    told = said(done.out)
    assert told.pop("command") == f"{newest(kora)['command_id']}: level 3, abort_release_claim"
    assert told.pop("until").endswith("kora-actors control reset")
    assert told == {
        "claims": f"none from now on, by any runtime of workspace w in sqlite:///{here}/kora.db",
        "what runs": "is stopped now; its tickets go back, eligible at once",
        "within": "1 min 30 s; a watcher stops by level 4 what is late",
        "watcher": NO_WATCHER,
        "runtimes": "ship/4711 created",
    }


def test_from_a_stop_on_nothing_is_claimed_and_from_a_reset_on_again(kora, store, ship):
    with boarding(store) as board:
        board.add([NewTicket(ticket_title="t")], who="test")

    kora("control", "stop", "1", "--reason", "r")
    assert ship.turn(claim=ClaimOrder(1, 60.0)).claims == []
    kora("control", "reset")
    assert len(ship.turn(claim=ClaimOrder(1, 60.0)).claims) == 1


def test_who_is_at_the_keyboard_is_on_record(kora, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ishmael")
    kora("control", "stop", "2", "--reason", "  the whale  ")
    kora("control", "reset")

    reset, stop = kora("control", "list", "--json").document
    assert (stop["issuer"], stop["issuer_actor_kind"], stop["reason"]) == ("ishmael", "operator", "the whale")
    assert (reset["level"], reset["action"], reset["issuer"], reset["status"]) == (0, "reset", "ishmael", "enforced")
    assert (stop["status"], stop["superseded_by"], stop["is_open"]) == ("superseded", reset["command_id"], False)


@pytest.mark.parametrize(("level", "seconds"), [("1", 11), ("2", 12), ("3", 13), ("4", 14), ("5", 14)])
def test_each_level_is_to_be_enforced_within_its_own_time(kora, here, level, seconds):
    with (here / "supervisor.toml").open("a") as file:
        file.write("[control]\n")
        file.writelines(f"level_{number}_seconds = {number + 10}\n" for number in range(1, 5))

    kora("control", "stop", level, "--reason", "r")

    assert newest(kora)["enforce_seconds"] == seconds
    assert newest(kora)["level"] == int(level)


@pytest.mark.parametrize("level", ["0", "6", "-1", "high", "block_new_intake", ""])
def test_what_is_no_level_is_answered_with_what_each_does_and_stops_nothing(kora, level):
    done = kora("control", "stop", "--reason", "r", "--", level)

    assert (done.code, done.out) == (2, "")
    for each, action in enumerate(["block_new_intake", "drain_current_finish", "abort_release_claim"], 1):
        assert f"\n  {each}  {action} " in done.err
    assert done.err.count("external_kill") == 2
    assert kora("control", "list").out == "no command was ever given\n"


def test_level_0_is_told_what_it_is_called(kora):
    assert "0 stops nothing: that is `control reset`" in kora("control", "stop", "0", "--reason", "r").err


@pytest.mark.parametrize(
    "arguments",
    [
        ["stop", "1"],
        ["stop", "1", "--reason", " "],
        ["stop", "1", "--reason", "r" * 1_001],
        ["stop", "1", "--reason", "r", "--timeout", "1"],
        ["stop", "1", "--reason", "r", "--wait", "--timeout", "-1"],
        ["reset", "--reason", ""],
        ["list", "--limit", "0"],
        ["--json", "list"],
    ],
)
def test_wrong_usage_ends_with_2_and_leaves_the_log_as_it_was(kora, arguments):
    assert kora("control", *arguments).code == 2
    assert kora("control", "list", "--json").document == []


def test_a_stop_asks_nobody_on_a_terminal_neither(kora, on_terminal, monkeypatch):
    class Silent:
        def isatty(self):
            return True

        def readline(self):
            raise AssertionError("asked")

    monkeypatch.setattr("sys.stdin", Silent())
    on_terminal(120)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    assert [kora("control", "stop", level, "--reason", "r").code for level in "12345"] == [0] * 5


def test_a_watcher_that_is_there_is_told_of(kora, store):
    with boarding(store) as board:
        board.watch(ID, host="ship", pid=1)
        assert said(kora("control", "stop", "1", "--reason", "r").out)["watcher"].startswith("alive, seen ")
        board.unwatch(ID)
        assert said(kora("control", "stop", "1", "--reason", "r").out)["watcher"] == NO_WATCHER


def test_a_runtime_that_is_late_with_level_4_is_killed_not_escalated(kora):
    assert "a watcher kills (SIGKILL) what is late" in kora("control", "stop", "4", "--reason", "r").out


def test_where_no_runtime_is_there_it_says_so(kora):
    assert said(kora("control", "stop", "1", "--reason", "r").out)["runtimes"] == "none is there"


def test_a_runtime_that_is_not_seen_any_more_and_holds_claims_is_named(kora, here, store, ship):
    with boarding(store) as board:
        board.add([NewTicket(ticket_title="t")], who="test")
    assert len(ship.turn(claim=ClaimOrder(1, 600.0)).claims) == 1
    with sqlite3.connect(here / "kora.db") as connection:
        connection.execute("UPDATE runtimes SET last_seen = last_seen - 60000000")
    connection.close()

    told = said(kora("control", "stop", "3", "--reason", "r").out)

    assert told["runtimes"] == "ship/4711 created"
    assert re.fullmatch(rf"ship/4711, {SHIP}, seen 1 min( \d s)? ago, 1 claim", told["silent"])


def test_a_lower_command_after_a_higher_one_is_said_to_soften_nothing(kora):
    kora("control", "stop", "3", "--reason", "first")

    told = said(kora("control", "stop", "1", "--reason", "second").out)

    assert told["holds"].startswith("level 3, abort_release_claim, by ")
    assert told["holds"].endswith(": first; this one softens nothing")


def test_a_reset_names_what_it_has_cleared(kora):
    kora("control", "stop", "1", "--reason", "one")
    kora("control", "stop", "4", "--reason", "four")

    done = kora("control", "reset", "--reason", "all is well")

    head, *lines, again = done.out.splitlines()
    assert (
        head
        == "reset: 2 commands superseded; over too: the retry ceiling, what a boot gate held, a wait for a provider"
    )
    assert sorted(line.rsplit(": ")[-1] for line in lines) == ["four", "one"]
    assert "are to be started again: " in again
    assert newest(kora)["reason"] == "all is well"


def test_a_reset_of_nothing_is_a_reset_all_the_same(kora):
    assert kora("control", "reset").out.startswith("reset: 0 commands superseded")
    assert kora("control", "reset", "--json").document == {"superseded": []}
    assert [each["level"] for each in kora("control", "list", "--json").document] == [0, 0]


def test_a_reset_says_that_the_pool_is_still_used_up(kora, here):
    with (here / "supervisor.toml").open("a") as file:
        file.write("[cost]\npool_usd = 10\n")
    kora("cost", "reconcile", "10")

    assert "the credit pool is used up" in kora("control", "reset").out


def command(**changes):
    fields = {
        "command_id": ID,
        "level": StopLevel.ABORT_RELEASE_CLAIM,
        "reason": "they delete\x1b[2J tests",
        "issuer": "ada",
        "issuer_actor_kind": IssuerKind.OPERATOR,
        "created_at": NOW,
        "enforce_seconds": 90.0,
        "marks": [Mark(SHIP, CommandStatus.FAILED, NOW + timedelta(seconds=90), "1 claim is held")],
        "awaited": [OTHER],
    }
    return Command(**{**fields, **changes})


class Log:
    def __init__(self, *commands):
        self.found = list(commands)

    def commands(self, limit=None):
        return self.found[:limit]

    def fleet(self):
        return []


def test_a_command_is_a_line_with_how_far_each_runtime_has_come(kora, reads):
    reads(Log(command()))

    head, line = (row.split("\t") for row in kora("control", "list").out.splitlines())

    assert head == ["created_at", "level", "action", "status", "issuer", "runtimes", "reason", "command_id"]
    assert line == [
        "2026-07-04T09:30:00Z",
        "3",
        "abort_release_claim",
        "created",
        "ada",
        "0000ea01 failed (1 claim is held), 456789ac created",
        "they delete\\u001b[2J tests",
        ID,
    ]


def test_a_command_for_programs_has_every_field(kora, reads):
    reads(Log(command(), command(command_id=OTHER)))

    (found,) = kora("control", "list", "--json", "--limit", "1").document

    assert found == {
        "command_id": ID,
        "level": 3,
        "action": "abort_release_claim",
        "reason": "they delete\x1b[2J tests",
        "issuer": "ada",
        "issuer_actor_kind": "operator",
        "created_at": "2026-07-04T09:30:00Z",
        "enforce_seconds": 90.0,
        "status": "created",
        "is_open": True,
        "marks": [
            {"holder": SHIP, "status": "failed", "at": "2026-07-04T09:31:30Z", "detail": "1 claim is held"},
        ],
        "awaited": [OTHER],
        "superseded_by": None,
        "escalated_by": None,
    }


def test_the_log_fits_on_any_terminal_and_a_status_has_its_colour(kora, reads, on_terminal):
    reads(Log(command(awaited=[]), command(superseded_by=OTHER)))
    on_terminal(110)

    out = kora("control", "list").out

    assert "\x1b[31mfailed" in out
    assert "\x1b[2msuperseded" in out
    assert all(len(line) <= 110 for line in plain(out))


def test_alone_it_shows_what_the_runtime_says_and_the_command_that_holds(kora, runtime):
    document = kora("control", "--json").document
    assert document == runtime.client.get("/control") | {"command": None}
    kora("control", "stop", "2", "--reason", "the whale")

    assert kora("control", "--json").document["command"] == newest(kora)
    told = said(kora("control").out)
    assert told["claim_permission"] == "normal"
    assert told["command"].startswith("level 2, drain_current_finish, by ")
    assert told["command"].endswith(", created: the whale")


def test_alone_it_shows_what_the_runtime_says_also_where_the_store_is_away(kora, here, runtime):
    (here / "kora.db").unlink()
    (here / "kora.db").mkdir()

    done = kora("control", "--json")

    assert done.code == 7
    assert done.document == runtime.client.get("/control")
    assert "the open command is not known: " in done.err


def test_a_fleet_is_stopped_though_no_runtime_answers(kora, away):
    assert kora("status").code == 3
    assert kora("control", "stop", "4", "--reason", "r").code == 0
    assert kora("control", "reset").code == 0


def test_in_the_repl_it_is_the_same(kora, away):
    assert kora("repl", "-c", "control stop 3 --reason 'they delete tests'; control reset; epoch show").code == 0
    assert [each["level"] for each in kora("repl", "-c", "control list --json").document] == [0, 3]
    assert kora("repl", "-c", "control list").out == kora("control", "list").out
