"""The manner of the house, as far as a program can judge it."""

import ast
import builtins
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FILE_LINES = 320
FUNCTION_LINES = 60

# Put together here, so that this file does not hold what it looks for.
UNFINISHED_MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME")) + r")\b")
REGISTRY_HOSTS = re.compile(
    "|".join(re.escape(".".join(parts)) for parts in (("pypi", "org"), ("pythonhosted", "org")))
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$}*-])/(" + "root|work|home/[a-z]+|Users/[A-Za-z]+" + ")/")


def git_files(*options: str) -> list[Path]:
    """Return what git lists, as existing absolute paths."""
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True, check=True).stdout
    return sorted(path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file())


def house() -> list[Path]:
    """Return every file that is, or is about to be, in the repository."""
    ignored = set(git_files("--cached", "--ignored", "--exclude-standard"))
    return [path for path in git_files("--cached", "--others", "--exclude-standard") if path not in ignored]


FILES = house()
PYTHON = [path for path in FILES if path.suffix == ".py"]
PRODUCT = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in {"kora", "actors", "bin"}]
PACKAGES = [path for path in PRODUCT if path.relative_to(ROOT).parts[0] != "bin"]
TESTS = [path for path in PYTHON if path.relative_to(ROOT).parts[0] == "tests"]


def where(path: Path, line: int | None = None) -> str:
    place = path.relative_to(ROOT).as_posix()
    return place if line is None else f"{place}:{line}"


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in FILES:
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [where(path, number) for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    return found


def test_the_house_is_not_empty():
    assert {"kora", "tests"} <= {path.relative_to(ROOT).parts[0] for path in PYTHON}


def test_nothing_that_git_is_told_to_ignore_is_tracked():
    tracked = {path.relative_to(ROOT).parts[0] for path in git_files("--cached", "--ignored", "--exclude-standard")}

    assert tracked == set()


def test_no_product_file_is_too_long():
    lengths = {where(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCT}

    assert {place: lines for place, lines in lengths.items() if lines > FILE_LINES} == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_product_function_is_too_long():
    lengths = {
        f"{where(path, node.lineno)} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in PRODUCT
        for node in functions(path)
    }

    assert {place: lines for place, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_nothing_is_left_for_later():
    assert lines_matching(UNFINISHED_MARKS) == []


def test_no_file_names_a_package_registry():
    assert lines_matching(REGISTRY_HOSTS) == []


def test_no_file_names_a_path_of_one_machine():
    assert lines_matching(MACHINE_PATHS) == []


def sleeps(module: ast.Module) -> Iterator[int]:
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep", lineno=line):
                yield line
            case ast.ImportFrom(module="time", names=names, lineno=line) if "sleep" in {name.name for name in names}:
                yield line


def test_no_test_sleeps():
    assert [where(path, line) for path in TESTS for line in sleeps(tree(path))] == []


@pytest.mark.parametrize(
    "code", ["import time\ntime.sleep(1)", "from time import monotonic, sleep", "wait = time.sleep"]
)
def test_a_sleep_is_seen_however_it_is_written(code):
    assert list(sleeps(ast.parse(code))) != []


def test_every_public_module_says_what_it_is_for():
    public = [path for path in PACKAGES if not path.stem.startswith("_") or path.stem.endswith("__")]

    assert [where(path) for path in public if not ast.get_docstring(tree(path))] == []


def base_name(base: ast.expr) -> str:
    match base:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return base_name(value)
    return ""


def ancestry(name: str, bases: dict[str, list[str]]) -> set[str]:
    """Return the names of all ancestors, as far as the sources tell."""
    seen: set[str] = set()
    ahead = list(bases.get(name, []))
    while ahead:
        ancestor = ahead.pop()
        if ancestor not in seen:
            seen.add(ancestor)
            ahead += bases.get(ancestor, [])
    return seen


BUILTIN_ERRORS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}


def errors_of(paths: list[Path]) -> dict[str, set[str]]:
    """Return the exception classes that these files define, each with its ancestors."""
    classes = [node for path in paths for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    bases = {node.name: [base_name(base) for base in node.bases] for node in classes}
    ancestors = {name: ancestry(name, bases) for name in bases}
    return {name: above for name, above in ancestors.items() if above & BUILTIN_ERRORS}


def test_every_error_says_so_in_its_name():
    assert [name for name in errors_of(PACKAGES) if not name.endswith("Error")] == []


def test_every_error_descends_from_the_one_of_kora():
    # The supervision kit imports nothing of Kora, so its errors have a root of their own.
    kit = [path for path in PACKAGES if "supervision" in path.parts]
    own = set(errors_of(PACKAGES)) - set(errors_of(kit)) - {"KoraError"}
    found = errors_of(PACKAGES)

    assert [name for name in sorted(own) if "KoraError" not in found[name]] == []
