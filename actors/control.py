"""Control says what may be claimed, and what must stop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors.actor import KoraActor, handles
from actors.lookout import Lookout
from actors.marks import next_marks
from actors.messages import Append, Flush, Held, Order, Tick
from actors.names import LEDGER, POLLER, RUNTIME, STATE_HOLDER
from actors.steering import (
    Booted,
    Bounds,
    EndRuntime,
    MarkCommands,
    Permission,
    ProviderRefused,
    ProviderServed,
    Recheck,
    ResumeCredit,
    Standing,
    StoreAnswered,
)
from actors.verdicts import lines
from kora.domain.control import PERMISSION_SECONDS, ClaimPermission, StopLevel
from kora.domain.cost import MICRO_USD, Resumption, Rung
from kora.domain.permit import Grounds, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.ports import Gate
    from actors.remembered import Remembered
    from actors.supervision import Seat
    from actors.terms import Terms
    from kora.clock import TimeSource
    from kora.store.port import Reader
    from kora.store.steering import Steering

_NEVER: Final = (0, 0)
_AT_FIRST: Final = Verdict(ClaimPermission.NORMAL, frozenset())
"""what people, and a StateHolder, take to be so until they hear otherwise"""


class Control(KoraActor):
    """Reads all that steers the work on every tick, judges it, and tells everybody what follows.

    Fails closed: while the store cannot be read nothing may be claimed, and what stood before stands on. Nobody is
    waited for; a permission is good for five seconds.

    Receives: `Tick`, `Recheck`, `Booted`, `StoreAnswered`, `Held`, `ProviderRefused`, `ProviderServed`, `Flush`.
    Sends: `Permission` to the Poller, `Bounds` to every Worker, `Standing` to the StateHolder, `MarkCommands`,
    `ResumeCredit` and events to the Ledger, and the empty `Order` where no Poller does so; `EndRuntime` to the runtime.
    Owns: a reading handle.
    On restart: reads again; what was read last, how the boot ended, which providers refuse, that it is paused for cost,
    and what the log is owed of that, is kept for it (`Remembered`).
    """

    def __init__(
        self,
        seat: Seat,
        *,
        open_reader: Callable[[], Reader],
        gate: Gate,
        holder: str,
        workers: Sequence[str],
        remembered: Remembered,
        terms: Terms,
        time_source: TimeSource,
    ) -> None:
        super().__init__(seat)
        self._lookout = Lookout(open_reader, remembered)
        self._gate = gate
        self._holder = holder
        self._workers = workers
        self._remembered = remembered
        self._terms = terms
        self._time = time_source
        self._is_writable = True
        self._answered = _NEVER
        self._held: Held | None = None
        self._count = 0
        self._closed_since: tuple[int, int] | None = None
        """the version of the word by which the gate was closed; None while it is open"""
        self._told = _AT_FIRST
        self._told_at = 0.0

    def facts(self) -> Mapping[str, object]:
        """What it told last, and by what it goes."""
        told, lookout = self._told, self._lookout
        command, steering = lookout.command, lookout.steering
        return {
            "permission": told.permission.value if self._count else None,
            "told_at": self._told_at,
            "reasons": sorted(told.reasons),
            "target": None if told.target is None else told.target.value,
            "trigger": told.trigger,
            "command_id": None if command is None else command.command_id,
            "level": lookout.level.value,
            "most": told.most,
            "ramp_seconds": None if steering is None else steering.pool.ramp_seconds,
            "rung": self._rung.value,
            "spent_usd": None if steering is None else steering.pool.spent_micro_usd / MICRO_USD,
            "watcher_seen_seconds": None if steering is None else steering.watcher_seen_seconds,
            "read_at": None if steering is None else lookout.read_at,
            "is_booting": self._remembered.booted is None,
            "store_readable": lookout.is_readable,
            "store_writable": self._is_writable,
            "refusals": self._remembered.refusals.facts(),
        }

    def on_start(self) -> None:
        """Let the Poller begin without waiting for a tick, if the boot is over."""
        if self._remembered.booted is not None:
            self._look()

    def on_stop(self) -> None:
        """Give the reading handle back."""
        self._lookout.close()

    # --- what it is told ---

    @handles(Tick)
    def _on_tick(self, _: Tick) -> None:
        self._tell_owed(by=self._time.boot_seconds())
        self._look()

    @handles(Flush)
    def _on_flush(self, _: Flush) -> None:
        self._tell_owed(by=math.inf)

    @handles(Recheck)
    def _on_recheck(self, _: Recheck) -> None:
        self._look()

    @handles(Booted)
    def _on_booted(self, booted: Booted) -> None:
        self._remembered.booted = booted
        self._look()

    @handles(StoreAnswered)
    def _on_store_answered(self, message: StoreAnswered) -> None:
        if message.version <= self._answered:
            return
        self._answered = message.version
        if message.is_writable is not self._is_writable:
            self._is_writable = message.is_writable
            self._look()

    @handles(Held)
    def _on_held(self, held: Held) -> None:
        if self._held is not None and held.version <= self._held.version:
            return
        was_at_rest, self._held = self._is_at_rest(), held
        # A command, or a pause for cost, may have waited for nothing else.
        if self._is_at_rest() and not was_at_rest:
            self._look()

    @handles(ProviderRefused)
    def _on_provider_refused(self, message: ProviderRefused) -> None:
        now = self._time.boot_seconds()
        until = self._remembered.refusals.refuse(message, now)
        if until is None:
            return
        logger.warning(
            "the provider of {} refused ({}): nothing is claimed for {:.0f} s, then one attempt is to show whether it "
            "serves again: {}",
            "the default agent" if message.agent is None else f"[agents.{message.agent}]",
            message.refusal.reason.value,
            until - now,
            message.refusal.said,
        )
        self._look()

    @handles(ProviderServed)
    def _on_provider_served(self, message: ProviderServed) -> None:
        if self._remembered.refusals.serve(message, self._time.boot_seconds()):
            logger.info("a provider that refused serves again")
            self._look()

    # --- what it knows ---

    @property
    def _rung(self) -> Rung:
        return self._lookout.rung(self._terms.pool_micro_usd)

    def _is_at_rest(self) -> bool:
        """Whether nothing is held, and nothing will be: so it was after the Ledger had heard that the gate is shut."""
        held, since = self._held, self._closed_since
        return held is not None and since is not None and held.permitted_by >= since and not held.attempts

    def _grounds(self, now: float) -> Grounds:
        booted, refusals = self._remembered.booted, self._remembered.refusals
        grounds = Grounds(
            is_readable=self._lookout.is_readable,
            is_writable=self._is_writable,
            level=self._lookout.level,
            is_paused=self._gate.is_paused(),
            is_booting=booted is None,
            rung=self._rung,
            # Nothing can be held in a pause for cost, though a new Control, or a new Ledger, has yet to say so.
            holds_claims=not (self._is_at_rest() or self._remembered.rests_for_cost),
            refused=refusals.reasons(now),
            probes=refusals.probes(now),
        )
        steering = self._lookout.steering
        if steering is None:
            return grounds
        if booted is not None and steering.reset_no <= booted.reset_no:
            grounds = replace(grounds, held_by_boot=booted.held_by, boot_trigger=booted.trigger)
        return replace(
            grounds,
            granted=steering.granted,
            has_ceiling=steering.has_ceiling,
        )

    # --- what it tells ---

    def _look(self) -> None:
        asked_at = self._time.boot_seconds()
        steering = self._lookout.steering if self._lookout.look(asked_at) else None
        if steering is not None:
            self._remembered.see_reset(steering.reset_no, asked_at)
        verdict = judge(self._grounds(asked_at))
        self._count += 1
        version = (self.seat.generation, self._count)
        if verdict.permission is not ClaimPermission.NONE:
            self._closed_since = None
        elif self._closed_since is None:
            self._closed_since = version
        before, self._told, self._told_at = self._told, verdict, asked_at
        self._remembered.rest_for_cost(before, verdict, asked_at)
        # The Poller first where the gate is shut, and last where it is open: should this one die in between, nothing is
        # claimed for Workers that would give it back at once. The mirror before the Workers: that the work is paused is
        # to stand in the log ahead of what comes of it.
        is_shut = verdict.permission is ClaimPermission.NONE
        if is_shut:
            self._tell_poller(version, verdict, asked_at)
        self._tell_mirror(version, verdict, is_new=verdict != before)
        self._tell_workers(version, verdict)
        if not is_shut:
            self._tell_poller(version, verdict, asked_at)
        if steering is not None:
            self._tell_ledger(steering)
        self._tell_runtime()
        for level, line in lines(before, verdict, self._lookout.steering):
            logger.log(level, "{}", line)

    def _tell_mirror(self, version: tuple[int, int], verdict: Verdict, *, is_new: bool) -> None:
        if self.seat.directory.is_served(STATE_HOLDER):
            standing = Standing(
                version=version,
                permission=verdict.permission,
                reasons=verdict.reasons,
                target=verdict.target,
                trigger=verdict.trigger,
            )
            self.tell(STATE_HOLDER, standing)
        elif is_new:
            logger.debug("claim permission {} is not mirrored: holder not initialized", verdict.permission)

    def _tell_poller(self, version: tuple[int, int], verdict: Verdict, asked_at: float) -> None:
        permission = Permission(
            version=version,
            permission=verdict.permission,
            until=asked_at + PERMISSION_SECONDS,
            most=verdict.most,
        )
        self.tell(POLLER, permission)
        if verdict.permission is ClaimPermission.NONE and not self.seat.directory.is_served(POLLER):
            # Whoever stopped it has not kept the Ledger from hearing that the gate is shut, for which commands wait.
            self.tell(LEDGER, Order(want=0, permitted_until=permission.until, permitted_by=version))

    def _tell_workers(self, version: tuple[int, int], verdict: Verdict) -> None:
        bounds = Bounds(
            version=version,
            level=self._lookout.level,
            deadline=self._lookout.deadline(self._terms.drain_seconds),
            ends_for_cost=verdict.ends_for_cost,
            rung=self._rung,
            probes=verdict.most is not None,
        )
        for worker in self._workers:
            self.tell(worker, bounds)

    def _tell_ledger(self, steering: Steering) -> None:
        left = "" if self._held is None else ", ".join(f"attempt {each} is still held" for each in self._held.attempts)
        marks = [
            mark
            for command in self._lookout.open_commands
            for mark in next_marks(
                command,
                self._holder,
                age_seconds=self._lookout.age(command),
                is_at_rest=self._is_at_rest(),
                left=left,
            )
        ]
        if marks:
            self.tell(LEDGER, MarkCommands(marks=tuple(marks)))
        is_used_up = self._rung is Rung.HARD_STOP_100
        if self._remembered.is_to_resume(steering.pool, self._lookout.has_deferred, is_used_up=is_used_up):
            resumption = Resumption(self._terms.ramp, steering.pool.refreshed_at)
            self.tell(LEDGER, ResumeCredit(resumption=resumption))

    def _tell_owed(self, *, by: float) -> None:
        # What the Ledger was told and cannot write yet, it keeps.
        if self._is_writable and (events := self._lookout.owed(by)):
            self.tell(LEDGER, Append(events=events))

    def _tell_runtime(self) -> None:
        command = self._lookout.command
        if command is not None and command.level >= StopLevel.EXTERNAL_KILL:
            said = f"{command.issuer}: {command.reason}"
            self.tell(RUNTIME, EndRuntime(command_id=command.command_id, level=command.level, said=said))
