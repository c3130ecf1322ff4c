"""How a runtime is: computed from its vitals, and nothing else. What is stopped on purpose is told from what is broken.

Nothing counts as broken that gets well by itself in time, or that somebody has ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kora.domain.control import NO_WATCHER, ClaimPermission, StopLevel, is_watched
from kora.domain.cost import MICRO_USD, Rung

if TYPE_CHECKING:
    from kora.domain.vitals import ActorVitals, SteeringVitals, Vitals

STILL_SECONDS: Final = 30.0
"""a Ledger, or a Heartbeat, that has not turned for so long stands still: they turn with every tick, and a server that
does not answer holds up a turn for eight seconds at a time, or 24 with several statements under way"""
STALE_SECONDS: Final = 30.0
"""without a write that the store took, and something is the matter: an idle runtime writes every ten seconds"""
BROKEN_SECONDS: Final = 60.0
"""and when that has lasted for so long, somebody should look"""
CROWDED: Final = 1_000
"""messages that wait for one actor"""


class Grade(StrEnum):
    """How something is, the best first."""

    OK = "ok"
    DEGRADED = "degraded"
    """the work goes on, or waits for what comes back by itself"""
    BROKEN = "broken"
    """it does not go on before somebody sees to it"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of it."""

    part: str
    grade: Grade
    says: str


@dataclass(frozen=True, slots=True)
class Health:
    """All of it; wire format."""

    status: Grade
    """the worst of its parts'"""
    stopped_on_purpose: str | None
    """by what: an operator's pause, a STOP command, the credit pool, its own end; None: by nothing"""
    is_live: bool
    """the Ledger turns, and the supervisor lives: to end the process would not mend anything"""
    not_ready: str | None
    """why nothing can be claimed now; None: it can"""
    parts: Sequence[Finding]

    @property
    def summary(self) -> str:
        """It in a line."""
        worst = [finding for finding in self.parts if finding.grade is self.status is not Grade.OK]
        said = [f"stopped on purpose: {self.stopped_on_purpose}"] if self.stopped_on_purpose is not None else []
        return "; ".join([self.status.value, *said, *(f"{each.part}: {each.says}" for each in worst)])


def health(vitals: Vitals) -> Health:
    """How the runtime is that has these vitals."""
    parts = tuple(Finding(part, *found) for part, found in _parts(vitals))
    ranks = list(Grade)
    return Health(
        status=max((finding.grade for finding in parts), key=ranks.index),
        stopped_on_purpose=stopped_on_purpose(vitals),
        is_live=vitals.booting is not None or (vitals.is_supervised and _turns(vitals.ledger.turned_seconds)),
        not_ready=next(_hindrances(vitals, parts), None),
        parts=parts,
    )


def stopped_on_purpose(vitals: Vitals) -> str | None:
    """Who or what has stopped the work that could go on otherwise; None: nobody."""
    return next(_purposes(vitals), None)


def held_up_by(vitals: Vitals) -> Sequence[str]:
    """All that keeps claims from being made, or narrows them, the weightiest first; empty: nothing does."""
    found = list(_hindrances(vitals, [Finding(part, *found) for part, found in _parts(vitals)]))
    if vitals.steering.permission is ClaimPermission.CRITICAL_ONLY:
        why = "the retry ceiling was reached" if vitals.steering.has_ceiling else "so the workspace is set"
        found.append(f"only critical tickets are claimed: {why}")
    return found


_Found = tuple[Grade, str]


def _parts(vitals: Vitals) -> Iterator[tuple[str, _Found]]:
    yield "boot", _boot(vitals)
    # Before the tree is up there is nobody to be well.
    if vitals.booting is None:
        yield "supervisor", _supervisor(vitals)
        yield "actors", _actors(vitals.actors)
        yield "ledger", _ledger(vitals)
        yield "last_write", _last_write(vitals)
        yield "heartbeat", _heartbeat(vitals)
        yield "claims", (Grade.OK, f"{vitals.claims_held:,} held, by {vitals.workers:,} workers")
        yield "control", _control(vitals.steering)
        yield "dispatch", _dispatch(vitals.steering)
        yield "cost", _cost(vitals.steering)
        yield "watcher", _watcher(vitals.steering)
        yield "restarts", _restarts(vitals)
        yield "mailboxes", _mailboxes(vitals.actors)
        yield "threads", _threads(vitals)
        yield "dead_letters", _dead_letters(vitals)


def _turns(turned_seconds: float | None) -> bool:
    return turned_seconds is not None and turned_seconds < STILL_SECONDS


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:,.1f} s ago"


def _boot(vitals: Vitals) -> _Found:
    if vitals.booting is not None:
        return Grade.DEGRADED, vitals.booting
    if held := vitals.steering.held_by_boot:
        return Grade.BROKEN, f"held for an operator to see to: {', '.join(held)}"
    return Grade.OK, "every gate has passed"


def _supervisor(vitals: Vitals) -> _Found:
    if not vitals.is_supervised:
        return Grade.BROKEN, "its thread is gone"
    fallen = [each for each in vitals.supervisors if each.state in {"failed", "stopped"}]
    if not fallen:
        return Grade.OK, "lives"
    needed = any(each.is_needed for each in fallen)
    return Grade.BROKEN if needed else Grade.DEGRADED, f"gave up: {', '.join(each.name for each in fallen)}"


def _actors(actors: Sequence[ActorVitals]) -> _Found:
    down = [each for each in actors if each.state in {"failed", "stopped", "hung"}]
    if not down:
        return Grade.OK, f"{len(actors):,} run"
    said = ", ".join(f"{each.name} {each.state}" for each in down)
    # One that hangs is about to be replaced, and one that an operator stopped is started by him.
    is_broken = any(each.is_needed and each.state == "failed" for each in down)
    return Grade.BROKEN if is_broken else Grade.DEGRADED, said


def _ledger(vitals: Vitals) -> _Found:
    turned = vitals.ledger.turned_seconds
    return Grade.OK if _turns(turned) else Grade.BROKEN, f"turned {_ago(turned)}"


def _last_write(vitals: Vitals) -> _Found:
    ledger = vitals.ledger
    written = ledger.written_seconds
    said = f"{_ago(written)}{'' if ledger.is_writable else '; the store cannot be written'}"
    if written is not None and written >= BROKEN_SECONDS:
        return Grade.BROKEN, said
    if not ledger.is_writable or written is None or written >= STALE_SECONDS:
        return Grade.DEGRADED, said
    return Grade.OK, said


def _heartbeat(vitals: Vitals) -> _Found:
    beat = vitals.heartbeat
    said = f"ticked {_ago(beat.ticked_seconds)}, refreshed {_ago(beat.refreshed_seconds)}"
    if _turns(beat.ticked_seconds):
        return Grade.OK, said
    is_broken = beat.ticked_seconds is not None and beat.ticked_seconds >= BROKEN_SECONDS
    return Grade.BROKEN if is_broken else Grade.DEGRADED, said


def _control(steering: SteeringVitals) -> _Found:
    if not steering.is_readable:
        return Grade.DEGRADED, "the command log cannot be read, and so nothing is claimed"
    said = f"may claim: {steering.permission.value}"
    if steering.level >= StopLevel.BLOCK_NEW_INTAKE:
        said += f"; a STOP command of level {steering.level.value} holds until `control reset`"
    elif steering.trigger:
        said += f"; {steering.trigger}"
    if steering.has_ceiling:
        said += "; too many tickets were attempted too often: see to them, then `control reset`"
    is_narrowed = steering.has_ceiling or steering.permission is ClaimPermission.CRITICAL_ONLY
    return Grade.DEGRADED if is_narrowed else Grade.OK, said


def _dispatch(steering: SteeringVitals) -> _Found:
    if steering.refused:
        return Grade.DEGRADED, "; ".join(steering.refused)
    return Grade.OK, "no provider refuses"


def _cost(steering: SteeringVitals) -> _Found:
    spent = f"{steering.spent_micro_usd / MICRO_USD:,.2f}"
    if steering.pool_micro_usd <= 0:
        return Grade.OK, f"{spent} USD spent; the pool has no limit"
    said = f"{spent} of {steering.pool_micro_usd / MICRO_USD:,.2f} USD spent: {steering.rung.value}"
    return Grade.OK if steering.rung is Rung.NORMAL else Grade.DEGRADED, said


def _watcher(steering: SteeringVitals) -> _Found:
    if is_watched(steering.watcher_seen_seconds):
        return Grade.OK, f"seen {_ago(steering.watcher_seen_seconds)}"
    return Grade.DEGRADED, NO_WATCHER


def _restarts(vitals: Vitals) -> _Found:
    total = sum(each.restarts for each in vitals.actors)
    busiest = max(vitals.supervisors, key=lambda each: each.restarts_used, default=None)
    said = f"{total:,} so far"
    if busiest is None or not busiest.restarts_used:
        return Grade.OK, said
    said += f"; {busiest.name} has used {busiest.restarts_used:,} of {busiest.max_restarts:,}"
    return Grade.DEGRADED if 2 * busiest.restarts_used > busiest.max_restarts else Grade.OK, said


def _mailboxes(actors: Sequence[ActorVitals]) -> _Found:
    deepest = max(actors, key=lambda each: each.mailbox, default=None)
    if deepest is None or not deepest.mailbox:
        return Grade.OK, "nothing waits"
    said = f"{sum(each.mailbox for each in actors):,} messages wait, {deepest.mailbox:,} of them for {deepest.name}"
    return Grade.OK if deepest.mailbox < CROWDED else Grade.DEGRADED, said


def _threads(vitals: Vitals) -> _Found:
    if not vitals.retired:
        return Grade.OK, "none was left behind"
    said = f"{vitals.retired:,} left behind by actors that hung; more than {vitals.max_retired:,} end the runtime"
    return Grade.BROKEN if vitals.retired > vitals.max_retired else Grade.DEGRADED, said


def _dead_letters(vitals: Vitals) -> _Found:
    said = f"{vitals.dead_letters:,} kept, {vitals.dead_letters_total:,} so far"
    return (Grade.DEGRADED, f"{said}; see `deadletters`") if vitals.dead_letters else (Grade.OK, said)


def _missing(actors: Sequence[ActorVitals]) -> str:
    """Which actors are not there without whom nothing is claimed; empty where none is missing."""
    there = {each.duty for each in actors if each.state not in {"failed", "stopped"}}
    missing = [each.name for each in actors if each.duty and each.duty not in there]
    return f"there is no {', '.join(missing)}" if missing else ""


def _purposes(vitals: Vitals) -> Iterator[str]:
    steering = vitals.steering
    if steering.level >= StopLevel.BLOCK_NEW_INTAKE:
        yield f"a STOP command of level {steering.level.value} ({steering.level.action})"
    if vitals.is_ending:
        yield "it is drained"
    if vitals.paused is not None:
        yield f"paused {vitals.paused}"
    if steering.rung is Rung.HARD_STOP_100:
        yield "the credit pool is used up"


def _hindrances(vitals: Vitals, parts: Sequence[Finding]) -> Iterator[str]:
    """What keeps claims from being made, the weightiest first."""
    if vitals.booting is not None:
        yield f"booting: {vitals.booting}"
    purposes = list(_purposes(vitals))
    yield from purposes
    # What may be claimed is Control's word; whether that can be done, the Ledger's.
    broken = [each for each in parts if each.grade is Grade.BROKEN]
    if broken:
        yield "; ".join(f"{each.part}: {each.says}" for each in broken)
    if missing := _missing(vitals.actors):
        yield missing
    steering = vitals.steering
    if not steering.is_readable:
        yield "the command log cannot be read"
    if not vitals.ledger.is_writable:
        yield "the store cannot be written"
    if steering.permission is ClaimPermission.NONE:
        refused = "; ".join(steering.refused)
        if refused or not purposes:
            yield refused or steering.trigger or "nothing may be claimed"
