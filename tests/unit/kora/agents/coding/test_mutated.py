"""Mutated streams: whatever a program prints, its attempt ends as an attempt may, and costs little memory."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from kora.agents.coding.agent import interpreter_of
from kora.agents.coding.hearing import CodingHearing
from kora.agents.coding.session import Session
from kora.agents.output import Output
from kora.agents.record import await_closed
from kora.clock import SystemTime
from kora.domain.resolution import Outcome
from tests.unit.kora.agents.conftest import WAIT_SECONDS, a_claim

from . import mutations
from .conftest import settled

MEMORY_BYTES = 64 * 1_048_576
RESOLUTIONS = {"completed", "released", "failed_retryable"}
EXITS = [0, 1, 41, 53, 75, 77, 130, 143]


class NoRecord:
    """Looks at what it is to keep."""

    def write(self, _stream, lines):
        assert all(len(line) < 2_000_000 for line in lines)

    def close(self):
        pass


def heard(recorded, stream, chance):
    """The settlement of an attempt whose program printed this, in random chunks."""
    session = Session(recorded.kind, a_claim(), None)
    hearing = CodingHearing(interpreter_of(recorded.settings()), session, SystemTime(), grace_seconds=5.0)
    output = Output(NoRecord(), hearing, SystemTime())
    for line in stream:
        left = memoryview(line)
        while left:
            size = chance.choice([1, 100, 65_536]) if len(line) < 100_000 else 65_536
            output.feed("stdout", bytes(left[:size]))
            left = left[size:]
        output.feed("stdout", b"\n")
    output.end()
    outcome = hearing.conclude(Outcome(exit_code=chance.choice(EXITS), last_output=output.last_line(failed=True)))
    return outcome, settled(outcome)


def assert_well_formed(outcome, settlement):
    assert settlement.resolution in RESOLUTIONS
    settlement.summary.encode()
    assert "\0" not in settlement.summary
    assert len(settlement.summary) <= 4_000
    assert settlement.cost_usd is None or settlement.cost_usd >= 0
    assert (outcome.refusal is not None) is settlement.is_forgiven


@pytest.mark.parametrize("seeds", [range(400), pytest.param(range(400, 10_400), marks=pytest.mark.prove)], ids=len)
def test_no_mutated_stream_is_too_much(seeds):
    for seed in seeds:
        recorded, stream = mutations.lines(seed)
        try:
            assert_well_formed(*heard(recorded, stream, random.Random(seed)))
        except Exception as error:
            error.add_note(f"seed {seed}, of {recorded.name}")
            raise


@pytest.mark.parametrize(
    ("seeds", "kind"),
    [
        (range(1), mutations.blow_up),
        (range(1), mutations.blow_up_fully),
        pytest.param(range(1, 200), mutations.blow_up, marks=pytest.mark.prove),
        pytest.param(range(1, 60), mutations.blow_up_fully, marks=pytest.mark.prove),
    ],
)
def test_no_long_line_takes_more_than_64_mib(seeds, kind):
    for seed in seeds:
        recorded, stream = mutations.lines(seed)
        stream = kind(random.Random(seed), stream or [b"{}"])
        tracemalloc.start()
        try:
            ended = heard(recorded, stream, random.Random(seed))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert_well_formed(*ended)
        assert peak < MEMORY_BYTES, f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(5), pytest.param(range(5, 300), marks=pytest.mark.prove)], ids=len)
def test_a_program_that_prints_a_mutated_stream_has_an_end(replay, tmp_path, seeds):
    for seed in seeds:
        recorded, stream = mutations.lines(seed)
        path = tmp_path / "stream"
        path.write_bytes(b"\n".join(stream))
        outcome = replay(
            recorded, transcript=path, seed=seed, end=random.Random(seed).choice(["exit:0", "exit:1"])
        ).wait()
        assert_well_formed(outcome, settled(outcome))


def test_a_program_that_prints_a_line_of_50_megabytes_costs_little(replay, tmp_path):
    recorded = mutations.TABLE[0]
    stream = list(recorded.lines)
    stream[8] = stream[8].replace(b'"hi"', b'"' + b"h\\n" * (mutations.LONG_BYTES // 3) + b'"')
    path = tmp_path / "stream"
    path.write_bytes(b"\n".join(stream) + b"\n")
    del stream
    replay(recorded).wait()
    assert await_closed(WAIT_SECONDS)
    # Makes the peak of what this process ever held start anew from what it holds now.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kibibytes()

    run = replay(recorded, transcript=path)
    outcome = run.wait()

    assert settled(outcome).summary == recorded.summary
    assert tuple(run.marks) == recorded.marks
    assert peak_kibibytes() - before < MEMORY_BYTES // 1_024


def peak_kibibytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
