"""What must hold of a `World`, whoever was struck and whenever. (That nothing is started twice, that nothing is claimed
while an agent of it runs or without a permission, and so on, the world and its store themselves say, at that moment.)
"""

from __future__ import annotations

from actors.messages import Tick
from actors.names import CONTROL, LEDGER
from kora.domain.state import PrimaryState, allowed
from tests.unit.actors.cast import WORKERS


def always(world):
    """At any moment: a claim is in one place, and a request is answered once."""
    keys = [claim.key for post in world.posts.values() for claim in post.holdings()[0]]
    assert len(keys) == len(set(keys)), "in two places"
    assert all(len(heard) <= 1 for _, heard in world.answers), "answered twice"


def no_claim_without_a_worker(world):
    """No claim without a Worker outlives the next turn: the Ledger has reconciled, and now does one further turn.

    Only one whose agent was ended by its guardian stays until its lease is over.
    """
    assert world.ledger_is_sure(), "the Ledger has not reconciled"
    held = world.held()
    world.directory.tell(LEDGER, Tick(now=world.time.seconds))
    world.serve(LEDGER)
    assert held & world.held() <= world.with_workers(), "a claim without a Worker outlives the next turn"


def at_rest(world):
    """Everything is said, and whatever was lost has ended: the store, the Ledger and the Workers agree."""
    dying = [agent for agent in world.running if agent.reason is not None]
    for agent in dying:
        agent.end()
    if dying:
        world.talk()
    strangers = [agent for agent in world.running if agent.generation != world.inboxes[agent.worker].generation]
    assert strangers == [], "a Worker lets its predecessor's agent go on"
    no_claim_without_a_worker(world)
    # A StateHolder that is new has yet to hear what is permitted.
    world.directory.tell(CONTROL, Tick(now=world.time.seconds))
    world.talk()
    held = world.held()
    assert held == world.at_posts(), "a claim is left without a Worker, or the other way round"
    assert world.ledger_believes() == {key.work_attempt_id for key in held}
    always(world)


def mirrored(world):
    """PAUSED if and only if an operator has paused or stopped it; else READY if nothing is held, nor at a Worker."""
    held = world.held() | world.at_posts()
    is_paused = world.has_pause or bool(world.shelf.steered.open)
    expected = PrimaryState.PAUSED if is_paused else PrimaryState.ACTIVE if held else PrimaryState.READY
    assert world.mirrored() is expected, f"{world.mirrored()} is mirrored with {len(held)} claims held"


def drained(world):
    """Nothing is left of anything."""
    assert world.heard_drained
    assert world.shelf.held() == []
    assert [post.holdings() for post in world.posts.values()] == [((), ())] * len(WORKERS)
    assert all(len(heard) == 1 for _, heard in world.answers), "not answered"
    assert world.ledger_believes() == frozenset()
    assert world.mirrored() is PrimaryState.READY
    told = {agent.claim.key.work_attempt_id: agent.cost_usd for agent in world.agents}
    assert world.shelf.charged == told, "what the agents have told of is not what was charged"


def log_of_the_mirror(world):
    """What a StateHolder that never died has written: every step from where the last one led, along the table, and each
    true of some moment between them. What is permitted moves it too, whatever is held; and at the end of a pause it
    says again what it was told last, which a Ledger that was struck may have had no time to correct.
    """
    state, counts, before = PrimaryState.BOOTING, [0], None
    was_active = False
    for entry in world.shelf.history:
        if isinstance(entry, int):
            counts.append(entry)
            continue
        source, target = entry
        assert source is state
        assert allowed(source, target)
        state = target
        is_said_again = before is PrimaryState.PAUSED and was_active and target is PrimaryState.ACTIVE
        before = source
        if is_said_again or source is target or PrimaryState.PAUSED in {source, target}:
            continue
        was_active = target is PrimaryState.ACTIVE
        assert any((count > 0) is was_active for count in counts), "ahead of the store"
        counts = counts[-1:]
    assert state is world.mirrored()
