"""Booting with a real store: what the gates find, what they come to, and what is on record of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import pytest
from loguru import logger

from kora.app import Runtime
from kora.app.boot import keeping
from kora.config import load
from kora.errors import AgentError, BootError, StoreUnusableError
from tests.acceptance.home import Home
from tests.acceptance.in_process import work_the_board

PATIENCE = 1_200

# Its own first sink prints every line.
logger.remove()


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.configure(agent={"command": ["true"]}, boot={"retry_seconds": 0.01})
    yield home
    home.end()


@pytest.fixture
def said():
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}", level="INFO")
    yield lines
    logger.remove(sink)


def events_of(home, event_type):
    return [event["payload"] for event in home.events() if event["event_type"] == event_type]


def act(home, action):
    with home.store() as store, closing(store.board()) as board:
        return action(board)


@contextmanager
def running(home):
    with Runtime(load(home.config)) as runtime:
        runtime.start()
        yield runtime
        assert runtime.drain()


def until(runtime, holds):
    for _ in range(PATIENCE):
        assert not runtime.wait(0.05)
        if holds():
            return
    raise AssertionError("did not come about")


def state(runtime):
    now = runtime.console.status().operational_state
    return now.primary_state, tuple(now.degradation_reasons)


def statuses(home):
    return {ticket["sea_status"] for ticket in home.tickets()}


def copied(source, target):
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def test_a_boot_without_a_fault_has_every_gates_result_on_record_ahead_of_ready(home):
    work_the_board(home)
    own = [event for event in home.events() if not event["chain_id"].startswith("workspace:")]
    assert [event["event_type"] for event in own[:2]] == ["kora.boot.ready", "kora.operational_state.transitioned"]
    found = own[0]["payload"]["gates"]
    assert {(gate["outcome"], gate["attempts"]) for gate in found} == {("passed", 1)}
    assert len(found) == 12
    assert own[1]["payload"]["trigger"] == "all boot gates pass"


def test_while_it_boots_and_after_it_a_runtime_is_no_more_than_what_it_says(home):
    with running(home) as runtime:
        assert runtime.console.status().boot is None
        until(runtime, lambda: state(runtime) == ("ready", ()))


def test_a_gate_that_is_spent_stops_the_runtime_and_is_on_record(home, monkeypatch):
    monkeypatch.delenv("KORA_NEVER_SET", raising=False)
    home.configure(boot={"retry_seconds": 0.01, "tries": 3, "credentials": ["token", "env:KORA_NEVER_SET"]})
    with pytest.raises(BootError, match=r"boot gate credentials failed, tried 3 times: .*token cannot be looked at"):
        Runtime(load(home.config))
    [failed] = events_of(home, "kora.boot.failed")
    assert failed["failed_gate_id"] == "credentials"
    assert "KORA_NEVER_SET is not set" in failed["failed_detail"]
    assert [gate["outcome"] for gate in failed["gates"]] == ["passed"] * 5 + ["failed"]
    degraded, stopped = events_of(home, "kora.operational_state.transitioned")
    assert (degraded["to_primary_state"], degraded["trigger"]) == ("booting", "transient gate failure")
    assert (stopped["from_primary_state"], stopped["to_primary_state"]) == ("booting", "stopped")
    assert (stopped["degradation_reasons"], stopped["trigger"]) == (["auth"], "retry budget exhausted")
    assert list((home.folder / ".kora" / "runtimes").iterdir()) == []
    with home.reading() as reader:
        assert [runtime.state for runtime in reader.fleet()] == ["ended"]


def test_a_gate_that_passes_in_time_leaves_its_reason_in_the_log_and_lets_the_work_begin(home, said, monkeypatch):
    token = home.folder / "token"
    home.configure(boot={"retry_seconds": 0.01, "tries": 1_000, "credentials": ["token"]})

    def put_there(message):
        if "boot gate credentials" in message:
            token.write_text("secret")
            token.chmod(0o600)

    sink = logger.add(put_there, format="{message}", level="WARNING")
    try:
        work_the_board(home)
    finally:
        logger.remove(sink)
    reasons = [event["degradation_reasons"] for event in events_of(home, "kora.operational_state.transitioned")]
    assert reasons[:3] == [["auth"], [], []]
    assert any("INFO boot gate credentials passes" in line for line in said)


def test_an_agent_that_cannot_be_had_is_on_record_and_nothing_is_tried_behind_it(home):
    home.configure(agent={"command": ["./missing"]})
    with pytest.raises(BootError, match=r"boot gate agents failed: .*does not exist"):
        Runtime(load(home.config))
    [failed] = events_of(home, "kora.boot.failed")
    assert failed["failed_gate_id"] == "agents"
    assert [gate["gate_id"] for gate in failed["gates"]][-1] == "agents"


def test_a_store_that_is_none_ends_it_at_once_and_nothing_of_it_is_touched(home):
    home.configure(runtime={"store": "sqlite:///supervisor.toml"})
    before = home.config.read_bytes()
    with pytest.raises(StoreUnusableError):
        Runtime(load(home.config))
    assert home.config.read_bytes() == before


def test_a_damaged_memory_pauses_until_a_person_has_looked(home, said):
    work_the_board(home)
    known = home.folder / ".kora" / "known.json"
    known.write_bytes(known.read_bytes()[:40])
    home.add(1)
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))
        assert any("known.json cannot be read (it is damaged)" in line for line in said)
        assert statuses(home) == {"assigned"}
        act(home, lambda board: board.reset(reason="it was the disk", who="ada"))
        until(runtime, lambda: statuses(home) == {"completed"})
    assert '"epoch": 1' in known.read_text()


def test_a_store_that_was_taken_away_is_made_anew_with_a_warning_and_worked(home, said):
    home.add(1)
    work_the_board(home)
    for path in home.folder.glob("kora.db*"):
        path.unlink()
    work_the_board(home)
    assert any("was made anew, although this machine has worked on it before" in line for line in said)
    said.clear()
    home.add(1)
    work_the_board(home)
    assert [line for line in said if line.startswith("WARNING")] == []


def test_what_was_known_of_another_store_is_no_more_to_be_known(home, said):
    home.add(1)
    work_the_board(home)
    home.configure(runtime={"store": "sqlite:///other.db"})
    work_the_board(home)
    home.add(1)
    work_the_board(home)
    assert sum("and it is taken as it is" in line for line in said) == 1
    assert [line for line in said if "paused" in line] == []


@pytest.mark.parametrize("bumped", [True, False])
def test_a_backup_that_is_restored_to_another_place_is_met_paused_too(home, bumped):
    home.add(1)
    work_the_board(home)
    copied(home.folder / "kora.db", home.folder / "other.db")
    home.add(1)
    work_the_board(home)
    home.configure(runtime={"store": "sqlite:///other.db"})
    if bumped:
        act(home, lambda board: board.bump_epoch(reason="restored", who="ada"))
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))


def test_a_board_that_was_moved_as_it_was_is_known_again(home, said):
    home.add(1)
    work_the_board(home)
    copied(home.folder / "kora.db", home.folder / "other.db")
    home.configure(runtime={"store": "sqlite:///other.db"})
    work_the_board(home)
    assert [line for line in said if line.startswith("WARNING")] == []
    assert "other.db" in (home.folder / ".kora" / "known.json").read_text()


def test_a_store_put_back_under_a_running_runtime_is_found_and_pauses_it(home, said, monkeypatch):
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.05)
    home.add(1)
    work_the_board(home)
    copied(home.folder / "kora.db", home.folder / "backup.db")
    home.add(1)
    known = home.folder / ".kora" / "known.json"
    with running(home) as runtime:
        until(runtime, lambda: statuses(home) == {"completed"} and runtime.runtime_id in known.read_text())
        copied(home.folder / "backup.db", home.folder / "kora.db")
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))
    assert sum("was put back to an earlier state under this runtime" in line for line in said) == 1


def test_a_held_runtime_that_ends_is_held_again_by_its_next_boot(home):
    home.add(1)
    work_the_board(home)
    assert act(home, lambda board: board.bump_epoch(reason="restored", who="ada")) == 2
    for _ in range(2):
        with running(home) as runtime:
            until(runtime, lambda runtime=runtime: state(runtime) == ("paused", ("substrate",)))
    observed = events_of(home, "kora.dr.observed")
    assert [(each["observed_epoch"], each["known_epoch"]) for each in observed] == [(2, 1)] * 2


def test_after_a_reset_the_new_epoch_is_known_and_the_next_boot_is_like_any(home):
    work_the_board(home)
    act(home, lambda board: board.bump_epoch(reason="restored", who="ada"))
    home.add(1)
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))
        act(home, lambda board: board.reset(reason="looked at", who="ada"))
        until(runtime, lambda: statuses(home) == {"completed"})
    assert '"epoch": 2' in (home.folder / ".kora" / "known.json").read_text()
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("ready", ()))


def test_a_reset_of_before_the_boot_does_not_count(home):
    work_the_board(home)
    act(home, lambda board: board.bump_epoch(reason="restored", who="ada"))
    act(home, lambda board: board.reset(reason="too early", who="ada"))
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))
    assert '"epoch": 1' in (home.folder / ".kora" / "known.json").read_text(), "nothing was adopted"


def test_an_epoch_that_is_bumped_while_a_runtime_works_is_met_by_its_next_boot(home, monkeypatch):
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.05)
    with running(home) as runtime:
        act(home, lambda board: board.bump_epoch(reason="restored", who="ada"))
        home.add(1)
        until(runtime, lambda: statuses(home) == {"completed"})
    with running(home) as runtime:
        until(runtime, lambda: state(runtime) == ("paused", ("substrate",)))


def test_an_error_of_an_agent_is_still_an_error_of_the_agent_where_a_configuration_is_read_anew(home):
    with running(home) as runtime:
        home.configure(agent={"command": ["./missing"]})
        with pytest.raises(AgentError):
            runtime.reread(load(home.config))
