"""Identifiers: time-ordered where they are keys, derived where the same thing must get the same name."""

from __future__ import annotations

import uuid

import uuid_utils

_ACTOR_NAMESPACE = uuid.UUID("6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11")
_COMMON = 28
"""characters of a UUIDv7 before its last 32 bits: the time, and a counter that is another for each that is drawn"""
_LAST_BITS = 0x7FFF_FFFF


def new_id() -> str:
    """A fresh UUIDv7; ids of one process sort in the order they were made."""
    return str(uuid_utils.uuid7())


def new_ids(count: int) -> list[str]:
    """So many fresh UUIDv7s, which sort in this order: one that is drawn, counted on from its last 31 random bits.

    For whoever needs hundreds at a time: a third of the work, and as unlikely to be met again.
    """
    drawn = new_id()
    common, last = drawn[:_COMMON], int(drawn[_COMMON:], 16) & _LAST_BITS
    return [f"{common}{number:08x}" for number in range(last, last + count)]


def default_actor_id(workspace_id: str) -> str:
    """The actor id of a workspace that names none: the same workspace always gives the same one."""
    return str(uuid.uuid5(_ACTOR_NAMESPACE, workspace_id))


def operation_id(ticket_id: str, key: str) -> str:
    """The `kora_operation_id`: uuid5 of ticket and key, so that a later attempt finds what an earlier one did."""
    return str(uuid_utils.uuid5(uuid_utils.UUID(ticket_id), key))


def parse_id(text: str) -> str:
    """The id in its canonical spelling. Raises `ValueError` for anything that is no UUID."""
    return str(uuid.UUID(text))
