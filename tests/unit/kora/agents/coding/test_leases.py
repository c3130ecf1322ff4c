"""Whose lease lasts: all actors, a board, and agents whose streams come in virtual time."""

from __future__ import annotations

import json
from random import Random

import pytest

from kora.agents.coding.agent import interpreter_of
from kora.agents.coding.hearing import CodingHearing
from kora.agents.coding.session import Session
from kora.agents.output import Output
from tests.unit.actors import cast
from tests.unit.actors.world import World

from .recorded import BY_NAME
from .test_mutated import NoRecord

LEASE_SECONDS, BEAT_SECONDS, TOOL_SECONDS = 600.0, 60.0, 1_800.0
DAY_SECONDS = 86_400

DELTAS = {
    "claude": {"type": "stream_event", "event": {"type": "content_block_delta"}},
    "codex": {"type": "item.completed", "item": {"type": "reasoning", "id": "r"}},
    "gemini": {"type": "message", "role": "assistant", "content": "x", "delta": True},
}
TIMERS = {
    "claude": [
        {"type": "tool_progress", "tool_use_id": "t", "heartbeat": True},
        {"type": "system", "subtype": "status", "status": "requesting"},
        {"type": "system", "subtype": "api_retry", "attempt": 3, "error_status": 529},
        {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}},
    ],
    "codex": [{"type": "error", "message": "Reconnecting... 2/5"}, {"type": "turn.started"}],
    "gemini": [{"type": "error", "severity": "warning", "message": "retrying"}],
}
CALLS = {
    "claude": (
        {"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t"}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t"}]}},
    ),
    "codex": (
        {"type": "item.started", "item": {"type": "command_execution", "id": "t"}},
        {"type": "item.completed", "item": {"type": "command_execution", "id": "t"}},
    ),
    "gemini": (
        {"type": "tool_use", "tool_id": "t", "tool_name": "x"},
        {"type": "tool_result", "tool_id": "t", "status": "success"},
    ),
}
KIND_OF = {"claude": "claude_ok_partial", "codex": "codex_ok", "gemini": "gemini_ok"}


class Streaming:
    """One ticket under way, whose agent prints what the test says, when it says so."""

    def __init__(self, kind, tick_seconds):
        self.world = World(tickets=1, lease_seconds=LEASE_SECONDS, heartbeat_seconds=BEAT_SECONDS)
        self.tick_seconds = tick_seconds
        self.world.tick(tick_seconds)
        self.world.talk()
        [self.agent] = self.world.running
        session = Session(kind, self.agent.claim, None)
        interpreter = interpreter_of(BY_NAME[KIND_OF[kind]].settings())
        self.hearing = CodingHearing(interpreter, session, self.world.time, grace_seconds=5.0)
        self.output = Output(NoRecord(), self.hearing, self.world.time)

    @property
    def now(self):
        return self.world.time.seconds

    @property
    def is_alive(self):
        return self.agent.outcome is None

    def say(self, line):
        self.output.feed("stdout", json.dumps(line).encode() + b"\n")
        self.agent.progress_at, self.agent.tool_since = self.output.progress_at, self.hearing.tool_since

    def wait(self, seconds):
        """Time passes while it is silent."""
        until = self.now + seconds
        while self.is_alive and self.now < until:
            self.world.tick(min(self.tick_seconds, until - self.now))
            self.world.talk()


@pytest.fixture(params=["claude", "codex", "gemini"])
def kind(request):
    return request.param


@pytest.fixture
def tick_seconds(monkeypatch):
    """Coarser than in a runtime, so that a day is over soon; a word is as late as that at most."""
    seconds = 5.0
    monkeypatch.setattr(cast, "TICK", seconds)
    return seconds


@pytest.mark.parametrize("rounds", [2, pytest.param(200, marks=pytest.mark.prove)])
def test_one_that_hangs_loses_its_lease_however_its_timers_go_on(kind, tick_seconds, rounds):
    for seed in range(rounds):
        chance = Random(seed)
        agent = Streaming(kind, tick_seconds)
        for _ in range(chance.randint(0, 12)):
            agent.say(DELTAS[kind])
            agent.wait(chance.uniform(1, 400))
        assert agent.is_alive
        worked_until = agent.output.progress_at or agent.agent.started_at

        while agent.is_alive:
            agent.say(chance.choice(TIMERS[kind]))
            agent.wait(chance.uniform(1, 60))
            assert agent.now - worked_until <= LEASE_SECONDS + BEAT_SECONDS, f"seed {seed}"

        assert agent.agent.ran_out_at is not None


@pytest.mark.parametrize("seconds", [DAY_SECONDS / 24, pytest.param(DAY_SECONDS, marks=pytest.mark.prove)])
def test_one_that_streams_slowly_but_truly_keeps_it(kind, tick_seconds, seconds):
    agent, chance = Streaming(kind, tick_seconds), Random(1)
    until = agent.now + seconds

    while agent.now < until:
        agent.say(DELTAS[kind])
        agent.wait(chance.uniform(200, 550))

        assert agent.is_alive, f"lost after {agent.now - until + seconds:.0f} s"


def test_a_silent_tool_call_of_15_minutes_survives_a_lease_of_10(kind, tick_seconds):
    agent = Streaming(kind, tick_seconds)
    call, result = CALLS[kind]
    agent.say(call)
    agent.wait(900)
    assert agent.is_alive
    agent.say(result)
    agent.wait(500)
    assert agent.is_alive


def test_a_tool_call_that_never_ends_keeps_it_for_so_long_and_no_longer(kind, tick_seconds):
    agent = Streaming(kind, tick_seconds)
    agent.say(CALLS[kind][0])
    began = agent.now

    while agent.is_alive:
        agent.say(TIMERS[kind][0])
        agent.wait(30)

    assert TOOL_SECONDS < agent.now - began <= TOOL_SECONDS + LEASE_SECONDS + BEAT_SECONDS
