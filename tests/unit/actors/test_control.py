"""What the store and the operator permit is passed on; what cannot be read is not."""

from __future__ import annotations

import pytest
from loguru import logger

from actors.control import Control
from actors.messages import Describe, Tick
from actors.names import CONTROL, POLLER, STATE_HOLDER
from actors.steering import Permission, ProviderRefused, Recheck, Standing
from kora.domain.control import ClaimPermission
from kora.domain.ids import default_actor_id
from kora.domain.resolution import Refusal
from kora.domain.state import DegradationReason
from kora.errors import StoreUnavailableError
from kora.store.open import open_store


class Gate:
    """A pause that the test sets."""

    paused = False

    def is_paused(self):
        return self.paused


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def store(tmp_path):
    with open_store(
        f"sqlite:///{tmp_path}/kora.db", workspace_id="default", actor_id=default_actor_id("default")
    ) as store:
        yield store


@pytest.fixture
def control(stage, store, gate):
    made = stage.put(CONTROL, lambda seat: Control(seat, open_reader=store.reader, gate=gate, time_source=stage.time))
    yield made
    made.on_stop()


def permissions(stage):
    return [(told.permission, told.until - stage.time.seconds) for told in stage.said(POLLER)]


def test_the_stores_permission_is_good_for_five_seconds_from_the_question(stage, control):
    assert permissions(stage) == [(ClaimPermission.NORMAL, 5)]
    stage.time.seconds += 1
    control.on_receive(Tick(now=stage.time.seconds))
    assert permissions(stage) == [(ClaimPermission.NORMAL, 5)]


def test_a_store_that_cannot_be_read_permits_nothing_until_it_can(stage, store, gate):
    broken = True

    def reader():
        if broken:
            raise StoreUnavailableError("away")
        return store.reader()

    control = stage.put(CONTROL, lambda seat: Control(seat, open_reader=reader, gate=gate, time_source=stage.time))
    control.on_receive(Tick(now=stage.time.seconds))
    assert stage.said(POLLER) == []
    gate.paused = True
    control.on_receive(Tick(now=stage.time.seconds))
    assert permissions(stage) == [(ClaimPermission.NONE, 5)]
    gate.paused = broken = False
    control.on_receive(Tick(now=stage.time.seconds))
    assert permissions(stage) == [(ClaimPermission.NORMAL, 5)]
    control.on_stop()


def test_a_pause_is_told_at_once_when_it_is_to_look_and_so_is_its_end(stage, control, gate):
    stage.said(POLLER)
    stage.said(STATE_HOLDER)
    for paused, permission, reasons in [
        (True, ClaimPermission.NONE, {DegradationReason.OPERATOR}),
        (False, ClaimPermission.NORMAL, set()),
    ]:
        gate.paused = paused
        control.on_receive(Recheck())
        [told], [mirrored] = stage.said(POLLER), stage.said(STATE_HOLDER)
        assert isinstance(told, Permission)
        assert told.permission is permission
        assert mirrored == Standing(version=told.version, permission=permission, reasons=frozenset(reasons))
        facts = control.on_receive(Describe())
        assert facts == {
            "permission": permission,
            "reasons": sorted(reasons),
            "store_readable": True,
            "refusals": {},
        }


def test_a_providers_refusal_is_kept_in_mind_and_changes_nothing_of_what_may_be_claimed(stage, control):
    said = Refusal(DegradationReason.DISPATCH, "429 Too Many Requests", until=stage.time.seconds + 90)
    refused = ProviderRefused(agent="review", work_attempt_id="attempt-1", refusal=said)
    stage.said(POLLER)

    lines = []
    handler = logger.add(lines.append, format="{message}")
    for _ in range(2):
        control.on_receive(refused)
    logger.remove(handler)

    assert stage.said(POLLER) == []
    assert control.on_receive(Describe())["refusals"] == {
        "review": {
            "work_attempt_id": "attempt-1",
            "reason": "dispatch",
            "said": "429 Too Many Requests",
            "until": said.until,
        }
    }
    assert lines == ["the provider of [agents.review] refused (dispatch), until 90 s from now: 429 Too Many Requests\n"]
    control.on_receive(Tick(now=stage.time.seconds))
    assert permissions(stage) == [(ClaimPermission.NORMAL, 5)]


def test_each_word_is_newer_than_the_one_before_and_than_any_of_its_predecessor(stage, store, gate):
    def sit():
        return stage.put(
            CONTROL, lambda seat: Control(seat, open_reader=store.reader, gate=gate, time_source=stage.time)
        )

    controls = [sit()]
    controls[0].on_receive(Recheck())
    controls.append(sit())
    versions = [told.version for told in stage.said(POLLER)]
    assert versions == sorted(set(versions))
    for control in controls:
        control.on_stop()


def test_a_holder_that_is_not_there_is_told_nothing(stage, control):
    stage.said(STATE_HOLDER)
    stage.directory.withdraw(STATE_HOLDER)
    control.on_receive(Recheck())
    assert stage.directory.dead_letters.total == 0
