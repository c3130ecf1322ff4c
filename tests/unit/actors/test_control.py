"""What the store permits is passed on; what cannot be read is not."""

from __future__ import annotations

import pytest

from actors.control import Control
from actors.messages import Permission, Tick
from actors.names import CONTROL, POLLER
from kora.domain.control import ClaimPermission
from kora.domain.ids import default_actor_id
from kora.errors import StoreUnavailableError
from kora.store.open import open_store


@pytest.fixture
def store(tmp_path):
    with open_store(
        f"sqlite:///{tmp_path}/kora.db", workspace_id="default", actor_id=default_actor_id("default")
    ) as store:
        yield store


def test_the_stores_permission_is_good_for_five_seconds_from_the_question(stage, store):
    control = stage.put(CONTROL, lambda seat: Control(seat, open_reader=store.reader, time_source=stage.time))
    expected = Permission(permission=ClaimPermission.NORMAL, until=stage.time.seconds + 5)
    assert stage.said(POLLER) == [expected]
    stage.time.seconds += 1
    control.on_receive(Tick(now=stage.time.seconds))
    assert stage.said(POLLER) == [Permission(permission=ClaimPermission.NORMAL, until=stage.time.seconds + 5)]
    control.on_stop()


def test_a_store_that_cannot_be_read_permits_nothing_until_it_can(stage, store):
    broken = True

    def reader():
        if broken:
            raise StoreUnavailableError("away")
        return store.reader()

    control = stage.put(CONTROL, lambda seat: Control(seat, open_reader=reader, time_source=stage.time))
    control.on_receive(Tick(now=stage.time.seconds))
    assert stage.said(POLLER) == []
    broken = False
    control.on_receive(Tick(now=stage.time.seconds))
    assert len(stage.said(POLLER)) == 1
    control.on_stop()
