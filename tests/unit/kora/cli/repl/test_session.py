"""Commands given with -c or in a pipe: one after the other, none ends the others, and the first failure is the code."""

import io

import pytest

from kora.cli.registry import SESSION

POLL = {"kind": "Poll"}


@pytest.fixture
def piped(kora, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "")

    def piped(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return kora("repl")

    return piped


def told(runtime):
    return [change[:3] for change in runtime.console.changes]


def test_commands_are_parted_by_semicolons_and_lines(kora, runtime):
    done = kora("repl", "-c", "pause; resume\ndrain")

    assert (done.code, done.err) == (0, "")
    assert [change[0] for change in runtime.console.changes] == ["pause", "resume", "drain"]


@pytest.mark.parametrize(
    "line", ['tell poller {"kind": "Poll"}', """tell poller '{"kind":"Poll"}'""", 'tell poller {\n"kind":\n"Poll"\n}']
)
def test_json_is_typed_with_or_without_quotes(kora, piped, runtime, line):
    assert kora("repl", "-c", f"{line}; ping").code == 0
    assert piped(f"{line}\nping\n").code == 0
    assert told(runtime) == [("tell", "poller", POLL)] * 2


def test_the_exit_code_is_that_of_the_first_that_failed_and_all_are_run(kora, piped, runtime):
    commands = ["pause", "info nobody", "sail", "resume"]

    assert kora("repl", "-c", "; ".join(commands)).code == 4
    assert piped("\n".join(commands)).code == 4
    assert [change[0] for change in runtime.console.changes] == ["pause", "resume"] * 2


def test_lines_are_read_without_prompt_or_colours(piped, runtime, on_terminal):
    on_terminal(120)

    done = piped("tree\n")

    assert done.out.startswith("kora  one_for_one")
    assert "\x1b" not in done.out


def test_quit_leaves_and_is_no_failure(kora, runtime):
    done = kora("repl", "-c", "pause; quit; resume")

    assert done.code == 0
    assert [change[0] for change in runtime.console.changes] == ["pause"]


@pytest.mark.parametrize("text", ['tell poller {"kind"', "tell poller 'x", 'ping\ntell poller {"kind"\n'])
def test_what_is_never_closed_is_said_and_ends_with_2(kora, piped, runtime, text):
    for done in (kora("repl", "-c", text), piped(text)):
        assert done.code == 2
        assert "never closed" in done.err
    assert runtime.console.changes == []


def test_an_unknown_command_is_answered_with_those_that_are_like_it(kora, runtime):
    done = kora("repl", "-c", "statsu")

    assert done.code == 2
    assert "Did you mean" in done.err
    assert "'status'" in done.err
    assert done.err.splitlines()[-1] == "Try 'help'."


def test_wrong_usage_says_where_the_help_is(kora, runtime):
    assert kora("repl", "-c", "restart").err.splitlines()[-1] == "Try 'help restart'."
    assert kora("repl", "-c", "deadletters drop").err.splitlines()[-1] == "Try 'help deadletters drop'."


def test_without_a_runtime_each_command_ends_with_3(kora, here):
    done = kora("repl", "-c", "status; claims; events; tickets")

    assert done.code == 3
    assert done.err.count("no runtime answers there") == 4


def test_json_passes_through(kora, runtime):
    assert kora("repl", "-c", "status --json").document == runtime.client.get("/status")


def test_a_configuration_that_is_wrong_ends_with_2(kora, here):
    (here / "supervisor.toml").write_text("[runtme]\n")

    assert kora("repl", "-c", "status").code == 2


def test_help_shows_every_command_as_it_is_typed_here(kora, here):
    out = kora("repl", "-c", "help").out

    assert all(f"  {name}" in out for theme in SESSION.values() for name in theme)
    assert (
        "kora-actors" not in kora("repl", "-c", "; ".join(f"help {name}" for name in ("restart", "tell", "info"))).out
    )


def test_a_mistake_of_our_own_is_no_end(kora, runtime, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("kora.cli.admin.act.say", broken)
    done = kora("repl", "-c", "pause; ping; status")

    assert done.code == 1
    assert "internal error: ZeroDivisionError" in done.err
    assert "poller" in done.out
