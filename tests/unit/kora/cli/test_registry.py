"""Every command that the registry names is there, says what it does, and costs nothing before it is called for."""

import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup

from kora.cli.registry import PROGRAM, SESSION, Commands

NAMES = {name: entry for themes in (PROGRAM, SESSION) for theme in themes.values() for name, entry in theme.items()}
REPL_ALONE = {"quit"}
SPEC = """status tree info mailbox stack tell ask start stop restart pause resume drain claims release deadletters
events tickets control cost epoch stats trace tail reread update ping version shutdown help"""


def in_session():
    return {name for theme in SESSION.values() for name in theme}


def in_program():
    return {name for theme in PROGRAM.values() for name in theme}


def test_each_command_of_the_repl_is_one_shot_as_well():
    assert in_session() == {*SPEC.split(), "quit"}
    assert in_session() - in_program() == REPL_ALONE


def leaves(command, path):
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from leaves(each, f"{path} {name}")
        if not command.invoke_without_command:
            return
    yield path, command


@pytest.mark.parametrize("themes", [PROGRAM, SESSION], ids=["program", "session"])
def test_each_command_has_help_with_an_example(themes):
    commands = Commands({name: entry for theme in themes.values() for name, entry in theme.items()})
    found = [leaf for name, command in commands.items() for leaf in leaves(command, name)]

    assert [path for path, command in found if "Example" not in (command.help or "")] == []
    assert [path for path, command in found if path.split()[0] not in command.help] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_line_in_the_help_fits_a_terminal(name):
    assert len(name) <= 11
    assert len(NAMES[name].short_help) <= 62
    assert NAMES[name].short_help.endswith(".")


def test_the_commands_are_those_of_the_registry():
    commands = Commands({})

    with pytest.raises(TypeError):
        commands["new"] = typer.core.TyperCommand("new")
    with pytest.raises(TypeError):
        del commands["new"]
    assert commands.get("new") is None


def test_help_imports_no_command():
    program = (
        "import sys\n"
        "from kora.cli import main\n"
        "code = main(None, ['--help'])\n"
        "print(sorted(name for name in sys.modules if name.startswith(('kora.cli.', 'kora.admin', 'kora.store'))))\n"
        "sys.exit(code)\n"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == str(
        [f"kora.cli.{name}" for name in ("ending", "invocation", "output", "program", "registry")]
    )
