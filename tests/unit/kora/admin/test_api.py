"""Every path: what it answers, what it takes, and that a change is put down to whoever asked."""

import json
import os
import pwd
import threading
from collections import deque
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from loguru import logger

from kora.admin.api import login_name
from kora.admin.paths_do import DONE
from kora.admin.paths_see import SEEN
from kora.admin.paths_stream import FOLLOWED
from kora.admin.spelling import spelt
from kora.domain.ticket import NewTicket
from kora.errors import (
    BadMessageError,
    BadRequestError,
    NoAnswerError,
    NotFoundError,
    RefusedError,
    TooBusyError,
    UnknownNameError,
)
from tests.unit.kora.admin.stand_in import NAMES, THEN, line
from tests.unit.kora.admin.wire import PATIENCE_SECONDS, connected, request, rest, said, status_of, until

ME = pwd.getpwuid(os.geteuid()).pw_name
SLOW = {"message": {"kind": "Describe", "depth": 1_001}, "timeout_seconds": 300}


@pytest.fixture
def tickets(console):
    with closing(console.store.board()) as board:
        return board.add([NewTicket(ticket_title=f"ticket {number}") for number in range(3)], who="test")


def document(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return json.loads(body)


# --- to see ---


def test_the_index_names_every_path(client):
    index = client.get("/")

    assert {(path["method"], path["path"]) for path in index} == {
        ("GET", "/"),
        ("GET", "/stats"),
        *((path.method, path.template) for path in (*SEEN, *DONE, *FOLLOWED)),
    }
    assert all(path["says"] for path in index)


def test_the_status_has_the_shape_that_other_programs_rely_on(client):
    status = client.get("/status")

    assert status["runtime"] == {
        "pid": 4711,
        "runtime_id": "019b0000-0000-7000-8000-000000000001",
        "started_at": "2026-01-02T03:04:05Z",
        "version": "0.1.0",
    }
    assert status["operational_state"] == {
        "primary_state": "ready",
        "claim_permission": "normal",
        "degradation_reasons": [],
    }
    assert [actor["name"] for actor in status["actors"]] == list(NAMES)
    assert set(status["actors"][0]) == {"name", "state", "restarts", "mailbox", "busy_seconds", "ticket_id"}
    assert status["claims_held"] == 0


def test_the_tree_says_which_is_a_supervisor(client):
    tree = client.get("/tree")

    assert (tree["kind"], {child["kind"] for child in tree["children"]}) == ("supervisor", {"actor"})


def test_an_actor_is_shown(client):
    assert client.get("/actors/poller")["description"] == "The poller."
    assert [kind["kind"] for kind in client.get("/actors/poller/kinds")] == ["Poll", "Describe"]
    assert [stack["thread"] for stack in client.get("/actors/poller/stack")] == ["poller"]
    assert len(client.get("/stack")) == len(NAMES)


def test_a_mailbox_is_shown_as_far_as_asked_for(client):
    mailbox = client.get("/actors/poller/mailbox", {"limit": 2})

    assert (mailbox["waiting"], len(mailbox["messages"])) == (3, 2)


@pytest.mark.parametrize("what", ["", "/mailbox", "/kinds", "/stack", "/trace"])
def test_a_name_that_nobody_has_is_answered_with_those_there_are(client, what):
    with pytest.raises(UnknownNameError, match="poller") as refused:
        client.get(f"/actors/nobody{what}")
    assert refused.value.exit_code == 4


def test_the_board_is_shown(client, tickets):
    board = client.get("/tickets")

    assert [ticket["ticket_id"] for ticket in board] == tickets
    assert client.get("/tickets", {"limit": 1}) == board[:1]
    assert client.get("/tickets", {"status": ["completed", "released"]}) == []
    assert client.get("/tickets", {"status": "assigned"}) == board
    assert client.get(f"/tickets/{tickets[1]}") == board[1]
    assert client.get("/claims") == []


def test_a_ticket_that_is_not_there_is_named(client):
    with pytest.raises(NotFoundError, match="nowhere") as refused:
        client.get("/tickets/nowhere")
    assert refused.value.exit_code == 4


def test_events_are_shown_from_one_on(client, tickets):
    every = client.get("/events")

    assert [event["event_type"] for event in every] == ["kora.operator.acted"] * len(every)
    assert client.get("/events", {"after": every[0]["seq"]}) == every[1:]
    assert client.get("/events", {"limit": 1}) == every[:1]
    assert client.get("/events", {"type": "kora.boot.ready"}) == []
    with pytest.raises(NotFoundError):
        client.get("/events", {"ticket": "nowhere"})


def test_the_last_lines_of_the_log_have_ids_to_go_on_from(client, console):
    console.log.add(*(line(f"line {number}") for number in range(5)))

    assert [(one["id"], one["text"]) for one in client.get("/log", {"limit": 2})] == [(4, "line 3"), (5, "line 4")]
    with client.stream("/log/stream", after=4) as stream:
        assert next(stream).data["text"] == "line 4"


def test_the_rest_is_shown(client):
    assert [letter["number"] for letter in client.get("/deadletters")["letters"]] == [7]
    assert client.get("/control") == {"claim_permission": "normal", "paused": None}
    assert client.get("/ping") == {"runtime_id": "019b0000-0000-7000-8000-000000000001", "pid": 4711}
    assert client.get("/version") == {"version": "0.1.0"}
    assert [spent["cost_usd"] for spent in client.get("/cost").values()] == [0.0, 0.0]


def test_the_counts_have_the_servers_own(client):
    client.get("/ping")
    stats = client.get("/stats")

    assert stats["turns"] == 12
    assert (stats["admin"]["connections"], stats["admin"]["requests"]) == (2, 1)


# --- to do ---

CHANGES = [
    ("/actors/poller/tell", {"message": {"kind": "Poll"}}, ("tell", "poller", {"kind": "Poll"})),
    ("/actors/poller/ask", {"message": {"kind": "Describe"}}, ("ask", "poller", {"kind": "Describe"})),
    ("/actors/poller/stop", None, ("stop", "poller")),
    ("/actors/poller/restart", None, ("restart", "poller")),
    ("/pause", None, ("pause",)),
    ("/resume", {}, ("resume",)),
    ("/drain", None, ("drain", None)),
    ("/drain", {"seconds": 5}, ("drain", 5.0)),
    ("/drain", {"seconds": None}, ("drain", None)),
    ("/update", None, ("update",)),
    ("/shutdown", None, ("shutdown", False)),
    ("/shutdown", {"at_once": True}, ("shutdown", True)),
    ("/deadletters/7/resend", None, ("resend", 7)),
]


@pytest.mark.parametrize(("path", "body", "change"), CHANGES)
def test_a_change_is_done_once_and_put_down_to_whoever_asked(client, console, path, body, change):
    client.post(path, body)

    assert console.changes == [(*change, ME)]


def test_what_a_change_answers(client, console, tickets):
    assert client.post("/actors/poller/ask", {"message": {"kind": "Describe"}})["answer"] == {
        "name": "poller",
        "at": "2026-01-02T03:04:05Z",
    }
    assert client.post("/actors/poller/restart") == {"name": "poller", "generation": 2, "seconds": 0.012}
    assert client.post("/drain")["claims_held"] == 3
    assert client.post("/resume") == {"paused": False, "held_up_by": []}
    assert client.post("/reread") == {"would_change": ["workers.count: 2 -> 4"]}
    assert client.post("/update") == {"changed": ["workers.count: 2 -> 4"]}
    assert client.post(f"/tickets/{tickets[0]}/release")["did"] == "released"
    assert client.delete("/deadletters/7") == {"dropped": 1}
    assert client.delete("/deadletters") == {"dropped": 1}
    assert console.changes[-3:] == [("release", tickets[0], ME), ("drop", 7, ME), ("drop", None, ME)]


def test_an_actor_is_stopped_and_started(client, console):
    client.post("/actors/poller/stop")
    client.post("/actors/poller/start")

    with pytest.raises(RefusedError, match="runs already"):
        client.post("/actors/poller/start")


def test_a_message_that_may_not_be_sent_is_answered_with_those_that_may(client, console):
    with pytest.raises(BadMessageError) as refused:
        client.post("/actors/poller/tell", {"message": {"kind": "Ended"}})

    assert [kind["kind"] for kind in refused.value.kinds] == ["Poll", "Describe"]
    assert console.changes == []


def test_no_answer_in_time_is_said(client):
    with pytest.raises(NoAnswerError, match=r"0\.05"):
        client.post("/actors/poller/ask", SLOW | {"timeout_seconds": 0.05})


def test_64_slow_questions_hold_up_nothing_that_is_only_looked_at(client, console, listening, tickets):
    console.log.add(line())
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(listening.path)) for _ in range(64)]
        for connection in connections:
            connection.sendall(request("POST", "/actors/poller/ask", json.dumps(SLOW).encode()))
        for _ in connections:
            assert console.asking.acquire(timeout=PATIENCE_SECONDS)

        for path in ("/status", "/tree", "/stack", "/actors/poller/mailbox", "/tickets", "/log", "/stats"):
            assert client.get(path)
        client.post("/pause")
        with pytest.raises(TooBusyError, match="64 questions"):
            client.post("/actors/poller/ask", SLOW)

        console.released.set()
        assert [status_of(rest(connection)) for connection in connections] == [200] * 64


def test_admin_answers_that_it_is_about_to_be_restarted_before_it_is(listening, serving, client, console, served):
    begun, go_on = threading.Event(), threading.Event()

    def replace():
        begun.set()
        go_on.wait()
        served.close()
        serving()

    console.on_restart_admin = replace

    with closing(connected(listening.path)) as connection:
        connection.sendall(request("POST", "/actors/admin/restart"))
        answer = rest(connection)
    assert (status_of(answer), document(answer)) == (202, {"name": "admin", "generation": 1, "seconds": None})
    assert begun.wait(PATIENCE_SECONDS)
    go_on.set()
    until(lambda: console.changes == [("restart", "admin", ME)])


def test_the_client_waits_for_admins_successor(serving, client, console, served):
    def replace():
        served.close()
        serving()

    console.on_restart_admin = replace

    restarted = client.restart("admin")

    assert (restarted["generation"], console.generations["admin"]) == (2, 2)
    assert restarted["seconds"] > 0


def test_admin_is_not_stopped(client, console):
    with pytest.raises(RefusedError, match="nobody could ask for it to be started again"):
        client.post("/actors/admin/stop")
    assert console.changes == []


def test_a_user_without_a_name_is_a_number():
    assert login_name(4_294_967_294) == "uid 4294967294"


# --- bounds ---


@pytest.mark.parametrize("path", ["/nix", "/status/", "/actors", "/actors/", "/actors//stack", "//status", "/STATUS"])
def test_an_unknown_path_is_answered_with_those_there_are(client, path):
    with pytest.raises(UnknownNameError, match=r"there are: /, /actors/\{name\}"):
        client.get(path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/status", b"GET"),
        ("GET", "/pause", b"POST"),
        ("HEAD", "/status", b"GET"),
        ("PUT", "/deadletters", b"DELETE, GET"),
        ("PROPFIND", "/", b"GET"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_one(listening, served, method, path, allowed):
    answer = said(listening.path, request(method, path))

    assert status_of(answer) == 405
    assert b"allow: " + allowed + b"\r\n" in answer


def nested(levels):
    return b'{"message":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


TOLD = "/actors/poller/tell"


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        (TOLD, b"{" + b" " * 1_048_575 + b"}", (413, "1,048,576")),
        (TOLD, b"nonsense", (400, "no JSON")),
        (TOLD, b'{"message": NaN}', (400, "no JSON")),
        (TOLD, b'{"message": "\xff"}', (400, "no JSON")),
        (TOLD, b'{"message": "\\ud800"}', (400, "no JSON")),
        (TOLD, nested(33), (400, "32 deep")),
        (TOLD, nested(32), (422, "message")),
        (TOLD, b"[" * 500_000, (400, "no JSON")),
        (TOLD, b"[]", (422, "It takes: message")),
        (TOLD, b"", (422, "message: is missing. It takes: message")),
        (TOLD, b'{"message": "Poll"}', (422, "message: ")),
        (TOLD, b'{"message": {"kind": "Poll"}, "also": 1}', (422, "also: there is no such field. It takes: message")),
        (TOLD, b'{"message": {"kind": "Poll"}}' * 2, (400, "no JSON")),
        ("/actors/poller/ask", b'{"message": {}, "timeout_seconds": 0}', (422, "greater than 0")),
        ("/actors/poller/ask", b'{"message": {}, "timeout_seconds": 301}', (422, "300")),
        ("/actors/poller/ask", b'{"message": {}, "timeout_seconds": "5"}', (422, "timeout_seconds")),
        ("/pause", b'{"who": "me"}', (422, "no body")),
        ("/drain", b'{"seconds": -1}', (422, "greater than or equal to 0")),
        ("/drain", b'{"seconds": true}', (422, "seconds")),
        ("/shutdown", b'{"at_once": 1}', (422, "at_once")),
        ("/deadletters/x/resend", b"", (422, "'x' is no dead letter's number")),
        ("/deadletters/%D9%A1/resend", b"", (422, "number")),
        ("/deadletters/" + "9" * 5_000 + "/resend", b"", (422, "number")),
        ("/pause?now=1", b"", (422, "now: there is no such parameter. It takes no parameter")),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(address, console, path, body, wrong):
    status, why = wrong
    answer = said(address, request("POST", path, body))

    assert status_of(answer) == status
    assert why in document(answer)["error"]["message"]
    assert document(answer)["error"]["kind"] == "BadRequestError"
    assert console.changes == []


def test_a_body_of_just_a_mebibyte_is_read(listening, served):
    body = b'{"message": {"kind": "Poll"}' + b" " * (1_048_576 - 29) + b"}"

    assert len(body) == 1_048_576
    assert status_of(said(listening.path, request("POST", TOLD, body))) == 200


def test_a_chunked_body_is_bounded_too(listening, served, console):
    head = b"POST /actors/poller/tell HTTP/1.1\r\nHost: kora\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    assert status_of(said(listening.path, head + chunk * 17)) == 413


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/tickets?limit=0", "greater than or equal to 1"),
        ("/tickets?limit=1001", "1000"),
        ("/tickets?limit=ten", "limit"),
        ("/tickets?limit=1&limit=2", "limit: given 2 times"),
        ("/tickets?status=finished", "'completed'"),
        ("/events?type=nothing", "'kora.operator.acted'"),
        ("/events?after=-1", "after"),
        ("/events?after=9223372036854775808", "after"),
        ("/log?since=1", "since: there is no such parameter. It takes: limit"),
        ("/status?x", "x: there is no such parameter. It takes no parameter"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_would_be_right(client, path, why):
    with pytest.raises(BadRequestError) as refused:
        client.get(path)

    assert why in str(refused.value)
    assert (refused.value.status, refused.value.exit_code) == (422, 2)


def test_headers_are_bounded(listening, served):
    answer = said(listening.path, request("GET", "/status", b"", "X: " + "y" * 100_000))

    assert status_of(answer) in {400, 431}
    assert document(answer)["error"]["kind"] == "BadRequestError"


def test_what_is_no_http_is_refused(listening, served):
    answer = said(listening.path, b"\0\1\2 nonsense\r\n\r\n")

    assert (status_of(answer), document(answer)["error"]["kind"]) == (400, "BadRequestError")


def test_an_error_that_nobody_foresaw_is_in_the_log_in_full(client, console):
    console.raises["tree"] = ZeroDivisionError("by zero")
    logged = []
    sink = logger.add(lambda text: logged.append(str(text)), format="{message}\n{exception}")
    try:
        with pytest.raises(Exception, match="the runtime's log has it in full"):
            client.get("/tree")
    finally:
        logger.remove(sink)

    assert "GET /tree failed" in logged[0]
    assert "Traceback" in logged[0]
    assert client.get("/ping")


# --- spelling ---


def circle():
    inner = []
    inner.append([inner, inner])
    return inner


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (THEN, b'"2026-01-02T03:04:05Z"'),
        ({"b", "a"}, b'["a","b"]'),
        (deque([1]), b"[1]"),
        (Path("/x"), b'"/x"'),
        ({1: b"\xff"}, b'{"1":"\\\\xff"}'),
        ("half \ud800", b'"half \\\\ud800"'),
        ([2**70, THEN, float("inf")], b'["1180591620717411303424","2026-01-02T03:04:05Z",null]'),
        (range(2), b"[0,1]"),
    ],
)
def test_whatever_is_answered_is_spelt(value, text):
    assert spelt(value) == text


@pytest.mark.parametrize(
    "value", [circle(), object(), NewTicket(ticket_title="x"), ["\ud800", NewTicket(ticket_title="x")]]
)
def test_whatever_is_answered_is_json(value):
    json.loads(spelt(value))
