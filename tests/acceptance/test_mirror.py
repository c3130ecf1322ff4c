"""Whatever becomes of the mirror, the work comes out the same."""

from __future__ import annotations

import threading

import pytest

from actors.state_holder import StateHolder
from tests.acceptance.home import Home, assert_sound
from tests.acceptance.in_process import with_holder, work_the_board

OWN = {"kora.operational_state.transitioned", "kora.supervisor.restarted", "kora.supervisor.gave_up"}
MARKS = {"holder", "work_attempt_id", "lease_expires_at", "actor_id"}

SCRIPT = """
number=${1##* }
case $((number % 7)) in
  0) exit 77;;
  1) echo '{"kora":"result","resolution":"failed_terminal","summary":"no"}';;
  2) echo '{"kora":"result","resolution":"completed","summary":"yes","cost_usd":0.01}';;
  3) [ -e tries/"$number" ] || {
       : > tries/"$number"
       echo '{"kora":"result","resolution":"failed_retryable","next_eligible_offset_seconds":0}'
     };;
  *) echo done;;
esac
"""


class CrashingHolder(StateHolder):
    """Dies of every message."""

    def on_receive(self, message: object) -> object:
        raise RuntimeError("this holder cannot bear any message")


class FrozenHolder(StateHolder):
    """Never comes back from its first message."""

    def on_receive(self, message: object) -> object:
        threading.Event().wait()
        return None


def raising_holder(seat):
    def listener(*_):
        raise RuntimeError("this listener always fails")

    return StateHolder(seat, listeners=[listener])


HOLDERS = {"absent": None, "crashing": CrashingHolder, "raising": raising_holder, "frozen": FrozenHolder}


def outcome(home: Home) -> dict[str, tuple[str, list[tuple]]]:
    """By title: the state in which each ticket ended, and its substrate events without what differs by chance."""
    events: dict[str, list[tuple]] = {}
    for event in home.events():
        if event["event_type"] in OWN or event["ticket_id"] is None:
            continue
        payload = {key: value for key, value in event["payload"].items() if key not in MARKS}
        for own_id in ("sea_ticket_id", "target", "after"):
            payload.pop(own_id, None)
        events.setdefault(event["ticket_id"], []).append((event["event_type"], sorted(payload.items(), key=str)))
    return {ticket["ticket_title"]: (ticket["sea_status"], events[ticket["ticket_id"]]) for ticket in home.tickets()}


def run(tmp_path, name: str, plan_holder, count: int):
    home = Home(tmp_path / name)
    home.folder.mkdir()
    (home.folder / "tries").mkdir()
    script = home.folder / "agent.sh"
    script.write_text(SCRIPT)
    home.configure(agent={"command": ["sh", str(script), "{ticket_title}"]}, workers={"count": 4})
    home.add(count)
    work_the_board(home, plan_holder)
    assert_sound(home)
    return outcome(home)


@pytest.mark.parametrize("count", [4, pytest.param(300, marks=pytest.mark.prove)])
def test_every_ticket_ends_the_same_with_the_same_events_whatever_the_holder_does(tmp_path, count):
    healthy = run(tmp_path, "healthy", with_holder(StateHolder), count)
    assert {status for status, _ in healthy.values()} == {"completed", "failed_terminal"}
    for name, make in HOLDERS.items():
        assert run(tmp_path, name, with_holder(make), count) == healthy, name


@pytest.mark.parametrize(
    "name",
    ["healthy", "absent", *(pytest.param(name, marks=pytest.mark.prove) for name in HOLDERS if name != "absent")],
)
def test_a_pause_for_cost_is_on_record_once_whatever_the_holder_does(home, name):
    spends = """echo '{"kora":"result","resolution":"completed","cost_usd":1}'"""
    home.configure(agent={"command": ["sh", "-c", spends]}, cost={"pool_usd": 1.0})
    home.add(2)
    make = {"healthy": StateHolder, **HOLDERS}[name]
    work_the_board(home, with_holder(make), until=lambda runtime: runtime._remembered.rests_for_cost)
    told = [event for event in home.events() if event["payload"].get("trigger") == "cost 100%"]
    assert [event["event_type"] for event in told].count("kora.paused.cost_limit") == 1
    if name == "healthy":
        assert [event["event_type"] for event in told] == [
            "kora.operational_state.transitioned",
            "kora.paused.cost_limit",
        ]
        assert told[0]["payload"] == told[1]["payload"]
