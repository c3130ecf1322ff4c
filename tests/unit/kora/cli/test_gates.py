"""The boot gates on the command line: `run --check-only`, and `status` of a runtime that boots."""

from __future__ import annotations

import pytest

from kora.admin.views import BootView, RuntimeIdentity, RuntimeStatus, StateView
from kora.domain.gates import GATES, Checked, GateOutcome, GateResult
from tests.unit.kora.admin.stand_in import THEN


def checked(*failed, exit_code=0):
    return Checked(
        tuple(
            GateResult(
                gate.gate_id,
                gate.gate_class,
                GateOutcome.FAILED if gate.gate_id in failed else GateOutcome.PASSED,
                1,
                12,
                f"what {gate.gate_id} found",
            )
            for gate in GATES
        ),
        exit_code,
    )


def test_every_gate_has_a_line_with_what_it_found_and_nothing_is_run(kora, launcher):
    launcher.checked = checked()
    done = kora("run", "--check-only")
    head, *lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert head == "gate\tclass\toutcome\tattempts\telapsed\tdetail"
    assert lines[1] == "store\ttransient\tpassed\t1\t0.012 s\twhat store found"
    assert [line.partition("\t")[0] for line in lines] == [gate.gate_id for gate in GATES]
    assert launcher.runs == []


@pytest.mark.parametrize("code", [1, 7])
def test_what_fails_is_named_and_the_exit_code_is_the_checks(kora, launcher, code):
    launcher.checked = checked("store", "agents", exit_code=code)
    done = kora("run", "--check-only")
    assert done.code == code
    assert done.err == "kora-actors: a runtime would not start to work: store, agents failed\n"


def test_json_is_the_list_of_results(kora, launcher):
    launcher.checked = checked("epoch", exit_code=1)
    done = kora("run", "--check-only", "--json")
    assert (done.code, done.err) == (1, "")
    assert done.document == [result.document() for result in launcher.checked.results]


def test_a_configuration_with_faults_is_no_gates_affair(kora, here):
    (here / "supervisor.toml").write_text("[runtime]\nstor = 1\n[workers]\ncount = 0\n")
    done = kora("run", "--check-only")
    assert (done.code, done.out) == (2, "")
    assert "runtime.stor: unknown key" in done.err
    assert "workers.count" in done.err


@pytest.mark.parametrize("options", [["--json"], ["--check-only", "--until-idle"]])
def test_options_that_do_not_go_together_are_wrong_usage(kora, launcher, options):
    assert kora("run", *options).code == 2
    assert launcher.runs == []


def test_on_a_terminal_the_outcome_has_a_colour(kora, launcher, on_terminal):
    launcher.checked = checked("store", exit_code=1)
    on_terminal(160)
    shown = kora("run", "--check-only").out
    assert "\x1b[31mfailed" in shown
    assert "\x1b[32mpassed" in shown


def test_status_of_a_runtime_that_boots_says_which_gate_it_waits_at_and_why(kora, runtime, monkeypatch):
    passed = GateResult("configuration", GATES[0].gate_class, GateOutcome.PASSED, 1, 0, "supervisor.toml")
    boot = BootView("store", 3, THEN, "no server answers there", [passed.document()])
    status = RuntimeStatus(
        RuntimeIdentity(4711, "019b0000-0000-7000-8000-000000000001", THEN, "0.1.0"),
        StateView("booting", "none", ("substrate",)),
        (),
        0,
        boot,
    )
    monkeypatch.setattr(runtime.console, "status", lambda: status)
    done = kora("status")
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert done.code == 0
    assert lines["state"] == "booting"
    assert lines["degraded"] == "substrate"
    assert lines["gate"].startswith("store, failed 3 times, for ")
    assert lines["because"] == "no server answers there"
    assert kora("status", "--json").document["boot"]["gate"] == "store"
