"""Commands that tell of their operations: real programs, a ledger in memory."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from kora.domain.ids import operation_id
from kora.domain.operation import Operation, OperationState, Step, Verdict
from kora.domain.resolution import Outcome, StopReason
from tests import claims
from tests.operations import MemoryLedger

from .conftest import TICKET_ID, WAIT_SECONDS, a_claim, a_lease, kept, sh

CLAIM = a_claim(ticket_id=TICKET_ID)

BEGINNINGS = [f'{{"kora":"operation","tool":"t","key":"{key}"}}' for key in "abc"]

AGENT = """
import json, sys

document = json.loads(sys.stdin.readline())

def tell(**said):
    print(json.dumps({"kora": "operation"} | said), flush=True)

def ask(**said):
    tell(**said)
    return json.loads(sys.stdin.readline())

"""


@pytest.fixture
def talk(start):
    """Runs a script as an interactive agent; its ledger is the run's."""

    def runs(script, **settings):
        settings = {"claim": CLAIM, "interactive": True, "progress": "protocol", **settings}
        return start(sys.executable, "-c", AGENT + script, **settings)

    return runs


def dispatched(ledger):
    assert ledger.arrived.acquire(timeout=WAIT_SECONDS), "nothing was asked"


def test_an_agent_asks_does_and_reports(talk):
    run = talk("""
begun = ask(tool="pay", key="k")
assert begun["state"] == "dispatched" and begun["sequence"] == 1, begun
ended = ask(operation_id=begun["operation_id"], result={"paid": 5})
assert ended["state"] == "committed", ended
again = ask(tool="pay", key="k")
assert (again["state"], again["result"]) == ("committed", {"paid": 5}), again
other = ask(tool="look")
failed = ask(operation_id=other["operation_id"], error="nobody there")
assert failed["state"] == "abandoned", failed
print(json.dumps([begun["operation_id"], other["key"]]))
""")
    outcome = run.wait()
    assert outcome.exit_code == 0, outcome
    assert json.loads(outcome.last_output) == [operation_id(TICKET_ID, "k"), "look#2@attempt-1"]
    assert run.ledger.states() == [
        ("k", OperationState.COMMITTED, {"paid": 5}, None),
        ("look#2@attempt-1", OperationState.ABANDONED, None, "nobody there"),
    ]
    assert run.progress_at is not None
    assert run.tool_since is None


def test_the_document_tells_what_earlier_attempts_recorded(start, tmp_path):
    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    row = Operation("earlier", 1, "id-1", "pay", "k", OperationState.COMMITTED, {"paid": [5]}, None, moment, moment)
    claim = claims.a_claim(ticket_id=TICKET_ID)
    claim = type(claim)(claim.key, claim.ticket, claim.holder, claim.lease_expires_at, (row,))
    start(*sh("cat > got"), claim=claim).wait()
    assert json.loads((tmp_path / "got").read_bytes())["operations"] == [
        {
            "work_attempt_id": "earlier",
            "sequence_within_attempt": 1,
            "kora_operation_id": "id-1",
            "tool_name": "pay",
            "operation_key": "k",
            "state": "committed",
            "dispatch_result": {"paid": [5]},
            "dispatch_error": None,
            "allocated_at": "2026-03-01T12:00:00.000005Z",
            "ended_at": "2026-03-01T12:00:00.000005Z",
        }
    ]


def test_an_answer_that_takes_its_time_wakes_the_reader(talk):
    ledger = MemoryLedger(holds=True)
    run = talk('print(ask(tool="t", key="k")["state"])', ledger=ledger)
    dispatched(ledger)
    # Waiting for the ledger is no standstill of the agent's.
    assert run.tool_since is not None
    assert run.outcome is None
    ledger.answer_held()
    assert run.wait().last_output == "dispatched"


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.REFUSED])
def test_an_operation_that_may_not_be_is_answered_so(talk, verdict):
    run = talk('print(ask(tool="t")["state"])', ledger=MemoryLedger(verdicts={Step.BEGIN: verdict}))
    assert run.wait().last_output == verdict.value


def test_bad_lines_are_answered_with_their_reason_and_kept_as_output(talk, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    run = talk("""
reasons = [
    ask(nothing=1)["reason"],
    ask(tool="x" * 300)["reason"],
    ask(operation_id="nobody", result=1)["reason"],
]
print('{"kora": "operation", "tool": ', flush=True)
reasons.append(json.loads(sys.stdin.readline())["reason"])
tell(tool="x" * 2_000_000)
reasons.append(json.loads(sys.stdin.readline())["reason"])
print("|".join(reasons))
""")
    reasons = run.wait().last_output.split("|")
    for reason, said in zip(
        reasons, ["neither a tool", "1 to 200", "under way", "no JSON", "longer than 1,048,576"], strict=True
    ):
        assert said in reason
    assert len([record for record in caplog.records if "operation" in record.getMessage()]) == 1
    texts = [text for _, text in kept(tmp_path / "state")]
    assert texts[0] == '{"kora": "operation", "nothing": 1}'
    assert run.ledger.asked == []


def test_what_an_agent_asked_for_last_is_submitted_before_its_end_is_told(start):
    ledger = MemoryLedger(holds=True)
    lines = [
        '{"kora":"operation","tool":"a","key":"a"}',
        '{"kora":"operation","key":"a","result":1}',
        '{"kora":"operation","tool":"b","key":"b"}',
    ]
    run = start(*sh('printf "%s\\n%s\\n%s" "$@"', *lines), claim=CLAIM, ledger=ledger)
    for _ in lines[:-1]:
        dispatched(ledger)
        assert run.ends == []
        ledger.answer_held()
    assert run.wait() == Outcome(exit_code=0)
    assert [(request.step, request.operation_key) for request in ledger.asked] == [
        (Step.BEGIN, "a"),
        (Step.COMMIT, "a"),
        (Step.BEGIN, "b"),
    ]
    assert run.progress_at is not None


@pytest.mark.parametrize("end", ["kill", "lease"])
def test_a_ledger_that_never_answers_does_not_keep_an_attempt_for_ever(start, end, caplog):
    ledger = MemoryLedger(holds=True)
    run = start(
        *sh('printf "%s\\n%s\\n%s\\n" "$@"', *BEGINNINGS),
        claim=CLAIM,
        ledger=ledger,
        lease=a_lease(2.0 if end == "lease" else 600.0),
    )
    dispatched(ledger)
    if end == "kill":
        run.kill(StopReason.DRAINED)
    outcome = run.wait()
    assert outcome.stop_reason in (None, StopReason.DRAINED)
    assert len(ledger.asked) == 1
    assert "was not recorded" in caplog.text
    assert run.tool_since is None


def test_a_stop_hastens_what_is_still_to_be_recorded(start, monkeypatch):
    monkeypatch.setattr("kora.agents.attempt._HAND_IN_SECONDS", 0.0)
    ledger = MemoryLedger(holds=True)
    run = start(*sh('printf "%s\\n%s\\n%s\\n" "$@"', *BEGINNINGS), claim=CLAIM, ledger=ledger)
    dispatched(ledger)
    run.stop(StopReason.DRAINED)
    run.wait()


def test_an_agent_that_floods_is_refused_and_warned_of_once(start, tmp_path, caplog):
    ledger = MemoryLedger(holds=True)
    flood = 'yes \'{"kora":"operation","tool":"t"}\' | head -n 100000'
    run = start(*sh(flood), claim=CLAIM, ledger=ledger, lease=a_lease(20.0))
    dispatched(ledger)
    ledger.holds = False
    ledger.answer_held()
    assert run.wait().exit_code == 0
    assert len(kept(tmp_path / "state")) + len(ledger.asked) == 100_000
    assert len([record for record in caplog.records if "refused" in record.getMessage()]) == 1
    assert len(ledger.asked) >= 1_024


def test_an_agent_that_never_reads_its_answers_loses_its_stdin_and_no_more(talk, caplog):
    run = talk("""
for number in range(40):
    tell(tool="t", key="big")
    if number == 0:
        tell(key="big", result="x" * 1_000_000)
import select
hears = select.poll()
hears.register(0, 0)
hears.poll(30_000)
print("done")
""")
    outcome = run.wait()
    assert outcome == Outcome(exit_code=0, last_output="done")
    assert len([record for record in caplog.records if "its stdin is closed" in record.getMessage()]) == 1


def test_an_agent_that_closes_its_stdin_is_recorded_all_the_same(talk, tmp_path):
    run = talk("""
sys.stdin.close()
tell(tool="t", key="k")
tell(key="k", result=5)
print("done")
""")
    assert run.wait() == Outcome(exit_code=0, last_output="done")
    assert run.ledger.states() == [("k", OperationState.COMMITTED, 5, None)]


def test_stdin_of_an_interactive_agent_stays_open(talk):
    run = talk("""
import select
print(select.select([sys.stdin], [], [], 0)[0], flush=True)
print(json.dumps({"kora": "progress", "signal": "tool_call_boundary"}), flush=True)
sys.stdin.readline()
""")
    run.kill(StopReason.DRAINED)
    assert run.wait().stop_reason is StopReason.DRAINED


def test_an_answer_after_the_end_wakes_nobody(start):
    ledger = MemoryLedger(holds=True)
    run = start("/bin/echo", '{"kora":"operation","tool":"t"}', claim=CLAIM, ledger=ledger)
    assert run.wait() == Outcome(exit_code=0)
    ledger.answer_held()
