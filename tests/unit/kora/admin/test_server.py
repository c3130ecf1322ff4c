"""The server on its socket: who may come in, how much they may take, and how it ends and begins again."""

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kora.admin import server
from kora.admin.client import Client
from kora.errors import AdminError, NoRuntimeError, TooBusyError
from tests.unit.kora.admin.stand_in import line
from tests.unit.kora.admin.wire import PATIENCE_SECONDS, connected, request, rest, said, status_of, until

NOBODY = 65534


def test_what_it_serves_is_answered(client):
    assert client.get("/status")["runtime"]["version"] == "0.1.0"


def test_another_uid_gets_nothing_before_a_byte_is_read(listening, serving, console):
    serving(uid=os.geteuid() + 1)

    assert said(listening.path, request("POST", "/pause")) == b""
    assert said(listening.path, b"") == b""
    assert console.changes == []
    assert (listening.counters.peers_refused, listening.counters.connections) == (2, 0)


def answer_to_another_user(path, content):
    """What a real other user is answered; the exit code says whether it could be asked at all."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(write, said(path, content))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), answer


def opened_to_all(path):
    """Make the file and the folders above it everybody's; a function that makes them as before."""
    before = [(place, stat.S_IMODE(place.stat().st_mode)) for place in (path, *path.parents) if place.owner() == "root"]
    for place, mode in before:
        place.chmod(mode | 0o777)
    return lambda: [place.chmod(mode) for place, mode in before]


if os.geteuid() == 0:

    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_real_other_user_gets_nothing_also_when_the_modes_were_opened_by_mistake(served, listening, console):
        restore = opened_to_all(listening.path)
        try:
            answers = [answer_to_another_user(listening.path, request("POST", "/pause")) for _ in range(20)]
        finally:
            restore()

        assert answers == [(0, b"")] * 20
        assert console.changes == []
        assert listening.counters.peers_refused == 20


def test_the_client_sends_nothing_to_another_users_server(client, monkeypatch, listening):
    mine = os.geteuid()
    monkeypatch.setattr("kora.admin.client.os.geteuid", lambda: mine + 1)

    with pytest.raises(AdminError, match=f"listened to by uid {mine}.*nothing was sent"):
        client.get("/status")


def test_who_connects_while_it_is_replaced_waits_and_is_answered(listening, serving, state_dir):
    first = serving()
    first.close()
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(Client(state_dir).get("/ping")["pid"])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    with closing(connected(listening.path)) as connection:
        connection.sendall(request("GET", "/status"))
        serving()
        assert status_of(rest(connection)) == 200
    for thread in threads:
        thread.join()

    assert answers == [4711] * 20
    assert listening.counters.servers == 2


def test_requests_during_ten_replacements_are_all_answered(listening, serving, state_dir, console, monkeypatch):
    # However long the machine lets one wait who has connected, and has yet to ask.
    monkeypatch.setattr(server, "_ARRIVAL_SECONDS", PATIENCE_SECONDS)
    served, ended, answered = serving(), threading.Event(), []

    def ask():
        while not ended.is_set():
            Client(state_dir).post("/pause")
            answered.append(1)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(10):
            count = len(answered)
            until(lambda count=count: len(answered) > count or any(each.done() for each in asking))
            served.close()
            served = serving()
        ended.set()
        for each in asking:
            each.result()

    assert len(console.changes) == len(answered)


def test_after_the_socket_is_closed_there_is_no_runtime(listening, served, client, state_dir):
    served.close()
    listening.close()

    with pytest.raises(NoRuntimeError, match=r"admin\.sock: no runtime answers there.*kora-actors run") as refused:
        client.get("/status")
    assert refused.value.exit_code == 3


def test_a_server_that_serves_is_well(served, client):
    client.get("/ping")
    served.check()


def test_a_server_whose_thread_has_died_says_so(listening, serving, monkeypatch):
    async def on_tick(self, counter):
        raise RuntimeError("the roof")

    monkeypatch.setattr(server._Server, "on_tick", on_tick)
    served = serving()
    served._thread.join()

    with pytest.raises(AdminError, match=r"thread has ended.*the roof"):
        served.check()


def test_a_server_whose_loop_stands_still_says_so(listening, serving, monkeypatch):
    stuck, go_on = threading.Event(), threading.Event()

    async def on_tick(self, counter):
        stuck.set()
        go_on.wait(PATIENCE_SECONDS)
        return True

    monkeypatch.setattr(server._Server, "on_tick", on_tick)
    monkeypatch.setattr(server, "STILL_SECONDS", -1.0)
    served = serving()
    assert stuck.wait(PATIENCE_SECONDS)

    # Once is no fault: the whole process may have been frozen.
    served.check()
    with pytest.raises(AdminError, match="not turned"):
        served.check()
    go_on.set()


def test_a_server_that_had_stood_still_and_turns_again_is_well(served, monkeypatch):
    moments = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(server.time, "monotonic", lambda: 1_000.0)

    for turned_at in moments:
        monkeypatch.setattr(served._server, "turned_at", turned_at)
        served.check()


def test_more_connections_than_allowed_are_refused_at_once(listening, serving, state_dir):
    serving(max_connections=2)
    with closing(connected(listening.path)), closing(connected(listening.path)):
        until(lambda: listening.counters.connections_open == 2)
        with pytest.raises(TooBusyError, match=r"2 connections are open.*max_connections"):
            Client(state_dir).get("/status")
    until(lambda: listening.counters.connections_open == 0)

    assert Client(state_dir).get("/ping")["pid"] == 4711
    assert listening.counters.connections_refused == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GET /status HT",
        b"GET /status HTTP/1.1\r\nHost: kora\r\n",
        b"POST /pause HTTP/1.1\r\nHost: kora\r\nContent-Length: 5\r\n\r\n12",
        b"POST /pause HTTP/1.1\r\nHost: kora\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_a_request_that_does_not_arrive_in_time_is_closed(listening, serving, console, content):
    serving(request_seconds=0.05)

    assert said(listening.path, content) == b""
    assert listening.counters.requests_late == 1
    assert console.changes == []


def test_a_request_that_drips_is_closed(listening, serving):
    serving(request_seconds=0.2)
    with closing(connected(listening.path)) as connection:
        connection.sendall(b"GET /status HTTP/1.1\r\nHost: kora\r\n")
        gone, nothing = False, threading.Event()
        while not gone:
            try:
                connection.sendall(b"X: y\r\n")
                nothing.wait(0.02)
            except (BrokenPipeError, ConnectionResetError):
                gone = True

    assert listening.counters.requests_late == 1


def test_a_request_that_takes_long_to_be_answered_is_not_late(listening, serving, console, state_dir):
    serving(request_seconds=0.5)
    question = {"message": {"kind": "Describe", "depth": 1_001}, "timeout_seconds": 1.0}

    answer = said(listening.path, request("POST", "/actors/poller/ask", json.dumps(question).encode()))

    assert status_of(answer) == 504


def test_a_client_that_does_not_read_its_answer_is_dropped(listening, serving, console):
    console.log.add(*(line("x" * 2_000) for _ in range(1_000)))
    serving(stall_seconds=0.1)
    with closing(connected(listening.path)) as connection:
        connection.sendall(request("GET", "/log?limit=1000"))
        until(lambda: listening.counters.clients_dropped == 1)


def test_it_ends_soon_with_a_question_under_way(listening, served, console, state_dir):
    question = {"message": {"kind": "Describe", "depth": 1_001}, "timeout_seconds": 300}
    with closing(connected(listening.path)) as connection:
        connection.sendall(request("POST", "/actors/poller/ask", json.dumps(question).encode()))
        assert console.asking.acquire(timeout=PATIENCE_SECONDS)
        served.close()

        assert not served._thread.is_alive()
        rest(connection)
