"""The REPL on a real terminal, looked at as a person does: its screen."""

import sys
import threading

import pytest

from tests.terminal import CTRL_D, CTRL_R, ENTER, TAB, Terminal, environment
from tests.unit.kora.admin.stand_in import line, traced

READY = " ready  0 claims held"


@pytest.fixture
def terminal(here, away):
    command = [sys.executable, "-P", "-m", "kora", "repl"]
    with Terminal(command, cwd=here, env=environment(here / "state")) as terminal:
        terminal.waits_for("kora>")
        yield terminal


@pytest.fixture
def attached(runtime, terminal):
    terminal.waits_for(READY)
    return terminal


def test_it_begins_with_a_prompt_and_how_the_runtime_stands(attached, here):
    *greeting, prompt, last = [each for each in attached.lines if each]

    # Where the line is broken depends on how long the folder's name is.
    said = f"the runtime of {here}/.kora; help shows the commands, Ctrl-D leaves"
    assert "".join(greeting).replace(" ", "") == said.replace(" ", "")
    assert prompt == "kora>"
    assert last == " ready  0 claims held · 0 restarts · may claim: normal"
    assert attached.style_of("ready").fg == "green"
    assert attached.style_of("kora>").bold


def test_what_may_be_typed_is_shown_below_and_taken_by_tab(attached, runtime):
    attached.type("resta")
    attached.waits_for("Replace an actor; no message is lost.")
    attached.type(f"{TAB} po")
    attached.waits_for("poller  idle")
    attached.type(TAB + ENTER)
    attached.waits_for("kora> restart poller")
    attached.type(ENTER)

    attached.waits_for("poller: stopped", "poller: started", "as generation 2", "1 restart ·")


def test_a_message_is_found_by_its_kind_and_fields(attached, runtime):
    attached.type('ask ledger {"kind": "De')
    attached.waits_for('"Describe"', "Say how you stand.")
    attached.type(f"{TAB}, ")
    attached.waits_for("depth", "integer")
    attached.type(f'"depth": 3{ENTER}')
    attached.waits_for("    …\n")
    attached.type("}" + ENTER)

    attached.waits_for("name  ledger")


def test_ctrl_c_leaves_a_stream_and_not_the_repl(attached, runtime):
    attached.type(f"trace poller{ENTER}")
    attached.until(lambda: runtime.console.tracing, "somebody follows")
    runtime.console.traces["poller"].add(traced())
    attached.waits_for("◀ clock", "Poll()")
    attached.interrupt()
    attached.waits_for(READY)
    attached.type(f"ping{ENTER}")

    attached.waits_for("pong after")


def test_the_runtime_goes_and_comes_and_the_same_repl_goes_on(attached, runtime):
    attached.type(f"tail -f{ENTER}")
    runtime.console.log.add(line("before it went"))
    attached.waits_for("before it went")
    runtime.stop()
    attached.waits_for("the runtime is gone")
    runtime.start()
    attached.waits_for("the runtime is back")
    runtime.console.log.add(line("after it came"))
    attached.waits_for("after it came")
    attached.interrupt()
    attached.waits_for(READY)

    runtime.stop()
    attached.waits_for(" no runtime ")
    attached.type(f"pause{ENTER}")
    attached.waits_for("Start one with `kora-actors run`, or")
    runtime.start()
    attached.waits_for(READY)
    attached.type(f"pause{ENTER}")
    attached.waits_for("paused: nothing new is claimed")
    assert [change[0] for change in runtime.console.changes] == ["pause"]


def test_what_a_log_says_does_nothing_to_the_screen(attached, runtime):
    runtime.console.log.add(line("\x1b[2J\x1b[31mred\x07\u202e"))
    attached.type(f"tail{ENTER}")

    shown = attached.waits_for("red\\u0007")
    assert "kora> tail" in shown
    assert attached.style_of("red\\u0007").fg == "default"


def test_what_was_typed_is_found_again(attached, runtime):
    attached.type(f"restart ledger{ENTER}")
    attached.waits_for("as generation 2")
    attached.type(f"{CTRL_R}ledg")
    attached.waits_for("I-search backward: ledg", "kora> restart ledger\n")
    attached.type(ENTER)
    attached.type(ENTER)

    attached.waits_for("as generation 3")


@pytest.mark.parametrize("end", [CTRL_D, f"quit{ENTER}"])
def test_it_ends_with_0(terminal, end):
    terminal.type(end)

    assert terminal.ends() == 0


def test_ctrl_c_clears_the_line(attached, runtime):
    attached.type("pause")
    attached.waits_for("kora> pause")
    attached.interrupt()
    attached.until(lambda: attached.text.count("kora>") == 2, "a new prompt")
    attached.type(f"resume{ENTER}")
    attached.waits_for("resumed")

    assert [change[0] for change in runtime.console.changes] == ["resume"]


def test_typing_goes_on_while_a_runtime_does_not_answer(attached, runtime):
    held = threading.Event()
    status = runtime.console.status

    def slow():
        held.wait()
        return status()

    runtime.console.status = slow
    try:
        attached.type("help stat")
        attached.waits_for("kora> help stat")
        attached.waits_for(" no runtime ")
        attached.type(f"us{ENTER}")
        attached.waits_for("Show how the runtime and its actors stand.")
    finally:
        held.set()
