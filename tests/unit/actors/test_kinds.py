"""What an operator may send, and what is answered to the rest."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import messages, steering
from actors.admin import Admin
from actors.clock import Clock
from actors.control import Control
from actors.heartbeat import Heartbeat
from actors.kinds import kinds_of, message_of
from actors.ledger import Ledger
from actors.messages import Describe, Poll
from actors.poller import Poller
from actors.state_holder import StateHolder
from actors.steering import Transition
from actors.worker import Worker
from kora.domain.state import PrimaryState
from kora.errors import BadMessageError

ACTORS = (Admin, Clock, Control, Heartbeat, Ledger, Poller, StateHolder, Worker)
TOLD = {"Describe", "Flush", "Poll", "Recheck", "Transition"}


def test_only_what_carries_nothing_of_its_senders_may_be_told():
    known = {
        name: kind
        for module in (messages, steering)
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    }
    assert {name for name, kind in known.items() if getattr(kind, "MAY_BE_TOLD", False)} == TOLD


@pytest.mark.parametrize("actor", ACTORS)
def test_every_kind_that_an_actor_handles_has_a_description_and_a_schema_and_all_answer_describe(actor):
    kinds = {kind.kind: kind for kind in kinds_of(actor)}
    assert kinds["Describe"].answers
    for kind in kinds.values():
        assert kind.description
        assert kind.json_schema["properties"]["kind"] == {"const": kind.kind}
        assert kind.json_schema["additionalProperties"] is False
        assert kind.may_be_told is (kind.kind in TOLD)
    told = [kind.may_be_told for kind in kinds_of(actor)]
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(
    ("actor", "given_", "expected"),
    [
        (Poller, {"kind": "Poll"}, Poll()),
        (Poller, {"kind": "Describe"}, Describe()),
        (
            StateHolder,
            {"kind": "Transition", "target": "paused", "trigger": "a rehearsal"},
            Transition(target=PrimaryState.PAUSED, trigger="a rehearsal"),
        ),
    ],
)
def test_a_message_is_made_of_its_kind_and_fields(actor, given_, expected):
    assert message_of(actor, "it", given_) == expected


@pytest.mark.parametrize(
    ("actor", "given_", "words"),
    [
        (Poller, {}, ["kind", "Poll"]),
        (Poller, {"kind": 7}, ["kind", "Poll"]),
        (Poller, {"kind": "poll"}, ["'poll'", "Poll"]),
        (Poller, {"kind": "Transition"}, ["poller", "Transition", "Poll"]),
        (Poller, {"kind": "Poll", "now": 1}, ["now", "Poll"]),
        (Poller, {"kind": "Held", "version": [1, 2], "attempts": []}, ["Held", "only its sender can know"]),
        (Worker, {"kind": "Work"}, ["only its sender can know"]),
        (StateHolder, {"kind": "Transition", "target": "paused"}, ["trigger", "required"]),
        (StateHolder, {"kind": "Transition", "target": "hungry", "trigger": "x"}, ["target", "'paused'"]),
        (StateHolder, {"kind": "Transition", "target": "paused", "trigger": 1}, ["trigger", "string"]),
        (StateHolder, {"kind": "Transition", "target": "paused", "trigger": "x" * 201}, ["trigger", "200"]),
    ],
)
def test_what_cannot_be_sent_is_answered_with_the_fault_and_with_what_can(actor, given_, words):
    with pytest.raises(BadMessageError) as caught:
        message_of(actor, "poller", given_)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert {kind["kind"] for kind in caught.value.kinds} == {kind.kind for kind in kinds_of(actor) if kind.may_be_told}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=8,
)


@given(
    actor=st.sampled_from(ACTORS),
    given_=st.dictionaries(
        st.sampled_from(["kind", "target", "trigger", "now"]) | st.text(max_size=5), JSON, max_size=4
    )
    | st.fixed_dictionaries({"kind": st.sampled_from([kind.kind for actor in ACTORS for kind in kinds_of(actor)])}),
)
def test_whatever_is_said_it_is_a_message_that_may_be_told_or_refused(actor, given_):
    try:
        message = message_of(actor, "it", given_)
    except BadMessageError:
        return
    assert type(message).__name__ in TOLD
    assert type(message) in actor.handled()
