"""What an agent says of its operations, and what it is answered: one at a time, in order, within bounds."""

from __future__ import annotations

import itertools
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.agents.dialogue import WAITING_BYTES, WAITING_MAX, Dialogue
from kora.clock import SystemTime
from kora.domain.ids import operation_id
from kora.domain.operation import OperationState, Step, Verdict
from tests.operations import MemoryLedger

from .conftest import TICKET_ID, a_claim

CLAIM = a_claim(ticket_id=TICKET_ID).key


class Clock(SystemTime):
    def __init__(self):
        self.now = 100.0

    def boot_seconds(self):
        self.now += 1.0
        return self.now


def a_dialogue(ledger, *, interactive=True):
    return Dialogue("an attempt", CLAIM, ledger, Clock(), interactive=interactive)


def said(lines):
    return [json.loads(line) for line in lines]


def states(lines):
    return [line["state"] for line in said(lines)]


def test_an_operation_is_begun_and_committed_and_each_step_is_answered():
    ledger = MemoryLedger()
    dialogue = a_dialogue(ledger)
    assert dialogue.take({"kora": "operation", "tool": "pay", "key": "k"})
    meant = operation_id(TICKET_ID, "k")
    assert said(dialogue.pump()) == [
        {"kora": "operation", "state": "dispatched", "operation_id": meant, "sequence": 1, "key": "k"}
    ]
    assert dialogue.take({"kora": "operation", "operation_id": meant, "result": {"paid": [1, None]}})
    assert said(dialogue.pump()) == [
        {"kora": "operation", "state": "committed", "operation_id": meant, "sequence": 1, "key": "k"}
    ]
    assert ledger.states() == [("k", OperationState.COMMITTED, {"paid": [1, None]}, None)]
    # What is recorded is handed back, and takes no number.
    dialogue.take({"tool": "pay", "key": "k"})
    dialogue.take({"tool": "pay"})
    recorded, other = said(dialogue.pump())
    assert (recorded["state"], recorded["result"], recorded["sequence"]) == ("committed", {"paid": [1, None]}, 1)
    assert (other["sequence"], other["key"]) == (2, "pay#2@attempt-1")
    dialogue.take({"key": other["key"], "error": {"code": 7}})
    assert states(dialogue.pump()) == ["abandoned"]
    assert ledger.states()[1] == ("pay#2@attempt-1", OperationState.ABANDONED, None, '{"code":7}')


def test_the_next_is_asked_only_when_the_one_before_was_answered():
    ledger = MemoryLedger(holds=True)
    dialogue = a_dialogue(ledger)
    rings = []
    dialogue.ring = lambda: rings.append(len(ledger.asked))
    for key in "abc":
        dialogue.take({"tool": "t", "key": key})
    dialogue.take({"key": "a", "result": 1})
    answered = []
    for asked in range(1, 5):
        answered += states(dialogue.pump())
        assert len(ledger.asked) == asked
        assert dialogue.is_idle is (asked == 4)
        ledger.answer_held()
        assert len(rings) == asked
    answered += states(dialogue.pump())
    assert answered == ["dispatched", "dispatched", "dispatched", "committed"]
    assert [request.sequence_within_attempt for request in ledger.asked] == [1, 2, 3, 1]


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.REFUSED])
def test_what_was_not_begun_is_not_ended_and_takes_no_number(verdict):
    ledger = MemoryLedger(verdicts={Step.BEGIN: verdict})
    dialogue = a_dialogue(ledger)
    dialogue.take({"tool": "t", "key": "a"})
    dialogue.take({"key": "a", "result": 1})
    dialogue.take({"tool": "t", "key": "b"})
    answers = said(dialogue.pump())
    assert [answer["state"] for answer in answers] == [verdict.value] * 3
    assert {answer["reason"] for answer in answers} == {"because"}
    assert [(request.step, request.sequence_within_attempt) for request in ledger.asked] == [(Step.BEGIN, 1)] * 2
    assert dialogue.tool_since is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({}, "neither a tool"),
        ({"operation_id": "x"}, "neither a tool"),
        ({"tool": ""}, "1 to 200 characters"),
        ({"tool": None}, "is a str"),
        ({"tool": "x" * 201}, "1 to 200 characters"),
        ({"tool": "kora__claim_sea_ticket"}, "Kora's own"),
        ({"tool": "t", "key": ""}, "1 to 1,000 characters"),
        ({"tool": "t", "key": "x" * 1_001}, "1 to 1,000 characters"),
        ({"tool": "t", "key": 5}, "is a str"),
        ({"tool": "t", "key": "a\0b"}, "NUL"),
        ({"tool": "t", "key": "\ud800"}, "surrogate"),
        ({"result": 1}, "names no operation"),
        ({"operation_id": 7, "result": 1}, "names no operation"),
        ({"operation_id": "nobody", "result": 1}, "under way"),
        ({"key": "nobody", "error": "e"}, "under way"),
        ({"key": "k", "result": 1, "error": "both"}, "both"),
        ({"key": "k", "error": None}, "null"),
        ({"key": "k", "error": " "}, "what went wrong"),
        ({"key": "k", "result": float("nan")}, "nan"),
        ({"key": "k", "result": "\ud800"}, "surrogate"),
        ({"key": "k", "result": "x" * 1_048_576}, "longer than 1,048,576 bytes"),
        ({"key": "k", "result": json.loads("[" * 200 + "]" * 200)}, "nested more than 100"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_warned_of_once(line, why, caplog):
    ledger = MemoryLedger()
    dialogue = a_dialogue(ledger)
    dialogue.take(line)
    dialogue.take(line)
    answers = said(dialogue.pump())
    assert [answer["state"] for answer in answers] == ["refused", "refused"]
    assert why in answers[0]["reason"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert why in caplog.text
    assert ledger.asked == []
    assert dialogue.tool_since is None


def test_the_same_key_is_not_begun_twice_at_a_time_but_again_after_it_was_abandoned():
    ledger = MemoryLedger()
    dialogue = a_dialogue(ledger)
    for line in ({"tool": "t"}, {"tool": "t"}, {"error": "no"}, {"tool": "t"}):
        dialogue.take({"key": "k", **line})
    assert states(dialogue.pump()) == ["dispatched", "refused", "abandoned", "dispatched"]
    assert [request.sequence_within_attempt for request in ledger.asked] == [1, 1, 2]


def test_one_that_does_not_listen_is_recorded_and_answered_nothing():
    ledger = MemoryLedger(holds=True)
    dialogue = a_dialogue(ledger, interactive=False)
    # It knows the id by its key, whether the ledger has answered or not.
    lines = [
        {"tool": "t", "key": "a"},
        {"operation_id": operation_id(TICKET_ID, "a"), "result": "A"},
        {"tool": "t", "key": "b"},
        {"key": "b", "error": "B"},
        {"tool": "t", "key": "a"},
        {"key": "a", "result": "again"},
        {"nonsense": 1},
    ]
    assert [dialogue.take(line) for line in lines] == [True] * 6 + [False]
    while True:
        assert dialogue.pump() == []
        if not ledger.held:
            break
        ledger.answer_held()
    assert ledger.states() == [
        ("a", OperationState.COMMITTED, "A", None),
        ("b", OperationState.ABANDONED, None, "B"),
    ]


def test_the_latest_operation_in_flight_is_what_counts():
    dialogue = a_dialogue(MemoryLedger())
    assert dialogue.tool_since is None
    dialogue.take({"tool": "t", "key": "a"})
    first = dialogue.tool_since
    assert first is not None
    dialogue.take({"tool": "t", "key": "b"})
    assert dialogue.tool_since > first
    dialogue.pump()
    dialogue.take({"key": "b", "result": 1})
    dialogue.pump()
    assert dialogue.tool_since == first
    dialogue.take({"key": "a", "error": "e"})
    dialogue.pump()
    assert dialogue.tool_since is None


def test_a_recorded_operation_is_not_in_flight():
    ledger = MemoryLedger()
    dialogue = a_dialogue(ledger)
    for line in ({"tool": "t"}, {"result": 1}, {"tool": "t"}):
        dialogue.take({"key": "k", **line})
    assert states(dialogue.pump()) == ["dispatched", "committed", "committed"]
    assert dialogue.tool_since is None


def test_a_flood_of_beginnings_is_refused_beyond_a_bound(caplog):
    ledger = MemoryLedger(holds=True)
    dialogue = a_dialogue(ledger)
    taken = 0
    refused = []
    for number in range(10 * WAITING_MAX):
        taken += dialogue.take({"tool": "t", "key": f"{number}"})
        refused += dialogue.pump()
    assert taken == WAITING_MAX
    # One refusal still found room to wait for its turn.
    assert len(refused) + 1 + taken == 10 * WAITING_MAX
    assert {line["state"] for line in said(refused)} == {"refused"}
    assert len(caplog.records) == 1
    assert len(ledger.asked) == 1
    ledger.holds = False
    ledger.answer_held()
    assert states(dialogue.pump()) == ["dispatched"] * WAITING_MAX + ["refused"]
    # In flight they take room, too, until they are ended.
    assert not dialogue.take({"tool": "t"})
    assert dialogue.take({"key": "5", "result": 1})
    assert states(dialogue.pump()) == ["refused", "committed"]
    assert dialogue.take({"tool": "t"})


def test_results_that_wait_are_bounded_by_their_bytes():
    ledger = MemoryLedger()
    dialogue = a_dialogue(ledger)
    for number in range(20):
        dialogue.take({"tool": "t", "key": f"{number}"})
    dialogue.pump()
    ledger.holds = True
    taken = [dialogue.take({"key": f"{number}", "result": "x" * 1_000_000}) for number in range(20)]
    assert sum(taken) == WAITING_BYTES // 1_000_000
    ledger.holds = False
    dialogue.pump()
    # What found no room can be said again.
    assert dialogue.take({"key": "19", "result": "x" * 1_000_000})
    assert states(dialogue.pump())[-1] == "committed"


def test_ends_are_not_remembered_for_ever():
    dialogue = a_dialogue(MemoryLedger(verdicts={Step.BEGIN: Verdict.LOST}))
    for number in range(WAITING_MAX + 1):
        dialogue.take({"tool": "t", "key": f"{number}"})
        dialogue.pump()
    dialogue.take({"key": "0", "result": 1})
    dialogue.take({"key": f"{WAITING_MAX}", "result": 1})
    assert states(dialogue.pump()) == ["refused", "lost"]


KEYS = st.sampled_from(["a", "b", None])
LINES = st.one_of(
    st.builds(lambda key: {"tool": "t", "key": key}, KEYS),
    st.builds(lambda key: {"key": key, "result": "r"}, KEYS),
    st.builds(lambda key: {"key": key, "error": "e"}, KEYS),
)


@given(st.lists(LINES, max_size=30), st.lists(st.booleans(), max_size=100))
def test_however_late_the_answers_come_the_same_is_asked_and_answered(lines, answer_now):
    at_once = MemoryLedger()
    patient = a_dialogue(at_once)
    expected = [answer for line in lines if patient.take(line) or True for answer in patient.pump()]
    assert len(expected) == len(lines)

    ledger = MemoryLedger(holds=True)
    dialogue = a_dialogue(ledger)
    answers = []
    remaining, late = list(lines), itertools.chain(answer_now, itertools.cycle([True]))
    while remaining or ledger.held or not dialogue.is_idle:
        if remaining:
            dialogue.take(remaining.pop(0))
        answers += dialogue.pump()
        assert len(ledger.held) <= 1
        if next(late):
            ledger.answer_held()
    answers += dialogue.pump()
    assert answers == expected
    assert ledger.asked == at_once.asked
    begun = [json.loads(answer)["sequence"] for answer in answers if b'"dispatched"' in answer]
    assert begun == list(range(1, len(begun) + 1))
