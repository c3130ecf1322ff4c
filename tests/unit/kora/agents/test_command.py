from __future__ import annotations

import gzip
import json
import logging
import os
import stat
import sys
import threading
from pathlib import Path

import psutil
import pytest

from kora.agents import record
from kora.agents.command import CommandAgent, CommandSettings
from kora.agents.containment import Containment
from kora.agents.meter import Meters
from kora.agents.record import RECORD_BYTES, await_closed
from kora.domain.resolution import Outcome, Resolution, StopReason
from tests.operations import MemoryLedger

from .conftest import WAIT_SECONDS, a_claim, a_lease, kept, sh


def test_a_program_that_does_nothing_ends_with_0(start):
    run = start("/bin/true")
    assert run.wait() == Outcome(exit_code=0)
    assert len(run.ends) == 1
    assert run.ends[0] != threading.get_ident()
    assert run.progress_at is None
    assert run.started_at > 0


@pytest.mark.parametrize("code", [1, 3, 75, 77, 255])
def test_an_exit_code_comes_through(start, code):
    assert start(*sh(f"exit {code}")).wait() == Outcome(exit_code=code)


def test_death_by_a_signal_comes_through(start):
    assert start(*sh("kill -SEGV $$")).wait() == Outcome(signal=11)


def test_the_last_line_is_stderr_s_when_it_failed_and_stdout_s_when_not(start):
    script = "echo first; echo ' out '; echo; echo err >&2; exit "
    assert start(*sh(script + "3")).wait().last_output == "err"
    assert start(*sh(script + "0")).wait().last_output == "out"
    assert start(*sh("echo only >&2")).wait().last_output == "only"
    assert start(*sh("printf unended; exit 1")).wait().last_output == "unended"


def test_the_last_line_is_short_and_holds_no_nul(start):
    outcome = start(*sh(r"printf 'a\000b\377%0600d' 1")).wait()
    assert outcome.last_output == ("a\ufffdb\ufffd" + "0" * 599 + "1")[:500]


def test_a_result_line_is_taken_and_the_last_valid_one_counts(start):
    lines = [
        '{"kora":"result","resolution":"released","summary":"no"}',
        '{"kora":"result","resolution":"failed_terminal","summary":"bad\\u0000","model_tier":"m","cost_usd":0.5}',
        "plain",
    ]
    outcome = start(*sh('printf "%s\\n" "$@"; exit 9', *lines)).wait()
    assert outcome.exit_code == 9
    assert outcome.last_output == "plain"
    assert outcome.result is not None
    assert outcome.result.resolution is Resolution.FAILED_TERMINAL
    assert (outcome.result.summary, outcome.result.model_tier, outcome.result.cost_usd) == ("bad\ufffd", "m", 0.5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kora":"result"}', "resolution: Field required"),
        ('{"kora":"result","resolution":"done"}', "resolution: "),
        ('{"kora":"result","resolution":"completed","summary":1}', "summary: Input should be a valid string"),
    ],
)
def test_a_malformed_result_line_is_a_protocol_fault_that_says_why(start, line, said):
    outcome = start("/bin/echo", line).wait()
    assert outcome.result is None
    assert said in outcome.protocol_fault


def test_a_line_to_kora_that_says_nothing_known_is_output_and_warned_of_once(start, caplog):
    script = """echo '{"kora":"sing"}'; echo '{"kora":"progress","signal":"snore"}'; echo '{"kora":1}'"""
    with caplog.at_level(logging.WARNING):
        assert start(*sh(script)).wait() == Outcome(exit_code=0, last_output='{"kora":1}')
    assert [record.getMessage() for record in caplog.records if "not understood" in record.getMessage()] == [
        'attempt attempt-1 of ticket ticket-1: not understood, taken as output: {"kora":"sing"}'
    ]


@pytest.mark.parametrize(
    ("progress", "script", "progressed"),
    [
        ("lines", "echo hello", True),
        ("lines", "echo hello >&2", True),
        ("lines", """echo '{"kora":"progress","signal":"tool_call_boundary"}'""", True),
        ("lines", "true", False),
        ("protocol", "echo hello; echo hello >&2", False),
        ("protocol", """echo '{"kora":"progress","signal":"streaming_token_advanced"}'""", True),
        ("protocol", """echo '{"kora":"progress","signal":"streaming_token_advanced"}' >&2""", False),
        ("protocol", """echo '{"kora":"result","resolution":"completed"}'""", False),
    ],
)
def test_what_counts_as_progress(start, progress, script, progressed):
    run = start(*sh(script), progress=progress)
    run.wait()
    assert (run.progress_at is not None) is progressed
    if progressed:
        assert run.progress_at >= run.started_at


def test_the_agent_reads_the_ticket_from_stdin_then_end_of_file(start, tmp_path):
    claim = a_claim(objective="säge 🪚")
    start(*sh("cat > got"), claim=claim).wait()
    got = json.loads((tmp_path / "got").read_bytes())
    assert got.pop("ticket") == json.loads(claim.ticket.model_dump_json())
    assert got == {
        "work_attempt_id": "attempt-1",
        "attempt": 2,
        "lease_expires_at": "2026-03-01T12:00:00Z",
        "operations": [],
    }


def test_a_mebibyte_of_objective_arrives_whole(start, tmp_path):
    objective = "x" * 1_048_576
    start(*sh("cat > got"), claim=a_claim(objective=objective)).wait()
    assert json.loads((tmp_path / "got").read_bytes())["ticket"]["ticket_objective"] == objective


@pytest.mark.parametrize("script", ["exec <&-; echo closed", "echo never read", "head -c 10 >/dev/null; echo some"])
def test_an_agent_need_not_read_what_it_is_told(start, script):
    outcome = start(*sh(script), claim=a_claim(objective="x" * 1_048_576)).wait()
    assert outcome.exit_code == 0
    assert outcome.last_output == script.rpartition("echo ")[2]


def test_placeholders_are_filled_in_as_whole_arguments_only(start):
    command = ("{ticket_id}", "{ticket_title}", "{ticket_objective}", "x{ticket_id}", "{}")
    outcome = start("/bin/echo", *command, claim=a_claim(title="$(id) {ticket_id}")).wait()
    assert outcome.last_output == "ticket-1 $(id) {ticket_id} Do it x{ticket_id} {}"


def test_the_environment_is_what_is_allowed_and_three_names(start, tmp_path):
    environ = {b"PATH": b"/usr/bin:/bin", b"HOME": b"/h", b"SECRET": b"s", b"ODD": b"\xff"}
    start("env", environ=environ, env_allow=("PATH", "ODD", "UNSET")).wait()
    assert sorted(text for _, text in kept(tmp_path / "state")) == [
        "KORA_TICKET_ID=ticket-1",
        "KORA_WORKSPACE_ID=default",
        "KORA_WORK_ATTEMPT_ID=attempt-1",
        "ODD=\ufffd",
        "PATH=/usr/bin:/bin",
    ]


def test_the_agent_gets_a_clean_process(start, tmp_path):
    show = "import os; print(os.getcwd(), os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd'))[:-1])"
    show += "; print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('SigBlk', 'SigCgt', 'SigIgn'))])"
    (tmp_path / "there").mkdir()
    # Python itself ignores and catches some signals, which a bare run of it shows too.
    bare = psutil.subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout
    start(sys.executable, "-c", show, workdir=tmp_path / "there").wait()
    shown = [text for _, text in kept(tmp_path / "state")]
    assert shown[0] == f"{tmp_path / 'there'} True ['0', '1', '2']"
    assert shown[1] == bare.splitlines()[1]


def test_output_is_kept_for_its_owner_alone_with_its_stream(start, tmp_path):
    start(*sh(r"printf 'a\000\377\n'; echo b >&2")).wait()
    assert sorted(kept(tmp_path / "state")) == [("stderr", "b"), ("stdout", "a\ufffd\ufffd")]
    (path,) = (tmp_path / "state/attempts").iterdir()
    assert path.name == "attempt-1.log.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_compressing_what_was_printed_does_not_delay_the_end(start, tmp_path, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()

    def compress(path):
        begun.set()
        assert may_end.wait(WAIT_SECONDS)
        return really(path)

    really = record.compress
    monkeypatch.setattr(record, "compress", compress)
    assert start("/bin/echo", "hello").wait() == Outcome(exit_code=0, last_output="hello")
    assert begun.wait(WAIT_SECONDS)
    assert not await_closed(0.0)
    may_end.set()
    assert kept(tmp_path / "state") == [("stdout", "hello")]


def test_limits_are_the_configuration_s_and_nothing_lingers(start, containment, tmp_path):
    run = start("/bin/true", timeout_seconds=5.0, stall_seconds=6.0)
    assert (run.timeout_seconds, run.stall_seconds, run.tool_since) == (5.0, 6.0, None)
    run.wait()
    agent = CommandAgent(
        CommandSettings(("/bin/true",), tmp_path), containment, state_dir=tmp_path, meters=Meters(tmp_path / "meters")
    )
    assert agent.lingering() == frozenset()


def test_an_agent_that_prints_nothing_leaves_no_file(start, tmp_path):
    start("/bin/true").wait()
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


def test_a_record_that_cannot_be_written_does_the_attempt_no_harm(start, tmp_path, caplog):
    (tmp_path / "state").write_text("a file where a folder should be")
    assert start(*sh("echo fine; echo fine")).wait() == Outcome(exit_code=0, last_output="fine")
    assert sum("no longer kept" in record.getMessage() for record in caplog.records) == 1


def peak_kibibytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("flood", ["head -c 200000000 /dev/zero", "yes abcdefgh | head -c 200000000"])
def test_a_flood_of_output_costs_little_memory_and_a_bounded_file(start, tmp_path, flood):
    start("/bin/true").wait()
    # Makes the peak of what this process ever held start anew from what it holds now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kibibytes()
    outcome = start(*sh(f"{flood}; echo; echo done")).wait()
    assert outcome == Outcome(exit_code=0, last_output="done")
    assert peak_kibibytes() - before < 30_000
    assert await_closed(WAIT_SECONDS)
    assert peak_kibibytes() - before < 30_000
    with gzip.open(tmp_path / "state/attempts/attempt-1.log.gz") as file:
        printed = file.read()
    assert len(printed) <= RECORD_BYTES + 200
    if flood.startswith("yes"):
        assert len(printed) > RECORD_BYTES - 200
        assert b"kora [cut: " in printed[-200:]


@pytest.mark.parametrize(
    ("name", "content", "mode", "said"),
    [
        ("missing", None, 0, "No such file or directory"),
        ("plain", b"#!/bin/sh\n", 0o644, "Permission denied"),
        ("noise", b"\1\2\3", 0o755, "no such kind of program"),
        ("orphan", b"#!/nowhere/sh\n", 0o755, "the interpreter that its first line names does not exist"),
    ],
)
def test_a_program_that_cannot_be_run_is_a_fault_that_says_why(  # noqa: PLR0917 - parametrized
    start, tmp_path, name, content, mode, said
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(mode)
    outcome = start(f"./{name}").wait()
    assert outcome == Outcome(fault=outcome.fault)
    assert str(tmp_path / name) in outcome.fault
    assert said in outcome.fault


def test_a_program_that_vanishes_between_attempts_is_a_fault_of_the_next(start, tmp_path):
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    assert start("./agent").wait() == Outcome(exit_code=0)
    program.unlink()
    assert "No such file" in start("./agent").wait().fault


def test_a_working_directory_that_is_gone_is_a_fault(start, tmp_path):
    assert "cannot enter the working directory" in start("/bin/true", workdir=tmp_path / "gone").wait().fault


def test_an_argument_too_long_for_the_kernel_is_a_fault(start):
    outcome = start("/bin/echo", "{ticket_objective}", claim=a_claim(objective="x" * 1_048_576)).wait()
    assert outcome.fault.startswith("the argument list is too long: 1,048,")


def test_many_long_arguments_arrive_up_to_the_kernel_s_own_limit(start):
    assert start(*sh('echo "$# ${#9}"', *["x" * 100_000] * 10)).wait().last_output == "10 100000"


def test_a_nul_in_an_argument_is_a_fault(start):
    assert "NUL" in start("/bin/echo", "a\0b").wait().fault


def test_a_listener_that_raises_does_no_harm(containment, tmp_path, caplog):
    agent = CommandAgent(
        CommandSettings(("/bin/true",), tmp_path), containment, state_dir=tmp_path, meters=Meters(tmp_path / "meters")
    )
    called = threading.Event()

    def on_end():
        called.set()
        raise RuntimeError("no")

    attempt = agent.start(a_claim(), a_lease(), on_end, MemoryLedger())
    assert called.wait(WAIT_SECONDS)
    assert attempt.outcome == Outcome(exit_code=0)


def test_a_machine_without_threads_is_a_fault(start, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert "can't start new thread" in start("/bin/true").wait().fault


def test_a_machine_without_descriptors_is_a_fault(start, monkeypatch):
    def refuse(_flags):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", refuse)
    assert "Too many open files" in start("/bin/true").wait().fault


def test_a_reader_that_fails_ends_its_agent_and_says_so(start, monkeypatch, leash, caplog):
    def fail(*_arguments):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("kora.agents.output.Output.feed", fail)
    outcome = start(*sh('exec 9>"$1"; trap "" TERM; echo up >&9; echo hello; exec sleep 1000', str(leash.path))).wait()
    assert "a bug" in outcome.fault
    assert leash.is_free()


def test_after_close_nothing_is_started(lock_path, tmp_path):
    with lock_path.open("w") as lock:
        containment = Containment(lock.fileno())
        agent = CommandAgent(
            CommandSettings(("/bin/true",), tmp_path),
            containment,
            state_dir=tmp_path,
            meters=Meters(tmp_path / "meters"),
        )
        assert containment.close()
    ended = threading.Event()
    attempt = agent.start(a_claim(), a_lease(), ended.set, MemoryLedger())
    assert ended.wait(WAIT_SECONDS)
    assert attempt.outcome is not None
    assert "the runtime is ending" in str(attempt.outcome.fault)


def test_a_stop_that_comes_too_late_does_not_count(start):
    run = start("/bin/true")
    assert run.wait() == Outcome(exit_code=0)
    run.stop(StopReason.DRAINED)
    run.kill(StopReason.TIMED_OUT)
    run.extend(a_lease())
    assert run.outcome == Outcome(exit_code=0)
