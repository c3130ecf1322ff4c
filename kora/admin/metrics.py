"""A runtime's vitals as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from kora.domain.control import ClaimPermission, is_watched
from kora.domain.cost import MICRO_USD, Rung
from kora.domain.health import Grade, Health, health
from kora.domain.state import PrimaryState

if TYPE_CHECKING:
    from kora.admin.views import RuntimeIdentity
    from kora.domain.vitals import Vitals

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def exposed(identity: RuntimeIdentity, vitals: Vitals) -> bytes:
    """The whole exposition, in the text format. Everything is named `kora_…`; nothing is kept between two scrapes."""
    registry = CollectorRegistry()
    registry.register(_Vitals(identity, vitals))
    return generate_latest(registry)


class _Vitals(Collector):
    """The vitals of one moment."""

    def __init__(self, identity: RuntimeIdentity, vitals: Vitals) -> None:
        self._identity = identity
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        found = health(self._vitals)
        yield from _of_the_process(self._identity)
        yield from _of_its_health(found)
        yield from _of_the_work(self._vitals)
        yield from _of_the_steering(self._vitals)
        yield from _of_the_actors(self._vitals)


def _of_the_process(identity: RuntimeIdentity) -> Iterable[Metric]:
    info = {"version": identity.version, "runtime_id": identity.runtime_id}
    yield InfoMetricFamily("kora_runtime", "Which runtime this is.", info)
    uptime_seconds = (datetime.now(UTC) - identity.started_at).total_seconds()
    yield _one("kora_uptime_seconds", "Since the runtime was started.", uptime_seconds)


def _of_its_health(found: Health) -> Iterable[Metric]:
    yield _one("kora_live", "1 while the Ledger turns and the supervisor lives.", found.is_live)
    yield _one("kora_ready", "1 while claims can be made.", found.not_ready is None)
    stopped = found.stopped_on_purpose is not None
    yield _one("kora_stopped_on_purpose", "1 while a person or the credit pool has stopped the work.", stopped)
    ranks = list(Grade)
    parts = {finding.part: ranks.index(finding.grade) for finding in found.parts}
    yield _each("kora_part_health", "0: ok, 1: degraded, 2: broken.", "part", parts)


def _of_the_work(vitals: Vitals) -> Iterable[Metric]:
    yield _one_of("kora_state", "1 for the operational state.", "state", list(PrimaryState), vitals.primary_state)
    yield _one("kora_claims_held", "Claims that this runtime holds.", vitals.claims_held)
    yield _one("kora_workers", "Attempts that may run side by side.", vitals.workers)
    ages = {
        "kora_last_write_age_seconds": (
            "Since the store last took a turn of the Ledger.",
            vitals.ledger.written_seconds,
        ),
        "kora_last_turn_age_seconds": ("Since the Ledger's last turn.", vitals.ledger.turned_seconds),
        "kora_last_tick_age_seconds": ("Since the Heartbeat's last tick.", vitals.heartbeat.ticked_seconds),
        "kora_last_refresh_age_seconds": ("Since a lease was last refreshed.", vitals.heartbeat.refreshed_seconds),
    }
    for name, (says, seconds) in ages.items():
        # What has not happened yet has no age.
        if seconds is not None:
            yield _one(name, says, seconds)
    ended = CounterMetricFamily("kora_attempts_ended", "Attempts that ended, by resolution.", labels=["resolution"])
    for resolution, count in sorted(vitals.attempts_ended.items()):
        ended.add_metric([resolution], count)
    yield ended


def _of_the_steering(vitals: Vitals) -> Iterable[Metric]:
    steering = vitals.steering
    permissions, rungs = list(ClaimPermission), list(Rung)
    says = "1 for what may be claimed."
    yield _one_of("kora_claim_permission", says, "permission", permissions, steering.permission)
    yield _one("kora_stop_level", "Of the STOP command that holds; 0: none does.", steering.level.value)
    yield _one("kora_watcher_alive", "1 while a watcher is there.", is_watched(steering.watcher_seen_seconds))
    yield _one("kora_providers_refusing", "Agents whose providers refuse.", len(steering.refused))
    yield _one_of("kora_cost_rung", "1 for how full the credit pool is.", "rung", rungs, steering.rung)
    yield _one("kora_cost_spent_usd", "Spent of the credit pool.", steering.spent_micro_usd / MICRO_USD)
    yield _one("kora_cost_pool_usd", "The credit pool; 0: it has no limit.", steering.pool_micro_usd / MICRO_USD)


def _of_the_actors(vitals: Vitals) -> Iterable[Metric]:
    depths = {actor.name: actor.mailbox for actor in vitals.actors}
    yield _each("kora_mailbox_depth", "Messages that wait for an actor.", "actor", depths)
    restarts = CounterMetricFamily("kora_actor_restarts", "Times an actor was restarted.", labels=["actor"])
    for actor in vitals.actors:
        restarts.add_metric([actor.name], actor.restarts)
    yield restarts
    used = {each.name: each.restarts_used for each in vitals.supervisors}
    yield _each("kora_restarts_used", "Restarts within the window, of each supervisor.", "supervisor", used)
    yield _one("kora_threads_retired", "Threads left behind by actors that hung.", vitals.retired)
    letters = CounterMetricFamily("kora_dead_letters", "Messages that nobody handled.")
    letters.add_metric([], vitals.dead_letters_total)
    yield letters


def _one(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=float(value))


def _each(name: str, says: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], float(figure))
    return family


def _one_of(name: str, says: str, label: str, choices: Sequence[str], chosen: str) -> Metric:
    return _each(name, says, label, {str(choice): float(choice == chosen) for choice in choices})
