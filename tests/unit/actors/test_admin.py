"""The actor that keeps the admin API served."""

from __future__ import annotations

import threading

import pytest

from actors.admin import Admin
from actors.messages import Describe, Tick
from actors.names import ADMIN
from kora.errors import AdminError


class Served:
    def __init__(self):
        self.fault, self.closed = None, threading.Event()

    def check(self):
        if self.fault:
            raise self.fault

    def close(self):
        self.closed.set()


@pytest.fixture
def made():
    return []


@pytest.fixture
def admin(stage, made):
    def serve():
        made.append(Served())
        return made[-1]

    return stage.put(ADMIN, lambda seat: Admin(seat, serve=serve))


def test_it_serves_from_its_start_until_it_is_stopped(admin, made):
    [served] = made
    assert admin.on_receive(Describe()) == {"serves": True}
    assert not served.closed.is_set()
    admin.on_stop()
    assert served.closed.is_set()


def test_it_dies_when_the_server_has_and_lets_go_of_it(admin, made):
    [served] = made
    admin.on_receive(Tick(now=1.0))
    served.fault = AdminError("its thread has died")
    with pytest.raises(AdminError, match="has died"):
        admin.on_receive(Tick(now=2.0))
    admin.on_failure()
    assert served.closed.is_set()


def test_one_that_is_retired_lets_go_of_it_in_a_thread_of_its_own(admin, made):
    [served] = made
    admin.on_retired()
    assert served.closed.wait(10)
