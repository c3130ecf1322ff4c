"""Whatever is sent to the socket: no error of the server's, no end, no change that nobody asked for."""

import http.client
import json
import logging
import os
import pwd
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from tests.unit.kora.admin.fuzz import IN_FLIGHT, Barrage, batches, was_asked_for
from tests.unit.kora.admin.stand_in import NAMES, StandIn
from tests.unit.kora.admin.wire import connected

ME = pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def nothing_said():
    """Nothing is logged as an error meanwhile, by Kora or by asyncio."""
    said = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())
    sink = logger.add(lambda text: said.append(str(text)), level="ERROR")
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        logger.remove(sink)
    assert said == []


@contextmanager
def under_fire(tmp_path, **bounds):
    """A stand-in, and its server, which is well at the end."""
    with ExitStack() as stack:
        console = stack.enter_context(closing(StandIn(f"sqlite:///{tmp_path}/kora.db")))
        console.released.set()
        listening = stack.enter_context(closing(bind(tmp_path / "state")))
        served = serve(listening, console, AdminSettings(**bounds))
        stack.callback(served.close)
        stack.enter_context(nothing_said())
        yield console, listening
        assert Client(tmp_path / "state").get("/status")["claims_held"] == 0
        served.check()


@pytest.mark.parametrize(
    "count", [pytest.param(10_000, id="10000"), pytest.param(100_000, id="100000", marks=pytest.mark.prove)]
)
def test_whatever_bytes_are_sent_it_goes_on_and_does_only_what_was_asked(tmp_path, count):
    changes = 0
    with under_fire(tmp_path, request_seconds=0.3, max_connections=2 * IN_FLIGHT) as (console, listening):
        with closing(Barrage(listening.path)) as barrage:
            for batch in batches(count, count):
                assert barrage.run(batch) == []
                unasked = [change for change in console.changes if not was_asked_for(change, batch)]
                assert unasked == []
                changes += len(console.changes)
                console.changes.clear()
        statuses = dict(sorted(barrage.statuses.items()))
    print(f"\n{count:,} sequences, {barrage.answered:,} answered, {changes:,} changes, {statuses}")

    # Else it has fired at nothing.
    assert barrage.answered > count / 2
    assert changes > count / 50
    assert {b"200", b"400", b"404", b"405", b"422"} <= set(statuses)


# --- requests that look valid ---

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SOMETHING = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.just([[]]) | st.just({"x": {}})
)
NAME = st.sampled_from([*NAMES, *NAMES, "nobody"]) | TEXT
NUMBER = st.sampled_from(["7", "07", "8", "-1", "x"]) | TEXT
KNOWN = st.sampled_from([{"kind": "Poll"}, {"kind": "Describe"}, {"kind": "Describe", "depth": 3}])
MESSAGE = (
    KNOWN
    | KNOWN
    | st.fixed_dictionaries({"kind": SOMETHING | st.sampled_from(["Poll", "Describe"])}, optional={"depth": SOMETHING})
)


def body(required, **optional):
    """What is right, what is nearly so, and what is not."""
    right = st.fixed_dictionaries(required, optional=optional)
    every = required | optional
    nearly = st.fixed_dictionaries(
        {}, optional={name: value | SOMETHING for name, value in every.items()} | {"also": SOMETHING}
    )
    return right | right | nearly | SOMETHING


EMPTY = st.sampled_from([None, None, None, {}, {"x": 1}, []])
SEEN = st.sampled_from(
    [
        "status",
        "tree",
        "stack",
        "claims",
        "tickets",
        "events",
        "log",
        "deadletters",
        "stats",
        "control",
        "cost",
        "ping",
        "version",
        "nix",
    ]
)
TAKING_PARAMETERS = [["events"], ["tickets"], ["log"]]
ROUTE = st.one_of(
    st.tuples(st.just("GET"), SEEN.map(lambda word: [word]), EMPTY),
    st.tuples(
        st.just("GET"),
        st.builds(
            lambda name, what: ["actors", name, *what], NAME, st.sampled_from([[], ["mailbox"], ["kinds"], ["stack"]])
        ),
        EMPTY,
    ),
    st.tuples(st.just("POST"), NAME.map(lambda name: ["actors", name, "tell"]), body({"message": MESSAGE})),
    st.tuples(
        st.just("POST"),
        NAME.map(lambda name: ["actors", name, "ask"]),
        body({"message": MESSAGE}, timeout_seconds=st.floats(0.1, 300)),
    ),
    st.tuples(
        st.just("POST"),
        st.builds(lambda name, what: ["actors", name, what], NAME, st.sampled_from(["start", "stop", "restart"])),
        EMPTY,
    ),
    st.tuples(
        st.just("POST"), st.sampled_from(["pause", "resume", "reread", "update"]).map(lambda word: [word]), EMPTY
    ),
    st.tuples(st.just("POST"), st.just(["drain"]), body({}, seconds=st.floats(0, 100) | st.none())),
    st.tuples(st.just("POST"), st.just(["shutdown"]), body({}, at_once=st.booleans())),
    st.tuples(st.just("POST"), NUMBER.map(lambda number: ["deadletters", number, "resend"]), EMPTY),
    st.tuples(st.just("POST"), TEXT.map(lambda ticket: ["tickets", ticket, "release"]), EMPTY),
    st.tuples(st.just("DELETE"), NUMBER.map(lambda number: ["deadletters", number]), EMPTY),
    st.tuples(st.just("DELETE"), st.just(["deadletters"]), EMPTY),
    st.tuples(st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]), st.lists(TEXT, max_size=3), SOMETHING),
)
PARAMETER = st.tuples(
    st.sampled_from(["limit", "status", "after", "ticket", "type"]) | TEXT,
    st.sampled_from(["0", "1", "1000", "1001", "-1", "assigned", "kora.boot.ready"]) | TEXT,
)
PARAMETERS = st.lists(PARAMETER, max_size=2)
HAS_PARAMETERS = st.sampled_from([True, *[False] * 9])


def meant(method, parts, body):
    """The change that this asks for, if it asks for any."""
    said = body if isinstance(body, dict) else {}
    match method, parts:
        case "POST", ["actors", name, ("tell" | "ask") as verb]:
            change = (verb, name, said.get("message"))
        case "POST", ["actors", name, ("start" | "stop" | "restart") as verb]:
            change = (verb, name)
        case "POST", [("pause" | "resume" | "update") as verb]:
            change = (verb,)
        case "POST", ["drain"]:
            change = ("drain", said.get("seconds"))
        case "POST", ["shutdown"]:
            change = ("shutdown", said.get("at_once", False))
        case "POST", ["deadletters", number, "resend"]:
            change = ("resend", int(number))
        case "DELETE", ["deadletters", *number]:
            change = ("drop", int(number[0]) if number else None)
    return (*change, ME)


class Requests:
    """One connection, kept as long as the server keeps it."""

    def __init__(self, path):
        self._path = path
        self._connection = None

    def ask(self, method, target, body):
        if self._connection is None or self._connection.sock is None:
            self.close()
            self._connection = http.client.HTTPConnection("kora")
            self._connection.sock = connected(self._path)
        self._connection.request(method, target, body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self):
        if self._connection is not None:
            self._connection.close()


@pytest.mark.parametrize(
    "count", [pytest.param(2_000, id="2000"), pytest.param(20_000, id="20000", marks=pytest.mark.prove)]
)
def test_whatever_is_asked_it_is_answered_and_does_only_what_was_asked(tmp_path, count):
    statuses = {}
    with under_fire(tmp_path) as (console, listening), closing(Requests(listening.path)) as requests:

        @given(ROUTE, HAS_PARAMETERS, PARAMETERS)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(route, has_parameters, parameters):
            method, parts, body = route
            if parts == ["actors", "admin", "restart"]:
                return
            target = "/" + "/".join(quote(part, safe="") for part in parts)
            target += f"?{urlencode(parameters)}" if has_parameters or parts in TAKING_PARAMETERS else ""
            console.stopped.clear()
            console.changes.clear()

            status, answer = requests.ask(method, target, None if body is None else json.dumps(body).encode())

            statuses[status] = statuses.get(status, 0) + 1
            is_change = status == 200 and method != "GET" and parts != ["reread"]
            assert status < 500
            assert console.changes == ([meant(method, parts, body)] if is_change else [])
            assert method == "HEAD" or json.loads(answer) is not None

        ask()
    print(f"\n{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}")

    # Else it has asked for nothing.
    assert statuses[200] > count / 5
    assert {404, 405, 409, 422} <= set(statuses)
