"""The prompt: lines that go on while something is open, history, and what ends it."""

import stat

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from kora.cli.invocation import Invocation
from kora.cli.repl.prompt import converse
from kora.cli.repl.session import Session

UP, CTRL_C, CTRL_D, ENTER = "\x1b[A", "\x03", "\x04", "\r"


@pytest.fixture
def typed(here, away, monkeypatch):
    """Type all this, and leave."""
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))

    def typed(text):
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(text)
            converse(Session(Invocation(None, attached=away.client)), away.state_dir)

    return typed


def did(runtime):
    return [change[0] for change in runtime.console.changes]


def test_commands_are_run_until_quit(typed, runtime):
    typed(f"pause{ENTER}resume; pause{ENTER}quit{ENTER}")

    assert did(runtime) == ["pause", "resume", "pause"]


def test_json_goes_on_in_the_next_line_until_it_is_closed(typed, runtime):
    typed(f'tell poller {{{ENTER}"kind":{ENTER}"Poll"{ENTER}}}{ENTER}{CTRL_D}')

    assert [change[:3] for change in runtime.console.changes] == [("tell", "poller", {"kind": "Poll"})]


def test_ctrl_c_clears_the_line_and_ctrl_d_leaves(typed, runtime):
    typed(f"pause{CTRL_C}resume{ENTER}{CTRL_D}")

    assert did(runtime) == ["resume"]


def test_a_mistake_or_a_runtime_that_is_away_is_no_end(typed, away, capsys):
    typed(f"sail{ENTER}status{ENTER}help{ENTER}quit{ENTER}")

    shown = capsys.readouterr()
    assert "No such command 'sail'" in shown.err
    assert "no runtime answers there" in shown.err
    assert "Look:" in shown.out


def test_what_was_typed_is_there_the_next_time_and_for_nobody_else(typed, here, runtime):
    typed(f"pause{ENTER}{CTRL_D}")
    typed(f"{UP}{ENTER}{CTRL_D}")

    assert did(runtime) == ["pause", "pause"]
    history = here / "state" / "kora" / "repl_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700


def test_a_history_that_others_could_read_is_closed_to_them(typed, here, runtime):
    (here / "state" / "kora").mkdir(parents=True)
    (here / "state" / "kora" / "repl_history").touch(mode=0o644)

    typed(CTRL_D)

    assert stat.S_IMODE((here / "state" / "kora" / "repl_history").stat().st_mode) == 0o600


def test_where_no_history_can_be_kept_it_is_said_and_all_else_goes_on(typed, here, runtime, capsys):
    (here / "state").write_text("in the way")

    typed(f"pause{ENTER}{CTRL_D}")

    assert did(runtime) == ["pause"]
    assert "what is typed will be forgotten" in capsys.readouterr().err
