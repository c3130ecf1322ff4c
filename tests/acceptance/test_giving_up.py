"""Restarts that come too fast: the supervisor gives up, says why, and leaves nothing behind."""

from __future__ import annotations

import psutil
from loguru import logger

from actors.names import POLLER
from kora.app import Runtime
from kora.config import load
from tests.acceptance.home import PATIENCE_SECONDS, assert_each_completed_once, assert_sound


class Poison:
    """A message that no actor knows."""


def test_past_its_intensity_it_gives_up_ends_the_agents_and_a_restart_returns_the_claims(home):
    home.configure(
        supervisor={"max_restarts": 2, "within_seconds": 60},
        agent={"command": home.journal_command(30), "grace_seconds": 1},
        poller={"lease_seconds": 3_600},
    )
    home.add(2)
    lines = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="ERROR")
    with Runtime(load(home.config)) as runtime:
        runtime.start()
        for _ in range(PATIENCE_SECONDS * 20):
            if home.runs() == 2:
                break
            assert not runtime.wait(0.05)
        for _ in range(2):
            runtime.tell(POLLER, Poison())
        assert runtime.wait(PATIENCE_SECONDS)
    logger.remove(sink)
    [report] = lines
    assert "gave_up poller: more than 2 restarts within 60 s" in report
    assert "poller does not know Poison" in report
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []
    gave_up = [event for event in home.events() if event["event_type"] == "kora.supervisor.gave_up"]
    assert [event["payload"]["offender"] for event in gave_up] == ["poller"]
    home.configure()
    assert home.start("run", "--until-idle").wait(PATIENCE_SECONDS) == 0, home.log()
    assert_each_completed_once(home)
    assert_sound(home)
