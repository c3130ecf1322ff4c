"""Specifications, plan, intensity and reports: no threads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.supervision import ChildSpec, Report, SupervisorSpec
from actors.supervision.intensity import add_restart
from actors.supervision.plan import backoff_seconds, is_restarted, start_order, stop_order


def child(name: str = "it", **options: object) -> ChildSpec:
    return ChildSpec.model_validate({"name": name, "actor": print, **options})


def test_more_than_the_permitted_restarts_within_the_window_are_too_many() -> None:
    times: list[float] = []
    verdicts = []
    for now in (0.0, 1.0, 2.0, 3.0):
        times, too_many = add_restart(times, now, max_restarts=3, within_seconds=10)
        verdicts.append(too_many)
    assert verdicts == [False, False, False, True]


def test_a_restart_exactly_as_old_as_the_window_still_counts() -> None:
    assert add_restart([0.0], 10.0, max_restarts=1, within_seconds=10) == ([0.0, 10.0], True)
    assert add_restart([0.0], 10.1, max_restarts=1, within_seconds=10) == ([10.1], False)


def test_with_no_restart_permitted_the_first_is_too_many() -> None:
    assert add_restart([], 0.0, max_restarts=0, within_seconds=1) == ([0.0], True)


@given(st.lists(st.floats(0, 100)), st.integers(0, 5), st.floats(0.1, 50))
def test_the_intensity_is_what_counting_the_window_afresh_says(gaps, max_restarts, within_seconds) -> None:
    now, times, every = 0.0, [], []
    for gap in gaps:
        now += gap
        every.append(now)
        times, too_many = add_restart(times, now, max_restarts=max_restarts, within_seconds=within_seconds)
        assert too_many == (sum(now - moment <= within_seconds for moment in every) > max_restarts)


def test_children_stop_in_reverse_of_their_start() -> None:
    assert start_order(["a", "b"]) == ("a", "b")
    assert stop_order(["a", "b"]) == ("b", "a")


@pytest.mark.parametrize(
    ("restart", "after_a_crash", "after_a_normal_end"),
    [("permanent", True, True), ("transient", True, False), ("temporary", False, False)],
)
def test_a_child_is_restarted_by_its_type(restart, after_a_crash, after_a_normal_end) -> None:
    assert is_restarted(restart, abnormal=True) is after_a_crash
    assert is_restarted(restart, abnormal=False) is after_a_normal_end


def test_only_failed_starts_in_a_row_back_off_up_to_the_cap() -> None:
    spec = child(backoff_initial_seconds=1, backoff_factor=2, backoff_cap_seconds=5)
    assert [backoff_seconds(spec, failed, 1) for failed in range(5)] == [0, 1, 2, 4, 5]
    assert backoff_seconds(spec, 1_000_000, 1) == 5


def test_every_fault_of_a_specification_is_listed_at_once() -> None:
    children = [
        {"name": "a", "actor": print, "shutdown_seconds": -1, "restart": "always"},
        {"name": "a", "actor": None},
        {"name": "", "actor": print, "start_seconds": 0, "colour": "red"},
    ]
    with pytest.raises(ValidationError) as caught:
        SupervisorSpec.model_validate({"name": "s", "children": children, "max_restarts": -1, "within_seconds": 0})
    assert {".".join(map(str, fault["loc"])) for fault in caught.value.errors()} == {
        "children.0.shutdown_seconds",
        "children.0.restart",
        "children.1.actor",
        "children.1.name",
        "children.2.name",
        "children.2.start_seconds",
        "children.2.colour",
        "max_restarts",
        "within_seconds",
    }


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="the name 'a' is used twice"):
        SupervisorSpec(name="s", children=(child("a"), child("b"), child("a")), max_restarts=1, within_seconds=1)


def test_a_report_is_one_line_whatever_the_exception_says_and_indents_its_traceback() -> None:
    report = Report(
        supervisor="s",
        context="gave_up",
        reason="a\n\x1b[31mb" + "x" * 999,
        offender="it",
        restarts=2,
        detail="T\n  F\n",
    )
    line = report.line()
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 400
    assert line.startswith("s: gave_up it: a [31mb")
    assert line.endswith("(restarts: 2)")
    assert report.text().splitlines()[1:] == ["    T", "      F"]
