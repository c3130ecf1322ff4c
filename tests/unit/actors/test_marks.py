"""How far a runtime has come with a command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.marks import next_marks
from kora.domain.control import Command, CommandStatus, IssuerKind, Mark, StopLevel
from tests.claims import NOW

VISIBLE, ACKNOWLEDGED = CommandStatus.VISIBLE_TO_RUNTIME, CommandStatus.ACKNOWLEDGED
ENFORCING, ENFORCED, FAILED = CommandStatus.ENFORCING, CommandStatus.ENFORCED, CommandStatus.FAILED
WAY = [VISIBLE, ACKNOWLEDGED, ENFORCING]


def command(level, *said):
    marks = [Mark("mine", status, NOW) for status in said] + [Mark("another", ENFORCED, NOW)]
    return Command("c", StopLevel(level), "so", "ann", IssuerKind.OPERATOR, NOW, 60.0, marks=marks)


def statuses(command, *, seconds=1.0, is_at_rest=False):
    marks = next_marks(command, "mine", age_seconds=seconds, is_at_rest=is_at_rest, left="something is left")
    assert all(mark.command_id == "c" for mark in marks)
    return [mark.status for mark in marks]


@pytest.mark.parametrize(
    ("level", "is_at_rest", "end"),
    [
        *((1, is_at_rest, [ENFORCED]) for is_at_rest in (False, True)),
        *((level, False, []) for level in (2, 3, 4, 5)),
        *((level, True, [ENFORCED]) for level in (2, 3)),
        *((level, True, []) for level in (4, 5)),
    ],
)
def test_each_level_is_enforced_when_its_condition_is_met(level, is_at_rest, end):
    assert statuses(command(level, ENFORCING), is_at_rest=is_at_rest) == end


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_the_log_first_has_how_it_came_there_and_is_told_nothing_twice(level):
    for place, said in enumerate([None, VISIBLE, ACKNOWLEDGED]):
        told = statuses(command(level, *([said] if said else [])), seconds=1_000, is_at_rest=True)
        assert told == WAY[place:]


def test_what_is_late_has_failed_and_says_why_unless_it_is_done_by_then():
    late = command(2, ENFORCING)
    assert statuses(late, seconds=60.0) == []
    assert statuses(late, seconds=60.1) == [FAILED]
    assert statuses(late, seconds=60.1, is_at_rest=True) == [ENFORCED]
    [mark] = next_marks(late, "mine", age_seconds=61.0, is_at_rest=False, left="something is left")
    assert mark.detail == "something is left"


@pytest.mark.parametrize("said", [status for status in CommandStatus if status.is_settled])
def test_after_its_end_nothing_more_is_said(said):
    assert statuses(command(3, said), seconds=1_000, is_at_rest=True) == []
    assert statuses(replace(command(3, said), marks=[]), is_at_rest=True) != []
