"""What the shared logic asks of a database: every statement by name, with what is bound to it and what it answers.

What is bound is numbered from 1 in the order given; times are microseconds since 1970, lists travel as one JSON array
each. A store answers with the same columns in the same order, whatever its SQL. Where a statement is to *lock* rows, it
answers as of a moment at which nobody else can change them any more, until the transaction ends; a database in which
one writer works at a time has nothing to do for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kora.store.sql.place import Counted, Executing
from kora.store.sql.steering_statements import (
    SteeringBoardStatements,
    SteeringReadStatements,
    SteeringTurnStatements,
)


class ManyRows(Protocol):
    """A statement over many rows: what all share is bound first, then the rows, one value after another."""

    def execute(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> Counted:
        """Do it for these rows."""

    def ask(self, connection: Executing, shared: Sequence[object], values: Sequence[object]) -> list[Any]:
        """What a query of one value answers for these rows: one value for each time that it had to be put."""


@dataclass(frozen=True, slots=True)
class LogStatements:
    """The log, and the tallies beside it."""

    append_events: ManyRows
    """shared: now, workspace, chain; rows: event id, type, ticket's number or 0, payload, place in the chain, hash
    before, own hash"""
    move_chain_head: str
    """workspace, chain, last place, last hash"""
    known_events: str
    """event ids, tickets' numbers, workspace → those ids that an event of one of these tickets, or of none, has"""
    tally: str
    """workspace, minute, chain, what, how many, cost, time: added to what is there"""


@dataclass(frozen=True, slots=True)
class DependentStatements:
    """What becomes of tickets that wait for others."""

    free_dependents: str
    """blockers' numbers, now: counts the open blockers of what waits for these anew, which it locks first"""
    dependents_of_failed: str
    """blockers' numbers → number and id of each that waits for one, and that one's id; locks them first"""
    block_dependents: str
    """their numbers"""


@dataclass(frozen=True, slots=True)
class TurnStatements:
    """A Ledger's turn."""

    log: LogStatements
    dependents: DependentStatements
    steering: SteeringTurnStatements

    refresh: str
    """new end of the lease, claims (ticket, fence, attempt, time of progress), workspace, holder, now"""
    refreshed: str
    """the same without now → one JSON array: the places, from 0, of the claims that have this lease"""

    to_settle: ManyRows
    """shared: workspace, holder; rows: place, ticket, fence, attempt → a JSON array of (place, ticket's number, state
    of its presence mark, claimed at, whether it is this holder's); locks the tickets"""
    settle_tickets: ManyRows
    """shared: holder, now, status, queue state, due, resolution, failure counts, attempts forgiven; rows: ticket's
    number, fence, attempt, summary, cost"""
    settle_presences: ManyRows
    """shared: now; rows: attempt, its end as JSON"""
    end_operations: str
    """now, attempts → whether there is any dependency, if the turn did not know when it was opened"""

    run_out: str
    """workspace, now → what is held with its lease run out, locked, without what somebody else has locked"""
    held_by_any: str
    """workspace, holders → what they hold, locked"""
    return_tickets: ManyRows
    """shared: now; rows: ticket's number, fence, holder, status, queue state, time worked"""
    abandon_attempts: str
    """why, now, attempts"""

    ticket_nos: str
    """tickets, workspace → id and number of each that is there"""

    standing: str
    """requests (ticket, fence, attempt, sequence, operation id), workspace, holder → for each, in their order: whether
    its claim stands, its lease's end, the attempt's last number, the row of this number, and the row of this id that is
    not abandoned; locks the tickets"""
    take_over: str
    """the seven of `begin` → of an earlier attempt, abandoned"""
    begin: str
    """ticket, workspace, fence, attempt, holder, now, operation id; sequence, tool, key"""
    end: str
    """the seven of `begin`; sequence, state, result, error"""

    promote: str
    """workspace, actor, now, how many of each rank at most"""
    ready: str
    """workspace, actor, how many at most → one JSON array of `ReadyRow`s, locked, without what somebody else has
    locked"""
    ready_but: str
    """the same, and tickets that are passed over"""
    critical: str
    """as `ready`, of the first rank alone"""
    critical_but: str
    """as `ready_but`, of the first rank alone"""
    claim_tickets: ManyRows
    """shared: holder, end of the lease, now; rows: ticket's number, attempt"""
    abandon_earlier: str
    """now, tickets' numbers"""
    allocate: ManyRows
    """shared: tool, now; rows: attempt, ticket's number, number of the attempt, operation id"""
    earlier_attempts: str
    """tickets' numbers, how many of each at most → ticket's number, and a JSON array of (attempt's number, its id, its
    end as JSON or null, what else ended it or null) of the newest, in no order"""
    earlier_operations: str
    """tickets' numbers, how many of each at most → ticket's number, and a JSON array of (1 for the newest, attempt,
    sequence)"""
    operations_by_key: str
    """such arrays → bytes of the result and the operation's columns, in their order"""
    next_eligible: str
    """workspace, actor → when the next dated ticket falls due"""

    seen: str
    """now; runtime, workspace: it was seen now"""
    rehearsal_no: str
    """workspace → a number that no ticket of it has, nor will have before this transaction ends"""
    held_by: str
    """workspace, holder → `TicketRow`s of what it holds"""
    keys_held_by: str
    """the same → a JSON array of (ticket, fence, attempt)"""
    holders_among: str
    """workspace, holders → those that hold anything"""


@dataclass(frozen=True, slots=True)
class BoardStatements:
    """An operator's changes."""

    log: LogStatements
    dependents: DependentStatements
    steering: SteeringBoardStatements

    last_ticket_no: str
    """workspace → the number after which its new tickets are numbered"""
    taken: str
    """ids → those that some workspace's tickets have"""
    add_ticket: str
    """number, id, workspace, actor, queue state, rank, created at, due, kind, captured at, title, agent"""
    add_objective: str
    """number, objective"""
    blockers_named: str
    """ids, workspace → id and number of each that is there"""
    add_dependency: str
    """number, blocker's number"""
    new_blockers: str
    """number, last number of before → its blockers' numbers above that"""
    too_many_dependents: str
    """last number of before, how many → blockers of new tickets that more wait for"""
    ids_of: str
    """numbers → ids, in their order"""
    count_blockers: str
    """last number of before, now: the new tickets' blockers are locked, then counted"""
    failed_blockers: str
    """last number of before → those of the new tickets' blockers that have failed for good"""

    ticket: str
    """id, workspace → its `TicketRow`, locked"""
    open_blockers: str
    """number → ids of those it waits for"""
    drop_failed_blockers: str
    """number"""
    requeue: str
    """status, queue state, due, open blockers, failure counts; number, status so far"""
    forgive: str
    """number: neither its attempts so far nor what they cost count towards its bounds"""
    cancel: str
    """summary, ended at, time worked; number, status so far"""
    claimed_at: str
    """number → when it was claimed"""
    abandon_attempt: str
    """why, now, attempt"""
    reassign: str
    """actor; number, status so far"""


@dataclass(frozen=True, slots=True)
class HistoryStatements:
    """What was archived and what is left, for whoever verifies."""

    all_heads: str
    """workspace → chain, last place, last hash"""
    events_after: str
    """workspace, seq, how many at most → events that are in no doubt, and all of those, in the order of arrival"""
    anchors: str
    """workspace → chain, place and hash up to which it was archived"""
    archives_written: str
    """workspace → file, its id, bytes, events, last seq"""


@dataclass(frozen=True, slots=True)
class ArchiveStatements:
    """Archiving. Each change repeats what it was decided on: of two at work, one finds its own already done."""

    board: BoardStatements
    history: HistoryStatements

    page_of_times: str
    """workspace, seq, how many at most → seq and time of the events after"""
    newest_archive: str
    """workspace → file, bytes, events"""
    archive: str
    """workspace, file → bytes, events, its id"""
    begin_archive: str
    """workspace, file, its id, last seq"""
    move_anchor: str
    """place and hash; workspace, chain, place so far"""
    forget_events: str
    """workspace, first and last seq"""
    extend_archive: str
    """bytes, events, last seq, until; workspace, file, bytes so far"""


@dataclass(frozen=True, slots=True)
class ReadStatements:
    """A reader's, but for the report."""

    history: HistoryStatements
    steering: SteeringReadStatements

    outstanding: str
    """workspace, actor → whether any is ready, waiting, held, or waits for one that is"""
    ticket: str
    """id, workspace → its `TicketRow`"""
    tickets_after: str
    """workspace, number, how many at most → `TicketRow`s"""
    tickets_of_numbers: str
    """numbers → `TicketRow`s"""
    first_queued: str
    """workspace → the number of the first ticket in the queue"""
    numbers_exceptional: str
    """workspace, status, number, how many at most → numbers of such tickets after"""
    numbers_held: str
    """the same, of held ones"""
    numbers_ordinary: str
    """the same, of ones that no index tells from all the others"""
    ticket_no: str
    """id, workspace → its number"""
    attempts_of_ticket: str
    """number → its attempts, the first one first"""
    operations_of_ticket: str
    """number → its operations' columns, the oldest attempt's first"""
    last_seq: str
    """workspace → where the log ends"""
    settled_seq: str
    """workspace → the seq before which nothing comes any more: every transaction that could has ended"""
    events_after: str
    """workspace, seq, seq that they stand before, how many at most → events in the order of arrival"""
    events_of_types_after: str
    """workspace, seq, seq that they stand before, types, how many at most"""
    events_of_ticket_after: str
    """ticket, workspace, seq, seq that they stand before, types or null, how many at most"""


@dataclass(frozen=True, slots=True)
class ReportStatements:
    """The report, and who works what."""

    how_many: str
    """workspace → tickets, ready ones, waiting ones"""
    of_status_held: str
    """workspace → status, how many"""
    of_status_exceptional: str
    """the same"""
    of_status_blocked: str
    """workspace → status, queue state, how many"""
    tallies_since: str
    """workspace, what, minute → how many, cost, time"""
    for_a_person: str
    """workspace, how many at most → lines"""
    longest: str
    """the same"""
    flakiest: str
    """the same"""
    claims: str
    """workspace → who works what, the oldest claim first"""
    fleet: str
    """workspace, moment → of each runtime that was seen since or holds claims: id, host, process, version, started at,
    last seen, ended at or null, claims held; the newest first"""
