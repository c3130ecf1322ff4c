"""What the store, the operator and the providers permit is told to everybody; what cannot be read blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from loguru import logger

from actors.control import Control
from actors.messages import Append, Describe, Flush, Held, Tick
from actors.names import CONTROL, LEDGER, POLLER, RUNTIME, STATE_HOLDER, worker_names
from actors.remembered import Remembered
from actors.steering import (
    Booted,
    EndRuntime,
    ProviderRefused,
    ProviderServed,
    Recheck,
    ResumeCredit,
    StoreAnswered,
)
from actors.terms import Terms
from kora.domain.control import ClaimPermission, CommandStatus
from kora.domain.cost import Ramp, Resumption, Rung
from kora.domain.refusal import Refusal
from kora.domain.state import DegradationReason
from tests.unit.actors.steered import Steered

WORKERS = worker_names(3)
RAMP = Ramp(3_600.0, 30.0)
NONE, NORMAL, CRITICAL = ClaimPermission.NONE, ClaimPermission.NORMAL, ClaimPermission.CRITICAL_ONLY
STAGES = [CommandStatus.VISIBLE_TO_RUNTIME, CommandStatus.ACKNOWLEDGED, CommandStatus.ENFORCING]


class Seat:
    """Control in its seat, and what it says to each."""

    def __init__(self, stage):
        self.stage, self.steered, self.remembered = stage, Steered(stage.time), Remembered()
        self.has_pause = False
        self.pool_micro_usd = 200_000_000
        self.held_number = 0
        self.control = None

    def is_paused(self):
        return self.has_pause

    def sit(self, *, is_booted=True):
        if is_booted:
            self.remembered.booted = Booted()
        self.control = self.stage.put(
            CONTROL,
            lambda seat: Control(
                seat,
                open_reader=self.steered.reader,
                gate=self,
                holder="runtime-1",
                workers=WORKERS,
                remembered=self.remembered,
                terms=Terms(drain_seconds=20.0, pool_micro_usd=self.pool_micro_usd, ramp=RAMP),
                time_source=self.stage.time,
            ),
        )

    def tick(self, seconds=1.0):
        self.stage.time.seconds += seconds
        self.control.on_receive(Tick(now=self.stage.time.seconds))

    def hold(self, *attempts, permitted_by=None):
        """The Ledger tells what is held; by default it has heard the last permission."""
        self.held_number += 1
        version = permitted_by or (self.control.seat.generation, self.control._count)
        self.control.on_receive(Held(version=(1, self.held_number), attempts=frozenset(attempts), permitted_by=version))

    def last(self, name):
        return self.stage.said(name)[-1]

    def marks(self):
        """What the Ledger is to write, which it does."""
        told = [mark for message in self.stage.said(LEDGER) for mark in message.marks]
        for mark in told:
            self.steered.mark(mark)
        return [mark.status for mark in told]


@pytest.fixture
def seat(stage):
    seat = Seat(stage)
    seat.sit()
    return seat


@pytest.fixture
def said():
    lines = []
    handler = logger.add(lines.append, format="{level} {message}", level="INFO")
    yield lines
    logger.remove(handler)


def test_the_permission_is_good_for_five_seconds_from_the_question(stage, seat):
    for _ in range(2):
        told = seat.last(POLLER)
        assert (told.permission, told.until - stage.time.seconds, told.most) == (NORMAL, 5, None)
        seat.tick()


def test_before_the_boot_is_over_nothing_may_be_claimed_and_a_successor_knows_that_it_is(stage):
    seat = Seat(stage)
    seat.sit(is_booted=False)
    assert stage.said(POLLER) == []
    seat.tick()
    assert seat.last(POLLER).permission is NONE
    seat.control.on_receive(Booted())
    assert seat.last(POLLER).permission is NORMAL
    seat.sit(is_booted=False)
    assert seat.last(POLLER).permission is NORMAL


@pytest.mark.parametrize("set_back_seconds", [0.0, 3_600.0])
def test_a_boot_that_is_held_goes_on_with_a_later_reset_however_the_clock_is_set(seat, set_back_seconds):
    seat.tick()
    held_by = frozenset({DegradationReason.SUBSTRATE})
    seat.steered.reset()
    seat.tick()
    seat.steered.began += set_back_seconds
    seat.control.on_receive(Booted(held_by=held_by, trigger="epoch mismatch", reset_no=seat.steered.reset_no))
    mirrored = seat.last(STATE_HOLDER)
    assert (mirrored.target, mirrored.trigger, mirrored.reasons) == ("paused", "epoch mismatch", held_by)
    assert seat.last(POLLER).permission is NONE
    seat.steered.began += set_back_seconds
    seat.steered.reset()
    seat.tick()
    assert seat.last(STATE_HOLDER).target is None
    assert seat.last(POLLER).permission is NORMAL


def test_what_cannot_be_read_blocks_at_once_and_leaves_what_stood(stage, seat, said):
    seat.steered.stop(1)
    seat.tick()
    seat.steered.is_readable = False
    for _ in range(2):
        seat.tick()
    assert seat.last(POLLER).permission is NONE
    told = seat.last(STATE_HOLDER)
    assert (told.target, told.trigger) == ("paused", "stop level 1")
    assert told.reasons == {DegradationReason.OPERATOR, DegradationReason.SUBSTRATE}
    assert seat.last(WORKERS[0]).level == 1
    seat.steered.is_readable = True
    seat.steered.reset()
    seat.tick()
    assert seat.last(POLLER).permission is NORMAL
    assert [line.strip().split(": ")[0] for line in said] == [
        "WARNING paused (stop level 1, ann",
        "WARNING what steers this runtime cannot be read, so nothing is claimed",
        "INFO what steers this runtime can be read again",
        "INFO no longer paused (stop level 1)",
    ]


def test_a_store_that_cannot_be_read_from_the_first_permits_nothing(stage):
    seat = Seat(stage)
    seat.steered.is_readable = False
    seat.sit()
    assert seat.last(POLLER).permission is NONE


def test_a_control_that_begins_while_the_store_is_away_goes_by_what_was_read_last(seat):
    seat.steered.stop(3)
    seat.tick()
    seat.steered.is_readable = False
    seat.sit()
    seat.control.on_receive(Recheck())
    assert seat.last(POLLER).permission is NONE
    told = seat.last(STATE_HOLDER)
    assert (told.target, told.trigger) == ("paused", "stop level 3")
    assert {seat.last(worker).level for worker in WORKERS} == {3}


def test_what_a_boot_gate_holds_stays_held_for_a_control_that_begins_while_the_store_is_away(stage):
    seat = Seat(stage)
    seat.sit(is_booted=False)
    held_by = frozenset({DegradationReason.SUBSTRATE})
    seat.control.on_receive(Booted(held_by=held_by, trigger="epoch mismatch", reset_no=seat.steered.reset_no))
    seat.steered.is_readable = False
    seat.sit(is_booted=False)
    told = seat.last(STATE_HOLDER)
    assert (told.target, told.trigger, told.reasons) == ("paused", "epoch mismatch", held_by)


def test_a_pause_is_told_at_once_when_it_is_to_look_and_so_is_its_end(seat):
    for paused, permission in [(True, NONE), (False, NORMAL)]:
        seat.has_pause = paused
        seat.control.on_receive(Recheck())
        told, mirrored = seat.last(POLLER), seat.last(STATE_HOLDER)
        assert (told.permission, mirrored.permission) == (permission, permission)
        assert (mirrored.target, mirrored.trigger) == (("paused", "operator paused") if paused else (None, ""))
        facts = seat.control.on_receive(Describe())
        assert (facts["permission"], facts["store_readable"]) == (permission, True)


def test_everybody_hears_of_a_command_and_its_marks_are_told_until_the_log_has_them(stage, seat):
    seat.hold("a")
    command = seat.steered.stop(3)
    stage.said(LEDGER)
    seat.tick()
    assert seat.last(POLLER).permission is NONE
    assert [seat.last(worker).level for worker in WORKERS] == [3, 3, 3]
    assert (seat.last(STATE_HOLDER).target, stage.said(RUNTIME)) == ("paused", [])
    [told] = stage.said(LEDGER)
    seat.tick()
    assert stage.said(LEDGER) == [told]
    assert [mark.status for mark in told.marks] == STAGES
    seat.tick()
    assert seat.marks() == STAGES
    seat.tick()
    assert stage.said(LEDGER) == []
    seat.hold()
    assert seat.marks() == [CommandStatus.ENFORCED]
    assert seat.steered.status(command) is CommandStatus.ENFORCED
    seat.tick()
    assert stage.said(LEDGER) == []


def test_nothing_counts_as_enforced_by_what_was_held_before_the_ledger_had_heard_of_it(stage, seat):
    seat.steered.stop(3)
    before = (seat.control.seat.generation, seat.control._count)
    seat.hold(permitted_by=before)
    seat.tick()
    assert seat.marks() == STAGES
    seat.hold(permitted_by=before)
    seat.tick()
    assert seat.marks() == []
    seat.hold()
    assert seat.marks() == [CommandStatus.ENFORCED]


def test_without_a_poller_the_ledger_hears_from_control_that_the_gate_is_shut(stage, seat):
    stage.directory.withdraw(POLLER)
    seat.tick()
    assert stage.said(LEDGER) == []
    command = seat.steered.stop(2)
    seat.tick()
    [marks, order] = stage.said(LEDGER)
    assert (order.want, marks.marks[0].command_id) == (0, command.command_id)
    for mark in marks.marks:
        seat.steered.mark(mark)
    seat.hold(permitted_by=order.permitted_by)
    assert [mark.status for mark in stage.said(LEDGER)[0].marks] == [CommandStatus.ENFORCED]


def test_level_1_is_enforced_by_being_read_and_lets_what_runs_go_on(seat):
    seat.hold("a")
    seat.steered.stop(1)
    seat.tick()
    assert seat.marks() == STAGES
    seat.tick()
    assert seat.marks() == [CommandStatus.ENFORCED]
    assert seat.last(WORKERS[0]).deadline is None


def test_what_is_not_enforced_in_its_time_has_failed_and_says_what_is_left(stage, seat):
    seat.hold("a")
    stage.said(LEDGER)
    seat.steered.stop(2, within=30.0)
    seat.tick(30.0)
    assert seat.marks() == STAGES
    seat.tick(0.1)
    [message] = stage.said(LEDGER)
    assert [(mark.status, mark.detail) for mark in message.marks] == [("failed", "attempt a is still held")]


def test_a_lower_command_after_a_higher_one_changes_nothing_and_is_marked_as_well(seat):
    seat.steered.stop(3)
    seat.tick()
    seat.marks()
    seat.hold()
    assert seat.marks() == [CommandStatus.ENFORCED]
    lower = seat.steered.stop(1)
    seat.tick()
    assert (seat.last(STATE_HOLDER).trigger, seat.last(WORKERS[0]).level) == ("stop level 3", 3)
    assert seat.marks() == STAGES
    seat.tick()
    assert seat.marks() == [CommandStatus.ENFORCED]
    assert seat.steered.status(lower) is CommandStatus.ENFORCED


def test_level_2_has_a_deadline_that_counts_from_the_command(stage, seat):
    seat.steered.stop(2)
    began = stage.time.seconds
    for _ in range(2):
        seat.tick(3.0)
        assert seat.last(WORKERS[0]).deadline == pytest.approx(began + 20.0)


@pytest.mark.parametrize("set_by_seconds", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_moves_no_deadline_and_makes_no_command_late(stage, seat, set_by_seconds):
    seat.hold("a")
    began = stage.time.seconds
    command = seat.steered.stop(2)
    seat.tick()
    seat.marks()
    seat.steered.began -= set_by_seconds
    seat.sit()
    seat.hold("a")
    seat.tick()
    assert seat.last(WORKERS[0]).deadline == pytest.approx(began + 20.0)
    assert seat.marks() == []
    seat.tick(59.0)
    assert seat.marks() == [CommandStatus.FAILED]
    assert seat.steered.status(command) is CommandStatus.FAILED


def test_levels_4_and_5_end_the_runtime_which_is_told_so_on_every_tick_and_marks_the_rest_itself(stage, seat):
    seat.hold()
    command = seat.steered.stop(4)
    for _ in range(2):
        seat.tick()
        assert stage.said(RUNTIME) == [
            EndRuntime(command_id=command.command_id, level=command.level, said="ann: enough")
        ]
    mirrored = seat.last(STATE_HOLDER)
    assert (mirrored.target, mirrored.trigger) == ("stopped", "stop level 4")
    assert seat.marks() == STAGES * 2


def test_a_pool_that_is_used_up_ends_what_runs_and_pauses_only_when_nothing_is_held(stage, seat, said):
    seat.hold("a")
    seat.steered.spend(200.0)
    seat.tick()
    assert seat.last(POLLER).permission is NONE
    bounds, mirrored = seat.last(WORKERS[0]), seat.last(STATE_HOLDER)
    assert (bounds.ends_for_cost, bounds.rung) == (True, Rung.HARD_STOP_100)
    assert (mirrored.target, mirrored.reasons) == (None, {DegradationReason.COST})
    seat.hold("a")
    assert stage.said(STATE_HOLDER) == []
    seat.hold()
    assert [(told.target, told.trigger) for told in stage.said(STATE_HOLDER)] == [("paused", "cost 100%")]
    seat.steered.spend(0.0, ramp_seconds=3_600.0)
    seat.tick()
    assert (seat.last(STATE_HOLDER).target, seat.last(POLLER).permission) == (None, NORMAL)
    assert [line.split(":")[0] for line in said] == [
        "WARNING the credit pool is used up",
        "WARNING paused (cost 100%)",
        "INFO no longer paused (cost 100%)",
    ]
    assert said[-1].endswith("one by one\n")


def owed(stage):
    """The events that the Ledger was told of since the last look."""
    return [event for message in stage.said(LEDGER) if isinstance(message, Append) for event in message.events]


@pytest.mark.parametrize("has_holder", [True, False])
def test_a_pause_for_cost_is_told_of_once_however_often_the_word_is_lost_mirror_or_none(stage, seat, has_holder):
    if not has_holder:
        stage.directory.withdraw(STATE_HOLDER)
    seat.steered.spend(200.0)
    seat.tick()
    seat.hold()
    assert owed(stage) == []
    seat.tick()
    [event] = owed(stage)
    assert event.event_type == "kora.paused.cost_limit"
    assert event.payload == {
        "from_primary_state": "ready",
        "to_primary_state": "paused",
        "claim_permission": "none",
        "degradation_reasons": ["cost"],
        "trigger": "cost 100%",
    }
    # As long as the log does not show it, and also by a successor.
    seat.tick()
    seat.sit()
    seat.tick()
    assert owed(stage) == [event, event]
    seat.steered.events_shown.append(event)
    for _ in range(2):
        seat.tick()
    assert owed(stage) == []
    # The next pause is another.
    seat.steered.spend(0.0)
    seat.tick()
    seat.steered.spend(200.0)
    seat.tick()
    seat.hold()
    seat.tick()
    [another] = owed(stage)
    assert another.event_id != event.event_id


def test_a_pause_for_cost_that_takes_the_place_of_another_pause_is_told_of_and_not_again_when_that_has_gone(
    stage, seat
):
    seat.steered.stop(1)
    seat.tick()
    seat.steered.spend(200.0)
    seat.tick()
    seat.hold()
    for _ in range(2):
        seat.tick()
    assert owed(stage) == []
    seat.steered.reset()
    for _ in range(2):
        seat.tick()
    [event] = owed(stage)
    assert event.payload["from_primary_state"] == "paused"
    seat.steered.events_shown.append(event)
    seat.steered.stop(1)
    seat.tick()
    seat.steered.reset()
    for _ in range(2):
        seat.tick()
    assert owed(stage) == []


def test_what_the_log_is_owed_waits_for_the_store_and_is_told_at_the_end_in_any_case(stage, seat):
    seat.steered.spend(200.0)
    seat.tick()
    seat.hold()
    seat.steered.is_readable = False
    for _ in range(2):
        seat.tick()
    seat.steered.is_readable = True
    seat.control.on_receive(StoreAnswered(version=(1, 1), is_writable=False))
    seat.tick()
    assert owed(stage) == []
    seat.control.on_receive(StoreAnswered(version=(1, 2), is_writable=True))
    seat.control.on_receive(Flush())
    assert [event.event_type for event in owed(stage)] == ["kora.paused.cost_limit"]


@pytest.mark.parametrize("whose", ["control", "ledger"])
def test_a_pause_for_cost_outlives_control_and_ledger_and_ends_with_the_refresh_alone(stage, seat, whose):
    seat.steered.spend(200.0)
    seat.tick()
    seat.hold()
    assert seat.last(STATE_HOLDER).target == "paused"
    if whose == "control":
        seat.sit()
    else:
        # A new Ledger has not heard yet by which permission the gate was shut.
        seat.hold(permitted_by=(0, 1))
    seat.control.on_receive(Recheck())
    assert {told.target for told in stage.said(STATE_HOLDER)} == {"paused"}
    seat.steered.spend(0.0)
    seat.tick()
    assert seat.last(STATE_HOLDER).target is None
    seat.hold("a")
    seat.steered.spend(200.0)
    seat.tick()
    assert seat.last(STATE_HOLDER).target is None


def test_in_a_new_month_what_was_deferred_is_resumed_until_the_store_has_done_so(stage, seat):
    seat.steered.spend(200.0)
    seat.steered.deferred = 1
    seat.tick()
    seat.steered.spend(0.0, month=202612)
    for _ in range(2):
        seat.tick()
        assert stage.said(LEDGER) == [ResumeCredit(resumption=Resumption(RAMP, None))]
    seat.steered.spend(0.0, refreshed_at=seat.steered.now.replace(month=12))
    seat.steered.deferred = 0
    seat.tick()
    seat.steered.spend(0.0, month=202701)
    seat.tick()
    assert stage.said(LEDGER) == []


@pytest.mark.parametrize(("spent_usd", "told"), [(0.0, [ResumeCredit(resumption=Resumption(RAMP, None))]), (200.0, [])])
def test_so_does_one_that_begins_in_the_new_month_unless_the_pool_is_used_up_again(stage, spent_usd, told):
    seat = Seat(stage)
    seat.steered.deferred = 1
    seat.steered.spend(spent_usd)
    seat.sit()
    assert stage.said(LEDGER) == told


@pytest.mark.parametrize("has_been_refreshed", [False, True])
def test_so_does_one_whose_pool_was_made_larger_refreshed_in_this_month_or_not(stage, has_been_refreshed):
    seat = Seat(stage)
    seat.steered.deferred = 1
    refreshed_at = seat.steered.now if has_been_refreshed else None
    seat.steered.spend(200.0, refreshed_at=refreshed_at)
    seat.sit()
    seat.pool_micro_usd += 1
    seat.sit()
    seat.tick()
    assert stage.said(LEDGER) == [ResumeCredit(resumption=Resumption(RAMP, refreshed_at))] * 2
    seat.steered.spend(200.0, refreshed_at=seat.steered.now)
    seat.tick()
    assert stage.said(LEDGER) == []


def test_a_retry_ceiling_leaves_critical_tickets(seat, said):
    seat.steered.has_ceiling = True
    for _ in range(2):
        seat.tick()
    assert seat.last(POLLER).permission is CRITICAL
    assert seat.last(STATE_HOLDER).reasons == {DegradationReason.RETRY_CEILING}
    assert len(said) == 1


def test_a_store_that_cannot_be_written_is_a_reason_and_closes_nothing(seat):
    seat.control.on_receive(StoreAnswered(version=(1, 2), is_writable=False))
    seat.control.on_receive(StoreAnswered(version=(1, 1), is_writable=True))
    assert seat.last(STATE_HOLDER).reasons == {DegradationReason.SUBSTRATE}
    assert seat.last(POLLER).permission is NORMAL
    seat.control.on_receive(StoreAnswered(version=(1, 3), is_writable=True))
    assert seat.last(STATE_HOLDER).reasons == set()


def refused(attempt, until=None):
    refusal = Refusal(DegradationReason.DISPATCH, "429 Too Many Requests", until=until)
    return ProviderRefused(agent="review", work_attempt_id=attempt, refusal=refusal)


def test_a_providers_refusal_pauses_intake_and_then_one_attempt_shows_whether_it_serves_again(stage, seat, said):
    for _ in range(2):
        seat.control.on_receive(refused("a", until=stage.time.seconds + 90))
    told, mirrored = seat.last(POLLER), seat.last(STATE_HOLDER)
    assert (told.permission, mirrored.target, mirrored.reasons) == (NONE, None, {DegradationReason.DISPATCH})
    seat.tick(90)
    told, bounds = seat.last(POLLER), seat.last(WORKERS[0])
    assert (told.permission, told.most, bounds.probes) == (NORMAL, 1, True)
    seat.control.on_receive(ProviderServed(agent="review", work_attempt_id="b"))
    told, bounds = seat.last(POLLER), seat.last(WORKERS[0])
    assert (told.permission, told.most, bounds.probes) == (NORMAL, None, False)
    assert [line.split(", ")[0] for line in said] == [
        "WARNING the provider of [agents.review] refused (dispatch): nothing is claimed for 90 s",
        "INFO a provider that refused serves again\n",
    ]


def test_a_pause_for_a_provider_outlives_control_and_an_operators_reset_ends_it(stage, seat):
    seat.control.on_receive(refused("a"))
    seat.sit()
    seat.tick(1)
    assert seat.last(POLLER).permission is NONE
    stage.time.seconds += 1
    seat.steered.reset()
    seat.tick()
    told = seat.last(POLLER)
    assert (told.permission, told.most) == (NORMAL, 1)


def test_each_word_is_newer_than_the_one_before_and_than_any_of_its_predecessor(stage, seat):
    seat.control.on_receive(Recheck())
    seat.sit()
    for name in (POLLER, WORKERS[0], STATE_HOLDER):
        versions = [told.version for told in stage.said(name)]
        assert len(versions) == 3
        assert versions == sorted(set(versions))


def test_a_holder_that_is_not_there_is_told_nothing(stage, seat):
    stage.said(STATE_HOLDER)
    stage.directory.withdraw(STATE_HOLDER)
    seat.control.on_receive(Recheck())
    assert stage.directory.dead_letters.total == 0


def test_while_nothing_changes_no_line_is_written(seat, said):
    seat.steered.stop(2)
    seat.steered.log[0] = replace(seat.steered.log[0], created_at=seat.steered.now - timedelta(seconds=1))
    for _ in range(5):
        seat.tick()
    assert said == [
        "WARNING paused (stop level 2, ann: enough): nothing is claimed until `kora-actors control reset`\n"
    ]
