"""What a board consists of, when it is copied: kinds of rows, each in an order in which it can be read page by page.

Rows are the same whatever the database. A ticket's number is each database's own, and so is not among what is written:
a row that belongs to a ticket names it by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kora.store.sql.statements import BoardStatements, HistoryStatements

Key = tuple[int | str, ...]
"""where a row stands among those of its kind"""
Row = tuple[Any, ...]

PAGE_ROWS: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""of text: a page ends with the row that comes to this"""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of rows."""

    name: str
    begin: Key
    """stands before the first row"""
    columns: tuple[str, ...]
    """what is copied of a row"""

    @property
    def listed(self) -> str:
        """The columns as a statement lists them."""
        return ", ".join(self.columns)


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TICKETS: Final = Part(
    "tickets",
    (0,),
    _columns(
        "ticket_id workspace_id assigned_to_actor_id queue_state rank created_at next_eligible_at sea_status"
        " sea_idea_kind sea_captured_at ticket_title agent claim_count work_attempt_count failure_count_by_reason"
        " last_resolution last_summary open_blockers attempts_forgiven claimed_at progress_at ended_at worked_us"
        " cost_micro_usd cost_forgiven_micro_usd"
    ),
)
"""without what a claim sets: none is held"""
OBJECTIVES: Final = Part("objectives", (0,), _columns("ticket_id ticket_objective"))
DEPENDENCIES: Final = Part("dependencies", (0, 0), _columns("ticket_id blocker_id"))
OPERATIONS: Final = Part(
    "operations",
    (0, 0, -1),
    _columns(
        "work_attempt_id sequence_within_attempt ticket_id attempt kora_operation_id tool_name operation_key state"
        " dispatch_result dispatch_error allocated_at ended_at charged_micro_usd"
    ),
)
"""in the order of the attempts: so what a later one took over is abandoned before that is written"""
EVENTS: Final = Part(
    "events",
    (0,),
    _columns(
        "seq event_id event_type occurred_at workspace_id ticket_id payload chain_id chain_seq prev_event_hash"
        " this_event_hash"
    ),
)
ACTORS: Final = Part("actors", ("",), _columns("workspace_id actor_id actor_kind registered_at"))
RUNTIMES: Final = Part(
    "runtimes",
    ("",),
    _columns("runtime_id workspace_id host pid version started_at last_seen ended_at last_incarnation revoked_at"),
)
CHAINS: Final = Part(
    "chains",
    ("",),
    _columns("workspace_id chain_id last_chain_seq last_event_hash archived_chain_seq archived_event_hash"),
)
TALLIES: Final = Part(
    "tallies",
    ("", 0, ""),
    _columns("workspace_id minute chain_id resolution attempts cost_micro_usd worked_us"),
)
ARCHIVES: Final = Part("archives", ("",), _columns("workspace_id file archive_id bytes events last_seq until_us"))
COMMANDS: Final = Part(
    "commands",
    (0,),
    _columns(
        "workspace_id command_no command_id level reason issuer issuer_actor_kind created_at enforce_us escalates"
    ),
)
MARKS: Final = Part("marks", ("", ""), _columns("workspace_id command_id holder status stage marked_at detail"))
SPEND: Final = Part("spend", (0, ""), _columns("workspace_id month chain_id micro_usd"))
CEILINGS: Final = Part("ceilings", (-1, 0, ""), _columns("workspace_id reset_no reached_at ticket_id"))
STEERING: Final = Part(
    "steering",
    ("",),
    _columns(
        "workspace_id stop_level epoch pool_month baseline_micro_usd reconciled_micro_usd refreshed_at ramp_until"
        " ramp_interval_us paced_at"
    ),
)
"""the workspace's own row, which is there before anything is copied"""

PARTS: Final = (
    TICKETS,
    OBJECTIVES,
    DEPENDENCIES,
    OPERATIONS,
    EVENTS,
    ACTORS,
    RUNTIMES,
    CHAINS,
    TALLIES,
    ARCHIVES,
    COMMANDS,
    MARKS,
    SPEND,
    CEILINGS,
    STEERING,
)
"""in the order of copying: what names a ticket comes after it"""


TABLES: Final[Mapping[Part, str]] = {
    ACTORS: "actor_registry",
    RUNTIMES: "runtimes",
    CHAINS: "chains",
    TALLIES: "tallies",
    ARCHIVES: "archives",
    COMMANDS: "control_commands",
    MARKS: "control_marks",
    SPEND: "spend",
    CEILINGS: "ceilings",
}
"""the tables of those kinds of rows that say themselves whose they are, and name no ticket"""
IDENTITIES: Final[Mapping[Part, str]] = {
    ACTORS: "actor_id",
    RUNTIMES: "runtime_id",
    CHAINS: "chain_id",
    TALLIES: "resolution, minute, chain_id",
    ARCHIVES: "file",
    COMMANDS: "command_no",
    MARKS: "command_id, holder",
    SPEND: "month, chain_id",
    CEILINGS: "reset_no, reached_at, ticket_id",
}
"""by which of their columns these rows are told apart in a workspace, and read in order"""
OF_TICKETS: Final[Mapping[Part, str]] = {
    OBJECTIVES: "objectives",
    DEPENDENCIES: "dependencies",
    OPERATIONS: "operations",
}
"""the tables of those that belong to a ticket, by its number"""


def replaced(part: Part, identity: str) -> str:
    """The part of an upsert that sets every column but those of the row's identity, as a statement lists them."""
    kept = identity.split(", ")
    changed = [column for column in part.columns if column not in kept] or [part.columns[0]]
    return ", ".join(f"{column} = excluded.{column}" for column in changed)


def assigned(part: Part, place: str) -> str:
    """The part of an update that sets every column but the first, by which the row is found; `place` marks a value."""
    return ", ".join(f"{column} = {place}{number}" for number, column in enumerate(part.columns[1:], 2))


@dataclass(frozen=True, slots=True)
class SourceStatements:
    """A database that a board is copied from."""

    history: HistoryStatements

    pages: Mapping[Part, str]
    """workspace, key, how many at most → key and columns of the rows behind it, in the order of their keys"""
    counts: Mapping[Part, str]
    """workspace → how many"""
    claim_permission: str
    """workspace → what may be claimed"""
    held: str
    """workspace, how many at most → ticket, holder, its host and process or null; the first claims that are held"""


@dataclass(frozen=True, slots=True)
class TargetStatements:
    """A database that a board is copied to."""

    board: BoardStatements
    source: SourceStatements

    writes: Mapping[Part, str]
    """columns: the row stands there as it is said; it changes none where another workspace has its identity"""
    unfinished: str
    """workspace → source, its state, how far, of the copy that is under way"""
    contents: str
    """workspace → whether there are tickets, events, runtimes"""
    begin: str
    """workspace, source, its state, how far"""
    move: str
    """source's state, how far; workspace, how far so far: locks it against another copy of the same"""
    permit: str
    """workspace, what may be claimed there; what is logged from here on stands behind all that was copied"""
    finish: str
    """workspace: the copy is under way no more"""
    last_seq: str
    """workspace → behind which place an event has to stand"""
    forget_events: str
    """workspace, first and last seq"""
    discards: Mapping[Part, str]
    """workspace, how many at most: so many rows less"""
