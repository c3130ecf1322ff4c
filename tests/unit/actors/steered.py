"""What the store says of steering, as the test has it: a command log, a pool, and whether it can be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

from kora.domain.control import ClaimPermission, Command, CommandStatus, IssuerKind, Mark, StopLevel
from kora.domain.cost import Pool
from kora.domain.ticket import Status
from kora.errors import StoreUnavailableError
from kora.store.steering import Steering
from tests.claims import NOW


class Steered:
    """One workspace's, and a reader of it; its time is the test's."""

    def __init__(self, time):
        self.time = time
        self.began = time.seconds
        self.is_readable = True
        self.granted = ClaimPermission.NORMAL
        self.log = []
        """the command log, the oldest first"""
        self.reset_no = 0
        self.has_ceiling = False
        self.epoch = 1
        self.deferred = 0
        """how many tickets wait for the end of a pause for cost"""
        self.pool = Pool(month=202611, counted_micro_usd=0, reconciled_micro_usd=0, refreshed_at=None, ramp_seconds=0.0)
        self.events_shown = []
        """the log, as far as it is asked for"""
        self._numbers = count(1)

    @property
    def now(self):
        return NOW + timedelta(seconds=self.time.seconds - self.began)

    @property
    def open(self):
        """What stands open."""
        return [command for command in self.log if command.is_open]

    def stop(self, level, *, within=60.0):
        command = Command(
            command_id=f"command-{next(self._numbers)}",
            level=StopLevel(level),
            reason="enough",
            issuer="ann",
            issuer_actor_kind=IssuerKind.OPERATOR,
            created_at=self.now,
            enforce_seconds=within,
        )
        self.log.append(command)
        return command

    def reset(self):
        self.log = [replace(command, superseded_by="a reset") for command in self.log]
        self.reset_no += 1

    def mark(self, new, holder="runtime-1"):
        """As a turn does it: only ever forward."""
        for place, command in enumerate(self.log):
            if command.command_id != new.command_id:
                continue
            if new.status.rank > self.status(command, holder).rank:
                others = [mark for mark in command.marks if mark.holder != holder]
                self.log[place] = replace(command, marks=(*others, Mark(holder, new.status, self.now, new.detail)))

    def status(self, command, holder="runtime-1"):
        found = next(each for each in self.log if each.command_id == command.command_id)
        return next((mark.status for mark in found.marks if mark.holder == holder), CommandStatus.CREATED)

    def spend(self, usd, **changes):
        self.pool = replace(self.pool, counted_micro_usd=round(usd * 1e6), **changes)

    # --- the reader ---

    def reader(self):
        return self

    def steering(self):
        if not self.is_readable:
            raise StoreUnavailableError("away")
        return Steering(
            now=self.now,
            granted=self.granted,
            open_commands=[command for command in self.log[::-1] if command.is_open],
            reset_no=self.reset_no,
            epoch=self.epoch,
            has_ceiling=self.has_ceiling,
            pool=self.pool,
            watcher_seen_seconds=None,
        )

    def last_seq(self):
        if not self.is_readable:
            raise StoreUnavailableError("away")
        return len(self.events_shown)

    def events(self, *, event_types, after_seq, up_to_now):
        assert up_to_now
        if not self.is_readable:
            raise StoreUnavailableError("away")
        return [event for event in self.events_shown[after_seq:] if event.event_type in event_types]

    def tickets(self, statuses=(), limit=None):
        assert statuses == (Status.DEFERRED_COST_LIMIT,)
        return ["a ticket"] * self.deferred

    def close(self):
        pass
