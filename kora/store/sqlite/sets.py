"""SQLite's statements as the shared logic asks for them."""

from __future__ import annotations

from typing import Final

from kora.store.sql.statements import (
    ArchiveStatements,
    BoardStatements,
    DependentStatements,
    HistoryStatements,
    LogStatements,
    ReadStatements,
    ReportStatements,
    TurnStatements,
)
from kora.store.sqlite import archive_statements as archives
from kora.store.sqlite import board_statements as boards
from kora.store.sqlite import operate_statements as operations
from kora.store.sqlite import report_statements as reports
from kora.store.sqlite import statements as shared
from kora.store.sqlite import steering_statements as steering
from kora.store.sqlite import turn_statements as turns

LOG: Final = LogStatements(
    append_events=shared.APPEND_EVENTS,
    move_chain_head=shared.MOVE_CHAIN_HEAD,
    known_events=shared.KNOWN_EVENTS,
    tally=shared.TALLY,
)

DEPENDENTS: Final = DependentStatements(
    free_dependents=turns.FREE_DEPENDENTS,
    dependents_of_failed=turns.DEPENDENTS_OF_FAILED,
    block_dependents=turns.BLOCK_DEPENDENTS,
)

TURN: Final = TurnStatements(
    log=LOG,
    dependents=DEPENDENTS,
    steering=steering.STEERING_TURN,
    refresh=turns.REFRESH,
    refreshed=turns.REFRESHED,
    to_settle=turns.TO_SETTLE,
    settle_tickets=turns.SETTLE_TICKETS,
    settle_presences=turns.SETTLE_PRESENCES,
    end_operations=turns.END_OPERATIONS,
    run_out=turns.RUN_OUT,
    held_by_any=turns.HELD_BY_ANY,
    return_tickets=turns.RETURN_TICKETS,
    abandon_attempts=turns.ABANDON_ATTEMPTS,
    ticket_nos=shared.TICKET_NOS,
    standing=operations.STANDING,
    take_over=operations.TAKE_OVER,
    begin=operations.BEGIN,
    end=operations.END,
    promote=turns.PROMOTE,
    ready=turns.READY,
    ready_but=turns.READY_BUT,
    critical=turns.CRITICAL,
    critical_but=turns.CRITICAL_BUT,
    claim_tickets=turns.CLAIM_TICKETS,
    abandon_earlier=turns.ABANDON_EARLIER,
    allocate=turns.ALLOCATE,
    earlier_attempts=turns.EARLIER_ATTEMPTS,
    earlier_operations=turns.EARLIER_OPERATIONS,
    operations_by_key=turns.OPERATIONS_BY_KEY,
    next_eligible=turns.NEXT_ELIGIBLE,
    seen=turns.SEEN,
    rehearsal_no=turns.REHEARSAL_NO,
    held_by=shared.HELD_BY,
    keys_held_by=shared.KEYS_HELD_BY,
    holders_among=shared.HOLDERS_AMONG,
)

BOARD: Final = BoardStatements(
    log=LOG,
    dependents=DEPENDENTS,
    steering=steering.STEERING_BOARD,
    last_ticket_no=boards.LAST_TICKET_NO,
    taken=boards.TAKEN,
    add_ticket=boards.ADD_TICKET,
    add_objective=boards.ADD_OBJECTIVE,
    blockers_named=boards.BLOCKERS_NAMED,
    add_dependency=boards.ADD_DEPENDENCY,
    new_blockers=boards.NEW_BLOCKERS,
    too_many_dependents=boards.TOO_MANY_DEPENDENTS,
    ids_of=boards.IDS_OF,
    count_blockers=boards.COUNT_BLOCKERS,
    failed_blockers=boards.FAILED_BLOCKERS,
    ticket=shared.TICKET,
    open_blockers=boards.OPEN_BLOCKERS,
    drop_failed_blockers=boards.DROP_FAILED_BLOCKERS,
    requeue=boards.REQUEUE,
    forgive=boards.FORGIVE,
    cancel=boards.CANCEL,
    claimed_at=boards.CLAIMED_AT,
    abandon_attempt=shared.ABANDON_ATTEMPT,
    reassign=boards.REASSIGN,
)

HISTORY: Final = HistoryStatements(
    all_heads=shared.ALL_HEADS,
    events_after=shared.ALL_EVENTS_AFTER,
    anchors=archives.ANCHORS,
    archives_written=archives.ARCHIVES_WRITTEN,
)

ARCHIVING: Final = ArchiveStatements(
    board=BOARD,
    history=HISTORY,
    page_of_times=archives.PAGE_OF_TIMES,
    newest_archive=archives.NEWEST_ARCHIVE,
    archive=archives.ARCHIVE,
    begin_archive=archives.BEGIN_ARCHIVE,
    move_anchor=archives.MOVE_ANCHOR,
    forget_events=archives.FORGET_EVENTS,
    extend_archive=archives.EXTEND_ARCHIVE,
)

READ: Final = ReadStatements(
    history=HISTORY,
    steering=steering.STEERING_READ,
    outstanding=shared.OUTSTANDING,
    ticket=shared.TICKET,
    tickets_after=shared.TICKETS_AFTER,
    tickets_of_numbers=reports.TICKETS_OF_NUMBERS,
    first_queued=reports.FIRST_QUEUED,
    numbers_exceptional=reports.NUMBERS_EXCEPTIONAL,
    numbers_held=reports.NUMBERS_HELD,
    numbers_ordinary=reports.NUMBERS_ORDINARY,
    ticket_no=shared.TICKET_NO,
    attempts_of_ticket=operations.ATTEMPTS_OF_TICKET,
    operations_of_ticket=operations.OPERATIONS_OF_TICKET,
    last_seq=reports.LAST_SEQ,
    events_after=shared.EVENTS_AFTER,
    settled_seq=shared.SETTLED_SEQ,
    events_of_types_after=shared.EVENTS_OF_TYPES_AFTER,
    events_of_ticket_after=shared.EVENTS_OF_TICKET_AFTER,
)

REPORT: Final = ReportStatements(
    how_many=reports.HOW_MANY,
    of_status_held=reports.OF_STATUS_HELD,
    of_status_exceptional=reports.OF_STATUS_EXCEPTIONAL,
    of_status_blocked=reports.OF_STATUS_BLOCKED,
    tallies_since=reports.TALLIES_SINCE,
    for_a_person=reports.FOR_A_PERSON,
    longest=reports.LONGEST,
    flakiest=reports.FLAKIEST,
    claims=reports.CLAIMS,
    fleet=reports.FLEET,
)
