"""The example with operations: as its page shows it, and with the runtime killed after each of its effects."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.acceptance.home import PATIENCE_SECONDS, ROOT

EXAMPLE = ROOT / "examples" / "release_notes"
CHANGES = len(list(EXAMPLE.glob("changes/*/*.md")))
KILLED = -9

CRASHING = """\
import os
import signal
from pathlib import Path

import agent

announce = agent.announce


def announced_and_killed(announcement_id, text):
    number = announce(announcement_id, text)
    with Path(__file__).with_name("calls.txt").open("a") as calls:
        calls.write(announcement_id + "\\n")
    mark = Path(__file__).with_name(f"killed-after-{number}")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


agent.announce = announced_and_killed
run = agent.run
"""
"""the example's agent, and a SIGKILL of the whole runtime between each announcement and its record"""


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "release_notes", ignore=shutil.ignore_patterns("*.db*", "notes"))
    (tmp_path / "bin").symlink_to(ROOT / "bin")
    return tmp_path


def typed(checkout, command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KORA_")}
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def announced(checkout):
    with closing(sqlite3.connect(checkout / "examples" / "release_notes" / "announcements.db")) as database:
        return database.execute("SELECT id, text FROM announcements").fetchall()


def test_the_page_of_the_example_does_what_it_says(checkout):
    [block] = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), re.DOTALL | re.MULTILINE)

    done = typed(checkout, block)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\tcompleted\t") == 2
    assert done.stdout.endswith("each change was announced once\n")
    assert len(announced(checkout)) == CHANGES


@pytest.mark.prove
def test_killed_after_every_announcement_it_announces_each_change_once(checkout):
    folder = checkout / "examples" / "release_notes"
    (folder / "crashing.py").write_text(CRASHING)
    config = folder / "supervisor.toml"
    config.write_text(config.read_text().replace("agent:run", "crashing:run"))
    kora = "exec bin/kora-actors --config examples/release_notes/supervisor.toml"
    assert typed(checkout, f"{kora} ticket import examples/release_notes/tickets.jsonl").returncode == 0

    codes = [typed(checkout, f"{kora} run --until-idle").returncode for _ in range(CHANGES + 1)]

    assert codes == [KILLED] * CHANGES + [0]
    listed = typed(checkout, f"{kora} ticket list --status completed")
    assert listed.stdout.count("\tcompleted\t") == 2, listed.stdout
    calls = (folder / "calls.txt").read_text().split()
    assert len(calls) == 2 * CHANGES
    assert len(announced(checkout)) == len(set(calls)) == CHANGES


def test_a_change_that_is_announced_twice_does_not_pass_the_check(checkout):
    assert typed(checkout, "cd examples/release_notes; mkdir notes").returncode == 0
    database = checkout / "examples" / "release_notes" / "announcements.db"
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("CREATE TABLE announcements (number INTEGER PRIMARY KEY, id UNIQUE, text)")
        store.executemany(
            "INSERT INTO announcements (text) VALUES (?)",
            [(f"1.1: {path.read_text().strip()}",) for path in sorted(EXAMPLE.glob("changes/1.1/*.md")) * 2],
        )
    entries = enumerate(sorted(EXAMPLE.glob("changes/1.1/*.md")), 1)
    lines = [f"- {path.read_text().strip()} (announcement {number})\n" for number, path in entries]
    (database.parent / "notes" / "1.1.md").write_text("".join(lines))

    done = typed(checkout, "python3 examples/release_notes/check.py")

    assert done.returncode == 1
    assert done.stdout.count("not announced once") == len(lines)
