"""What each gate looks at. Each is a try: it returns what it found, or raises `KoraError` that says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from loguru import logger

from kora.app import assembly
from kora.app.boot import credentials
from kora.app.boot.known import GO_ON, Known, Memory, fault, workspace_chain
from kora.clock import from_us
from kora.domain import gates
from kora.domain.cost import MICRO_USD
from kora.errors import BootError, StoreError
from kora.store.open import look, open_store
from kora.store.url import is_postgres, shown_url

if TYPE_CHECKING:
    from kora.app.boot.sequence import Try
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.domain.gates import Gate
    from kora.store.port import Reader, Store
    from kora.store.steering import Steering
    from kora.store.views import Look

_MEANING: Final = (
    "The store was put back to an earlier state: what was done since may be done again. Look at the board; then "
    + GO_ON
)

_T = TypeVar("_T")


class Ground:
    """What the gates look at, and what one has found for those behind it.

    `opens`: the store is made, migrated and registered in as need be, as every start does. Otherwise nothing is
    changed, and a store that would have to be is taken as it would be then.
    """

    def __init__(self, settings: Settings, memory: Memory, time_source: TimeSource, *, opens: bool) -> None:
        self._settings = settings
        self._memory = memory
        self._time = time_source
        self._opens = opens
        self._reader: Reader | None = None
        self._look: Look | None = None
        self._pending = ""
        """what opening the store would do first, where it is not opened"""
        self.store: Store | None = None
        self.known: Known | None = None
        """what was known of this very store; None: nothing, and what there is, is adopted"""
        self.steering: Steering | None = None
        """as the store had it when the epoch was looked at"""

    def tries(self) -> Mapping[Gate, Try]:
        """Every gate, and how to try it."""
        return {
            gates.CONFIGURATION: self._configuration,
            gates.STORE: self._store_reachable,
            gates.SCHEMA: self._schema,
            gates.ACTOR: self._actor,
            gates.AGENTS: self._agents,
            gates.CREDENTIALS: self._credentials,
            gates.CLOCK: self._of_store(self._clock),
            gates.EPOCH: self._of_store(self._epoch),
            gates.CHAINS: self._of_store(self._chains),
            gates.CONTROL_LOG: self._of_store(self._control_log),
            gates.COST: self._of_store(self._cost),
            gates.CLAIM_SMOKE: self._of_store(self._claim_smoke),
        }

    def close(self) -> None:
        """Give back what was read by; the store stays open, for whoever goes on with it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StoreError):
                reader.close()

    # --- of the configuration, and of the store itself ---

    def _configuration(self) -> str:
        settings = self._settings
        assembly.allow_descriptors(settings.workers.count, settings.admin.max_connections)
        return str(settings.path)

    def _store_reachable(self) -> str:
        runtime = self._settings.runtime
        name = shown_url(runtime.store)
        if self._opens:
            self.store = open_store(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)
            return f"{name}, made just now" if self.store.is_new else name
        self._look = found = self._looked()
        if found.is_current:
            self.store = open_store(
                runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor, as_it_is=True
            )
            return name
        self._pending = "would be created" if found.revision is None else "would be migrated first"
        return f"{name} would be created" if found.revision is None else name

    def _schema(self) -> str:
        found = self._look = self._look or self._looked()
        if found.is_current:
            return f"revision {found.revision}"
        if found.revision is None:
            return f"would be made, of revision {found.current_revision}"
        return f"revision {found.revision}, would be migrated to {found.current_revision}"

    def _actor(self) -> str:
        runtime = self._settings.runtime
        found = self._look or self._looked()
        said = f"{runtime.actor} of workspace {runtime.workspace}"
        if found.is_registered:
            return said
        if self._opens:
            raise BootError(f"{said} has no row in the store: start again, which registers it")
        return f"{said} would be registered"

    def _agents(self) -> str:
        assembly.check_agents(self._settings)
        return f"can be had: {', '.join(('the default one', *sorted(self._settings.agents)))}"

    def _credentials(self) -> str:
        named = self._settings.boot.credentials
        found = credentials.faults(named, self._settings.path.parent, os.environ)
        if found:
            raise BootError(f"boot.credentials: {'; '.join(found)}")
        return f"{len(named)} there, and nobody else's to read" if named else "the configuration names none"

    # --- of what stands in the store ---

    def _clock(self) -> str:
        if not is_postgres(self._settings.runtime.store):
            return "the store's clock is this machine's: it is a file here"
        limit_seconds = self._settings.boot.clock_seconds
        before = self._time.now_us()
        store_now = self._read(lambda reader: reader.steering()).now
        off_seconds = _apart(store_now, from_us(before), from_us(self._time.now_us()))
        if abs(off_seconds) > limit_seconds:
            way = "behind" if off_seconds > 0 else "ahead of"
            raise BootError(
                f"this machine's clock is {abs(off_seconds):.1f} s {way} the store's, and may be off by"
                f" {limit_seconds:g} s (boot.clock_seconds): set it right, by NTP"
            )
        return f"{abs(off_seconds):.3f} s from the store's"

    def _epoch(self) -> str:
        steering = self.steering = self._steered()
        self.known = known = self._recalled()
        if known is None:
            return f"{steering.epoch}, known from now on"
        if known.epoch != steering.epoch:
            raise BootError(
                f"the store is of epoch {steering.epoch}, and this machine last knew {known.epoch}: somebody restored"
                f" it, and has said so (`epoch bump`). {_MEANING}"
            )
        return str(steering.epoch)

    def _chains(self) -> str:
        known = self.known
        if known is None:
            return "none known yet"
        wrong = self._read(lambda reader: fault(known, reader))
        if wrong is not None:
            raise BootError(f"{wrong}. {_MEANING}")
        return f"{len(known.heads)} end where they were known to end, or further on"

    def _control_log(self) -> str:
        command = self._steered().command
        self._read(lambda reader: reader.commands(1))
        if command is None:
            return "nothing stands open"
        return f"level {command.level.value} stands open, by {command.issuer}: {command.reason}"

    def _cost(self) -> str:
        spent = self._steered().pool.spent_micro_usd / MICRO_USD
        pool = self._settings.cost.pool_usd
        return f"{spent:.2f} USD spent, of {pool:.2f}" if pool else f"{spent:.2f} USD spent; there is no limit"

    def _claim_smoke(self) -> str:
        if not (self._opens or (self._look is not None and self._look.is_registered)):
            return "would be tried once the actor is registered"
        # A boot tries again, and hears signals in between; whoever only looks would just do it again by hand.
        self._opened.rehearse(is_patient=not self._opens)
        return "a ticket was claimed and released, and all of it rolled back"

    # --- how ---

    @property
    def _opened(self) -> Store:
        if self.store is None:
            raise AssertionError("no gate behind the store's is tried before that has passed")
        return self.store

    def _of_store(self, gate: Callable[[], str]) -> Try:
        return lambda: self._pending or gate()

    def _looked(self) -> Look:
        runtime = self._settings.runtime
        return look(runtime.store, workspace_id=runtime.workspace, actor_id=runtime.actor)

    def _read(self, reading: Callable[[Reader], _T]) -> _T:
        """What is read. A handle that has failed is not asked again: the store may be another by then."""
        if self._reader is None:
            self._reader = self._opened.reader()
        try:
            return reading(self._reader)
        except StoreError:
            self.close()
            raise

    def _steered(self) -> Steering:
        return self._read(lambda reader: reader.steering())

    def _recalled(self) -> Known | None:
        """What was known of this store, wherever it stands by now; None if nothing was, or it is no relative of that.

        A backup is often restored to another place, and a board copied to one: its chains tell.
        """
        known = self._memory.recall()
        if known is None:
            return None
        store, workspace = self._opened.url, self._settings.runtime.workspace
        if known.store != store and known.workspace_id == workspace and self._has_chains_of(known):
            # A copy may have given its events other places in the order of arrival.
            return known.model_copy(update={"store": store, "newest": None})
        if (known.store, known.workspace_id) != (store, workspace):
            logger.info(
                "{}: is about workspace {} of {}; nothing is known of workspace {} of {}, and it is taken as it is",
                self._memory.path,
                known.workspace_id,
                known.store,
                workspace,
                store,
            )
            return None
        if self._opened.is_new:
            logger.warning(
                "{} was not there, and was made anew, although this machine has worked on it before: if it is to be"
                " there, end this runtime and put it back",
                store,
            )
            return None
        return known

    def _has_chains_of(self, known: Known) -> bool:
        """Whether the store has a chain of any runtime that is known: their ids are nobody else's."""
        of_runtimes = [each for each in known.chain_ids if each != workspace_chain(known.workspace_id)]
        return bool(self._read(lambda reader: reader.heads(of_runtimes)))


def _apart(moment: datetime, before: datetime, after: datetime) -> float:
    """How many seconds the moment lies after the time in which it was asked for, or (negative) before it."""
    if moment > after:
        return (moment - after).total_seconds()
    return min(0.0, (moment - before).total_seconds())
