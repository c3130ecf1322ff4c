"""The commands for a running runtime, one-shot: against the real server, over a stand-in for the rest."""

import json
from contextlib import closing
from dataclasses import replace

import pytest

from kora.cli.registry import ACT, LOOK
from kora.domain.control import StopLevel
from kora.domain.cost import Rung
from kora.domain.events import EventType, NewEvent
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from tests.unit.kora.admin.stand_in import NAMES, line

TICKET = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"
POLL = '{"kind": "Poll"}'
NEEDS = {
    "info": ["poller"],
    "mailbox": ["poller"],
    "trace": ["poller"],
    "tell": ["poller", POLL],
    "ask": ["poller", '{"kind": "Describe"}'],
    "start": ["poller"],
    "stop": ["poller"],
    "restart": ["poller"],
    "release": [TICKET],
}
OF_AN_ACTOR = sorted(set(NEEDS) - {"release"} | {"status", "stack"})


@pytest.mark.parametrize("name", [*sorted(LOOK | ACT), "control"])
def test_without_a_runtime_each_ends_with_3_and_says_what_to_do(kora, here, name):
    done = kora(name, *NEEDS.get(name, []))

    assert (done.code, done.out) == (3, "")
    assert str(here / ".kora" / "admin.sock") in done.err
    assert "`kora-actors run`" in done.err


@pytest.mark.parametrize("name", OF_AN_ACTOR)
def test_a_name_that_nobody_has_ends_with_4_and_the_names_there_are(kora, runtime, name):
    done = kora(name, "nobody", *NEEDS.get(name, ["nobody"])[1:])

    assert (done.code, done.out) == (4, "")
    assert "'nobody'" in done.err
    assert all(each in done.err for each in NAMES)


@pytest.mark.parametrize(
    "command",
    [
        ["tell", "poller", "{"],
        ["tell", "poller", "[]"],
        ["ask", "poller", POLL, "--timeout", "0"],
        ["ask", "poller", POLL, "--timeout", "nan"],
        ["release", "it"],
        ["drain", "--seconds", "-1"],
        ["drain", "--seconds", "nan"],
        ["deadletters", "drop", "some"],
        ["deadletters", "--json", "drop", "all"],
        ["tickets", "--status", "lost"],
        ["tail", "--level", "LOUD"],
        ["tail", "--limit", "0"],
        ["info", "poller", "--all"],
        ["mailbox"],
        ["help", "nothing"],
        ["help", "status", "nothing"],
    ],
)
def test_wrong_usage_ends_with_2_and_changes_nothing(kora, runtime, command):
    done = kora(*command)

    assert (done.code, done.out) == (2, "")
    assert runtime.console.changes == []


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["status"], "/status"),
        (["tree"], "/tree"),
        (["info", "poller"], "/actors/poller"),
        (["info", "poller", "--kinds"], "/actors/poller/kinds"),
        (["mailbox", "poller"], "/actors/poller/mailbox"),
        (["stack"], "/stack"),
        (["stack", "poller"], "/actors/poller/stack"),
        (["tickets"], "/tickets"),
        (["tail"], "/log"),
        (["deadletters"], "/deadletters"),
        (["version"], "/version"),
    ],
)
def test_for_programs_a_reader_prints_the_document_of_its_path(kora, runtime, command, path):
    kora("ticket", "add", "Weigh the anchor")
    runtime.console.log.add(line(), line())
    wanted = runtime.client.get(path)

    assert kora(*command, "--json").document == wanted


def test_status_is_wire_format(kora, runtime):
    found = kora("status", "--json").document

    assert list(found) == ["runtime", "operational_state", "actors", "claims_held", "boot", "watcher"]
    assert list(found["actors"][0]) == ["name", "state", "restarts", "mailbox", "busy_seconds", "ticket_id"]
    assert kora("status", "poller", "--json").document in found["actors"]


def test_what_is_counted_is_a_document(kora, runtime):
    assert kora("stats", "--json").document["admin"]["servers"] == 1
    assert kora("ping", "--json").document["pid"] == 4711
    assert kora("reread", "--json").document == {"would_change": ["workers.count: 2 -> 4"]}


@pytest.mark.parametrize("command", [*sorted(LOOK), "deadletters", "reread", "ping", "version"])
def test_people_get_lines_of_text(kora, runtime, command):
    runtime.console.log.add(line())
    if command == "trace":
        return
    done = kora(command, *NEEDS.get(command, []))

    assert (done.code, done.err) == (0, "")
    assert done.out.strip() != ""
    assert "\x1b" not in done.out


def test_a_message_is_told_and_on_record(kora, runtime):
    done = kora("tell", "poller", POLL)

    assert (done.code, done.out) == (0, "told poller: Poll\n")
    assert [change[:3] for change in runtime.console.changes] == [("tell", "poller", {"kind": "Poll"})]


def test_an_answer_is_shown_to_people_and_to_programs(kora, runtime):
    assert kora("ask", "ledger", '{"kind": "Describe"}').out.splitlines()[0].split() == ["name", "ledger"]
    assert kora("ask", "ledger", '{"kind": "Describe"}', "--json").document["name"] == "ledger"


def test_no_answer_in_time_ends_with_1(kora, runtime):
    done = kora("ask", "ledger", '{"kind": "Describe", "depth": 2000}', "--timeout", "0.05")

    assert (done.code, done.out) == (1, "")
    assert "0.05" in done.err


@pytest.mark.parametrize("verb", ["tell", "ask"])
@pytest.mark.parametrize("message", ['{"kind": "Sail"}', '{"kind": "Describe", "depth": "x"}', "{}"])
def test_a_message_that_is_wrong_is_answered_with_what_may_be_sent(kora, runtime, verb, message):
    done = kora(verb, "ledger", message)

    assert (done.code, done.out) == (2, "")
    assert [row.split("\t")[:3] for row in done.err.splitlines()[-4:]] == [
        ["kind", "field", "type"],
        ["Poll", "", ""],
        ["Describe", "", ""],
        ["", "depth", "integer"],
    ]
    assert runtime.console.changes == []


@pytest.mark.parametrize("name", ["poller", "admin"])
def test_restart_returns_when_the_successor_has_answered(kora, runtime, name):
    done = kora("restart", name)

    stopped, started, took = done.out.splitlines()
    assert (done.code, stopped, started) == (0, f"{name}: stopped", f"{name}: started")
    assert took.startswith("answered after 0.")
    assert took.endswith("as generation 2")
    assert kora("status", name, "--json").document["restarts"] == 1


def test_what_is_done_is_said_and_on_record(kora, runtime):
    ticket_id = kora("ticket", "add", "Weigh the anchor", "--json").document["ticket_id"]
    said = [
        kora(*command).out
        for command in (
            ["stop", "heartbeat"],
            ["start", "heartbeat"],
            ["pause"],
            ["drain"],
            ["drain", "--seconds", "30"],
            ["resume"],
            ["release", ticket_id],
            ["update"],
            ["deadletters", "resend", "7"],
            ["deadletters", "drop", "7"],
            ["deadletters", "drop", "all"],
            ["shutdown"],
            ["shutdown", "--now"],
        )
    ]

    who = {change[-1] for change in runtime.console.changes}
    assert len(who) == 1
    assert [change[:-1] for change in runtime.console.changes] == [
        ("stop", "heartbeat"),
        ("start", "heartbeat"),
        ("pause",),
        ("drain", None),
        ("drain", 30.0),
        ("resume",),
        ("release", ticket_id),
        ("update",),
        ("resend", 7),
        ("drop", 7),
        ("drop", None),
        ("shutdown", False),
        ("shutdown", True),
    ]
    assert all(text.count("\n") == 1 for text in said)
    assert said[:2] == ["heartbeat: stopped\n", "heartbeat: started\n"]
    assert "3 claims held" in said[3]


def test_a_resume_says_what_else_holds_claims_up(kora, runtime):
    assert kora("resume").out == "resumed: claims are made again\n"

    steering = replace(runtime.console.well.steering, level=StopLevel.BLOCK_NEW_INTAKE, rung=Rung.HARD_STOP_100)
    runtime.console.well = replace(runtime.console.well, steering=steering)
    said = "a STOP command of level 1 (block_new_intake); the credit pool is used up"
    assert kora("resume").out == f"resumed; still held up by: {said}\n"


def test_what_is_refused_ends_with_1(kora, runtime):
    done = kora("start", "heartbeat")

    assert (done.code, done.err) == (1, "kora-actors: heartbeat: runs already\n")


def test_a_ticket_that_is_not_there_ends_with_4(kora, runtime):
    done = kora("release", TICKET)

    assert done.code == 4
    assert TICKET in done.err


def test_only_what_may_be_told_is_shown_unless_all_is_asked_for(kora, runtime, monkeypatch):
    forged = runtime.client.get("/actors/ledger/kinds")[0] | {"kind": "Ended", "may_be_told": False}
    monkeypatch.setattr(runtime.console, "kinds", lambda name: [forged])

    assert kora("info", "ledger", "--kinds").out == "ledger may be told nothing; --all shows what it handles\n"
    assert "Ended\t\t\t\t(only its senders can) " in kora("info", "ledger", "--kinds", "--all").out


def test_log_lines_below_a_level_are_left_out(kora, runtime):
    runtime.console.log.add(line("calm"))

    assert "calm" in kora("tail", "--level", "INFO").out
    assert kora("tail", "--level", "WARNING").out == "no log lines\n"
    assert kora("tail", "--level", "WARNING", "--json").document == []


def test_claims_in_the_repl_are_those_of_the_store(kora, here, runtime):
    ticket = kora("ticket", "add", "Weigh the anchor", "--json").document
    url, actor = f"sqlite:///{here}/kora.db", ticket["assigned_to_actor_id"]
    with open_store(url, workspace_id="w", actor_id=actor) as store:
        with closing(store.writer(RuntimeRecord(runtime_id=TICKET, host="ship", pid=1, version="0"))) as writer:
            writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(1, 600.0)))

        one_shot, attached = kora("claims"), kora("repl", "-c", "claims")
        assert attached.out.splitlines()[1].split("\t")[0] == ticket["ticket_id"]
        assert one_shot.out.splitlines()[0] == attached.out.splitlines()[0]
        (claim,) = kora("repl", "-c", "claims --json").document
        assert claim["ticket_id"] == ticket["ticket_id"]


def test_the_log_of_events_is_shown_whole_however_long_it_is(kora, runtime, monkeypatch):
    monkeypatch.setattr("kora.cli.admin.streams._AT_A_TIME", 2)
    url = f"sqlite:///{runtime.state_dir.parent}/kora.db"
    with (
        open_store(url, workspace_id="w", actor_id=TICKET) as store,
        closing(store.writer(RuntimeRecord(runtime_id=TICKET, host="ship", pid=1, version="0"))) as writer,
    ):
        incarnation = writer.next_incarnation()
        for number in range(5):
            event = NewEvent(EventType.BOOT_READY, {"number": number, "text": "\x1b[2J"})
            writer.turn(incarnation, Turn(append=[event]))

    wanted = kora("events", "--json").document
    assert [event["payload"]["number"] for event in wanted] == list(range(5))
    assert kora("repl", "-c", "events --json").document == wanted
    assert kora("repl", "-c", "events").out == kora("events").out
    assert len(kora("repl", "-c", "events --after 3 --json").document) == 2
    assert kora("repl", "-c", "events --type kora.boot.failed").out == "no events\n"


HOSTILE = "\x1b[2J\u202e\x07"


def test_what_a_log_says_is_shown_and_not_obeyed(kora, runtime, on_terminal):
    runtime.console.log.add(line(HOSTILE))
    on_terminal(200)

    out = kora("tail").out

    assert "\\u001b[2J\\u202e\\u0007" in out
    assert not {"\x1b[2J", "\u202e", "\x07"} & set(out.split())
    assert "\x1b[2J" not in out


def test_a_state_that_means_something_has_a_colour_on_a_terminal_alone(kora, runtime, on_terminal, monkeypatch):
    runtime.console.stopped.add("heartbeat")
    assert "\x1b" not in kora("tree").out + kora("status").out
    on_terminal(120)
    assert "\x1b[32m  idle      \x1b[0m" in kora("tree").out
    assert "\x1b[33mstopped" in kora("status").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in kora("tree").out + kora("status").out


def test_help_is_the_commands_own(kora):
    assert kora("help").out == kora("--help").out
    assert kora("help", "restart").out == kora("restart", "--help").out
    assert kora("help", "deadletters", "drop").out == kora("deadletters", "drop", "--help").out


def test_dead_letters_are_lines(kora, runtime):
    head, letter, kept = kora("deadletters").out.splitlines()

    assert head.split("\t")[:4] == ["number", "time", "actor", "kind"]
    assert letter.split("\t")[0] == "7"
    assert kept == "since the start: 7; kept: 1"


def test_a_stream_for_programs_is_an_object_a_line(kora, runtime, monkeypatch):
    monkeypatch.setattr("kora.cli.ending.discard", lambda: None)
    runtime.console.log.add(line("first"))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kora.cli.admin.streams.outlasting", interrupted)
    monkeypatch.setattr("kora.cli.program.discard", lambda: None)
    done = kora("tail", "-f", "--json")

    assert done.code == 130
    assert [json.loads(each)["text"] for each in done.out.splitlines()] == ["first"]
