"""The client: what it raises, and that it starts fast."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from kora import errors
from kora.admin.client import Client, segment
from kora.admin.faults import raised, status_of, told
from kora.errors import (
    AdminError,
    BadMessageError,
    BadRequestError,
    ConfigurationError,
    KoraError,
    NoAnswerError,
    NoRuntimeError,
    UnknownNameError,
)

ROOT = Path(__file__).resolve().parents[4]


def every_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KoraError)]
    special = {"ConfigurationError", "ImportRefusedError", "BadMessageError", "BadRequestError"}
    yield from (kind("what, where, what to do") for kind in kinds if kind.__name__ not in special)
    yield ConfigurationError("supervisor.toml", ["workers.count: too many", "poller: unknown"])
    yield BadMessageError("no such message", [{"kind": "Poll", "json_schema": {"type": "object"}}])
    yield BadRequestError("nonsense", 413)


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_the_same_error(served, console, client, error):
    console.raises["tree"] = error

    with pytest.raises(type(error)) as caught:
        client.get("/tree")

    assert type(caught.value) is type(error)
    assert (str(caught.value), caught.value.exit_code) == (str(error), error.exit_code)
    assert {**vars(caught.value)} == {**vars(error)}


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
def test_no_error_of_koras_own_is_answered_as_a_servers_fault(error):
    assert status_of(error) in {400, 404, 409, 413, 422, 503, 504}


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"error": None}, {"error": {"kind": "KeyError", "message": "x"}}, {"error": {"kind": 1}}]
)
def test_an_answer_that_is_no_error_of_koras_is_still_one(answer):
    assert type(raised(500, answer)) is AdminError


def test_a_kind_that_is_told_with_too_little_is_still_an_error():
    assert isinstance(raised(400, {"error": {"kind": "ConfigurationError", "message": "x"}}), KoraError)
    assert told(UnknownNameError("x"))["error"]["kind"] == "UnknownNameError"


def test_without_a_runtime_it_says_what_to_do(state_dir):
    with pytest.raises(NoRuntimeError, match=r"admin\.sock: no runtime answers.*kora-actors run") as refused:
        Client(state_dir).get("/status")
    assert refused.value.exit_code == 3


def test_a_runtime_that_does_not_answer_in_time_is_said_to(listening, state_dir):
    with pytest.raises(NoAnswerError, match="GET /status in time"):
        Client(state_dir, timeout_seconds=0.05).get("/status")


def test_a_runtime_that_goes_away_is_said_to(listening, state_dir):
    def take():
        connection, _ = listening.socket.accept()
        connection.recv(10)
        connection.close()

    thread = threading.Thread(target=take)
    thread.start()
    with pytest.raises(NoRuntimeError, match="went away before it had answered GET /status"):
        Client(state_dir).get("/status")
    thread.join()


def test_a_stale_socket_is_no_runtime(state_dir):
    state_dir.mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(state_dir / "admin.sock"))

    with pytest.raises(NoRuntimeError):
        Client(state_dir).get("/status")


def test_what_is_sent_into_a_refusal_is_answered(client):
    with pytest.raises(BadRequestError, match=r"longer than 1,048,576 bytes"):
        client.post("/actors/poller/tell", {"message": {"kind": "x" * 8_000_000}})


def test_names_are_spelt_so_that_a_path_holds_them(client):
    with pytest.raises(UnknownNameError, match="'a b\\?c'"):
        client.get(f"/actors/{segment('a b?c')}")


def test_the_client_imports_neither_the_server_nor_its_libraries():
    code = "import sys, kora.admin.client; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = [
        "starlette",
        "uvicorn",
        "anyio",
        "pydantic",
        "loguru",
        "asyncio",
        "rich",
        "sqlite3",
        "orjson",
        "typing_extensions",
    ]

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, env=environment, check=True)

    assert ran.stdout.strip() == b"[]"
