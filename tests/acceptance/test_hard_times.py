"""A disk without room, agents out of hand, a store that is not what it was: words, and nothing lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from kora.agents import records
from kora.domain.ticket import Status
from tests.acceptance import home as homes
from tests.acceptance import scarcity
from tests.acceptance.home import PATIENCE_SECONDS, PROGRAM, Home, wait_until

HERE = Path(__file__).parent
MEBIBYTE = 1_048_576
NOTING, PLAIN, GATED = 6, 4, 8
GIVING_UP_SECONDS = 30


def put(home: Home, *agents: str | None) -> None:
    """A ticket for each of these agents of the configuration, titled after its agent; None is the default one."""
    lines = [json.dumps({"ticket_title": agent or "plain", "agent": agent}) + "\n" for agent in agents]
    done = home.kora("ticket", "import", "-", input="".join(lines))
    assert done.returncode == 0, done.stderr


# --- no room for the store ---


@pytest.fixture
def small(home) -> Iterator[Path]:
    """Where the store and the state directory stand."""
    folder = home.folder / "small"
    folder.mkdir()
    yield folder
    # Whatever still ran there would keep the disk.
    home.end()
    scarcity.leave(folder)


def acknowledged(home: Home) -> dict[str, str]:
    """Tickets and their operations, as the callable wrote them down when the ledger had them."""
    file = home.folder / "acknowledged"
    return dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}


def assert_kept(home: Home, done: dict[str, str | None]) -> None:
    """What was completed still is, with its word; what an agent was told is committed, and nothing beside it."""
    with home.reading() as reader:
        for ticket_id, summary in done.items():
            ticket = reader.ticket(ticket_id)
            assert (ticket.sea_status, ticket.last_summary) == ("completed", summary)
        for ticket_id, operation_id in acknowledged(home).items():
            [operation] = reader.operations(ticket_id)
            assert (operation.kora_operation_id, operation.state) == (operation_id, "committed")
            assert operation.dispatch_result == {"of": reader.ticket(ticket_id).ticket_id}


def assert_all_done(home: Home, *, once: bool) -> None:
    with home.reading() as reader:
        tickets = list(reader.tickets())
        assert reader.verify().fault is None
    assert {ticket.sea_status for ticket in tickets} == {"completed"}
    assert len(acknowledged(home)) == 2 * NOTING
    # None is worked twice for the sake of a disk.
    assert not once or {ticket.claim_count for ticket in tickets} == {1}
    for marks in home.marks().values():
        assert [mark for mark in marks if mark.what == "overlap"] == []


@pytest.mark.parametrize(
    ("make", "killed"),
    [
        pytest.param(scarcity.full_disk, False, id="full disk"),
        pytest.param(scarcity.SizeLimit, True, id="size limit, killed"),
        pytest.param(scarcity.full_disk, True, id="full disk, killed", marks=pytest.mark.prove),
        pytest.param(scarcity.SizeLimit, False, id="size limit", marks=pytest.mark.prove),
    ],
)
def test_without_room_what_was_acknowledged_is_kept_and_with_room_the_work_goes_on(home, small, make, killed):
    want = make(small)
    shutil.copy(HERE / "acknowledging.py", home.folder)
    home.configure(
        runtime={"store": f"sqlite:///{small}/kora.db", "state_dir": f"{small}/state", "log_level": "INFO"},
        **{
            "agents.noting": {"kind": "callable", "callable": "acknowledging:run"},
            "agents.gated": {"command": home.journal_command(0.02, gated=True)},
        },
    )
    put(home, *["noting"] * NOTING, *[None] * PLAIN, *["gated"] * GATED, *["noting"] * NOTING)
    with home.shut() as open_the_gate:
        process = home.start("run", "--until-idle")
        wait_until(home, lambda: home.runs() == PLAIN + 2, process)
        want.begin(process)
        open_the_gate()
        wait_until(home, lambda: "the store cannot be written, trying on" in home.log(), process)
    assert want.cause in home.log()
    with home.reading() as reader:
        done = {ticket.ticket_id: ticket.last_summary for ticket in reader.tickets((Status.COMPLETED,))}
    assert len(acknowledged(home)) >= NOTING
    assert NOTING < len(done) < 2 * NOTING + PLAIN + GATED
    assert_kept(home, done)
    assert process.poll() is None
    if killed:
        process.kill()
        process.wait()
        want.end()
        assert_kept(home, done)
        process = home.start("run", "--until-idle")
    else:
        want.end()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert killed or "the store answers again" in home.log()
    assert_kept(home, done)
    assert_all_done(home, once=not killed)
    assert not any("Traceback" in home.log(number) for number in range(len(home.processes)))


# --- agents out of hand ---

ENDS = {
    "flood": ("completed", {}),
    "babble": ("completed", {}),
    "break_off": ("failed_retryable", {"agent_protocol": 1}),
    "break_off_badly": ("failed_retryable", {"agent_exit": 1}),
    "say_nonsense": ("failed_retryable", {"agent_protocol": 1}),
    "die": ("released", {"agent_signal": 1}),
    "die_with_its_guardian": ("released", {"dispatch_fault": 1}),
    "vanish": ("completed", {}),
}


@pytest.mark.parametrize("megabytes", [40, pytest.param(1_000, marks=pytest.mark.prove)])
def test_agents_that_flood_babble_break_off_die_and_vanish_end_by_the_table(home, megabytes):
    agent = [sys.executable, "-I", "-S", str(HERE / "hard_agents.py")]
    home.configure(
        runtime={"log_level": "INFO"},
        **{f"agents.{how}": {"command": [*agent, how, *[str(megabytes)] * (how == "flood")]} for how in ENDS},
    )
    put(home, *ENDS)
    process = home.start("run")
    with home.reading() as reader:
        wait_until(home, lambda: all(ticket.last_resolution for ticket in reader.tickets()), process)
        tickets = {ticket.ticket_title: ticket for ticket in reader.tickets()}
        [flooded] = reader.attempts(tickets["flood"].ticket_id)
        assert reader.verify().fault is None
    found = {how: (ticket.last_resolution, ticket.failure_count_by_reason) for how, ticket in tickets.items()}
    assert found == ENDS
    assert tickets["babble"].last_summary == "the last word"
    for how, (_, faults) in ENDS.items():
        assert (tickets[how].next_eligible_at is not None) is bool(faults), how
    assert not psutil.pid_exists(int((home.folder / "left_behind").read_text()))
    peak = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) * 1_024 < 120 * MEBIBYTE, peak
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert home.left_over() == []
    assert "Traceback" not in home.log()
    kept = list(records.read(home.folder / ".kora", flooded.work_attempt_id))
    assert sum(len(line.text) for line in kept) < 17 * MEBIBYTE
    assert kept[-1].text.startswith("[cut:")


# --- a store, or a directory, that is not what it was ---


def test_a_store_of_a_newer_schema_is_refused_with_both_versions_and_not_touched(home):
    home.add(1)
    store = home.folder / "kora.db"
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        [(ours,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        connection.execute("UPDATE alembic_version SET version_num = '4711'")
    before = {file.name: file.read_bytes() for file in home.folder.iterdir() if file.is_file()}
    for arguments in (["run"], ["ticket", "add", "one more"], ["migrate"]):
        refused = home.kora(*arguments)
        assert (refused.returncode, refused.stdout) == (7, "")
        assert len(refused.stderr.splitlines()) == 1
        for word in (str(store), "4711", ours, "use the Kora that wrote it"):
            assert word in refused.stderr, refused.stderr
    assert {file.name: file.read_bytes() for file in home.folder.iterdir() if file.is_file()} == before


@pytest.mark.parametrize("new", ["empty", "another store"])
def test_a_store_that_is_replaced_is_left_alone_and_put_back_it_has_everything(home, new):
    home.configure(agent={"command": home.journal_command(0.05)}, runtime={"log_level": "INFO"})
    other = home.folder / "other.db"
    other.touch()
    if new == "another store":
        config = home.configure("other.toml", runtime={"store": "sqlite:///other.db"})
        assert home.kora("ticket", "add", "theirs", config=config).returncode == 0
        home.configure(runtime={"log_level": "INFO"})
    home.add(60)
    was = other.read_bytes()
    process = home.start("run")
    wait_until(home, lambda: home.runs() >= 6, process)
    store, away = home.folder / "kora.db", home.folder / "away.db"
    store.rename(away)
    other.rename(store)
    assert process.wait(GIVING_UP_SECONDS) in (1, 7), home.log()
    assert "was removed or replaced while it was in use; put the file back" in home.log()
    assert store.read_bytes() == was
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []
    done = {
        line.partition("(ticket …")[2][:8] for line in home.log().splitlines() if " completed done (ticket …" in line
    }
    assert len(done) >= 3
    away.rename(store)
    with home.reading() as reader:
        completed = {ticket.ticket_id[-8:] for ticket in reader.tickets((Status.COMPLETED,))}
        assert reader.verify().fault is None
    assert done <= completed


@pytest.fixture
def humble(home, monkeypatch) -> Home:
    """Its programs have no more rights than an ordinary user's, also where the tests run as root."""
    program = home.folder / "humble"
    drop = "import ctypes, os, sys; drop = ctypes.CDLL(None).prctl\n"
    # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    drop += "assert os.geteuid() or drop(24, 1, 0, 0, 0) == drop(24, 2, 0, 0, 0) == 0\n"
    program.write_text(f"#!{sys.executable} -IS\n{drop}os.execv({str(PROGRAM)!r}, sys.argv)\n")
    program.chmod(0o700)
    monkeypatch.setattr(homes, "PROGRAM", program)
    return home


@pytest.mark.parametrize("what", [".kora", ".kora/runtimes"])
def test_a_state_dir_that_may_not_be_written_is_refused_at_the_start(humble, what):
    state_dir = humble.folder / ".kora"
    (humble.folder / what).mkdir(parents=True)
    (humble.folder / what).chmod(0o500)
    refused = humble.kora("run", "--until-idle")
    (humble.folder / what).chmod(0o700)
    assert refused.returncode == 7, refused.stderr
    assert str(state_dir) in refused.stderr
    assert "runtime.state_dir" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_state_dir_that_may_no_longer_be_written_costs_the_records_and_not_the_work(humble):
    humble.configure(agent={"command": humble.journal_command(0.02, gated=True)}, runtime={"log_level": "INFO"})
    humble.add(12)
    with humble.shut() as open_the_gate:
        process = humble.start("run", "--until-idle")
        wait_until(humble, lambda: humble.runs() == 2, process)
        folders = [humble.folder / ".kora", *(each for each in (humble.folder / ".kora").iterdir() if each.is_dir())]
        try:
            for folder in folders:
                folder.chmod(0o500)
            open_the_gate()
            assert process.wait(PATIENCE_SECONDS) == 0, humble.log()
        finally:
            for folder in folders:
                folder.chmod(0o700)
    with humble.reading() as reader:
        assert {(ticket.sea_status, ticket.claim_count) for ticket in reader.tickets()} == {("completed", 1)}
    assert "Permission denied" in humble.log()
    assert "Traceback" not in humble.log()
