"""`agent try`: what it shows, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kora.cli.agent import gist

ROOT = Path(__file__).resolve().parents[4]
AGENTS = ROOT / "tests" / "unit" / "kora" / "agents" / "coding"

CONFIGURATION = """\
[agent]
kind = "claude"
executable = "./claude"
resume = true
permission_mode = "acceptEdits"
verify = ["sh", "-c", "echo looked at it"]

[agents.denied]
kind = "claude"
executable = "./denied"

[agents.counts]
command = ["sh", "-c", "echo API_TOKEN=abcdefghij; exit 75"]
"""


@pytest.fixture
def kora(tmp_path):
    (tmp_path / "supervisor.toml").write_text(CONFIGURATION)
    for name, stream in (("claude", "claude_ok_partial"), ("denied", "claude_denied")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ncat > /dev/null\nexec cat {AGENTS}/transcripts/{stream}.jsonl\n")
        program.chmod(0o755)

    def runs(*arguments):
        return subprocess.run(
            [sys.executable, "-P", "-m", "kora", *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return runs


def test_an_attempt_is_shown_with_all_that_a_runtime_would_have_done(kora, tmp_path):
    done = kora("agent", "try", "default", "Say hello", "--title", "--version")

    assert (done.returncode, done.stderr) == (0, "")
    for said in (
        "-p --output-format stream-json --verbose --include-partial-messages --permission-mode acceptEdits\n",
        "# --version\n",
        "Say hello\n",
        "assistant  [tool_call_boundary]  Bash · echo hi\n",
        "stream_event  [streaming_token_advanced]  All\n",
        "result/success  All done\n",
        "operation claude.session (",
        "verify  looked at it\n",
        "ended    completed\n",
        "cost     0.0025 USD\n",
    ):
        assert said in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claude", "denied", "supervisor.toml"]


def test_one_that_would_not_be_completed_ends_with_1_and_secrets_are_hidden(kora):
    denied, counts = kora("agent", "try", "denied", "x"), kora("agent", "try", "counts", "x")

    assert (denied.returncode, counts.returncode) == (1, 1)
    assert "summary    permission denied: Bash; no tool call succeeded; it said: All done\n" in denied.stdout
    assert "abcdefghij" not in counts.stdout
    assert "again in   1 min\n" in counts.stdout


def test_a_name_that_there_is_not_ends_with_4_and_says_which_there_are(kora):
    done = kora("agent", "try", "nobody", "x")

    assert done.returncode == 4
    assert done.stderr.endswith("there are: default, denied, counts\n")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"type": "x"}, ""),
        ({"message": {"content": [{"text": "a\nb"}, {"name": "Bash", "input": {"command": "ls"}}]}}, "a b · Bash · ls"),
        ({"item": {"type": "error", "message": "odd"}}, "odd"),
        ({"error": {"message": "no"}}, "no"),
        ({"content": "y" * 500}, "y" * 120 + "…"),
        ({"message": [[[[[[[[[[{"text": "deep"}]]]]]]]]]]}, ""),
    ],
)
def test_what_a_line_says_in_words(said, words):
    assert gist(said) == words
