"""The recorded streams: line by line, and replayed by a program with random chunks and pauses."""

from __future__ import annotations

import pytest

from kora.agents.record import await_closed
from kora.agents.records import read as read_record
from kora.domain.resolution import StopReason
from tests.unit.kora.agents.conftest import WAIT_SECONDS

from .conftest import settled
from .recorded import BY_NAME, FOLDER, TABLE, read

each = pytest.mark.parametrize("recorded", TABLE, ids=lambda recorded: recorded.name)


def test_every_recorded_stream_is_in_the_table():
    assert {path.stem for path in FOLDER.iterdir()} == set(BY_NAME)


@each
def test_a_stream_comes_to_what_the_table_says(recorded):
    interpreter, marks = read(recorded.settings(), recorded.lines)

    assert marks == recorded.marks
    assert interpreter.session_id == recorded.session_id
    assert interpreter.trouble == recorded.trouble or marks
    closing = interpreter.closing(int(recorded.end.partition(":")[2]))
    if "before its closing word" in recorded.summary:
        assert closing is None
        return
    assert (closing.resolution, closing.summary, closing.model) == (
        recorded.resolution,
        recorded.summary,
        recorded.model,
    )
    assert closing.cost_usd == pytest.approx(recorded.cost_usd)
    assert (closing.reason, closing.refused) == (recorded.reason, recorded.refused)


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 101), marks=pytest.mark.prove)], ids=len)
@each
def test_a_replayed_stream_comes_to_it_however_it_is_chopped(replay, recorded, seeds):
    for seed in seeds:
        run = replay(recorded, seed=seed)
        outcome = run.wait()
        settlement = settled(outcome)

        assert tuple(run.marks) == recorded.marks
        assert (settlement.resolution, settlement.summary) == (recorded.resolution, recorded.summary)
        assert settlement.cost_usd == pytest.approx(recorded.cost_usd)
        assert settlement.model_tier_used == recorded.model
        assert settlement.failure_count_by_reason == ({recorded.reason: 1} if recorded.reason else {})
        assert settlement.next_eligible_offset_seconds == recorded.offset
        assert (outcome.refusal and outcome.refusal.reason) == recorded.refused
        assert settlement.is_forgiven is (recorded.refused is not None)
        assert (run.progress_at is not None) is bool(recorded.marks)
        assert run.tool_since is None


def test_one_that_waits_for_a_dead_network_for_ever_is_told_apart_when_it_is_stopped(replay):
    run = replay(BY_NAME["codex_deadnet"], end='beat:{"type":"error","message":"Reconnecting... 5/5"}')
    assert run.progress_at is None
    while not run.running._plan.output.hearing._interpreter.trouble.endswith("5/5"):
        assert not run.ended.wait(0.01)

    run.stop(StopReason.STALLED)

    settlement = settled(run.wait())
    assert (settlement.resolution, settlement.next_eligible_offset_seconds) == ("failed_retryable", 600.0)
    assert settlement.summary == "made no progress: Reconnecting... 5/5"
    assert settlement.failure_count_by_reason == {"stalled": 1}
    assert not run.marks


@pytest.mark.parametrize("name", ["claude_ok_partial", "codex_ok", "gemini_ok", "claude_max_turns"])
def test_one_that_lingers_after_its_last_word_is_ended_and_its_word_stands(replay, name):
    recorded = BY_NAME[name]
    outcome = replay(recorded, end="linger").wait()

    settlement = settled(outcome)
    assert (settlement.resolution, settlement.summary) == (recorded.resolution, recorded.summary)
    assert outcome.stop_reason is None


@pytest.mark.parametrize(
    ("name", "end"),
    [
        *(("claude_ok_partial", end) for end in ("signal:9", "exit:143", "exit:75", "exit:77")),
        ("codex_ok", "exit:1"),
        ("gemini_ok", "exit:53"),
    ],
)
def test_a_success_that_was_said_is_one_however_its_program_ends(replay, name, end):
    assert settled(replay(BY_NAME[name], end=end).wait()).resolution == "completed"


def test_what_was_printed_is_kept_but_for_the_pieces_of_messages(replay, tmp_path):
    recorded = BY_NAME["claude_ok_partial"]
    replay(recorded).wait()
    assert await_closed(WAIT_SECONDS)

    kept = [line.text for line in read_record(tmp_path / "state", "attempt-1")]

    assert kept == [line.decode() for line in recorded.lines if b'"stream_event"' not in line]
