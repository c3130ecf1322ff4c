"""What the README shows is run, in a checkout of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.acceptance.home import PATIENCE_SECONDS, ROOT

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
LAST_LINES = {
    "bin/kora-actors demo": "see what came of it",
    "bin/kora-actors ticket add": "all intact",
    "python3 examples/stdlib_audit/make_tickets.py": "equal",
}
"""how a block begins, and what its output ends with"""


@pytest.fixture
def checkout(tmp_path):
    """The files as they are in the working tree, with the environment that is already there."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, names):
        source, target = ROOT / name, tmp_path / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            # With what Python has made of it, which it would make anew for each block.
            if source.suffix == ".py" and (made := Path(cache_from_source(source))).is_file():
                Path(cache_from_source(target)).parent.mkdir(exist_ok=True)
                shutil.copy2(made, cache_from_source(target))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_every_block_of_the_readme_is_known_here():
    starts = [block for block in BLOCKS if not block.startswith("bin/test")]
    assert len(starts) == len(LAST_LINES)
    assert all(any(block.startswith(start) for start in LAST_LINES) for block in starts)


@pytest.mark.parametrize("start", LAST_LINES)
def test_a_block_of_the_readme_does_what_it_says(checkout, start):
    [block] = [block for block in BLOCKS if block.startswith(start)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KORA_")}
    done = subprocess.run(
        ["bash", "-c", block],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert LAST_LINES[start] in done.stdout.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
