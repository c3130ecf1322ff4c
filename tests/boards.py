"""A board with everything on it that a board can have, and all that can be seen of one."""

from contextlib import closing
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from kora.clock import from_us
from kora.domain.control import CommandStatus, NewMark, StopLevel
from kora.domain.cost import Ramp
from kora.domain.events import EventType, NewEvent
from kora.domain.operation import OperationRequest, Step
from kora.domain.ticket import NewTicket, Status
from kora.store.port import Store
from kora.store.steering import Charge

MEBIBYTE = "\N{SNOWMAN}" * (1024 * 1024 // 3)
ODD = "\x01\x1b[31m \u202eabc\N{ZERO WIDTH JOINER}\U0010ffff\N{COMBINING ACUTE ACCENT}'\"\\$1?1%s{}"
TABLES = {
    "tickets": (
        "ticket_id, workspace_id, assigned_to_actor_id, queue_state, rank, created_at, next_eligible_at, sea_status,"
        " claim_count, work_attempt_count, claim_fence_token, holder, failure_count_by_reason, last_resolution,"
        " last_summary, sea_idea_kind, sea_captured_at, ticket_title, agent, open_blockers, attempts_forgiven,"
        " claimed_at, progress_at, ended_at, worked_us, cost_micro_usd, cost_forgiven_micro_usd"
    ),
    "operations JOIN tickets USING (ticket_no)": (
        "operations.work_attempt_id, sequence_within_attempt, ticket_id, attempt, kora_operation_id, tool_name, state,"
        " dispatch_result, dispatch_error, allocated_at, operations.ended_at, operation_key, charged_micro_usd"
    ),
    "runtimes": (
        "runtime_id, workspace_id, host, pid, version, started_at, last_incarnation, last_seen, ended_at, revoked_at"
    ),
    "tallies": "workspace_id, minute, chain_id, resolution, attempts, cost_micro_usd, worked_us",
    "archives": "workspace_id, file, archive_id, bytes, events, last_seq, until_us",
    "control_commands": (
        "workspace_id, command_no, command_id, level, reason, issuer, issuer_actor_kind, created_at, enforce_us,"
        " escalates"
    ),
    "control_marks": "workspace_id, command_id, holder, status, stage, marked_at, detail",
    "spend": "workspace_id, month, chain_id, micro_usd",
    "ceilings": "workspace_id, reset_no, reached_at, ticket_id",
    "workspaces": (
        "workspace_id, claim_permission, stop_level, epoch, pool_month, baseline_micro_usd, reconciled_micro_usd,"
        " refreshed_at, ramp_until, ramp_interval_us, paced_at"
    ),
}
"""what no reader shows whole"""
ROWS = "SELECT {} FROM {} WHERE workspace_id = 'workspace'"


def fill(place, start, ends, clock, directory: Path | None) -> None:
    """Put on the place's board one of each, and archive a part of the log, if told where."""
    store = place.open()
    one, other = start(store, "runtime-1"), start(store, "runtime-2")
    with closing(store.board()) as board, closing(one.writer), closing(other.writer):
        board.add([NewTicket(ticket_title=f"done {n}", sea_priority="critical") for n in range(4)], who=ODD)
        first, *rest = one.claim(2) + other.claim(2)
        _operate(one, first)
        clock.advance(7)
        one.settle(ends(first, summary=ODD, cost_usd=0.25), ends(rest[0], Status.FAILED_RETRYABLE))
        other.settle(ends(rest[1], Status.FAILED_TERMINAL), ends(rest[2], Status.DEFERRED_COST_LIMIT))
        (again,) = other.claim(1)
        _operate(other, again)
        other.turn(append=[NewEvent(EventType.TRANSITIONED, {"to_primary_state": ODD})])
        clock.advance(3)
        other.settle(ends(again, Status.RELEASED, next_eligible_offset_seconds=60.0))
        if directory is not None:
            place.open_as_owner().archive(
                directory, from_us(clock.us) - timedelta(seconds=5), who="tester", progress=lambda *_: None
            )
        _wait_for_others(board, [first.key.ticket_id, rest[1].key.ticket_id])
        board.add([NewTicket(ticket_title=ODD, ticket_objective=MEBIBYTE, agent="review")] * 2, who="tester")
        dated = NewTicket(ticket_title="dated", next_eligible_at=from_us(clock.us) + timedelta(days=1))
        (dated_id,) = board.add([dated], who="tester")
        board.reassign(dated_id, "0190a000-0000-7000-8000-0000000000ff", who="tester")
        board.cancel(board.add([NewTicket(ticket_title="cancelled")], who="tester")[0], who="tester")
        _steer(board, one, other, again)
        one.writer.say_ended()
    place.permit("critical_only")


def _steer(board, one, other, ended) -> None:
    """Commands with their marks, a reset, a charge too late, a ticket tried too often, a refreshed pool."""
    late = board.stop(StopLevel.DRAIN_CURRENT_FINISH, reason=ODD, enforce_seconds=1.5, who=ODD)
    one.turn(marks=[NewMark(late.command_id, CommandStatus.FAILED, ODD)], charge=[Charge(ended.key, 2.5)])
    board.escalate(late.command_id, reason="late", enforce_seconds=1.0, who="watcher")
    board.reset(reason="seen to", who="ada")
    board.reconcile(9_000_000, who="ada")
    board.refresh_credit(Ramp(0.0, 30.0), who="ada")
    tried = other.claim(1)
    other.turn(return_holders=[other.id], max_attempts=1)
    assert len(tried) == 1
    board.bump_epoch(reason="a test", who="ada")
    board.revoke(one.id, reason="a test", who="ada")
    board.watch("not copied", host="here", pid=1)


def _wait_for_others(board, ids: list[str]) -> None:
    """A ticket that waits for a completed one and for one to come, and one that is blocked, and then unblocked."""
    completed, failed = ids
    (blocker,) = board.add([NewTicket(ticket_title="blocker")], who="tester")
    waits = NewTicket(ticket_title="waits", blocked_by=(completed, blocker))
    blocked = NewTicket(ticket_title="blocked", blocked_by=(failed, blocker))
    _, still, freed = board.add([waits, blocked, blocked], who="tester")
    assert still
    board.unblock(freed, who="tester")


def _operate(runtime, claim) -> None:
    """One operation recorded, one given up."""
    begin = OperationRequest(claim.key, Step.BEGIN, 1, "tool", ODD)
    runtime.turn(operate=[begin])
    runtime.turn(operate=[replace(begin, step=Step.COMMIT, result='{"odd":"\\u0000☃"}')])
    begin = OperationRequest(claim.key, Step.BEGIN, 2, "tool", "second")
    runtime.turn(operate=[begin])
    runtime.turn(operate=[replace(begin, step=Step.ABANDON, error=ODD)])


def seen(place, store: Store | None = None) -> dict[str, object]:
    """All that a board shows, but for the record of having been copied."""
    with closing((store or place.open()).reader()) as reader:
        tickets = list(reader.tickets())
        report = asdict(reader.report(from_us(0)))
        verified = reader.verify()
        assert verified.fault is None
        events = list(reader.events())
        copies = [event for event in events if event.payload.get("verb") == "copy"]
        return {
            "tickets": tickets,
            "events": [event for event in events if event not in copies],
            "of tickets": {
                ticket.ticket_id: (
                    list(reader.events(ticket_id=ticket.ticket_id)),
                    reader.attempts(ticket.ticket_id),
                    reader.operations(ticket.ticket_id),
                )
                for ticket in tickets
            },
            "report": report,
            "claims": reader.claims(),
            "outstanding": reader.outstanding(),
            "steering": replace(reader.steering(), watcher_seen_seconds=None),
            "commands": reader.commands(),
            "spend": reader.spend(),
            "verified": verified.events - len(copies),
            "rows": {name: sorted(place.ask(ROWS.format(columns, name)), key=str) for name, columns in TABLES.items()},
        }
