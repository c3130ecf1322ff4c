"""A person at two terminals, attached to the real runtime: what they do in an evening, and what they see of it."""

from __future__ import annotations

import re
from contextlib import contextmanager

from tests.acceptance.home import PROGRAM, assert_sound
from tests.terminal import ENTER, TAB, Terminal, environment

_TRANSITION = re.compile(r"from_primary_state=(\w+) to_primary_state=(\w+) trigger=(.+?)(?= \d+ 20\d\d-|$)")
READY, ACTIVE = " ready  0 claims held · 0 restarts", " active  1 claim held · 0 restarts"
BOOTED = ("booting", "ready", "all boot gates pass")
CLAIMED = ("ready", "active", "claim acquired")
RELEASED = ("active", "ready", "claim released")


@contextmanager
def attached(home):
    command = [str(PROGRAM), "--config", str(home.config), "repl"]
    # High enough that what is waited for has not gone by when it is looked for.
    with Terminal(command, cwd=home.folder, env=environment(home.folder), lines=100) as terminal:
        terminal.waits_for("kora>", READY)
        yield terminal


def transitions(terminal):
    """What the events on the screen tell, wherever their lines are broken: from, to, and by what trigger."""
    return _TRANSITION.findall(" ".join(terminal.text.split()))


def shows(terminal, *wanted):
    terminal.until(lambda: transitions(terminal) == list(wanted), wanted)


def test_an_evening_at_two_terminals(home):
    home.configure(
        runtime={"tick_seconds": 0.5, "log_level": "INFO"},
        poller={"poll_interval_seconds": 0.5},
        workers={"count": 1},
        agent={"command": ["sh", "-c", "until [ -e dawn ]; do sleep 0.05; done"]},
    )
    runtime = home.start("run")
    with attached(home) as left, attached(home) as right:
        right.type(f"trace poller{ENTER}")
        right.waits_for("◀ clock")
        left.type("tell pol")
        left.waits_for("poller  idle")
        left.type(TAB)
        left.waits_for("kora> tell poller")
        left.type(f' {{"kind":"Poll"}}{ENTER}')
        left.waits_for("told poller: Poll", READY)
        right.waits_for("◀ (outside)", "Poll()")
        right.interrupt()
        right.waits_for(READY)

        # With those that were before it, so that it is seen to follow before anything happens.
        right.type(f"events -f --after 0 --type kora.operational_state.transitioned{ENTER}")
        shows(right, BOOTED)
        home.add(1)
        shows(right, BOOTED, CLAIMED)
        left.waits_for(ACTIVE)
        left.type(f"restart state_holder{ENTER}")
        left.waits_for("state_holder: started", "as generation 2", ACTIVE)
        # The new one takes over from what it is told next; what changed before that is no transition of its own.
        left.type(f"trace state_holder{ENTER}")
        left.waits_for("◀ ledger        Held(")
        left.interrupt()
        left.waits_for(ACTIVE)
        (home.folder / "dawn").touch()
        shows(right, BOOTED, CLAIMED, RELEASED)
        left.waits_for(READY)

        runtime.kill()
        runtime.wait()
        left.waits_for(" no runtime ")
        right.waits_for("the runtime is gone")
        left.type(f"pause{ENTER}")
        left.waits_for("Start one with `kora-actors run`")
        home.start("run")
        left.waits_for(READY)
        right.waits_for("the runtime is back")
        right.interrupt()
        right.waits_for(READY)
        right.type(f"ping{ENTER}")
        right.waits_for("pong after")
        left.type(f"tickets --status completed{ENTER}")
        left.waits_for("completed", "ticket 0")
    (ticket,) = home.tickets()
    assert (ticket["sea_status"], ticket["work_attempt_count"]) == ("completed", 1)
    assert_sound(home)
