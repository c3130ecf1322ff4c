"""Whatever is sent to the socket: no error of the server's, no end, no change that nobody asked for."""

import http.client
import json
import logging
import os
import pwd
import time
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from kora.domain.ticket import Status
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
    began, changes = time.monotonic(), 0
    with under_fire(tmp_path, request_seconds=0.3, max_connections=2 * IN_FLIGHT) as (console, listening):
        with closing(Barrage(listening.path)) as barrage:
            for batch in batches(count, count):
                assert barrage.run(batch) == []
                unasked = [change for change in console.changes if not was_asked_for(change, batch)]
                assert unasked == []
                changes += len(console.changes)
                console.changes.clear()
        statuses = dict(sorted(barrage.statuses.items()))
    print(
        f"\n{count:,} sequences, {barrage.answered:,} answered, {changes:,} changes, {statuses}, {time.monotonic() - began:.0f} s"
    )

    # Else it has fired at nothing.
    assert barrage.answered > count / 2
    assert changes > count / 50
    assert {b"200", b"400", b"404", b"405", b"422"} <= set(statuses)


# --- requests that look valid ---

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.sampled_from(NAMES) | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.sampled_from(
    [{"kind": "Poll"}, {"kind": "Describe"}, {"kind": "Describe", "depth": 3}]
) | st.fixed_dictionaries(
    {}, optional={"kind": st.sampled_from(["Poll", "Describe", "Ended"]) | JSON, "depth": JSON, "also": JSON}
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "message": MESSAGE | JSON,
        "timeout_seconds": st.floats(0.1, 300) | JSON,
        "seconds": st.floats(0, 100) | JSON,
        "at_once": st.booleans() | JSON,
    },
)
BODY = st.none() | st.sampled_from([{"message": {"kind": "Poll"}}, {"seconds": 5}, {"at_once": True}]) | SAID | JSON
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "status", "after", "ticket", "type"]) | TEXT,
        st.integers(-1, 1_001).map(str) | st.sampled_from([*Status, "kora.boot.ready"]) | TEXT,
    ),
    max_size=2,
)
ACTOR = st.builds(
    lambda name, rest: ["actors", name, *rest],
    NAME,
    st.sampled_from(
        [(), *((word,) for word in ("mailbox", "kinds", "stack", "tell", "ask", "start", "stop", "restart", "x"))]
    ),
)
PATH = (
    ACTOR
    | st.sampled_from(
        [*"status tree stack claims tickets events log deadletters stats control cost ping version".split(), ""]
    ).map(lambda word: [word])
    | st.sampled_from("pause resume drain reread update shutdown".split()).map(lambda word: [word])
    | st.builds(
        lambda number, rest: ["deadletters", number, *rest],
        st.integers(0, 9).map(str) | TEXT,
        st.sampled_from([(), ("resend",)]),
    )
    | st.builds(lambda ticket, rest: ["tickets", ticket, *rest], TEXT, st.sampled_from([(), ("release",)]))
    | st.lists(TEXT, max_size=4)
)
METHOD = st.sampled_from(["GET", "POST", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH"])


def meant(method, parts, body):
    """The change that this asks for, if it asks for any."""
    said = body if isinstance(body, dict) else {}
    match method, parts:
        case "POST", ["actors", name, ("tell" | "ask") as verb]:
            return (verb, name, said.get("message"), ME)
        case "POST", ["actors", name, ("start" | "stop" | "restart") as verb]:
            return (verb, name, ME)
        case "POST", [("pause" | "resume" | "update") as verb]:
            return (verb, ME)
        case "POST", ["drain"]:
            return ("drain", said.get("seconds"), ME)
        case "POST", ["shutdown"]:
            return ("shutdown", said.get("at_once", False), ME)
        case "POST", ["deadletters", number, "resend"]:
            return ("resend", int(number), ME)
        case "DELETE", ["deadletters", number]:
            return ("drop", int(number), ME)
        case "DELETE", ["deadletters"]:
            return ("drop", None, ME)
    return None


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

        @given(METHOD, PATH, PARAMETERS, BODY)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(method, parts, parameters, body):
            if parts == ["actors", "admin", "restart"]:
                return
            target = "/" + "/".join(quote(part, safe="") for part in parts)
            target += f"?{urlencode(parameters)}" if parameters else ""
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

    assert {200, 400, 404, 405, 422} - {400} <= set(statuses)
