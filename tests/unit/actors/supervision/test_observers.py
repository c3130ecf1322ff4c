"""A child that may fail alone, and how to tell whether a name is served."""

from __future__ import annotations


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


def test_an_observer_that_keeps_dying_is_left_out_and_the_others_go_on(house) -> None:
    observer = house.child("observer", may_fail_alone=True, poison_after=0)
    supervisor = house.supervise(observer, house.child("it"), max_restarts=2)
    supervisor.start()
    for number in range(3):
        house.directory.tell("observer", ValueError(number))
    house.hear(3)
    report = house.report("child_abandoned")
    assert (report.offender, report.restarts) == ("observer", 2)
    assert "more than 2 restarts" in report.reason
    house.directory.tell("it", "still here")
    assert house.hear() == ["still here"]
    assert supervisor.wait_failed(0) is None
    assert states(supervisor) == {"observer": "failed", "it": "running"}
    assert not house.directory.is_served("observer")


def test_an_observers_deaths_are_not_counted_against_the_others(house) -> None:
    observer = house.child("observer", may_fail_alone=True, poison_after=0)
    supervisor = house.supervise(observer, house.child("it", poison_after=0), max_restarts=2)
    supervisor.start()
    for name in ("observer", "it", "observer", "it"):
        house.directory.tell(name, ValueError(name))
        house.report("restarted")
    assert states(supervisor) == {"observer": "running", "it": "running"}


def test_a_name_is_served_from_its_actors_start_to_its_end(house) -> None:
    directory = house.directory
    assert not directory.is_served("nobody")
    supervisor = house.supervise(house.child("it", restart="temporary"))
    assert not directory.is_served("it")
    supervisor.start()
    assert directory.is_served("it")
    directory.tell("it", ValueError("boom"))
    house.report("child_terminated")
    supervisor.stop()
    assert not directory.is_served("it")
