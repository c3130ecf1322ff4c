"""What the pages show is done, and comes out as they say."""

import os
import re
import subprocess
import sys

import pytest
from typer.core import TyperGroup

from kora.cli.registry import PROGRAM, made
from tests.acceptance.home import PATIENCE_SECONDS, ROOT
from tests.acceptance.preloaded import CLIENT, SOCKET_VARIABLE, preloaded
from tests.acceptance.shown import Names, agrees, blocks, faults_of, loose

PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if list(blocks(path.read_text(encoding="utf-8")))]
ONE, TWO, THREE = (f"0199c2f0-6d1e-7a3b-8c4d-5e6f7081920{number}" for number in range(3))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_its_commands_do(tmp_path_factory, page):
    # Its commands' TMPDIR, too: with a test's name in it, there would soon be no room in it for an admin socket.
    folder = tmp_path_factory.mktemp("page")
    assert "\n\n".join(faults_of(page.read_text(encoding="utf-8"), folder)) == ""


def commands():
    for theme in PROGRAM.values():
        for name, entry in theme.items():
            command = made(entry)
            if isinstance(command, TyperGroup):
                yield from (f"{name} {each}" for each in command.commands)
            else:
                yield name


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_shown_with_an_example(command):
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cli.md", "repl.md")]
    typed = [typed.command for page in pages for block in blocks(page) for typed in block.typed]

    assert [each for each in typed if re.search(rf"bin/kora-actors (repl -c .*)?\b{command}\b", each)] != []


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples" / "supervision").glob("*.py")), ids=lambda path: path.name
)
def test_every_example_of_supervision_is_run_by_its_page(example):
    page = (ROOT / "docs" / "supervision.md").read_text(encoding="utf-8")
    typed = [typed.command for block in blocks(page) for typed in block.typed]

    assert f".venv/bin/python {example.relative_to(ROOT)}" in typed


PAGE = """\
# A page

```toml greeting.txt
hello
```

Only shown:

```sh
exit 1
```

```console
$ cat greeting.txt
hello
$ echo one
> echo two >&2
one
two
$ false; echo $?
1
```
"""


def test_a_page_is_done_step_by_step(tmp_path):
    assert faults_of(PAGE, tmp_path) == []


def test_a_page_that_says_something_else_is_found_with_its_line(tmp_path):
    (fault,) = faults_of(PAGE.replace("\ntwo\n", "\nthree\n"), tmp_path)

    assert fault == "line 16: $ echo one\necho two >&2\n-- says\none\nthree\n-- prints\none\ntwo"


def test_an_example_that_is_not_as_the_page_shows_it_is_found_with_its_line(tmp_path):
    (fault,) = faults_of("Look:\n\n```python examples/hello_agent.py\nprint()\n```\n", tmp_path)

    assert fault == "line 3: examples/hello_agent.py is not as it is shown"


def test_an_id_that_is_shown_twice_is_the_same_twice_and_may_be_typed(tmp_path):
    page = f"```console\n$ cat /proc/sys/kernel/random/uuid | tee id\n{ONE}\n$ grep -c {ONE} id\n1\n```\n"
    assert faults_of(page, tmp_path) == []

    assert agrees([f"{ONE} {ONE}"], [f"{TWO} {TWO}"], Names())
    assert not agrees([f"{ONE} {ONE}"], [f"{TWO} {THREE}"], Names())
    assert not agrees([f"{ONE} {TWO}"], [f"{THREE} {THREE}"], Names())


def test_a_command_ends_with_whoever_has_typed_it(tmp_path):
    client = [sys.executable, "-I", "-S", CLIENT, "events", "--follow"]
    surroundings = os.environ | {SOCKET_VARIABLE: preloaded(), "KORA_STORE": f"sqlite:///{tmp_path}/kora.db"}
    typed = subprocess.Popen(client, cwd=ROOT, env=surroundings, stderr=subprocess.PIPE)
    assert typed.stderr is not None
    assert b"made a new store" in typed.stderr.readline()

    typed.kill()

    # It ends when nobody has it open any more.
    assert typed.communicate(timeout=PATIENCE_SECONDS)[1] == b""


def test_times_may_differ_and_words_may_not():
    for said, printed in (
        ("at 2026-07-04T08:00:00Z", "at 2027-01-01T09:00:00.123456Z"),
        ("took 3 s", "took 1 min 12 s"),
        ("ship/12", "ship/4711"),
        ("a\tb", "a b"),
    ):
        assert loose(said) == loose(printed)
    assert loose("3 tickets") != loose("4 tickets")
    assert loose("completed") != loose("released")


def test_three_dots_stand_for_any_lines():
    assert agrees(["a", "…", "d"], ["a", "b", "c", "d"], Names())
    assert agrees(["a", "…"], ["a"], Names())
    assert not agrees(["a", "…", "d"], ["a", "b", "c"], Names())
    assert not agrees(["…", "d"], ["d", "e"], Names())
    assert not agrees(["a"], ["a", "b"], Names())
