"""What the lines mean that were not recorded: limits, refusals, denials, two last words, exit codes."""

from __future__ import annotations

import pytest

from kora.agents.coding.stream import Mark, Signal
from kora.domain.resolution import Outcome, StopReason

from .conftest import settled
from .recorded import BY_NAME, PRICES, TOKEN, begins, ends, read

CLAUDE, CODEX, GEMINI = (BY_NAME[name].settings() for name in ("claude_ok_partial", "codex_ok", "gemini_ok"))


def closing_of(settings, *lines, exit_code=0):
    return read(settings, lines)[0].closing(exit_code)


def result(**more):
    return {"type": "result", "subtype": "success", "is_error": False, "result": "Done", "total_cost_usd": 0.5, **more}


def call(tool_id="t1", name="Bash"):
    content = [{"type": "tool_use", "id": tool_id, "name": name, "input": {}}]
    return {"type": "assistant", "message": {"model": "m", "content": content}}


def answer(tool_id="t1", **more):
    content = [{"type": "tool_result", "tool_use_id": tool_id, "content": "x", **more}]
    return {"type": "user", "message": {"role": "user", "content": content}}


def limit(status, resets_at=1_800_000_000, **more):
    return {"type": "rate_limit_event", "rate_limit_info": {"status": status, "resetsAt": resets_at, **more}}


API_ERROR = {"is_error": True, "terminal_reason": "api_error", "result": "API Error"}


@pytest.mark.parametrize(
    ("lines", "resolution", "reason", "summary"),
    [
        ([result()], "completed", None, "Done"),
        ([result(is_error=True)], "failed_retryable", "agent_reported", "Done"),
        ([result(is_error=None)], "failed_retryable", "agent_reported", "Done"),
        ([{"type": "result"}], "failed_retryable", "agent_reported", "it did not say why"),
        (
            [result(terminal_reason="budget_exhausted", is_error=True)],
            "failed_retryable",
            "over_limits",
            "over its budget: Done",
        ),
        ([result(terminal_reason="budget_exhausted")], "failed_retryable", "over_limits", "over its budget: Done"),
        ([result(subtype="error_max_turns")], "failed_retryable", "over_limits", "over its turns: Done"),
        (
            [result(subtype="error_max_budget_usd", is_error=True)],
            "failed_retryable",
            "over_limits",
            "over its budget: Done",
        ),
        ([result(terminal_reason="aborted_tools")], "released", "agent_temporary", "interrupted: Done"),
        ([result(terminal_reason="something_new")], "completed", None, "Done"),
        (
            [result(**API_ERROR, api_error_status=529)],
            "released",
            "provider_fault",
            "the provider failed (529): API Error",
        ),
        ([result(**API_ERROR)], "released", "provider_fault", "the provider failed: API Error"),
        (
            [result(is_error=True, api_error_status=500)],
            "released",
            "provider_fault",
            "the provider failed (500): Done",
        ),
        (
            [result(is_error=True, subtype="error_during_execution", result=None, errors=["a", 3, "b"])],
            "failed_retryable",
            "agent_reported",
            "a; b",
        ),
        (
            [call(), answer(), result(permission_denials=[{"tool_name": "Write"}, {"tool_name": "Write"}])],
            "completed",
            None,
            "Done (permission denied: Write (2 times))",
        ),
        (
            [call(), answer(is_error=True), result(permission_denials=[{"tool_name": "Bash"}])],
            "failed_retryable",
            "permission_denied",
            "permission denied: Bash; no tool call succeeded; it said: Done",
        ),
        (
            [{"type": "system", "subtype": "permission_denied", "tool_name": "Bash"}, result()],
            "failed_retryable",
            "permission_denied",
            "permission denied: Bash; no tool call succeeded; it said: Done",
        ),
    ],
)
def test_what_claudes_last_word_comes_to(lines, resolution, reason, summary):
    closing = closing_of(CLAUDE, *lines)

    assert (closing.resolution, closing.reason, closing.summary) == (resolution, reason, summary)
    assert closing.refused is None


@pytest.mark.parametrize(
    ("lines", "refused", "resets_at"),
    [
        ([result(**API_ERROR, api_error_status=401)], "auth", None),
        ([result(**API_ERROR, api_error_status=403)], "auth", None),
        ([result(**API_ERROR, api_error_status=402)], "dispatch", None),
        ([result(**API_ERROR, api_error_status=429)], "dispatch", None),
        ([limit("rejected"), result(**API_ERROR, api_error_status=429)], "dispatch", 1_800_000_000),
        ([limit("rejected", 1_800_000_000_000), result(**API_ERROR, api_error_status=429)], "dispatch", 1_800_000_000),
        ([limit("rejected"), result(**API_ERROR)], "dispatch", 1_800_000_000),
        ([limit("rejected"), result(**API_ERROR, api_error_status=401)], "auth", None),
        ([limit("rejected"), limit("allowed"), result(**API_ERROR, api_error_status=429)], "dispatch", None),
        ([limit("rejected", "soon"), result(**API_ERROR, api_error_status=429)], "dispatch", None),
        (
            [
                {"type": "assistant", "error": "authentication_failed", "is_api_error_message": True},
                result(**API_ERROR),
            ],
            "auth",
            None,
        ),
        (
            [{"type": "assistant", "error": "rate_limit", "is_api_error_message": True}, result(**API_ERROR)],
            "dispatch",
            None,
        ),
    ],
)
def test_when_claudes_provider_refuses_and_until_when(lines, refused, resets_at):
    closing = closing_of(CLAUDE, *lines)

    assert (closing.resolution, closing.refused, closing.resets_at) == ("released", refused, resets_at)
    assert closing.summary.startswith("the provider refused")


def test_of_two_last_words_the_last_counts_and_the_cost_is_its_total():
    first = result(total_cost_usd=1.5, modelUsage={"a": {"costUSD": 1.5}})
    last = result(
        is_error=True, result="No", total_cost_usd=2.5, modelUsage={"a": {"costUSD": 0.5}, "b": {"costUSD": 2}}
    )
    assert (closing_of(CLAUDE, first, last).summary, closing_of(CLAUDE, last, first).summary) == ("No", "Done")
    assert (closing_of(CLAUDE, first, last).cost_usd, closing_of(CLAUDE, first, last).model) == (2.5, "b")
    assert closing_of(CLAUDE, first, result(total_cost_usd=None)).cost_usd == 1.5
    assert (
        closing_of(
            CLAUDE, result(total_cost_usd=None, modelUsage={"a": {"costUSD": 0.5}, "b": {"costUSD": 2}})
        ).cost_usd
        == 2.5
    )
    failed, done = {"type": "turn.failed", "error": {"message": "bad"}}, {"type": "turn.completed"}
    assert closing_of(CODEX, done, failed).resolution == "failed_retryable"
    assert closing_of(CODEX, failed, done).resolution == "completed"


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), "1", True, None, 10**400, [1]])
def test_a_cost_that_is_none_is_not_known(cost):
    assert closing_of(CLAUDE, result(total_cost_usd=cost)).cost_usd is None


def test_what_assistants_used_is_never_added_up():
    used = {"type": "assistant", "message": {"content": [{"type": "text"}], "usage": {"input_tokens": 10**9}}}
    assert closing_of(CLAUDE, used, used, result(total_cost_usd=0.25)).cost_usd == 0.25


@pytest.mark.parametrize(
    "line",
    [
        {"type": "tool_progress", "tool_use_id": "t", "heartbeat": True},
        {"type": "system", "subtype": "status", "status": "requesting"},
        {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": 529},
        {"type": "system", "subtype": "init"},
        {"type": "system", "subtype": "task_progress"},
        {"type": "rate_limit_event"},
        {"type": "stream_event", "event": {"type": "ping"}},
        {"type": "stream_event", "event": {"type": "message_start"}},
        {"type": "user", "message": {"content": "a reminder"}},
        {"type": "assistant", "message": {"model": "<synthetic>", "content": [{"type": "text", "text": "no"}]}},
        {"type": "keep_alive"},
        {"type": ["assistant"]},
        {},
    ],
)
def test_what_is_no_progress_of_claudes(line):
    assert read(CLAUDE, [line])[1] == ()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (CODEX, {"type": "thread.started", "thread_id": "x"}),
        (CODEX, {"type": "turn.started"}),
        (CODEX, {"type": "error", "message": "Reconnecting... 1/5"}),
        (CODEX, {"type": "item.completed", "item": {"type": "error", "message": "odd"}}),
        (CODEX, {"type": "item.updated", "item": {"type": "command_execution", "id": "i"}}),
        (CODEX, {"type": "item.started", "item": {"type": "something_new", "id": "i"}}),
        (CODEX, {"type": "item.started", "item": {"type": ["agent_message"]}}),
        (GEMINI, {"type": "init"}),
        (GEMINI, {"type": "message", "role": "user", "content": "do it"}),
        (GEMINI, {"type": "error", "severity": "warning", "message": "Loop detected"}),
    ],
)
def test_what_is_no_progress_of_the_others(settings, line):
    assert read(settings, [line])[1] == ()


def test_several_calls_in_one_message_are_in_flight_each_until_its_result():
    both = {
        "type": "assistant",
        "message": {"content": [{"type": "tool_use", "id": "a"}, {"type": "tool_use", "id": "b"}]},
    }
    marks = read(CLAUDE, [both, answer("b"), answer("a")])[1]

    assert marks == (Mark(Signal.TOOL, began=("a", "b")), ends("b"), ends("a"))


@pytest.mark.parametrize(
    ("item", "marks"),
    [
        ({"type": "mcp_tool_call", "id": "i", "status": "completed"}, (begins("i"), ends("i"))),
        ({"type": "file_change", "id": "i", "status": "completed"}, (begins("i"), ends("i"))),
        ({"type": "web_search", "id": "i"}, (begins("i"), ends("i"))),
        ({"type": "reasoning", "id": "i", "text": "hm"}, (TOKEN, TOKEN)),
        ({"type": "todo_list", "id": "i"}, (TOKEN, TOKEN)),
    ],
)
def test_what_codex_does_begins_and_ends_and_what_it_says_does_not(item, marks):
    assert read(CODEX, [{"type": "item.started", "item": item}, {"type": "item.completed", "item": item}])[1] == marks


@pytest.mark.parametrize(
    ("message", "resolution", "refused"),
    [
        ("unexpected status 401 Unauthorized: Missing bearer", "released", "auth"),
        ("exceeded retry limit, last status: 429 Too Many Requests", "released", "dispatch"),
        ("You've hit your usage limit. Try again at 3:45 PM.", "released", "dispatch"),
        ("Quota exceeded. Check your plan and billing details.", "released", "dispatch"),
        ("stream disconnected before completion: error sending request", "released", None),
        ("unexpected status 503 Service Unavailable", "released", None),
        ("the context window is full", "failed_retryable", None),
    ],
)
def test_what_a_failed_turn_of_codex_comes_to(message, resolution, refused):
    closing = closing_of(CODEX, {"type": "turn.failed", "error": {"message": message}})

    assert (closing.resolution, closing.refused) == (resolution, refused)
    assert message in closing.summary


def test_errors_of_codex_are_not_fatal():
    closing = closing_of(CODEX, {"type": "error", "message": "Reconnecting... 5/5"}, {"type": "turn.completed"})
    assert closing.resolution == "completed"


def test_what_codex_was_declined_with_nothing_else_done_is_no_success():
    item = {"id": "i", "type": "command_execution", "command": "rm -rf /", "status": "declined"}
    declined, done = {"type": "item.completed", "item": item}, {"type": "turn.completed"}
    assert closing_of(CODEX, declined, done).summary == "permission denied: rm -rf /; no tool call succeeded"
    worked = {"type": "item.completed", "item": {**item, "status": "completed"}}
    assert closing_of(CODEX, declined, worked, done).resolution == "completed"


@pytest.mark.parametrize(
    ("code", "words", "resolution", "reason"),
    [
        (41, "authentication failed", "released", "provider_fault"),
        (42, "its input was not accepted", "failed_retryable", "agent_exit"),
        (44, "its sandbox failed", "failed_retryable", "agent_exit"),
        (52, "its configuration is not valid", "failed_retryable", "agent_exit"),
        (53, "over its turns", "failed_retryable", "over_limits"),
        (54, "a tool failed it", "failed_retryable", "agent_exit"),
        (55, "its folder is not trusted", "failed_retryable", "agent_exit"),
        (130, "interrupted", "released", "agent_temporary"),
    ],
)
def test_geminis_exit_codes_are_named(replay, tmp_path, *, code, words, resolution, reason):
    closing = closing_of(GEMINI, {"type": "error", "message": "why"}, exit_code=code)
    assert closing.summary == f"{words} (exit code {code}): why"
    error = {"type": "result", "status": "error", "error": {"type": "Error", "message": "because"}}
    assert closing_of(GEMINI, error, exit_code=code).summary == f"{words} (exit code {code}): because"
    (tmp_path / "stream").write_text('{"type":"init"}\n')

    settlement = settled(replay(BY_NAME["gemini_ok"], transcript=tmp_path / "stream", end=f"exit:{code}").wait())

    assert settlement.summary == f"{words} (exit code {code})"
    assert (settlement.resolution, settlement.failure_count_by_reason) == (resolution, {reason: 1})


@pytest.mark.parametrize(
    ("error", "resolution", "refused"),
    [
        ({"type": "FatalAuthenticationError", "message": "no"}, "released", "auth"),
        ({"type": "FatalTurnLimitedError", "message": "no"}, "failed_retryable", None),
        ({"type": "TerminalQuotaError", "message": "You have exhausted your daily quota"}, "released", "dispatch"),
        ({"type": "Error", "message": "[API Error: API key not valid]"}, "released", "auth"),
        ({"type": "Error", "message": "fetch failed"}, "released", None),
        ({"type": "Error", "message": "odd"}, "failed_retryable", None),
        (None, "failed_retryable", None),
    ],
)
def test_what_a_failure_of_geminis_comes_to(error, resolution, refused):
    closing = closing_of(GEMINI, {"type": "result", "status": "error", "error": error}, exit_code=1)

    assert (closing.resolution, closing.refused) == (resolution, refused)


def test_geminis_summary_is_what_it_said_last_in_as_many_pieces_as_it_came():
    pieces = [
        {"type": "message", "role": "assistant", "content": text, "delta": True} for text in ("All ", "is ", "done")
    ]
    tool = [
        {"type": "tool_use", "tool_id": "i", "tool_name": "x"},
        {"type": "tool_result", "tool_id": "i", "status": "success"},
    ]
    closing = closing_of(GEMINI, *pieces, *tool, *pieces[1:], {"type": "result", "status": "success"})
    assert closing.summary == "is done"


def test_costs_are_worked_out_where_each_model_has_a_price():
    usage = {"input_tokens": 1_000_000, "cached_input_tokens": 400_000, "output_tokens": 100_000}
    done = {"type": "turn.completed", "usage": usage}
    price = PRICES["gpt-5"]
    expected = (
        0.6 * price.input_usd_per_million
        + 0.4 * price.cached_input_usd_per_million
        + 0.1 * price.output_usd_per_million
    )
    assert closing_of(CODEX, done).cost_usd == pytest.approx(expected)
    assert closing_of(BY_NAME["codex_ok"].settings(model="other"), done).cost_usd is None
    assert closing_of(BY_NAME["codex_ok"].settings(model=""), done).cost_usd is None
    used = {"input_tokens": 1_000_000, "output_tokens": 0, "cached": 0}
    both = {"type": "result", "status": "success", "stats": {"models": {"g": used, "unpriced": used}}}
    assert closing_of(GEMINI, both).cost_usd is None


@pytest.mark.parametrize("name", ["claude_401", "claude_max_turns", "claude_ok_partial"])
def test_what_it_says_of_an_end_that_kora_made_is_not_its_own_word_but_a_success_is(replay, name):
    recorded = BY_NAME[name]
    run = replay(recorded, end="linger", grace_seconds=3.0)
    while run.running._plan.output.hearing.ends_by is None:
        assert not run.ended.wait(0.01)

    run.kill(StopReason.DRAINED)
    outcome: Outcome = run.wait()

    settlement = settled(outcome)
    assert outcome.stop_reason is StopReason.DRAINED
    assert settlement.cost_usd == recorded.cost_usd
    if recorded.resolution == "completed":
        assert settlement.resolution == "completed"
    else:
        assert settlement.summary == "the runtime was drained"
