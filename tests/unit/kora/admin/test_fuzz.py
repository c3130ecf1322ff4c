"""Whatever is sent to the socket: no error of the server's, no end, no change that nobody asked for."""

import json
import logging
import os
import pwd
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from loguru import logger

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from tests.unit.kora.admin.fuzz import IN_FLIGHT, Barrage, batches, was_asked_for
from tests.unit.kora.admin.requests import (
    ENDING,
    HAS_PARAMETERS,
    PARAMETERS,
    TAKING_PARAMETERS,
    Requests,
    meant,
    routes,
    target,
)
from tests.unit.kora.admin.stand_in import NAMES, StandIn

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
    "count", [pytest.param(1_500, id="1500"), pytest.param(100_000, id="100000", marks=pytest.mark.prove)]
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


ROUTES = ENDING | routes(
    names=NAMES,
    messages=[{"kind": "Poll"}, {"kind": "Describe"}, {"kind": "Describe", "depth": 3}],
    numbers=["7", "07", "8", "-1", "x"],
    tickets=["x"],
)


@pytest.mark.parametrize(
    "count", [pytest.param(1_000, id="1000"), pytest.param(20_000, id="20000", marks=pytest.mark.prove)]
)
def test_whatever_is_asked_it_is_answered_and_does_only_what_was_asked(tmp_path, count):
    statuses = {}
    with under_fire(tmp_path) as (console, listening), closing(Requests(listening.path)) as requests:

        @given(ROUTES, HAS_PARAMETERS, PARAMETERS)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(route, has_parameters, parameters):
            method, parts, body = route
            if parts == ["actors", "admin", "restart"]:
                return
            console.stopped.clear()
            console.changes.clear()

            content = None if body is None else json.dumps(body).encode()
            given = parameters if has_parameters or parts in TAKING_PARAMETERS else ()
            status, answer = requests.ask(method, target(parts, given), content)

            statuses[status] = statuses.get(status, 0) + 1
            is_change = status == 200 and method != "GET" and parts != ["reread"]
            assert status < 500
            assert console.changes == ([meant(method, parts, body, ME)] if is_change else [])
            assert method == "HEAD" or json.loads(answer) is not None

        ask()
    print(f"\n{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}")

    # Else it has asked for nothing.
    assert statuses[200] > count / 5
    assert {404, 405, 409, 422} <= set(statuses)
