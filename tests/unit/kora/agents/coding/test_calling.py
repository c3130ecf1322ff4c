"""How the programs are called: their arguments, the prompt on stdin, the session that they go on in."""

from __future__ import annotations

import pytest

from kora.agents.coding.agent import arguments_of
from kora.agents.coding.session import newest
from kora.domain.cost import Caps
from kora.domain.operation import Operation, OperationState
from tests.claims import NOW
from tests.unit.kora.agents.conftest import TICKET_ID, a_claim

from .conftest import settled
from .recorded import BY_NAME

ALL = {
    "model": "m",
    "permission_mode": "p",
    "arguments": ("--more", "x"),
    "max_turns": 3,
    "max_budget_usd": 1.25,
    "allowed_tools": ("Read", "Bash(git log:*)"),
}


@pytest.mark.parametrize(
    ("name", "session_id", "expected"),
    [
        (
            "claude_ok_partial",
            "s-1",
            """-p --output-format stream-json --verbose --include-partial-messages --model m --max-turns 3
            --max-budget-usd 1.25 --permission-mode p --allowedTools Read|Bash(git|log:*) --resume s-1 --more x""",
        ),
        ("codex_ok", None, "exec --json --skip-git-repo-check --model m --sandbox p --more x -"),
        ("codex_ok", "s-1", "exec --json --skip-git-repo-check --model m --sandbox p --more x resume s-1 -"),
        (
            "gemini_ok",
            "s-1",
            "-p|Do the work that is described above.|-o stream-json --model m --approval-mode p --resume s-1 --more x",
        ),
    ],
)
def test_what_a_program_is_called_with(name, session_id, expected):
    said = arguments_of(BY_NAME[name].settings(**ALL), session_id)

    assert " ".join(said).split() == expected.replace("|", " ").split()


@pytest.mark.parametrize(
    ("own", "caps", "expected"),
    [
        (0.0, Caps(), None),
        (0.0, Caps(attempt_usd=2.0), "2"),
        (1.0, Caps(attempt_usd=2.0), "1"),
        (3.0, Caps(attempt_usd=2.0, ticket_usd=10.0), "1"),
    ],
)
def test_claude_is_told_what_the_attempt_may_cost(replay, asked, own, caps, expected):
    claim = a_claim()._replace(spent_micro_usd=9_000_000)
    replay(BY_NAME["claude_ok_partial"], claim=claim, caps=caps, max_budget_usd=own).wait()
    said = asked()["arguments"]
    assert (said[said.index("--max-budget-usd") + 1] if "--max-budget-usd" in said else None) == expected


@pytest.mark.parametrize("name", ["claude_ok_partial", "codex_ok", "gemini_ok"])
@pytest.mark.parametrize("title", ["--version", "-rf /", "/compact", "@secret.txt", "$(reboot)", "`x`", "säge 🪚"])
def test_a_title_is_a_title_whatever_it_looks_like(replay, asked, name, title):
    outcome = replay(BY_NAME[name], claim=a_claim(title=title), prompt="{ticket_title}\n{ticket_objective}").wait()

    assert settled(outcome).resolution == "completed"
    assert title not in " ".join(asked()["arguments"])
    lines = asked()["prompt"].splitlines()
    assert title in lines
    assert lines[0] == title if title[0] not in "-/@" else lines[0] == "The ticket:"


def test_only_what_is_allowed_of_the_environment_is_seen(replay, asked, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-1")
    monkeypatch.setenv("OTHER_KEY", "sk-2")
    replay(BY_NAME["claude_ok_partial"], env_allow=("PATH", "ANTHROPIC_API_KEY")).wait()

    seen = set(asked()["environment"])
    assert {"ANTHROPIC_API_KEY", "KORA_TICKET_ID"} <= seen
    assert not {"OTHER_KEY", "HOME"} & seen


def session_row(session_id, state=OperationState.COMMITTED, tool="claude.session"):
    result = {"session_id": session_id}
    return Operation("attempt-0", 1, "id", tool, "key", state, result, None, NOW, NOW)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], None),
        ([session_row("s-1")], "s-1"),
        ([session_row("s-1"), session_row("s-2")], "s-2"),
        ([session_row("s-1"), session_row(None)], None),
        ([session_row("s-1"), session_row("s-2", OperationState.ABANDONED)], "s-1"),
        ([session_row("s-1"), session_row("s-2", tool="codex.session")], "s-1"),
        ([session_row("--dangerously-skip-permissions")], None),
        ([session_row(["s"])], None),
    ],
)
def test_the_newest_session_that_was_kept_is_gone_on_with(rows, expected):
    assert newest("claude", a_claim()._replace(operations=tuple(rows))) == expected


def kept(run):
    return [result["session_id"] for _, state, result, _ in run.ledger.states() if state is OperationState.COMMITTED]


@pytest.mark.parametrize("name", ["claude_ok_partial", "codex_ok", "gemini_ok", "claude_sigterm"])
def test_the_session_is_kept_in_the_ledger_and_the_next_attempt_goes_on_in_it(replay, asked, name):
    recorded = BY_NAME[name]
    claim = a_claim(ticket_id=TICKET_ID)
    run = replay(recorded, claim=claim, resume=True)
    run.wait()
    assert kept(run) == [recorded.session_id]

    rows = tuple(run.ledger.rows.values())
    again = replay(recorded, claim=a_claim(ticket_id=TICKET_ID)._replace(operations=rows), resume=True)
    again.wait()

    said = asked()["arguments"]
    assert said[said.index("resume" if recorded.kind == "codex" else "--resume") + 1] == recorded.session_id


def test_without_resume_no_session_is_kept_or_gone_on_with(replay, asked):
    claim = a_claim(ticket_id=TICKET_ID)._replace(operations=(session_row("s-1"),))
    run = replay(BY_NAME["claude_ok_partial"], claim=claim)
    run.wait()

    assert run.ledger.asked == []
    assert "--resume" not in asked()["arguments"]


def test_a_session_that_cannot_be_gone_on_with_is_discarded_and_the_next_attempt_begins_anew_at_once(replay, tmp_path):
    stream = tmp_path / "stream"
    stream.write_text(
        '{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation"]}\n'
    )
    claim = a_claim(ticket_id=TICKET_ID)._replace(operations=(session_row("s-1"),))
    run = replay(BY_NAME["claude_ok_partial"], transcript=stream, claim=claim, resume=True, end="exit:1")

    settlement = settled(run.wait())

    assert (settlement.resolution, settlement.next_eligible_offset_seconds) == ("released", 0.0)
    assert settlement.summary.endswith("the next attempt begins anew: No conversation")
    assert settlement.failure_count_by_reason == {"agent_temporary": 1}
    assert kept(run) == [None]


def test_a_failure_after_work_in_an_earlier_session_is_a_failure(replay):
    claim = a_claim(ticket_id=TICKET_ID)._replace(operations=(session_row("s-1"),))
    run = replay(BY_NAME["claude_max_turns"], claim=claim, resume=True)

    assert settled(run.wait()).resolution == "failed_retryable"
    assert kept(run) == [BY_NAME["claude_max_turns"].session_id]
