"""What a callable says of the runtime's secrets, and where it is cut short."""

from __future__ import annotations

import pytest

from kora.agents.coding.stream import TROUBLE_CHARACTERS, cut, text_of
from kora.agents.notes import Notes
from kora.agents.record import Record
from kora.agents.returned import outcome_of
from kora.clock import SystemTime
from kora.domain.resolution import SUMMARY_CHARACTERS, AgentResult, Outcome, Resolution, settle
from kora.redact import of_this_process
from kora.work.values import TEXT_CHARACTERS, described

from .conftest import a_claim

SECRET = "Anchor7Halyard9Bowline3Capstan" * 3


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    of_this_process.cache_clear()
    yield
    of_this_process.cache_clear()


class Shown:
    def __repr__(self):
        return f"<Shown {SECRET}>"


@pytest.mark.parametrize("value", [SECRET, "x" * 190 + SECRET, {"key": SECRET}, [SECRET], Shown(), (Shown(),)])
def test_what_was_returned_and_is_no_result_is_told_without_its_secrets(value):
    fault = outcome_of(value, "").protocol_fault

    assert fault is not None
    assert SECRET[:5] not in fault
    assert SECRET[-5:] not in fault


def test_what_was_raised_is_told_without_its_secrets():
    assert described(ValueError(SECRET)) == "ValueError: ***"
    assert SECRET[:5] not in described(ValueError("x" * (TEXT_CHARACTERS - 20) + SECRET))


def test_the_last_note_is_told_without_its_secrets(tmp_path):
    notes = Notes(Record(tmp_path / "record.log", SystemTime()))
    notes.keep("log", "x" * 490 + SECRET)
    notes.close()

    assert notes.last_line == "x" * 490 + "***"


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(fault=SECRET),
        Outcome(raised=SECRET),
        Outcome(verify_fault=SECRET),
        Outcome(protocol_fault=SECRET),
        Outcome(exit_code=1, last_output=SECRET),
        Outcome(signal=9, last_output=SECRET),
        Outcome(last_output=SECRET),
        Outcome(result=AgentResult(resolution=Resolution.FAILED_TERMINAL, summary=SECRET, model_tier=SECRET)),
    ],
)
def test_however_an_attempt_ends_what_is_written_of_it_holds_no_secret(outcome):
    settlement = settle(a_claim(), outcome, max_attempts=10, redacted=of_this_process())

    assert settlement is not None
    assert SECRET not in repr(settlement)
    assert "***" in settlement.summary


@pytest.mark.parametrize("text", ["x" * (SUMMARY_CHARACTERS - 9) + SECRET, "x" * (TROUBLE_CHARACTERS - 9) + SECRET])
def test_a_coding_agents_text_is_cut_behind_its_secrets(text):
    assert SECRET[:5] not in text_of(text).replace(SECRET, "")
    assert SECRET[:5] not in cut(text_of(text), TROUBLE_CHARACTERS)
