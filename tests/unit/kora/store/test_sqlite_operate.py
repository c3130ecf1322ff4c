"""How SQLite goes about operations and an operator's changes: by its indexes, and many as cheaply as one."""

import re

import pytest

from kora.domain.operation import OperationRequest, Step, Verdict
from kora.store.port import ClaimOrder, Turn
from kora.store.sqlite import board_statements, operate_statements

STATEMENTS = {
    name: statement
    for module in (board_statements, operate_statements)
    for name, statement in vars(module).items()
    if name.isupper() and not name.startswith("_")
}


def plan(raw, statement):
    numbered = {int(number) for number in re.findall(r"\?(\d+)", statement)}
    bound = ("[]",) * (max(numbered) if numbered else statement.count("?"))
    return [detail for *_, detail in raw.execute(f"EXPLAIN QUERY PLAN {statement}", bound).fetchall()]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_whole_table(raw, store, name):
    scans = [step for step in plan(raw, STATEMENTS[name]) if re.search(r"SCAN (?!asked|named|json_each|still)", step)]

    assert scans == []


@pytest.mark.parametrize("name", ["STANDING", "TAKE_OVER"])
def test_an_operation_is_found_by_its_id_however_many_the_ticket_has(raw, store, name):
    steps = plan(raw, STATEMENTS[name])

    assert any("operations_once (ticket_no=? AND kora_operation_id=?)" in step for step in steps)


def test_many_requests_need_as_many_statements_as_one(writer, add):
    add(50)
    incarnation = writer.next_incarnation()
    claims = writer.turn(incarnation, Turn(claim=ClaimOrder(50, 60.0))).claims
    told = []

    def statements_for(claims, step, **more):
        requests = [OperationRequest(claim.key, step, 1, "tool", "key", **more) for claim in claims]
        told.clear()
        writer.trace(lambda statement: told.append(statement.split()[0]))
        answers = writer.turn(incarnation, Turn(operate=requests)).operated
        writer.trace(None)
        assert not {answer.verdict for answer in answers} & {Verdict.REFUSED, Verdict.LOST}
        # executemany runs its statement once a row; that is the least there can be.
        return [statement for statement in told if statement not in {"INSERT", "UPDATE"}]

    for step, more in ((Step.BEGIN, {}), (Step.COMMIT, {"result": "1"})):
        assert statements_for(claims[:1], step, **more) == statements_for(claims[1:], step, **more)
