"""A runtime's vitals, from what its parts say of themselves; nobody is asked, and nobody waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from actors.actor import KoraActor
from actors.names import (
    ADMIN,
    CLOCK,
    CONTROL,
    FACES,
    HEARTBEAT,
    LEDGER,
    MIRROR,
    POLLER,
    STATE_HOLDER,
    WORKERS,
    worker_names,
)
from actors.supervision import SupervisorStatus
from kora.admin.views import WatcherView
from kora.domain.control import PERMISSION_SECONDS, ClaimPermission, StopLevel, is_watched
from kora.domain.cost import Rung, micro_usd
from kora.domain.state import COST_PAUSED, OPERATOR_PAUSED, DegradationReason, PrimaryState
from kora.domain.vitals import (
    ActorVitals,
    HeartbeatVitals,
    LedgerVitals,
    SteeringVitals,
    SupervisorVitals,
    Vitals,
)

if TYPE_CHECKING:
    from kora.admin.views import ActorStatus
    from kora.app.console.inside import Inside

_OBSERVERS: Final = frozenset({ADMIN, STATE_HOLDER, FACES, MIRROR})
"""without which the work goes on"""
_CLAIMING: Final = (CLOCK, CONTROL, LEDGER, POLLER)
"""without any of which nothing is claimed"""
_Facts = Mapping[str, Any]


def vitals_of(inside: Inside, actors: Sequence[ActorStatus]) -> Vitals:
    """All of them, of this moment; torn at worst."""
    now = inside.time_source.boot_seconds()
    tree = inside.supervisor.tree()
    pause = inside.state_dir.paused()
    letters = inside.directory.dead_letters
    beat = _facts(inside, HEARTBEAT)
    duties = {name: name for name in _CLAIMING} | dict.fromkeys(worker_names(inside.settings().workers.count), WORKERS)
    control = _facts(inside, CONTROL)
    return Vitals(
        primary_state=PrimaryState(inside.state.view.primary_state),
        paused=None if pause is None else pause.said(),
        is_ending=inside.draining.is_under_way,
        is_supervised=inside.supervisor.name in inside.supervisor.threads().values(),
        ledger=_ledger(_facts(inside, LEDGER), now, is_writable=control.get("store_writable", True)),
        heartbeat=HeartbeatVitals(_age(beat.get("ticked_at"), now), _age(beat.get("refreshed_at"), now)),
        steering=_steering(control, now, pool_usd=inside.settings().cost.pool_usd),
        claims_held=inside.claims_held(),
        workers=inside.settings().workers.count,
        actors=[
            ActorVitals(
                each.name,
                each.state,
                each.restarts,
                each.mailbox,
                is_needed=each.name not in _OBSERVERS,
                duty=duties.get(each.name, ""),
            )
            for each in actors
        ],
        supervisors=list(_supervisors(tree)),
        retired=tree.retired,
        max_retired=tree.max_retired,
        dead_letters=len(list(letters)),
        dead_letters_total=letters.total,
        attempts_ended=dict(inside.ended),
    )


def watcher_of(inside: Inside) -> WatcherView:
    """Whether a watcher is there, as Control last read it."""
    seen = _watcher_seen_seconds(_facts(inside, CONTROL), inside.time_source.boot_seconds())
    return WatcherView(is_watched(seen), seen)


def _facts(inside: Inside, name: str) -> _Facts:
    """What the actor has in mind; nothing of one that is not there, or that cannot say."""
    try:
        actor = inside.describe(name).actor
        plain = inside.text.plain(actor.facts()) if isinstance(actor, KoraActor) else {}
        return plain if isinstance(plain, Mapping) else {}
    except Exception:  # noqa: BLE001 - whatever becomes of one actor, the others are told of
        return {}


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)


def _ledger(facts: _Facts, now: float, *, is_writable: bool) -> LedgerVitals:
    return LedgerVitals(
        turned_seconds=_age(facts.get("turned_at"), now),
        written_seconds=_age(facts.get("written_at"), now),
        is_writable=is_writable and not facts.get("backoff_seconds", 0.0),
    )


def _steering(facts: _Facts, now: float, *, pool_usd: float) -> SteeringVitals:
    reasons: Sequence[str] = facts.get("reasons", ())
    return SteeringVitals(
        is_readable=facts.get("store_readable", True),
        permission=_permission(facts, now),
        level=StopLevel(facts.get("level", 0)),
        trigger=facts.get("trigger", ""),
        held_by_boot=_held_by_boot(facts),
        has_ceiling=DegradationReason.RETRY_CEILING in reasons,
        refused=tuple(_refused(facts.get("refusals", {}), now)),
        rung=Rung(facts.get("rung", Rung.NORMAL)),
        spent_micro_usd=micro_usd(facts.get("spent_usd") or 0.0),
        pool_micro_usd=micro_usd(pool_usd),
        watcher_seen_seconds=_watcher_seen_seconds(facts, now),
    )


def _permission(facts: _Facts, now: float) -> ClaimPermission:
    """What Control told last, for as long as that is good: one that hangs permits nothing."""
    told_seconds = _age(facts.get("told_at"), now)
    if told_seconds is None or told_seconds > PERMISSION_SECONDS:
        return ClaimPermission.NONE
    return ClaimPermission(facts.get("permission") or ClaimPermission.NONE)


def _watcher_seen_seconds(facts: _Facts, now: float) -> float | None:
    """Counted on from when it was read last, however long ago that is."""
    seen: float | None = facts.get("watcher_seen_seconds")
    return None if seen is None else seen + (_age(facts.get("read_at"), now) or 0.0)


def _held_by_boot(facts: _Facts) -> Sequence[str]:
    """What keeps it paused that neither a command, an operator's pause nor the credit pool does."""
    trigger, is_stopped = facts.get("trigger", ""), facts.get("level", 0) > 0
    if is_stopped or facts.get("target") != PrimaryState.PAUSED or trigger in {OPERATOR_PAUSED, COST_PAUSED}:
        return ()
    return (trigger,)


def _refused(refusals: Mapping[str, _Facts], now: float) -> Iterator[str]:
    for agent, refusal in refusals.items():
        if refusal.get("serves"):
            continue
        until = refusal.get("until")
        left = "" if until is None or until <= now else f", for {until - now:,.0f} s more"
        name = f"[agents.{agent}]" if agent else "the default agent"
        yield f"the provider of {name} refuses ({refusal['reason']}{left}): {refusal['said']}"


def _supervisors(status: SupervisorStatus) -> Iterator[SupervisorVitals]:
    yield SupervisorVitals(
        status.name, status.state, status.restarts_used, status.max_restarts, is_needed=status.name not in _OBSERVERS
    )
    for child in status.children:
        if isinstance(child, SupervisorStatus):
            yield from _supervisors(child)
