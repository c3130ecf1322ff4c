"""How the runtime is, on its own socket and on a port: the words, the status codes, and who may ask."""

import json
import re
import socket
from contextlib import closing
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import HEALTH_CONNECTIONS, bind, serve
from kora.domain.health import STILL_SECONDS
from kora.domain.vitals import LedgerVitals, Vitals
from kora.errors import AdminError, StartError
from tests.unit.kora.admin.stand_in import NAMES, WELL
from tests.unit.kora.admin.wire import PATIENCE_SECONDS, request, rest, said, status_of, until

STILL = replace(WELL, ledger=LedgerVitals(STILL_SECONDS, 2.0))
PAUSED = replace(WELL, paused="by ann")
BOOTING = Vitals(booting="store: out of reach, try 3 of 5")


def body(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_health_is_told_part_by_part(client):
    found = client.get("/health")

    assert (found["status"], found["is_live"], found["not_ready"], found["stopped_on_purpose"]) == (
        "ok",
        True,
        None,
        None,
    )
    assert {"boot", "ledger", "last_write", "heartbeat", "claims", "dispatch", "cost", "watcher", "restarts"} <= {
        each["part"] for each in found["parts"]
    }
    assert {each["grade"] for each in found["parts"]} == {"ok"}


def test_liveness_and_readiness_are_the_status_code(console, address):
    for vitals, healthz, readyz, why in (
        (WELL, 200, 200, None),
        (PAUSED, 200, 503, "paused by ann"),
        (STILL, 503, 503, "ledger: turned 30.0 s ago"),
        (BOOTING, 200, 503, "booting: store: out of reach, try 3 of 5"),
    ):
        console.well = vitals
        live, ready = said(address, request("GET", "/healthz")), said(address, request("GET", "/readyz"))
        assert (status_of(live), status_of(ready)) == (healthz, readyz)
        assert body(live)["is_live"] == (healthz == 200)
        assert (body(ready)["is_ready"], body(ready)["not_ready"]) == (readyz == 200, why)


def metrics(answer):
    """Every sample by its name and labels; whatever is no exposition raises."""
    text = answer.partition(b"\r\n\r\n")[2].decode()
    families = list(text_string_to_metric_families(text))
    samples = (sample for each in families for sample in each.samples)
    return {(each.name, *(value for _, value in sorted(each.labels.items()))): each.value for each in samples}


def test_metrics_are_an_exposition_that_prometheus_reads(console, address):
    answer = said(address, request("GET", "/metrics"))

    assert status_of(answer) == 200
    assert b"content-type: text/plain; version=0.0.4" in answer
    found = metrics(answer)
    assert {name for name, *_ in found if not name.startswith("kora_")} == set()
    assert found[("kora_live",)] == found[("kora_ready",)] == found[("kora_watcher_alive",)] == 1
    assert found[("kora_state", "ready")] == found[("kora_cost_rung", "normal")] == 1
    assert found[("kora_state", "active")] == found[("kora_stop_level",)] == 0
    assert (found[("kora_cost_spent_usd",)], found[("kora_cost_pool_usd",)]) == (1.5, 200)
    assert [found[("kora_mailbox_depth", name)] for name in NAMES] == [3] * len(NAMES)
    assert found[("kora_actor_restarts_total", "ledger")] == 2
    assert (found[("kora_dead_letters_total",)], found[("kora_attempts_ended_total", "completed")]) == (7, 5)
    assert found[("kora_runtime_info", "019b0000-0000-7000-8000-000000000001", "0.1.0")] == 1
    # No refresh has been confirmed yet: there is no age to tell.
    assert ("kora_last_refresh_age_seconds",) not in found
    console.well = STILL
    after = metrics(said(address, request("GET", "/metrics")))
    assert (after[("kora_live",)], after[("kora_part_health", "ledger")]) == (0, 2)

    console.well = BOOTING
    found = metrics(said(address, request("GET", "/metrics")))
    assert (found[("kora_live",)], found[("kora_ready",)], found[("kora_part_health", "boot")]) == (1, 0, 1)


class Port:
    """The port for health, and bytes to it and back."""

    def __init__(self, listening):
        self.address = listening.health.getsockname()[:2]

    def connected(self):
        return socket.create_connection(self.address, PATIENCE_SECONDS)

    def asked(self, target, method="GET", host=None, version="1.1"):
        named = f"{self.address[0]}:{self.address[1]}" if host is None else host
        lines = [f"{method} {target} HTTP/{version}", "Connection: close", *([f"Host: {named}"] if named else [])]
        with closing(self.connected()) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            return rest(connection)


@pytest.fixture
def port(state_dir, console):
    with closing(bind(state_dir, ("127.0.0.1", 0))) as listening:
        served = serve(listening, console, AdminSettings())
        try:
            yield Port(listening)
            served.check()
            assert Client(state_dir).get("/status")["claims_held"] == 0
        finally:
            served.close()


def test_the_port_has_what_the_socket_has_and_nothing_else(port, state_dir):
    for path in ("/healthz", "/readyz"):
        assert body(port.asked(path)) == Client(state_dir).get(path)
    assert metrics(port.asked("/metrics"))[("kora_live",)] == 1
    for path in ("/", "/status", "/health", "/stack", "/actors/poller", "/healthz/", "//healthz"):
        assert status_of(port.asked(path)) == 404, path


def test_the_port_says_unwell_by_its_status(port, console):
    console.well = STILL

    assert [status_of(port.asked(path)) for path in ("/healthz", "/readyz", "/metrics")] == [503, 503, 200]


def test_a_head_has_no_body(port):
    head = port.asked("/healthz", "HEAD")

    assert status_of(head) == 200
    assert head.endswith(b"\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", head)


def test_the_port_changes_nothing(port, console):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert [status_of(port.asked(path, method)) for path in ("/healthz", "/pause", "/shutdown")] == [405] * 3
    assert console.changes == []


def test_the_port_is_for_whoever_names_the_loopback(port):
    for host in ("127.0.0.1", "localhost:1", "[::1]:9464", "[::1]", "127.8.8.8:80", "LOCALHOST"):
        assert status_of(port.asked("/healthz", host=host)) == 200, host


def test_a_page_that_led_its_own_name_here_reads_nothing(port):
    own = ("evil.example", "evil.example:9464", "127.0.0.1.evil.example", "10.0.0.1:9464", "localhost.evil:1")
    for host in (*own, "::1", "x" * 500):
        answer = port.asked("/metrics", host=host)
        assert status_of(answer) == 421, host
        assert b"kora_" not in answer


def test_a_request_that_names_no_host_reads_nothing(port):
    assert status_of(port.asked("/metrics", host="", version="1.0")) == 421


def test_the_ports_connections_are_bounded_and_the_socket_has_its_own(port, state_dir):
    idle = [port.connected() for _ in range(HEALTH_CONNECTIONS)]
    try:
        until(lambda: status_of(port.asked("/healthz")) == 503)
        assert Client(state_dir).get("/ping")
    finally:
        for connection in idle:
            connection.close()
    until(lambda: status_of(port.asked("/healthz")) == 200)


def test_a_fault_of_the_consoles_is_no_end_of_the_port(port, console):
    console.raises["vitals"] = RuntimeError("the roof")
    answer = port.asked("/healthz")
    console.raises.clear()

    assert status_of(answer) == 500
    assert b"the roof" not in answer
    assert status_of(port.asked("/healthz")) == 200


def test_a_port_in_use_is_named_with_its_key(state_dir, tmp_path):
    with closing(bind(state_dir, ("127.0.0.1", 0))) as listening:
        taken = listening.health.getsockname()
        with pytest.raises(StartError, match=r"port \d+: cannot be listened at: .*admin.health_listen"):
            bind(tmp_path / "other", taken)
        # What was bound until then is let go of.
        with closing(bind(tmp_path / "other")):
            pass


def test_when_the_ports_thread_has_died_the_actor_is_told(state_dir, console):
    with closing(bind(state_dir, ("127.0.0.1", 0))) as listening:
        served = serve(listening, console, AdminSettings())
        served._each[1].close()
        with pytest.raises(AdminError, match="the health API's thread has ended"):
            served.check()
        served.close()
