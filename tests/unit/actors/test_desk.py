"""Every request is answered exactly once, whoever crashes."""

from __future__ import annotations

import threading

import pytest

from actors.desk import Desk
from actors.messages import Operate
from actors.names import LEDGER
from kora.domain.claim import ClaimKey
from kora.domain.operation import OperationAnswer, OperationRequest, Step, Verdict

NAME = "worker-1"


def request(number=1, attempt="attempt-1"):
    return OperationRequest(ClaimKey("ticket", 1, attempt), Step.BEGIN, number, "tool", "key")


def done(asked):
    return OperationAnswer(asked, Verdict.DISPATCHED)


@pytest.fixture
def told():
    return []


@pytest.fixture
def desk(told):
    desk = Desk(NAME)
    desk.connect(lambda name, message: told.append((name, message)))
    desk.turn_to("attempt-1")
    return desk


@pytest.fixture
def heard():
    return []


def test_a_request_goes_to_the_ledger_at_once_and_is_kept_until_it_is_answered(desk, told, heard):
    desk.submit(request(), heard.append)
    assert told == [(LEDGER, Operate(NAME, (request(),)))]
    assert desk.unanswered() == (request(),)
    desk.answer([done(request())])
    desk.answer([done(request())])
    assert heard == [done(request())]
    assert desk.unanswered() == ()


def test_requests_keep_their_order(desk, heard):
    for number in (3, 1, 2):
        desk.submit(request(number), heard.append)
    assert [asked.sequence_within_attempt for asked in desk.unanswered()] == [3, 1, 2]


def test_an_answer_that_nobody_waits_for_does_no_harm(desk):
    desk.answer([done(request())])


def test_the_same_request_from_two_threads_is_one_question_that_both_hear(desk, heard):
    desk.submit(request(), heard.append)
    desk.submit(request(), heard.append)
    assert desk.unanswered() == (request(),)
    desk.answer([done(request())])
    assert heard == [done(request())] * 2


def test_what_is_asked_again_on_an_answer_is_a_new_question(desk, heard):
    def again(answer):
        heard.append(answer)
        desk.submit(answer.request, heard.append)

    desk.submit(request(), again)
    desk.answer([done(request())])
    assert len(heard) == 1
    assert desk.unanswered() == (request(),)


def test_an_attempt_that_is_over_is_answered_lost_now_and_later(desk, told, heard):
    desk.submit(request(), heard.append)
    desk.close(["attempt-1"])
    desk.submit(request(2), heard.append)
    assert [(answer.request, answer.verdict) for answer in heard] == [
        (request(), Verdict.LOST),
        (request(2), Verdict.LOST),
    ]
    assert len(told) == 1


def test_the_next_attempt_may_ask_and_the_one_before_only_waits_for_its_answers(desk, heard):
    desk.submit(request(), heard.append)
    desk.turn_to("attempt-2")
    assert heard == []
    desk.submit(request(2), heard.append)
    assert [answer.verdict for answer in heard] == [Verdict.LOST]
    desk.submit(request(1, "attempt-2"), heard.append)
    desk.close(["attempt-1"])
    assert [answer.request for answer in heard] == [request(2), request()]
    assert desk.unanswered() == (request(1, "attempt-2"),)


def test_one_listener_that_raises_does_not_cost_another_its_answer(desk, heard):
    def raises(_):
        raise RuntimeError("no")

    desk.submit(request(), raises)
    desk.submit(request(), heard.append)
    with pytest.raises(RuntimeError):
        desk.answer([done(request())])
    desk.answer([done(request())])
    assert heard == [done(request())]


def test_asked_from_many_threads_while_the_attempt_ends_each_is_answered_once(desk):
    answers = [[] for _ in range(400)]
    begin = threading.Barrier(9)

    def ask(numbers):
        begin.wait(10)
        for number in numbers:
            desk.submit(request(number), answers[number].append)

    threads = [threading.Thread(target=ask, args=(range(first, 400, 8),)) for first in range(8)]
    for thread in threads:
        thread.start()
    begin.wait(10)
    desk.answer(done(asked) for asked in desk.unanswered())
    desk.close(["attempt-1"])
    for thread in threads:
        thread.join(10)
    assert [len(heard) for heard in answers] == [1] * 400
