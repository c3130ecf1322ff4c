"""Programs that behave badly: whatever they print, and however they go, each attempt ends as it should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kora.agents.lines import CUT, LINE_BYTES
from kora.agents.record import RECORD_BYTES, await_closed
from kora.domain.resolution import Outcome, Resolution, settle

from .conftest import WAIT_SECONDS, a_claim, kept, sh


def resolution(outcome):
    return settle(a_claim(), outcome, max_attempts=10).resolution


def peak_kibibytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize(
    "flood",
    [
        "import sys\nfor _ in range(4): sys.stdout.write('x' * 50_000_000 + '\\n')",
        "import sys\nfor _ in range(40): sys.stderr.write('{' * 5_000_000 + '\\n')",
        "import sys\nfor _ in range(200): sys.stdout.buffer.write(bytes(range(256)) * 4_000)",
        'print(\'{"kora":"operation","tool":\\n\' * 100_000)',
    ],
    ids=["long lines", "long lines of braces", "bytes", "half operations"],
)
def test_what_no_file_and_no_memory_could_hold_costs_little_of_both(start, tmp_path, flood):
    start("/bin/true").wait()
    # Makes the peak of what this process ever held start anew from what it holds now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kibibytes()
    outcome = start(sys.executable, "-c", f"{flood}\nsys = __import__('sys')\nprint('', 'done', sep='\\n')").wait()
    assert (outcome.exit_code, outcome.last_output) == (0, "done")
    assert await_closed(WAIT_SECONDS)
    assert peak_kibibytes() - before < 40_000
    lines = kept(tmp_path / "state")
    assert sum(len(text) for _, text in lines) <= RECORD_BYTES + 200
    assert all(len(text) <= LINE_BYTES + len(CUT) for _, text in lines)


def test_one_that_closes_its_stdout_goes_on(start, tmp_path):
    run = start(*sh("echo said; exec >&-; echo more >&2; echo worked > worked; exit 3"))
    outcome = run.wait()
    assert outcome == Outcome(exit_code=3, last_output="more")
    assert (tmp_path / "worked").exists()
    assert kept(tmp_path / "state") == [("stdout", "said"), ("stderr", "more")]


def test_one_that_closes_everything_goes_on(start, tmp_path):
    assert start(*sh("exec <&- >&- 2>&-; echo worked > worked; exit 77")).wait() == Outcome(exit_code=77)
    assert (tmp_path / "worked").exists()


def test_one_that_forks_away_has_ended_and_what_it_left_goes_with_it(start, leash):
    script = """
import os, sys, time
os.open(sys.argv[1], os.O_WRONLY)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("still here", flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
os._exit(0)
"""
    outcome = start(sys.executable, "-c", script, str(leash.path)).wait()
    assert outcome.exit_code == 0
    assert resolution(outcome) is Resolution.COMPLETED
    assert leash.is_free()


@pytest.mark.parametrize("number", [9, 6, 13])
def test_one_that_kills_itself_is_released_whatever_it_said_before(start, number):
    line = '{"kora":"result","resolution":"completed"}'
    outcome = start(*sh(f"echo '{line}'; kill -{number} $$")).wait()
    assert outcome.signal == number
    assert resolution(outcome) is Resolution.RELEASED


def test_one_that_prints_after_it_closed_its_stdin_is_heard(start):
    outcome = start(*sh('exec <&-; echo \'{"kora":"result","resolution":"failed_terminal"}\'')).wait()
    assert resolution(outcome) is Resolution.FAILED_TERMINAL


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"kora":"result","resolution":"completed"', Resolution.FAILED_RETRYABLE),
        ('{"kora":"result","resolution":["completed"]}', Resolution.FAILED_RETRYABLE),
        ('{"kora":{"kora":"result"}}', Resolution.COMPLETED),
        ('{"kora":"operation"', Resolution.COMPLETED),
        ('{"kora":"operation","tool":{"a":' * 2_000, Resolution.COMPLETED),
        ('[{"kora":"result","resolution":"failed_terminal"}]', Resolution.COMPLETED),
        ("\0\0\0\r\r\r", Resolution.COMPLETED),
    ],
)
def test_broken_lines_never_pass_for_more_than_they_say(start, line, expected):
    script = "import sys; sys.stdout.write(sys.argv[1].replace('@', chr(0)) + '\\n')"
    outcome = start(sys.executable, "-c", script, line.replace("\0", "@")).wait()
    assert resolution(outcome) is expected
