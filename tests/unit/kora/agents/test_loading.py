"""Finding a function by its name, and saying why it cannot be used."""

import importlib
import sys
from pathlib import Path

import pytest

from kora.agents.loading import load
from kora.errors import AgentError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def path_is_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith("_"):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def write(tmp_path):
    def module(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return module


@pytest.mark.parametrize(
    "function", ["run", "many", "partial", "built_in", "agent", "Agent.run", "agent.run", "agent.method"]
)
def test_what_can_be_called_with_two_arguments_is_found(function):
    assert callable(load(f"a_callable:{function}", HERE))


def test_the_folder_comes_first_and_stays_for_what_is_imported_later(write, tmp_path):
    write("jobs/__init__.py", "")
    write("jobs/night.py", "def run(ticket, work):\n    from jobs import late\n    return late.VALUE\n")
    write("jobs/late.py", "VALUE = 'completed'\n")
    # Where Python looks there is one of this name, too.
    write("wave.py", "def run(ticket, work):\n    return None\n")

    assert load("jobs.night:run", tmp_path)(None, None) == "completed"
    assert load("wave:run", tmp_path).__code__.co_filename == str(tmp_path / "wave.py")
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("runn", r"there is no 'runn' in module 'a_callable' \(.*a_callable.py\); did you mean 'run'"),
        ("Agent.rum", r"there is no 'rum' in 'Agent' of module 'a_callable' .*did you mean 'run'"),
        ("xyzzy", r"there is no 'xyzzy' in module 'a_callable' \([^;]*$"),
        ("number", "'number' of module 'a_callable' .* is a int, not a function"),
        ("thread", "is a Thread, not a function"),
        ("Agent", "is a class: name a function"),
        ("sleeps", "is async: make it a plain function"),
        ("streams", "is async: make it a plain function"),
        ("asynchronous", "is async: make it a plain function"),
        ("yields", "is a generator .* make it a plain function"),
        ("one", r"takes \(ticket\), and is called with two arguments, \(ticket, work\): too many"),
        ("three", r"takes \(ticket, work, more\), .* missing a required argument: 'more'"),
        ("Agent.method", r"takes \(self, ticket, work\), .* missing a required argument: 'work'"),
        ("keyword", "missing a required.* argument: 'must'"),
    ],
)
def test_what_cannot_be_called_so_is_refused(function, said):
    with pytest.raises(AgentError, match=said):
        load(f"a_callable:{function}", HERE)


@pytest.mark.parametrize("name", ["", "run", "a_callable:", ":run", "a-callable:run", "a..b:run", "a:b:c", "a:run()"])
def test_what_is_no_name_of_a_function_is_refused(name):
    with pytest.raises(AgentError, match="is not MODULE:FUNCTION, as in"):
        load(name, HERE)


@pytest.mark.parametrize(
    ("name", "missing", "file"),
    [
        ("no_such", "no_such", "no_such.py"),
        ("no_such.at_all", "no_such", "no_such.py"),
        ("jobs.no", "jobs.no", "jobs/no.py"),
    ],
)
def test_a_missing_module_is_named_with_where_to_write_it(write, tmp_path, name, missing, file):
    write("jobs/__init__.py", "")

    with pytest.raises(AgentError, match=f"there is no module '{missing}' in '{tmp_path}'.*write {file} there"):
        load(f"{name}:run", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nimport no_such_library\n", r"broken.py, line 2: ModuleNotFoundError: No module named 'no_such_lib"),
        ("x = 1\nfrom json import no_such_name\n", "broken.py, line 2: ImportError: cannot import name"),
        ("x = 1\n\nx + y\n", "broken.py, line 3: NameError: name 'y'"),
        ("def run(:\n", r"broken.py: SyntaxError: invalid syntax \(broken.py, line 1\)"),
        ("import sys\nsys.exit(3)\n", "broken.py, line 2: SystemExit: 3"),
        ("raise GeneratorExit\n", "broken.py, line 1: GeneratorExit$"),
        ("import other\n", "other.py, line 2: ZeroDivisionError"),
        ("import json\njson.loads('{')\n", "broken.py, line 2: JSONDecodeError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_from_a_missing_one_and_the_line_is_named(write, tmp_path, text, said):
    write("broken.py", text)
    write("other.py", "x = 0\n1 / x\n")

    with pytest.raises(AgentError, match=f"module 'broken' cannot be imported: .*{said}"):
        load("broken:run", tmp_path)


def test_a_module_that_was_mended_is_loaded(write, tmp_path):
    write("mended.py", "raise ValueError\n")
    with pytest.raises(AgentError):
        load("mended:run", tmp_path)
    write("mended.py", "def run(ticket, work):\n    return None\n")

    assert load("mended:run", tmp_path)(None, None) is None
