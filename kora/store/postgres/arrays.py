"""Arrays as PostgreSQL takes them in its binary form: the server has nothing to parse, character by character.

A dimension, no nulls, the elements' type, how many, the first one's number; then each element behind its length. What
psycopg makes of a list is the same, at a microsecond an element.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, ClassVar, Final

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_HEADER: Final = struct.Struct(">iiIii")
_LENGTH: Final = struct.Struct(">i")


class Array(bytes):
    """An array's binary form; its class says of what."""

    __slots__ = ()
    array_oid: ClassVar[int]
    element_oid: ClassVar[int]

    @classmethod
    def of(cls, count: int, elements: bytes) -> Array:
        """So many elements, each behind its length."""
        return cls(_HEADER.pack(1, 0, cls.element_oid, count, 1) + elements)


class _Texts(Array):
    array_oid, element_oid = 1009, 25

    @classmethod
    def spelt(cls, values: Sequence[str]) -> Array:
        size = len(values[0])
        if set(map(len, values)) == {size} and all(map(str.isascii, values)):
            # Ids, and what is said of many alike: one call for all of them.
            prefix = _LENGTH.pack(size).decode("latin-1")
            return cls.of(len(values), f"{prefix}{prefix.join(values)}".encode("latin-1"))
        return cls.of(len(values), _framed([value.encode() for value in values]))


class _Blobs(Array):
    array_oid, element_oid = 1001, 17

    @classmethod
    def spelt(cls, values: Sequence[bytes | bytearray]) -> Array:
        return cls.of(len(values), _framed(values))


class _Bigints(Array):
    array_oid, element_oid = 1016, 20

    @classmethod
    def spelt(cls, values: Sequence[int]) -> Array:
        return cls.of(len(values), _packed("iq", 8, values))


class _Integers(Array):
    array_oid, element_oid = 1007, 23

    @classmethod
    def spelt(cls, values: Sequence[int]) -> Array:
        return cls.of(len(values), _packed("ii", 4, values))


ARRAYS: Final[Mapping[str, Callable[[Sequence[Any]], Array]]] = {
    "text": _Texts.spelt,
    "bytea": _Blobs.spelt,
    "bigint": _Bigints.spelt,
    "integer": _Integers.spelt,
}
"""by the type's name: the array of these values, of which there is at least one, and none is null

Raises `TypeError` or `ValueError` for what is none of the type."""


def register(adapters: AdaptersMap) -> None:
    """Let a connection send arrays as they are."""
    for kind in (_Texts, _Blobs, _Bigints, _Integers):
        adapters.register_dumper(kind, _dumper(kind))


def _dumper(kind: type[Array]) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = kind.array_oid

        def dump(self, obj: Array) -> Array:
            return obj

    return ArrayDumper


def _framed(values: Sequence[bytes | bytearray]) -> bytes:
    sizes = list(map(len, values))
    return b"".join(chain.from_iterable(zip(map(_LENGTH.pack, sizes), values, strict=True)))


def _packed(each: str, size: int, values: Sequence[int]) -> bytes:
    try:
        return struct.pack(f">{each * len(values)}", *chain.from_iterable(zip(repeat(size), values)))
    except struct.error as error:
        raise ValueError(f"a number that cannot be stored: {error}") from error
