"""What an attempt tells of its cost: counted, capped, and kept where it outlives the runtime."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from kora.agents import meter
from kora.agents.coding.settings import CodingSettings, Price
from kora.agents.command import CommandSettings
from kora.agents.kinds import told_in
from kora.agents.meter import FOLDER, HEAD_BYTES, Meters, left_by
from kora.agents.record import await_closed
from kora.domain.claim import ClaimKey
from kora.domain.cost import Caps
from kora.domain.resolution import Resolution, StopReason, settle

from .conftest import WAIT_SECONDS, a_claim, kept, sh

PROGRESS = '{"kora":"progress","signal":"tool_call_boundary","cost_usd":%s}'


def says(*costs, then="exit 0"):
    return sh("".join(f"echo '{PROGRESS % cost}'\n" for cost in costs) + then)


def left(tmp_path):
    return list(left_by(tmp_path / "state", "runtime-1"))


@pytest.mark.parametrize("then", ["exit 0", "exit 3", "kill -9 $$"])
def test_the_highest_that_an_attempt_tells_is_what_it_has_cost_however_it_ends(start, then):
    outcome = start(*says(0.25, 1.5, 1.25, then=then)).wait()
    assert outcome.cost_usd == 1.5
    ended = settle(a_claim(), outcome, max_attempts=10)
    assert ended.cost_usd == 1.5


def test_what_a_result_tells_counts_too_and_a_last_line_needs_no_end(start):
    command = sh(f'echo \'{PROGRESS % 1}\'; printf \'%s\' \'{{"kora":"result","resolution":"released","cost_usd":2}}\'')
    outcome = start(*command).wait()
    assert outcome.cost_usd == 2.0


@pytest.mark.parametrize("odd", ['"much"', "-1", "NaN", "true", "[1]", "1e999", "null"])
def test_a_cost_that_is_no_amount_of_money_is_left_out_and_progress_is_progress(start, odd):
    run = start(*says(0.5, odd), progress="protocol")
    outcome = run.wait()
    assert (outcome.exit_code, outcome.cost_usd) == (0, 0.5)
    assert run.progress_at is not None


def test_an_attempt_that_tells_of_more_than_it_may_cost_is_ended_at_once(start):
    outcome = start(*says(0.5, 1.0, 1.01, then="while :; do sleep 1000; done"), caps=Caps(attempt_usd=1.0)).wait()
    assert outcome.stop_reason is StopReason.OVER_BUDGET
    assert outcome.cost_usd == 1.01


def test_one_that_costs_just_what_it_may_goes_on(start):
    assert start(*says(0.5, 1.0), caps=Caps(attempt_usd=1.0)).wait().stop_reason is None


def test_one_that_completes_while_it_is_ended_for_its_cost_keeps_its_success(start):
    done = '{"kora":"result","resolution":"completed"}'
    command = sh(f"trap 'echo '\\''{done}'\\''; exit 0' TERM; echo '{PROGRESS % 9}'; while :; do sleep 0.01; done")
    caps = Caps(attempt_usd=1.0)
    outcome = start(*command, caps=caps, grace_seconds=WAIT_SECONDS).wait()
    ended = settle(a_claim(), outcome, max_attempts=10, caps=caps)
    assert (ended.resolution, ended.cost_usd) == (Resolution.COMPLETED, 9.0)


def test_an_attempt_is_ended_when_its_ticket_has_cost_what_it_may(start):
    claim = a_claim()._replace(spent_micro_usd=7_000_000)
    endless = "while :; do sleep 1000; done"
    outcome = start(*says(2.9, 3.0, then=endless), claim=claim, caps=Caps(ticket_usd=10.0)).wait()
    assert (outcome.stop_reason, outcome.cost_usd) == (StopReason.OVER_BUDGET, 3.0)


def test_what_an_attempt_has_told_stays_until_its_end_is_on_record(start, tmp_path):
    claim = a_claim()
    start(*says(0.75), claim=claim).wait()
    [found] = left(tmp_path)
    assert (found.key, found.agent, found.spent_usd) == (claim.key, None, 0.75)
    assert not meter.is_charged(tmp_path / "state", "runtime-1")


def test_one_that_tells_nothing_leaves_nothing(start, tmp_path):
    start(*sh("echo said")).wait()
    start(*says(0)).wait()
    assert meter.is_charged(tmp_path / "state", "runtime-1")


def test_a_meter_goes_with_the_word_that_the_end_is_on_record(tmp_path):
    meters = Meters(tmp_path / "state" / FOLDER / "runtime-1")
    claims = [a_claim()._replace(key=ClaimKey("ticket-1", 7, attempt)) for attempt in ("attempt-1", "attempt-2")]
    for claim in claims:
        each = meters.meter(claim)
        each.tell(1.0)
        each.close()
    meters.forget([claims[0].key.work_attempt_id, "another"])
    assert [found.key for found in left(tmp_path)] == [claims[1].key]


def test_a_folder_that_cannot_be_written_costs_no_attempt_anything(start, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FOLDER).write_text("in the way")
    outcome = start(*says(0.5)).wait()
    assert (outcome.exit_code, outcome.cost_usd) == (0, 0.5)
    assert left(tmp_path) == []


def test_a_meter_that_is_damaged_is_passed_over(tmp_path):
    folder = tmp_path / "state" / FOLDER / "runtime-1"
    meters = Meters(folder)
    whole = meters.meter(a_claim())
    whole.tell(1.0)
    for name, content in {"empty": b"", "junk": b"junk", "short": b"[1]", "odd": b'{"a":1}'}.items():
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to(folder / "junk")
    assert [found.spent_usd for found in left(tmp_path)] == [1.0]


def pipe_of(*chunks):
    """A pipe's reading end that does not block, with these in it; its writers are gone."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    for chunk in chunks:
        os.write(writing, chunk)
    os.close(writing)
    return reading


def test_what_is_read_is_in_the_file_before_it_is_handed_out(tmp_path):
    made = Meters(tmp_path / "state" / FOLDER / "runtime-1").meter(a_claim())
    assert made.fd is not None
    assert made.read(pipe_of(b"a line\nhalf")) == b"a line\nhalf"
    assert left(tmp_path)[0].unheard == b"a line\nhalf"


def test_a_pipe_that_holds_nothing_yet_blocks_nobody(tmp_path):
    made = Meters(tmp_path).meter(a_claim())
    assert made.fd is not None
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        made.read(reading)
    os.write(writing, b"now")
    assert made.read(reading) == b"now"
    os.close(writing)
    assert made.read(reading) == b""


def test_however_much_is_read_the_file_stays_small_and_what_is_not_heard_yet_stays_in_it(tmp_path):
    made = Meters(tmp_path / "state" / FOLDER / "runtime-1").meter(a_claim())
    assert made.fd is not None
    line = b"x" * 9_999 + b"\n"
    for number in range(500):
        begun = b"%d begun" % number
        assert made.read(pipe_of(b"\n" + line, begun)) == b"\n" + line + begun
        assert left(tmp_path)[0].unheard.endswith(line + begun)
    assert os.fstat(made.fd).st_size < HEAD_BYTES + 1_100_000


def test_a_line_that_is_too_long_to_be_kept_does_not_end_as_another(tmp_path):
    made = Meters(tmp_path / "state" / FOLDER / "runtime-1").meter(a_claim())
    assert made.fd is not None
    for _ in range(100):
        made.read(pipe_of(b"y" * 60_000))
    made.read(pipe_of(b"{}\n"))
    assert os.fstat(made.fd).st_size < HEAD_BYTES + meter.REST_BYTES + 100_000
    assert left(tmp_path)[0].unheard[:1] in (b"\0", b"y")


@pytest.mark.parametrize("lines", [1, 10_000, 200_000])
def test_an_attempts_output_is_whole_however_it_is_read(start, tmp_path, lines):
    program = f"for n in range({lines}): print('line', n)\nprint('{PROGRESS % 2}')"
    outcome = start(sys.executable, "-c", program).wait()
    assert outcome.cost_usd == 2.0
    assert await_closed(WAIT_SECONDS)
    assert [text for _, text in kept(tmp_path / "state")] == [f"line {number}" for number in range(lines)]


TURN = {"type": "turn.completed", "usage": {"input_tokens": 1_000_000, "output_tokens": 100_000}}
STATS = {"models": {"m": {"input_tokens": 2_000_000, "output_tokens": 0}}}


@pytest.mark.parametrize(
    ("kind", "lines", "cost"),
    [
        ("claude", [{"type": "result", "total_cost_usd": 0.5}, {"type": "result", "total_cost_usd": 1.5}], 1.5),
        ("claude", [{"type": "assistant"}], None),
        ("codex", [{"type": "turn.started"}, TURN], 2.0),
        ("gemini", [{"type": "result", "status": "success", "stats": STATS}], 2.0),
    ],
)
def test_a_coding_agents_own_words_are_understood_when_its_runtime_is_gone(kind, lines, cost):
    settings = CodingSettings(kind, kind, Path(), model="m", prices={"m": Price(1.0, 0.1, 10.0)})
    printed = "".join(json.dumps(line) + "\n" for line in lines)
    assert told_in(settings, b"half a line}\n" + printed.encode() + b'{"type":"res') == cost


def test_a_commands_own_words_are_understood_when_its_runtime_is_gone():
    settings = CommandSettings(("true",), Path())
    printed = f"output\n{PROGRESS % 3}\n{PROGRESS % 2}\n" + '{"kora":"result","cost_usd":9}'
    assert told_in(settings, printed.encode()) == 9.0
    assert told_in(settings, b"output\n") is None
