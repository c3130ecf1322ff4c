"""The store's time on SQLite: the machine's boot clock plus an anchor that stands in the file.

All processes of one machine read the same anchor, so a change of the wall clock moves no lease, not even between two of
them. Where the two clocks differ, the anchor is set anew, to the wall clock, by whoever writes next; what is held is
moved along in the same transaction, so that each lease keeps its length and every attempt its time so far. So are the
delays before another try; the dates that people gave are the wall clock's, and stay.

Processes that share a file must see one boot id and one boot clock: those in sandboxes that show another (gVisor, a
time namespace) are not supported on one file. Each would take the other for a former boot, and end its leases.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from kora.clock import MICROSECONDS, TimeSource, boot_us
from kora.store.sqlite.statements import (
    ANCHOR,
    END_LEASES_OF_FORMER_BOOTS,
    FORGET_FORMER_BOOTS,
    MOVE_DELAYS,
    MOVE_HELD,
    MOVE_PRESENCES,
    MOVE_RAMPS,
    MOVE_SEEN,
    MOVE_WATCHERS,
    SET_ANCHOR,
)

DIFFERENCE_MAX_US: Final = 2 * MICROSECONDS
"""the wall clock may differ by so much, before the store's time follows it"""


def anchored_us(connection: sqlite3.Connection, time: TimeSource, anchor_us: int | None, booted_us: int) -> int:
    """The store's time for a transaction that writes, both having been read inside it; None: there is no anchor yet.

    Where the wall clock differs from it, the anchor is set anew; if the transaction fails, nothing has moved. Without
    an anchor the machine has started again: nothing that was held before it lives, and its leases end now.
    """
    wall_us = time.now_us()
    if anchor_us is None:
        connection.execute(END_LEASES_OF_FORMER_BOOTS, (wall_us,))
    else:
        stored_us = anchor_us + booted_us
        if abs(stored_us - wall_us) <= DIFFERENCE_MAX_US:
            return stored_us
        for statement in (MOVE_HELD, MOVE_PRESENCES, MOVE_DELAYS, MOVE_SEEN, MOVE_RAMPS, MOVE_WATCHERS):
            connection.execute(statement, (wall_us - stored_us,))
    connection.execute(SET_ANCHOR, (time.boot_id(), wall_us - booted_us))
    connection.execute(FORGET_FORMER_BOOTS, (time.boot_id(),))
    return wall_us


def now_for_writing_us(connection: sqlite3.Connection, time: TimeSource) -> int:
    """The store's time for a transaction that writes, once it has the lock; the anchor is set anew where it must be."""
    row = connection.execute(ANCHOR, (time.boot_id(),)).fetchone()
    return anchored_us(connection, time, None if row is None else row[0], boot_us(time))
