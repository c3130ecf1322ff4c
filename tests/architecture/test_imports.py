"""What may be imported from outside, where the import contracts can only forbid by name."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PERMITTED = {
    "kora/domain": {"pydantic", "pydantic_core", "orjson", "uuid_utils", "typing_extensions"},
    "kora/errors.py": set(),
    "kora/clock.py": set(),
    "actors/supervision": {"pykka", "pydantic", "pydantic_core"},
}


def modules(place: str) -> list[Path]:
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported_names(path: Path) -> Iterator[str]:
    """Yield the full name of everything imported, wherever in the file that happens."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module


@pytest.mark.parametrize("place", PERMITTED)
def test_only_the_permitted_packages_are_imported(place):
    found = {name.partition(".")[0] for path in modules(place) for name in imported_names(path)}

    assert found - set(sys.stdlib_module_names) - {"kora", "actors"} - PERMITTED[place] == set()


def test_importing_kora_imports_nothing_else():
    assert [
        node.lineno
        for node in ast.walk(ast.parse((ROOT / "kora" / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ] == []


def test_no_command_imports_a_store_or_the_actors_at_its_top():
    heavy = ("kora.store.sqlite.store", "kora.store.open", "kora.app", "actors")
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules("kora/cli")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for name in names_of(statement)
        if name.startswith(heavy)
    ]

    assert found == []


def names_of(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        return [name.name for name in statement.names]
    return [f"{statement.module}.{name.name}" for name in statement.names]
