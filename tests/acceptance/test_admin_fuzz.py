"""Whatever is sent to a runtime that works its tickets: no error of its own, no end, and each change is on record."""

from __future__ import annotations

import json
import os
import pwd
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings

from actors.names import ADMIN, FACES, MIRROR, WORKERS
from kora.admin.client import Client
from kora.errors import NoRuntimeError
from tests.acceptance.home import PATIENCE_SECONDS, assert_sound, wait_until
from tests.unit.kora.admin.fuzz import TARGETS, Barrage, batches, was_asked_for
from tests.unit.kora.admin.requests import (
    HAS_PARAMETERS,
    PARAMETERS,
    TAKING_PARAMETERS,
    Requests,
    meant,
    routes,
    target,
)

ME = pwd.getpwuid(os.geteuid()).pw_name
ACTED = "kora.operator.acted"
SUPERVISORS = (FACES, MIRROR, WORKERS)
SERVING = [["actors", name, "restart"] for name in (ADMIN, FACES)]
UP = {"idle", "busy", "starting", "restarting"}
DRAIN_SECONDS = 31.7
"""what is meant where nothing is said, and no request says"""
BYTES_TARGETS = [each for each in TARGETS if each != "POST /shutdown"]


class Running:
    """The real program at work, its operator, and what of the operator's doings has been looked at so far."""

    def __init__(self, home, process):
        self._home = home
        self._process = process
        self.client = Client(home.folder / ".kora")
        self._seq = 0
        wait_until(home, self._answers, process)
        self.path = home.folder / ".kora" / "admin.sock"

    def _answers(self):
        try:
            return self.client.get("/ping") is not None
        except NoRuntimeError:
            return False

    def names(self):
        return [actor["name"] for actor in self.client.get("/status")["actors"]]

    def changes(self):
        """What has come on record since the last time, oldest first, in the shape of a Console's calls."""
        wait_until(self._home, lambda: self.client.get("/stats")["records_waiting"] == 0, self._process)
        with self._home.reading() as reader:
            events = list(reader.events(event_types=(ACTED,), after_seq=self._seq))
        self._seq = max([self._seq, *(event.seq for event in events)])
        return [change for event in events if (change := as_change(event.payload)) is not None]

    def put_right(self):
        """Start who is down, and let claims be made; the changes that this is."""
        down = [name for name, state in self.standing().items() if state in {"stopped", "failed"}]
        for name in down:
            self.client.post(f"/actors/{name}/start")
        self.client.post("/resume")
        return [*(("start", name, ME) for name in down), ("resume", ME)]

    def standing(self):
        """How each stands, supervisors before those below them."""
        found, left = {}, self.client.get("/tree")["children"]
        while left:
            each, *left = left
            found[each["name"]] = each["state"]
            left += each.get("children", [])
        return found

    def wait_for_admin(self, generation):
        """Until one of a later generation answers."""
        wait_until(self._home, lambda: self._answers() and self.generation() > generation, self._process)

    def generation(self):
        return self.client.get(f"/actors/{ADMIN}")["generation"]

    def is_done(self):
        with self._home.reading() as reader:
            return all(ticket.sea_status == "completed" for ticket in reader.tickets())


def as_change(payload):
    """An event as the change that it says was made; None for what failed, and for what is done on the store itself."""
    verb, name, before, after = payload["verb"], payload["target"], payload["before"], payload["after"]
    if isinstance(after, dict) and "failed" in after:
        return None
    match verb:
        case "tell" | "ask":
            change = (verb, name, after["message"])
        case "start" | "stop" | "restart" | "release":
            change = (verb, name)
        case "pause" | "resume" | "update":
            change = (verb,)
        case "drain":
            change = (verb, None if after["seconds"] == DRAIN_SECONDS else after["seconds"])
        case "shutdown":
            change = (verb, after["at_once"])
        case "resend":
            change = (verb, before["number"])
        case "drop":
            change = (verb, before.get("number"))
        case _:
            return None
    return (*change, payload["who"])


@contextmanager
def at_work(home, tickets, request_seconds):
    """A runtime with a board, which works it, and what is added, to the end when it is let alone again."""
    home.configure(
        runtime={"log_level": "INFO"},
        control={"max_attempts": 1_000_000, "drain_seconds": DRAIN_SECONDS},
        admin={"request_seconds": request_seconds, "max_connections": 300},
        poller={"poll_interval_seconds": 0.2, "lease_seconds": 60},
    )
    home.add(tickets)
    process = home.start("run")
    running = Running(home, process)
    running.changes()
    yield running
    running.put_right()
    home.add(5)
    wait_until(home, running.is_done, process)
    status = running.client.get("/status")
    assert {actor["state"] for actor in status["actors"]} <= {"idle", "busy"}
    assert {actor["restarts"] for actor in status["actors"]} == {0}, "none has failed"
    assert process.poll() is None
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert "ERROR" not in home.log()
    assert_sound(home)


def is_change(status, method, parts, body):
    """Whether this answer says that something was changed; what only asks an actor how it stands changes nothing."""
    if status not in {200, 202} or method not in {"POST", "DELETE"} or parts == ["reread"]:
        return False
    return not (parts[-1] == "ask" and body["message"]["kind"] in {"Describe", "Flush"})


@pytest.mark.parametrize(
    "count", [pytest.param(250, id="250"), pytest.param(100_000, id="100000", marks=pytest.mark.prove)]
)
def test_whatever_bytes_a_runtime_at_work_is_sent_it_works_on_and_only_what_was_asked_is_on_record(home, count):
    with at_work(home, count // 25, request_seconds=1) as running:
        seen = 0
        with closing(Barrage(running.path)) as barrage:
            for batch in batches(count, count, BYTES_TARGETS):
                assert barrage.run(batch) == [], home.log()
                changes = running.changes()
                assert [change for change in changes if not was_asked_for(change, batch)] == []
                seen += len(changes)
                assert_on_record(running, changes)
                put_right = running.put_right()
                assert running.changes() == put_right
        statuses = dict(sorted(barrage.statuses.items()))
        print(f"\n{count:,} sequences, {barrage.answered:,} answered, {seen:,} changes, {statuses}")

    # Else it has fired at nothing.
    assert barrage.answered > count / 2
    assert seen > count / 50
    assert {b"200", b"400", b"404", b"405", b"409", b"422"} <= set(statuses)


def assert_on_record(running, changes):
    """Nothing is paused or down but what the record of this batch has; before it, all was well."""
    made = {change[0] for change in changes}
    assert running.client.get("/control")["paused"] is None or made & {"pause", "drain"}
    down = {name for name, state in running.standing().items() if state != "running" and state not in UP}
    assert down <= {change[1] for change in changes if change[0] == "stop"}


@pytest.mark.parametrize(
    "count", [pytest.param(80, id="80"), pytest.param(20_000, id="20000", marks=pytest.mark.prove)]
)
def test_whatever_a_runtime_at_work_is_asked_each_change_that_is_made_is_on_record_and_no_other(home, count):
    statuses, expected = {}, []
    with (
        at_work(home, count // 10, request_seconds=PATIENCE_SECONDS) as running,
        closing(Requests(running.path)) as requests,
    ):
        with home.reading() as reader:
            tickets = [ticket.ticket_id for ticket in reader.tickets()]
        made = routes(
            names=[*running.names(), *SUPERVISORS],
            messages=[
                {"kind": "Poll"},
                {"kind": "Describe"},
                {"kind": "Flush"},
                {"kind": "Transition", "target": "ready", "trigger": "fuzz"},
                {"kind": "Drain", "deadline": 0.0},
            ],
            numbers=["1", "2", "3", "04", "-1", "x"],
            tickets=[*tickets[:10], tickets[0].upper(), ""],
        )

        @given(made, HAS_PARAMETERS, PARAMETERS)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(route, has_parameters, parameters):
            method, parts, body = route
            given_parameters = parameters if has_parameters or parts in TAKING_PARAMETERS else ()
            content = None if body is None else json.dumps(body).encode()

            before = running.generation() if parts in SERVING else None
            status, answer = requests.ask(method, target(parts, given_parameters), content)
            statuses[status] = statuses.get(status, 0) + 1
            assert status not in {500, 503, 504}, answer
            if not is_change(status, method, parts, body):
                return
            expected.append(meant(method, parts, body, ME))
            if before is not None:
                requests.close()
                running.wait_for_admin(before)
            if len(expected) % 20 == 0:
                expected.extend(running.put_right())

        ask()
        assert running.changes() == expected
    print(f"\n{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}, {len(expected):,} changes")

    # Else it has asked for nothing.
    assert statuses[200] > count / 10
    assert len(expected) > count / 50
    assert {404, 422} <= set(statuses)
