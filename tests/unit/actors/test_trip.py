"""The trip of a claim, with every actor struck at every moment of it.

One short scenario is run, and every moment at which something may befall an actor is written down: before and after
each message that it handles; before, within and after each word that it says; before and after each change of the
store. Then the scenario is run anew for these moments (some drawn by lot; `bin/prove`: each), with that actor struck
exactly there. It crashes.
Or it hangs, is retired, and wakes late, when its successor has done what there was to do: then it goes on with what it
was at, and the one word for which it was found to be in office before it hung is still heard. The StateHolder is also
frozen, and left out, until the end.

From the strike on, each time that everybody has said what there is to say, these are the invariants:

- At most one agent for an attempt, and one at a time for a ticket; none goes on for longer than the store keeps others
  away from its ticket. A claim is at one post at most.
- No claim without a Worker outlives the next turn: when the Ledger has reconciled and has done one further turn, each
  row that the store holds is at some Worker's post. (But for one whose guardian has ended its agent, as the lease was
  about to end: that is swept, or given back a few ticks later.)
- READY is mirrored if and only if nothing is held, and the Ledger believes in the same held set as the store. Where the
  StateHolder itself was struck, this is so from the next turn after it is there again. The log of one that was not has
  no gap, and tells of nothing that was not so at some moment.
- Nothing is claimed later than five seconds after the store's permission has ended. Whatever an agent asks is answered
  once, and when that is written.
- What an attempt has told of its cost is charged once, whoever writes its end or nobody; it is not acknowledged before.
- The board is worked to its end. Told to drain, the runtime hears that nothing is left, and nothing is.
- Whatever befalls the StateHolder, each ticket is claimed as often, and ends the same, as if nothing had.
"""

from __future__ import annotations

from random import Random

import pytest

from actors.messages import Append, Drain
from actors.names import CLOCK, CONTROL, LEDGER, STATE_HOLDER
from kora.domain.control import PERMISSION_SECONDS, CommandStatus
from kora.domain.operation import Verdict
from kora.domain.resolution import StopReason
from kora.domain.state import PrimaryState
from tests.unit.actors import rules
from tests.unit.actors.moments import (
    DEEDS,
    Moment,
    Strike,
    crash,
    crash_and_be_missed,
    deeds_for,
    freeze,
    leave_out,
    retire,
)
from tests.unit.actors.world import ACTORS, TICK, World

pytestmark = pytest.mark.usefixtures("quick")

TICKETS = 5
LEASE = 2.0
ROUNDS = 12
"""in which the board must be worked off, whoever was struck"""


class Trip:
    """The scenario. It can be told in advance up to the strike, and must come to its end after that."""

    def __init__(self, strike=None, absence=0):
        self.world = World(TICKETS, lease_seconds=LEASE, heartbeat_seconds=4 * TICK, strike=strike)
        self.absence = absence
        """for how many steps one that is away stays so; the StateHolder, whom nobody needs, until the end"""

    def go(self):
        for step in (
            self.begin,
            self.end_quickly,
            self.make_progress_and_ask,
            self.cancel_one,
            self.pause_and_release,
            self.run_on,
            self.resume,
            self.stop,
            self.reset,
            self.work_off,
            self.reopen_one,
            self.drain,
        ):
            step()
            self.world.talk()
            self.look()
        self.drained_at = len(self.world.trail)
        self.come_to_an_end()
        return self

    # --- what happens ---

    def begin(self):
        self.world.tick(TICK / 2)

    def end_quickly(self):
        """So that claims wait ahead from now on."""
        self.end_all()

    def make_progress_and_ask(self):
        self.world.tick(TICK / 2)
        for agent in self.world.running[:1]:
            agent.make_progress()
        for agent in self.world.running[1:]:
            self.world.ask(agent)

    def cancel_one(self):
        """Another has earned its refresh by now; what waits behind it is given back."""
        for row in self.world.shelf.held()[1:2]:
            self.world.shelf.cancel(row)
        self.world.tick(TICK)
        self.world.talk()
        for agent in self.world.running:
            if agent.reason is not None:
                agent.end()

    def pause_and_release(self):
        """An operator does; what runs goes on, but for the one that is given back."""
        world = self.world
        world.pause()
        for agent in world.running[:1]:
            world.release(agent.worker, agent.claim)
        world.talk()
        self.claimed_at_pause = world.shelf.claimed
        for agent in world.running:
            if agent.reason is not None:
                agent.end()

    def resume(self):
        self.world.resume()
        self.world.tick(TICK)

    def stop(self):
        """A command of level 2, with less time than what runs would take; and a lower one, which changes nothing."""
        world = self.world
        world.stop(2)
        world.stop(1)
        world.talk()
        world.tick(TICK)
        world.talk()
        for agent in world.running:
            if agent.reason is not None:
                agent.end()
        world.talk()
        world.tick(TICK)

    def reset(self):
        self.world.reset()
        self.world.tick(TICK)

    def run_on(self):
        """No more progress is made, so that leases run out."""
        self.world.tick(TICK)

    def work_off(self):
        for _ in range(ROUNDS):
            self.world.talk()
            self.look()
            if all(row.over for row in self.world.shelf.rows.values()):
                return
            self.end_all()
            self.world.tick(TICK)
        raise AssertionError("the board is not worked off")

    def reopen_one(self):
        for row in list(self.world.shelf.rows.values())[:1]:
            self.world.shelf.reopen(row)
        self.world.tick(TICK)

    def drain(self):
        self.world.tell_drain(Drain(deadline=self.world.time.seconds + LEASE))
        self.world.talk()
        self.end_all()

    def end_all(self):
        for agent in self.world.running:
            agent.end()

    # --- what must hold ---

    def look(self):
        world = self.world
        rules.always(world)
        absent = world.away - {STATE_HOLDER}
        if absent:
            self.absence -= 1
            if self.absence >= 0:
                return
            world.bring_back(*absent)
            world.talk()
        if not world.struck or world.strike is not None or world.away - {STATE_HOLDER}:
            # The strike is to find everything as it was when its moment was written down.
            return
        if STATE_HOLDER not in world.struck:
            rules.mirrored(world)
        rules.at_rest(world)
        if STATE_HOLDER not in world.away:
            rules.mirrored(world)

    def come_to_an_end(self):
        world = self.world
        world.strike = None
        for _ in range(2):
            world.bring_back(*world.away)
            world.tick(TICK)
            world.talk()
            self.end_all()
        world.talk()
        rules.drained(world)
        # Words over which two Ledgers in a row have died are not handed to a third.
        is_whole = not any(type(letter.message) is Append for letter in world.directory.dead_letters)
        if is_whole and STATE_HOLDER not in world.struck:
            rules.log_of_the_mirror(world)

    def fates(self):
        return [(row.fence, row.over, len(row.ended)) for row in self.world.shelf.rows.values()]


def struck(strike, absence=0):
    left = strike.left
    trip = Trip(strike, absence)
    try:
        trip.go()
    except AssertionError as error:
        name, moment = trip.world.trail[left]
        error.add_note(f"{name} was struck {moment} (no. {left}): {strike.deed.__name__}")
        raise
    return trip


def once_each(name, moment):
    """A crash before and after each word, message and change of the store, and a retirement in the midst of each."""
    match moment:
        case Moment.WITHIN_WORD:
            return (retire,)
        case Moment.BEFORE_MESSAGE if name == STATE_HOLDER:
            return (crash, retire, freeze, leave_out)
        case Moment.BEFORE_MESSAGE | Moment.AFTER_STORE:
            return (crash, retire)
    return (crash,)


def test_the_scenario_holds_what_it_says():
    trip = Trip().go()
    world = trip.world
    assert world.deaths == []
    moments = {name: {moment for whose, moment in world.trail if whose == name} for name in ACTORS}
    words = {Moment.BEFORE_WORD, Moment.WITHIN_WORD, Moment.AFTER_WORD}
    messages = {Moment.BEFORE_MESSAGE, Moment.AFTER_MESSAGE}
    assert moments == dict.fromkeys(ACTORS, words | messages) | {CLOCK: words, LEDGER: set(Moment)}
    assert {answer for _, heard in world.answers for answer in heard} == {Verdict.DISPATCHED}
    assert any(agent.lease.deadline > agent.started_at + LEASE for agent in world.agents), "nothing is refreshed"
    assert any(agent.ran_out_at is not None for agent in world.agents), "no lease runs out"
    assert any(agent.reason is StopReason.OPERATOR for agent in world.agents), "nothing is released"
    assert any(agent.reason and agent.ran_out_at is None for agent in world.agents), "nothing is cancelled"
    assert world.shelf.claimed > len(world.agents), "nothing that waited is given back"
    assert any(agent.reason is StopReason.STOPPED for agent in world.agents), "nothing is stopped"
    steered = world.shelf.steered
    assert [steered.status(command) for command in steered.log] == [CommandStatus.ENFORCED] * 2


@pytest.mark.parametrize("name", ACTORS)
@pytest.mark.parametrize("share", [0.12, pytest.param(1.0, marks=pytest.mark.prove)])
def test_whoever_is_struck_at_whichever_moment_the_trip_goes_on(name, share):
    plain, chance = Trip().go(), Random(name)
    for left, (whose, moment) in enumerate(plain.world.trail[: plain.drained_at]):
        for deed in once_each(name, moment) if whose == name and chance.random() < share else ():
            trip = struck(Strike(deed, left))
            assert trip.world.struck == [name]
            if name == STATE_HOLDER:
                assert trip.fates() == plain.fates()


@pytest.mark.prove
def test_the_same_for_all_that_may_befall_anybody_however_late_its_successor_comes():
    plain = Trip().go()
    for left, (name, moment) in enumerate(plain.world.trail[: plain.drained_at]):
        for deed in deeds_for(name, moment):
            for absence in (0, 2) if deed in {crash_and_be_missed, freeze} else (0,):
                struck(Strike(deed, left), absence)


@pytest.mark.prove
def test_the_same_for_two_that_are_struck_one_after_the_other():
    moments = Trip().go().drained_at
    for seed in range(6_000):
        random = Random(seed)
        second = Strike(random.choice(DEEDS), random.randrange(20), random.choice(ACTORS))
        struck(Strike(random.choice(DEEDS), random.randrange(moments), then=second), random.choice([0, 1, 2]))


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_permission_that_is_heard_late_opens_nothing(is_readable):
    def hang_while_it_is_taken_away(world, actor):
        world.shelf.shut(is_readable=is_readable)
        world.replace(actor)
        for _ in range(int(PERMISSION_SECONDS)):
            world.tick(TICK)
            world.talk()

    world = World(TICKETS)
    world.talk()
    # After two moments, before the tick and before the word, comes the one within it.
    world.strike = Strike(hang_while_it_is_taken_away, 2, CONTROL)
    world.tick(TICK)
    world.talk()
    assert world.struck == [CONTROL]
    for agent in world.running:
        agent.end()
    world.talk()
    assert world.shelf.claimed == 2
    world.shelf.permit()
    world.tick(TICK)
    world.talk()
    assert world.shelf.claimed == 4


def test_a_holder_that_was_frozen_until_words_were_lost_mirrors_the_last_one_told():
    world = World(TICKETS)
    world.talk()
    assert world.mirrored() is PrimaryState.ACTIVE
    world.away.add(STATE_HOLDER)
    world.inboxes[STATE_HOLDER].bound = 3
    for _ in range(TICKETS):
        for agent in world.running:
            agent.end()
        world.talk()
    assert world.directory.dead_letters.total > 0
    world.bring_back(STATE_HOLDER)
    world.talk()
    assert world.mirrored() is PrimaryState.READY
    rules.log_of_the_mirror(world)
