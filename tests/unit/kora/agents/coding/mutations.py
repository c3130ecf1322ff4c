"""Streams as they never should be: recorded ones, cut, reordered, merged, broken, blown up. Each from its seed."""

from __future__ import annotations

import json
import random

from .recorded import TABLE

LONG_BYTES = 50_000_000
BYTES = [
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\x00",
    b"\\ud800",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"\r",
    b"\n",
    b"NaN",
    b"1e999",
    b"[" * 3_000,
]
VALUES = [
    None,
    True,
    -1,
    1e308,
    10**30,
    "",
    "x" * 5_000,
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"type": "result"},
    ["a"],
    "--x",
]


def lines(seed: int) -> tuple[object, list[bytes]]:
    """Whose stream it was, and its mutated lines."""
    chance = random.Random(seed)
    recorded = chance.choice(TABLE)
    stream = list(recorded.lines)
    for _ in range(chance.randint(1, 6)):
        stream = chance.choice(KINDS)(chance, stream or [b"{}"])
    return recorded, stream


def cut(chance, stream):
    at = chance.randrange(len(stream))
    return [*stream[:at], stream[at][: chance.randint(0, len(stream[at]))], *stream[at + 1 :]]


def end_early(chance, stream):
    return stream[: chance.randint(0, len(stream))]


def reorder(chance, stream):
    return chance.sample(stream, len(stream))


def double(chance, stream):
    at = chance.randrange(len(stream))
    return [*stream[:at], *[stream[at]] * chance.randint(2, 5), *stream[at:]]


def merge(chance, stream):
    at = chance.randrange(len(stream))
    return [*stream[:at], b"".join(stream[at : at + 2]), *stream[at + 2 :]]


def mix(chance, stream):
    other = chance.choice(TABLE).lines
    return chance.sample(stream + list(other), len(stream) + len(other))


def break_bytes(chance, stream):
    at = chance.randrange(len(stream))
    line = bytearray(stream[at])
    for _ in range(chance.randint(1, 5)):
        place = chance.randint(0, len(line))
        line[place : place + chance.randint(0, 3)] = chance.choice(BYTES)
    return [*stream[:at], *bytes(line).split(b"\n"), *stream[at + 1 :]]


def change_value(chance, stream):
    """Something within a line is of another type, or gone, or all keys stand in another order."""
    at = chance.randrange(len(stream))
    try:
        said = json.loads(stream[at])
    except (ValueError, RecursionError):
        return stream
    here = said
    while isinstance(here, dict | list) and here:
        key = chance.choice(list(here)) if isinstance(here, dict) else chance.randrange(len(here))
        if chance.random() < 0.4 or not isinstance(here[key], dict | list):
            if chance.random() < 0.2:
                del here[key]
            else:
                here[key] = chance.choice(VALUES)
            break
        here = here[key]
    if isinstance(said, dict):
        said = dict(chance.sample(list(said.items()), len(said)))
    return [*stream[:at], json.dumps(said).encode(), *stream[at + 1 :]]


def blow_up(chance, stream, size=2_000_000):
    """One line becomes very long, by its first text or by what it is made of."""
    at = chance.randrange(len(stream))
    before, quote, after = stream[at].partition(b'":"')
    filling = chance.choice([b"x", b"\\n", b"\xff", b"\\u00e9", b'","k":"', b"\\", b"[", b"{}"])
    return [*stream[:at], before + quote + filling * (size // len(filling)) + after, *stream[at + 1 :]]


def blow_up_fully(chance, stream):
    """The same, as long as no line ever is."""
    return blow_up(chance, stream, LONG_BYTES)


KINDS = [
    cut,
    end_early,
    reorder,
    double,
    merge,
    mix,
    break_bytes,
    break_bytes,
    change_value,
    change_value,
    change_value,
]
EXTREME = [blow_up, blow_up_fully]
