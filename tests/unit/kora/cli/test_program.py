"""The program as a whole: its options, and the ways in which a command may end."""

import subprocess
import sys

import pytest

from kora.errors import StartError, StoreUnreachableError
from kora.store import open as opening
from kora.store.url import shown_url


def test_no_command_means_run(kora, launcher, here):
    assert kora().code == 0

    ((settings, until_idle),) = launcher.runs
    assert settings.path == here / "supervisor.toml"
    assert until_idle is False


def test_run_hands_on_until_idle_and_gives_the_runtimes_exit_code(kora, launcher):
    launcher.code = 5

    assert kora("run", "--until-idle").code == 5
    assert launcher.runs[0][1] is True


def test_config_names_the_file_before_the_command(kora, launcher, here, monkeypatch):
    for name in ("other.toml", "third.toml"):
        (here / name).write_text('[agent]\ncommand = ["false"]\n')
    monkeypatch.setenv("KORA_CONFIG", "third.toml")

    kora()
    kora("--config", "other.toml")
    kora("--config", "other.toml", "run")

    assert [settings.path.name for settings, _ in launcher.runs] == ["third.toml", "other.toml", "other.toml"]


def test_a_bad_configuration_ends_every_command_with_all_its_faults(kora, here, launcher):
    (here / "supervisor.toml").write_text("[runtime]\nstor = 1\n[workers]\ncount = 0\n")

    for command in (["run"], ["ticket", "list"], ["ticket", "add", "x"], ["events"], ["migrate"]):
        done = kora(*command)
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines() == [
            f"kora-actors: {here / 'supervisor.toml'}: 3 faults",
            "  runtime.stor: unknown key; did you mean 'store'?",
            "  workers.count: must be greater than or equal to 1, not 0",
            '  agent.command: missing: kind "command" needs it',
        ]
    assert launcher.runs == []


def test_a_refusal_is_its_message_and_its_exit_code(kora, launcher):
    def refuse(*_, **__):
        raise StartError("the state directory is in use\x1b[2J")

    launcher.run = refuse

    done = kora("run")

    assert done.code == 7
    assert done.err == "kora-actors: the state directory is in use\\u001b[2J\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sail"], "No such command 'sail'."),
        (["tickt"], "Did you mean 'ticket', "),
        (["ticket"], "Missing command."),
        (["ticket", "add"], "TITLE"),
        (["ticket", "add", "a", "b"], "unexpected extra argument"),
        (["run", "--until-idel"], "--until-idle"),
        (["ticket", "list", "--limit", "0"], "--limit"),
        (["ticket", "list", "--limit", "x"], "--limit"),
        (["--config"], "--config"),
        (["ticket", "add", "a", "b\x1b[2J"], "b\\x1b[2J"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_where_to_look(kora, arguments, message):
    done = kora(*arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.splitlines()[-1].startswith("Try 'kora-actors ")
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["demo"],
        ["migrate"],
        ["events"],
        ["ticket", "add"],
        ["ticket", "import"],
        ["ticket", "list"],
        ["ticket", "show"],
        ["ticket", "log"],
        ["ticket", "unblock"],
        ["ticket", "force-retry"],
        ["ticket", "cancel"],
        ["ticket", "reassign"],
        ["init"],
        ["claims"],
        ["report"],
        ["archive"],
    ],
)
def test_every_help_shows_an_example_that_begins_with_the_program(kora, command):
    done = kora(*command, "--help")

    assert done.code == 0
    assert f"\n    kora-actors {' '.join(command)}".rstrip() in done.out or "import -" in done.out


def test_the_version_is_the_projects(kora):
    done = kora("--version")

    assert done.code == 0
    assert done.out.startswith("kora-actors 0.")


def test_help_imports_neither_models_nor_stores_nor_actors():
    code = (
        "import sys; from kora.cli import main; main(None, ['--help']);"
        "print(sorted({'pydantic', 'rich', 'loguru', 'orjson', 'pykka', 'sqlite3', 'kora.app'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_migrate_says_from_where_to_where(kora, here):
    assert kora("migrate").out.startswith("the schema is now ")
    assert (here / "kora.db").exists()
    assert kora("migrate").out.startswith("the schema is current: ")


def test_a_file_that_is_no_database_ends_with_7(kora, here):
    (here / "kora.db").write_text("this is no database, however often it is opened" * 100)

    for command in (["migrate"], ["ticket", "list"], ["ticket", "add", "x"], ["events"]):
        done = kora(*command)
        assert done.code == 7
        assert str(here / "kora.db") in done.err


def test_whoever_comes_first_makes_the_store_and_says_so_once(kora, here):
    first, second = kora("ticket", "list"), kora("ticket", "list")

    assert (first.code, first.out) == (0, "no tickets\n")
    assert f"made a new store: sqlite:///{here / 'kora.db'}" in first.err
    assert (second.code, second.err) == (0, "")


SERVER = "postgresql://ada:hunter2@db.example:5432/kora"


@pytest.mark.parametrize("option", [["--print-roles"], ["--runtime-role", "kora_runtime"]])
def test_a_file_has_no_roles(kora, here, option):
    done = kora("migrate", *option)

    assert (done.code, done.out) == (2, "")
    assert f"{option[0]}: only PostgreSQL has roles; the store is sqlite:///{here}/kora.db" in done.err
    assert not (here / "kora.db").exists()


def test_a_role_without_a_name_is_wrong_usage(kora):
    assert kora("migrate", "--runtime-role", "").code == 2


def test_the_roles_are_sql_for_a_pipe(kora, monkeypatch):
    asked = []
    monkeypatch.setenv("KORA_STORE", SERVER)
    monkeypatch.setattr(opening, "roles_sql", lambda url, **named: asked.append((url, named)) or "CREATE ROLE a;\n--")

    done = kora("migrate", "--print-roles", "--runtime-role", "a")

    assert (done.code, done.out, done.err) == (0, "CREATE ROLE a;\n--\n", "")
    assert asked == [(SERVER, {"workspace_id": "w", "runtime_role": "a"})]


def test_the_role_that_is_named_is_handed_on(kora, monkeypatch):
    asked = []
    monkeypatch.setenv("KORA_STORE", SERVER)
    monkeypatch.setattr(opening, "migrate", lambda url, **named: asked.append((url, named)) or (None, "0001"))

    assert kora("migrate", "--runtime-role", "a").code == 0
    assert asked == [(SERVER, {"workspace_id": "w", "runtime_role": "a"})]


def test_a_server_out_of_reach_ends_a_command_with_seven_and_one_line(kora, monkeypatch):
    def away(url, **_):
        raise StoreUnreachableError(f"{shown_url(url)}: no server answers; start it")

    monkeypatch.setenv("KORA_STORE", SERVER)
    monkeypatch.setattr(opening, "open_store", away)
    monkeypatch.setattr(opening, "migrate", away)

    for command in (["ticket", "list"], ["claims"], ["status", "--fleet"], ["report"], ["migrate"]):
        done = kora(*command)
        assert (done.code, done.out) == (7, "")
        assert done.err == "kora-actors: postgresql://ada:***@db.example:5432/kora: no server answers; start it\n"


def test_archives_of_a_server_need_a_folder_that_is_named(kora, monkeypatch):
    monkeypatch.setenv("KORA_STORE", SERVER)

    done = kora("archive", "--older-than", "30")

    assert (done.code, done.out) == (2, "")
    assert "--to: must be said: a server has no folder of yours" in done.err
