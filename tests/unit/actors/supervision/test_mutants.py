"""Tests of the tests: each fault that is put into the supervisor is found by the model, or by the handover's rules."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from actors.supervision import group, lanes, lifecycle, plan
from actors.supervision.dead_letters import DeadLetters
from actors.supervision.group import Group
from actors.supervision.inbox import Inbox
from actors.supervision.lanes import Hand
from actors.supervision.lifecycle import Lifecycle
from tests.unit.actors.supervision.duet import play_rehearsed
from tests.unit.actors.supervision.handover import HandoverError, errands, hand_over
from tests.unit.actors.supervision.model import DisagreementError
from tests.unit.actors.supervision.schedules import Cases

CASES = Cases().strategy()
# The same schedules whenever it runs: a mutant that was caught once is always caught.
ENOUGH = settings(
    max_examples=600,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@settings(ENOUGH)
@given(case=CASES)
def look_for_disagreement(case):
    play_rehearsed(case)


@settings(ENOUGH)
@given(errand=errands())
def look_for_faulty_handover(errand):
    hand_over(errand)


def intensity_off_by_one(patch):
    add_restart = group.add_restart

    def generous(times, now, *, max_restarts, within_seconds):
        return add_restart(times, now, max_restarts=max_restarts + 1, within_seconds=within_seconds)

    patch.setattr(group, "add_restart", generous)


def intensity_without_a_window(patch):
    add_restart = group.add_restart

    def strict(times, now, *, max_restarts, within_seconds):
        return add_restart(times, now, max_restarts=max_restarts, within_seconds=float("inf"))

    patch.setattr(group, "add_restart", strict)


def intensity_kept_across_a_restart_of_the_supervisor(patch):
    begin = Group.begin

    def remembering(self):
        times = self.restart_times
        generation = begin(self)
        self.restart_times = times
        return generation

    patch.setattr(Group, "begin", remembering)


def stop_order_not_reversed(patch):
    patch.setattr(plan, "stop_order", tuple)


def start_order_reversed(patch):
    patch.setattr(plan, "start_order", lambda names: tuple(reversed(names)))


def rest_for_one_restarting_all(patch):
    affected = plan.affected

    def too_many(strategy, names, fallen):
        return affected("one_for_all" if strategy == "rest_for_one" else strategy, names, fallen)

    patch.setattr(plan, "affected", too_many)


def one_for_all_forgetting_the_first(patch):
    affected = plan.affected

    def too_few(strategy, names, fallen):
        return affected("rest_for_one" if strategy == "one_for_all" else strategy, names, fallen)

    patch.setattr(plan, "affected", too_few)


def temporary_restarted(patch):
    is_restarted = plan.is_restarted
    patch.setattr(
        plan,
        "is_restarted",
        lambda restart, *, abnormal: restart == "temporary" or is_restarted(restart, abnormal=abnormal),
    )


def transient_restarted_after_a_normal_end(patch):
    patch.setattr(plan, "is_restarted", lambda restart, *, abnormal: restart != "temporary")


def temporary_restarted_with_its_neighbours(patch):
    patch.setattr(Group, "_comes_again", lambda self, child: child.state == "running")


def stopped_by_a_command_restarted_with_its_neighbours(patch):
    patch.setattr(Group, "_comes_again", lambda self, child: child.spec.restart != "temporary")


def backoff_not_growing(patch):
    backoff_seconds = lifecycle.backoff_seconds
    patch.setattr(
        lifecycle, "backoff_seconds", lambda spec, failed, chance: backoff_seconds(spec, min(failed, 1), chance)
    )


def backoff_without_a_cap(patch):
    def uncapped(spec, failed, chance):
        return spec.backoff_initial_seconds * spec.backoff_factor ** (failed - 1)

    patch.setattr(lifecycle, "backoff_seconds", uncapped)


def no_backoff(patch):
    patch.setattr(lifecycle, "backoff_seconds", lambda spec, failed, chance: 0.0)


def commanded_restart_counted(patch):
    restart = Lifecycle.restart

    def counting(self, child, reply):
        child.restarts += 1
        restart(self, child, reply)

    patch.setattr(Lifecycle, "restart", counting)


def first_start_retried(patch):
    take_in = Lifecycle.take_in

    def never_new(self, spec, body=None):
        child = take_in(self, spec, body)
        child.is_new = False
        return child

    begin = Group.begin

    def all_old(self):
        generation = begin(self)
        for child in self.children.values():
            child.is_new = False
        return generation

    patch.setattr(Lifecycle, "take_in", never_new)
    patch.setattr(Group, "begin", all_old)


def brutal_stop_waited_for(patch):
    ask_to_stop = Lifecycle.ask_to_stop

    def patient(self, child):
        if child.spec.shutdown_seconds == "brutal":
            child.state = "stopping"
            child.body.ask_to_stop()
        else:
            ask_to_stop(self, child)

    patch.setattr(Lifecycle, "ask_to_stop", patient)


def stop_never_overrun(patch):
    ask_to_stop = Lifecycle.ask_to_stop

    def endless(self, child):
        ask_to_stop(self, child)
        child.timer.at = None

    patch.setattr(Lifecycle, "ask_to_stop", endless)


def hang_not_seen(patch):
    patch.setattr(Lifecycle, "_watch_for_hang", lambda self, child: None)


def all_stopped_at_once(patch):
    ask_to_stop = Group.ask_to_stop

    def hasty(self):
        ask_to_stop(self)
        for child in list(self.children.values())[::-1]:
            if child.state == "running":
                self.lifecycle.ask_to_stop(child)

    patch.setattr(Group, "ask_to_stop", hasty)


def handover_dropping_one(patch):
    recover = Inbox.recover

    def dropping(self, detail=""):
        recover(self, detail)
        if self._work:
            lanes.pop(self._work, control=False)

    patch.setattr(Inbox, "recover", dropping)


def handover_out_of_order(patch):
    recover = Inbox.recover

    def turning(self, detail=""):
        was_in_hand = len(self._hand.messages) > 0
        recover(self, detail)
        if was_in_hand:
            waiting = lanes.first_of(self._work, len(self))
            self._work.clear()
            for entry in reversed(waiting):
                self._work.extend(entry)

    patch.setattr(Inbox, "recover", turning)


def killer_not_found(patch):
    recover = Inbox.recover

    def forgetting(self, detail=""):
        self._hand.deaths = 0
        recover(self, detail)

    patch.setattr(Inbox, "recover", forgetting)


def _set_poison(inbox, poison_after):
    inbox._poison = poison_after


def killer_tried_once_too_often(patch):
    patch.setattr(Inbox, "poison_after", property(lambda self: self._poison + 1, _set_poison), raising=False)


def handled_message_handed_out_twice(patch):
    patch.setattr(Inbox, "hand", lambda self, generation: Hand(generation))


def retired_actors_message_handed_out_twice(patch):
    supersede = Inbox.supersede

    def doubling(self):
        again = self._hand.entries(self._hand.handled, len(self._hand))
        self._suspects.extend((entry, 0) for entry in again)
        return supersede(self)

    patch.setattr(Inbox, "supersede", doubling)


def at_most_once_twice(patch):
    patch.setattr("actors.supervision.inbox.is_at_most_once", lambda message: False)


def no_traceback_with_the_killer(patch):
    add = DeadLetters.add

    def forgetting(self, name, message, reason, detail="", **how):
        add(self, name, message, reason, **how)

    patch.setattr(DeadLetters, "add", forgetting)


def future_left_unresolved(patch):
    patch.setattr("actors.supervision.dead_letters.resolve", lambda *_, **__: None)


SUPERVISING = [
    intensity_off_by_one,
    intensity_without_a_window,
    intensity_kept_across_a_restart_of_the_supervisor,
    stop_order_not_reversed,
    start_order_reversed,
    rest_for_one_restarting_all,
    one_for_all_forgetting_the_first,
    temporary_restarted,
    transient_restarted_after_a_normal_end,
    temporary_restarted_with_its_neighbours,
    stopped_by_a_command_restarted_with_its_neighbours,
    backoff_not_growing,
    backoff_without_a_cap,
    no_backoff,
    commanded_restart_counted,
    first_start_retried,
    brutal_stop_waited_for,
    stop_never_overrun,
    hang_not_seen,
    all_stopped_at_once,
]
HANDING_OVER = [
    handover_dropping_one,
    handover_out_of_order,
    killer_not_found,
    killer_tried_once_too_often,
    handled_message_handed_out_twice,
    retired_actors_message_handed_out_twice,
    at_most_once_twice,
    no_traceback_with_the_killer,
    future_left_unresolved,
]


NAMED = {intensity_off_by_one, stop_order_not_reversed, handover_dropping_one, killer_not_found}
"""those that every change has to find; the others belong to the long proofs"""


def those(mutants):
    return [
        pytest.param(mutate, id=mutate.__name__, marks=[] if mutate in NAMED else pytest.mark.prove)
        for mutate in mutants
    ]


@pytest.mark.parametrize("mutate", those(SUPERVISING))
def test_a_supervisor_with_a_fault_disagrees_with_the_model(monkeypatch, mutate):
    mutate(monkeypatch)
    with pytest.raises(DisagreementError):
        look_for_disagreement()


@pytest.mark.parametrize("mutate", those(HANDING_OVER))
def test_an_inbox_with_a_fault_breaks_the_rules_of_the_handover(monkeypatch, mutate):
    mutate(monkeypatch)
    with pytest.raises(HandoverError):
        look_for_faulty_handover()


@pytest.mark.prove
def test_without_a_fault_the_same_schedules_find_none():
    look_for_disagreement()
    look_for_faulty_handover()
