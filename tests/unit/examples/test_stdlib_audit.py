"""The audit of the standard library: what is counted, which modules, what one agent leaves, and the comparison."""

import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "stdlib_audit"
STDLIB = Path(sysconfig.get_path("stdlib"))
TICKET = "0198a3c4-0000-7000-8000-000000000001"
ATTEMPT = "0198a3c4-0000-7000-8000-000000000002"
PROGRESS = {"kora": "progress", "signal": "tool_call_boundary"}


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"stdlib_audit_{name}", EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


agent = loaded("agent")
make_tickets = loaded("make_tickets")


def program(name, *arguments, cwd, given=b""):
    return subprocess.run(
        [sys.executable, str(EXAMPLE / name), *map(str, arguments)],
        cwd=cwd, input=given, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


# --- what is counted


def test_functions_are_defs_of_both_kinds_wherever_they_stand():
    source = "def a():\n  async def b(): pass\nclass C:\n  def d(self): return lambda: (lambda: 0)\n"

    assert agent.audit(source) == agent.Counts(functions=3, lambdas=2)


@pytest.mark.parametrize(
    ("source", "branches"),
    [
        ("if a: pass", 1),
        ("if a: pass\nelse: pass", 1),
        ("if a: pass\nelif b: pass\nelif c: pass\nelse: pass", 3),
        ("for a in b: pass\nelse: pass", 1),
        ("async def f():\n  async for a in b: pass", 1),
        ("while a: pass", 1),
        ("try: pass\nexcept A: pass\nexcept B: pass\nelse: pass\nfinally: pass", 2),
        ("try: pass\nexcept* A: pass", 1),
        ("a and b", 1),
        ("a and b and c", 2),
        ("a and b or c", 2),
        ("a if b else c", 1),
        ("[a for a in b]", 0),
        ("{a for a in b if c if d for e in f if g}", 3),
        ("match a:\n  case 1: pass\n  case _ if b: pass", 2),
        ("with a: assert b", 0),
    ],
)
def test_branches(source, branches):
    assert agent.audit(source).branches == branches


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import warnings\nwarnings._deprecated(__name__, remove=(3, 13))", 1),
        ("from warnings import _deprecated\n_deprecated(__name__)", 1),
        ("from warnings import _deprecated as d\nd(__name__)", 1),
        ("import locale as l\nl.getdefaultlocale()", 1),
        ("def f():\n  import imp\n  imp.new_module('a'); imp.reload(b)", 2),
        ("import datetime\ndatetime.datetime.utcnow()", 1),
        ("from datetime import datetime as d\nd.utcfromtimestamp(0)", 1),
        ("from asyncio import get_event_loop as loop\nloop()", 1),
        ("from . import events\nevents.get_event_loop()", 1),
        ("a().b[0].setDaemon(True)", 1),
        ("from .warnings import _deprecated\n_deprecated()", 0),
        ("_deprecated()", 0),
        ("locale.getlocale()", 0),
        ("important.reload()", 0),
        ("import datetime\nnow = datetime.datetime.utcnow", 0),
        ("a[0]()", 0),
    ],
)
def test_deprecated_calls(source, calls):
    assert agent.audit(source).deprecated_calls == calls


def test_a_source_that_does_not_parse_is_counted_as_such_alone():
    assert agent.audit("def a(): pass\nprint 'no'\n") == agent.Counts(unparsable=1)
    assert agent.audit("a = 1\0") == agent.Counts(unparsable=1)
    assert agent.audit("a = '\ud800'") == agent.Counts(unparsable=1)


def test_a_source_that_is_nested_too_deep_for_the_parser_is_no_crash():
    # How deep is too deep differs between versions of Python.
    assert agent.audit("a" + ".b" * 20_000) in {agent.Counts(unparsable=1), agent.Counts()}


def test_bytes_are_read_in_the_encoding_that_they_declare():
    assert agent.audit(b"# coding: latin-1\na = '\xe9' if b else c") == agent.Counts(branches=1)
    assert agent.audit(b"a = '\xe9' if b else c") == agent.Counts(unparsable=1)


def test_a_warning_of_the_parser_neither_shows_nor_ends_the_audit():
    # pytest turns every warning into an error here.
    assert agent.audit("a = '\\d' if b else c") == agent.Counts(branches=1)


# --- which modules


def tickets(text):
    return [json.loads(line) for line in text.splitlines()]


def modules_of_the_library(folder=STDLIB, prefix=""):
    """Yield what pkgutil finds, without importing anything."""
    for found in pkgutil.iter_modules([str(folder)]):
        if found.name in {"test", "tests", "idle_test"}:
            continue
        if found.ispkg:
            yield prefix + found.name
            yield from modules_of_the_library(folder / found.name, f"{prefix}{found.name}.")
        elif (folder / f"{found.name}.py").is_file():
            yield prefix + found.name


def test_every_module_that_pkgutil_finds_has_its_ticket(tmp_path):
    found = [ticket["ticket_title"] for ticket in tickets(program("make_tickets.py", cwd=tmp_path).stdout.decode())]

    assert found == sorted(modules_of_the_library())


def test_every_public_name_that_is_written_in_python_has_its_ticket(tmp_path):
    found = {ticket["ticket_title"] for ticket in tickets(program("make_tickets.py", cwd=tmp_path).stdout.decode())}
    specs = {name: PathFinder.find_spec(name, [str(STDLIB)]) for name in sys.stdlib_module_names}
    written = {name for name, spec in specs.items() if spec and spec.has_location and spec.origin.endswith(".py")}

    assert len(written) > 100
    assert written - found == set()


def test_a_ticket_says_the_module_and_its_file_and_nothing_that_an_import_would_refuse(tmp_path):
    first, *others = tickets(program("make_tickets.py", cwd=tmp_path).stdout.decode())

    for ticket in (first, *others):
        asked = json.loads(ticket["ticket_objective"])
        assert set(ticket) == {"ticket_title", "ticket_objective", "sea_idea_kind"}
        assert ticket["sea_idea_kind"] == "audit"
        assert asked["module"] == ticket["ticket_title"]
        assert Path(asked["path"]).is_file()
        tail = Path(*asked["module"].split("."))
        assert Path(asked["path"]) in {STDLIB / tail.with_name(f"{tail.name}.py"), STDLIB / tail / "__init__.py"}


def test_the_tickets_are_the_same_every_time_and_thinned_as_asked(tmp_path):
    whole = program("make_tickets.py", cwd=tmp_path).stdout
    lines = whole.splitlines()

    assert program("make_tickets.py", cwd=tmp_path).stdout == whole
    assert program("make_tickets.py", "--every", 7, "--limit", 5, cwd=tmp_path).stdout.splitlines() == lines[::7][:5]
    assert program("make_tickets.py", "-o", "all.jsonl", cwd=tmp_path).returncode == 0
    assert (tmp_path / "all.jsonl").read_bytes() == whole


def test_only_what_an_import_reaches_is_a_module(tmp_path):
    for file in (
        "a.py", "not.one.py", "data.txt", "p/__init__.py", "p/b.py", "p/q/__init__.py", "p/q/c.py",
        "p/tests/__init__.py", "p/__pycache__/d.py", "folder/e.py", "site-packages/__init__.py", "site-packages/f.py",
        "p/notes/g.py", "has.dot/__init__.py", "test/__init__.py", "p/idle_test/__init__.py",
    ):  # fmt: skip
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()

    assert sorted(name for name, _ in make_tickets.modules(tmp_path)) == ["a", "p", "p.b", "p.q", "p.q.c"]


@pytest.mark.parametrize("arguments", [("--every", "0"), ("--limit", "-1"), ("--limit", "many")])
def test_a_wrong_number_is_wrong_usage(tmp_path, arguments):
    assert program("make_tickets.py", *arguments, cwd=tmp_path).returncode == 2


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    ended = program("make_tickets.py", "-o", tmp_path / "none" / "tickets.jsonl", cwd=tmp_path)

    assert ended.returncode == 1
    assert "none/tickets.jsonl: No such file" in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


# --- one agent


def document(objective, ticket_id=TICKET):
    ticket = {"ticket_id": ticket_id, "ticket_title": "m", "ticket_objective": objective}
    return json.dumps({
        "ticket": ticket, "work_attempt_id": ATTEMPT, "attempt": 2, "lease_expires_at": "x", "operations": [],
    }).encode()  # fmt: skip


def objective(path, module="pack.m"):
    return json.dumps({"module": module, "path": str(path)})


def said(ended):
    return [json.loads(line) for line in ended.stdout.splitlines()]


def journal(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_an_agent_reports_and_says_so(tmp_path):
    source = tmp_path / "m.py"
    source.write_text("def a(b): return b.utcnow() if b else (lambda: 0)\n")

    ended = program("agent.py", cwd=tmp_path, given=document(objective(source)))

    assert (ended.returncode, ended.stderr) == (0, b"")
    summary = "pack.m: functions 1, lambdas 1, branches 1, deprecated calls 1"
    assert said(ended) == [PROGRESS] * 3 + [{"kora": "result", "resolution": "completed", "summary": summary}]
    assert os.listdir(tmp_path / "reports") == ["pack.m.json"]  # noqa: PTH208 - the names, hidden ones too
    assert json.loads((tmp_path / "reports" / "pack.m.json").read_text()) == {
        "module": "pack.m", "path": str(source),
        "functions": 1, "lambdas": 1, "branches": 1, "deprecated_calls": 1, "unparsable": False,
    }  # fmt: skip


def test_an_agent_enters_its_start_and_its_end_in_the_journal(tmp_path):
    (tmp_path / "m.py").touch()
    (tmp_path / "journal.jsonl").write_text('{"what": "earlier"}\n')

    program("agent.py", cwd=tmp_path, given=document(objective(tmp_path / "m.py")))

    earlier, start, end = journal(tmp_path)
    assert earlier == {"what": "earlier"}
    assert (start["what"], end["what"]) == ("start", "end")
    assert start["at"] < end["at"]
    assert start["pid"] == end["pid"] != os.getpid()
    for entry in (start, end):
        assert set(entry) == {"ticket", "attempt", "work_attempt_id", "pid", "what", "at"}
        assert (entry["ticket"], entry["attempt"], entry["work_attempt_id"]) == (TICKET, 2, ATTEMPT)


def test_a_later_attempt_replaces_the_report_and_what_a_killed_one_left(tmp_path):
    (tmp_path / "m.py").write_text("a or b")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "pack.m.json").write_text("old")
    (tmp_path / "reports" / f".pack.m.{TICKET}.tmp").write_text("half of a rep")

    program("agent.py", cwd=tmp_path, given=document(objective(tmp_path / "m.py")))

    assert os.listdir(tmp_path / "reports") == ["pack.m.json"]  # noqa: PTH208 - the names, hidden ones too
    assert json.loads((tmp_path / "reports" / "pack.m.json").read_text())["branches"] == 1


def test_a_module_that_does_not_parse_is_reported_as_such_and_completed(tmp_path):
    (tmp_path / "m.py").write_text("print 'no'")

    ended = program("agent.py", cwd=tmp_path, given=document(objective(tmp_path / "m.py")))

    assert said(ended)[-1]["resolution"] == "completed"
    assert "not valid source for Python 3." in said(ended)[-1]["summary"]
    assert json.loads((tmp_path / "reports" / "pack.m.json").read_text())["unparsable"] is True


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (objective("gone.py"), "pack.m: cannot read gone.py: No such file or directory"),
        (objective("."), "pack.m: cannot read .: Is a directory"),
        (objective("a\0b"), "pack.m: cannot read 'a\\x00b': embedded null byte"),
        (objective("m.py", module="../m"), 'the objective is not {"module": NAME, "path": FILE}'),
        (objective("m.py", module=".."), 'the objective is not {"module": NAME, "path": FILE}'),
        ("please audit m", 'the objective is not {"module": NAME, "path": FILE}'),
    ],
)
def test_a_ticket_that_can_never_be_done_fails_for_good(tmp_path, asked, why):
    ended = program("agent.py", cwd=tmp_path, given=document(asked))

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert said(ended) == [{"kora": "result", "resolution": "failed_terminal", "summary": why}]
    assert [entry["what"] for entry in journal(tmp_path)] == ["start", "end"]
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "given",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"ticket": {}}', b'{"ticket": null, "attempt": 1}',
        document(objective("m.py"))[:-9], document(objective("m.py"), ticket_id="../x"), document(None), b"[" * 100_000,
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_not_the_promised_document_ends_with_77(tmp_path, given):
    ended = program("agent.py", cwd=tmp_path, given=given)

    assert ended.returncode == 77
    assert ended.stdout == b""
    assert ended.stderr.startswith(b"agent: stdin ")
    assert b"Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_a_failure_to_try_again(tmp_path):
    (tmp_path / "m.py").touch()
    (tmp_path / "reports").touch()

    ended = program("agent.py", cwd=tmp_path, given=document(objective(tmp_path / "m.py")))

    assert ended.returncode == 1
    assert "result" not in {message["kora"] for message in said(ended)}
    assert b"reports" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert [entry["what"] for entry in journal(tmp_path)] == ["start"]


# --- the comparison


@pytest.fixture
def audited(tmp_path):
    """A folder with three modules, their tickets, and the reports of an agent on each."""
    sources = {"a": "def f(): pass", "b": "a and b or c", "c": "print 'no'"}
    lines = []
    for module, source in sources.items():
        path = tmp_path / f"{module}.py"
        path.write_text(source)
        lines.append(make_tickets.ticket(module, path))
        assert program("agent.py", cwd=tmp_path, given=document(objective(path, module=module))).returncode == 0
    (tmp_path / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def total(folder, *options):
    return program("total.py", "--tickets", "tickets.jsonl", "--reports", "reports", *options, cwd=folder)


def test_equal_sums_are_said_to_be_equal(audited):
    ended = total(audited)

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert [line.split() for line in ended.stdout.decode().splitlines()] == [
        ["reported", "direct"],
        ["modules", "3", "3"],
        ["functions", "1", "1"],
        ["lambdas", "0", "0"],
        ["branches", "2", "2"],
        ["deprecated", "calls", "0", "0"],
        ["unparsable", "1", "1"],
        ["equal"],
    ]


def test_a_report_that_says_something_else_is_named_also_when_the_sums_agree(audited):
    for module, functions in (("a", 0), ("b", 1)):
        path = audited / "reports" / f"{module}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "functions": functions}))

    ended = total(audited)

    assert ended.returncode == 1
    assert ended.stdout.decode().splitlines()[-3:] == ["not equal", "different: a", "different: b"]


def test_missing_and_broken_reports_are_named(audited):
    (audited / "reports" / "a.json").unlink()
    (audited / "reports" / "b.json").write_text('{"module": "b", "func')
    (audited / "reports" / "c.json").write_text((audited / "reports" / "c.json").read_text().replace('"c"', '"d"'))

    ended = total(audited)

    assert ended.returncode == 1
    assert ended.stdout.decode().splitlines()[-4:] == ["not equal", "missing: a", "missing: b", "missing: c"]
    assert ended.stdout.decode().splitlines()[1].split() == ["modules", "0", "3"]


def test_a_source_that_is_gone_since_is_not_equal(audited):
    (audited / "a.py").unlink()

    ended = total(audited)

    assert ended.returncode == 1
    assert ended.stdout.decode().splitlines()[-2:] == ["not equal", "unreadable: a"]


def test_the_comparison_as_json(audited):
    (audited / "reports" / "a.json").unlink()
    counts = {"functions": 0, "lambdas": 0, "branches": 2, "deprecated_calls": 0, "unparsable": 1}

    ended = total(audited, "--json")

    assert ended.returncode == 1
    assert json.loads(ended.stdout) == {
        "equal": False, "modules": 3, "reported": counts, "direct": {**counts, "functions": 1},
        "missing": ["a"], "different": [], "unreadable": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "tickets.jsonl: No such file or directory"),
        ("", "tickets.jsonl: holds no ticket"),
        ("{}\n", "tickets.jsonl, line 1: not a ticket of make_tickets.py"),
        ("[]\n", "tickets.jsonl, line 1: not a ticket of make_tickets.py"),
    ],
)
def test_a_list_that_cannot_be_used_is_wrong_usage(tmp_path, text, why):
    if text is not None:
        (tmp_path / "tickets.jsonl").write_text(text)

    ended = total(tmp_path)

    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.decode() == f"total: {why}\n"


# --- the folder


def test_the_configuration_starts_the_agent_of_this_folder():
    configuration = tomllib.loads((EXAMPLE / "supervisor.toml").read_text())

    assert configuration["agent"]["command"] == ["python3", "agent.py"]
    assert configuration["workers"]["count"] == 2
    assert configuration["runtime"] == {"store": "sqlite:///audit.db", "state_dir": ".kora"}
