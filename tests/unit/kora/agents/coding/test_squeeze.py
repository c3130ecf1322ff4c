"""JSON lines of any length: what is kept of them, and that the rest costs nothing."""

from __future__ import annotations

import json
import random

import orjson
import pytest

from kora.agents.coding.squeeze import TEXT_BYTES, JsonLines
from kora.agents.lines import CUT, LINE_BYTES, parsed

MEGABYTE = 1_048_576


def lines_of(text, size=65_536):
    splitter = JsonLines()
    lines = [line for at in range(0, len(text), size) for line in splitter.feed(text[at : at + size])]
    return lines + splitter.end()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_lines_come_out_as_they_are_however_they_were_chopped(size):
    assert lines_of(b'{"a":1}\n\n{"b":"\xc3\xa4\\""}\r\nx', size) == [b'{"a":1}', b"", b'{"b":"\xc3\xa4\\""}\r', b"x"]


def test_a_line_of_exactly_the_limit_is_kept_whole():
    line = b'{"a":"' + b"x" * (LINE_BYTES - 8) + b'"}'
    assert lines_of(line + b"\n") == [line]


@pytest.mark.parametrize(
    "text", ["x" * 3 * MEGABYTE, "\n" * 2 * MEGABYTE, '"' * 2 * MEGABYTE, "🪚" * MEGABYTE, "\\" * MEGABYTE]
)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [4_093, 10 * MEGABYTE])
def test_of_an_overlong_line_the_texts_are_cut_and_the_rest_can_be_read(text, ascii_only, size):
    said = {"message": {"content": text, "id": "t1"}, "type": "user", "n": [1, None, {"k": text}], "z": "end"}

    [line] = lines_of(json.dumps(said, ensure_ascii=ascii_only).encode() + b"\n", size)

    got = parsed(line)
    assert len(line) < 3 * TEXT_BYTES
    assert (got["type"], got["message"]["id"], got["z"], got["n"][:2]) == ("user", "t1", "end", [1, None])
    kept = got["message"]["content"].encode(errors="replace").decode()
    assert text.startswith(kept.rstrip("?\N{REPLACEMENT CHARACTER}"))
    assert len(kept) > 1_000


@pytest.mark.parametrize("text", [b"x", b"{", b'"', b"[],", b'{"a":{},'])
def test_a_line_that_is_still_too_long_is_cut_and_says_nothing(text):
    [line, after] = lines_of(text * (5 * MEGABYTE // 4 // len(text)) + b'\n{"a":1}\n')

    assert line == (text * MEGABYTE)[:LINE_BYTES] + CUT
    assert parsed(line) is None
    assert after == b'{"a":1}'


def test_no_text_is_torn_within_an_escape(monkeypatch):
    monkeypatch.setattr("kora.agents.coding.squeeze.LINE_BYTES", 200)
    monkeypatch.setattr("kora.agents.coding.squeeze.TEXT_BYTES", 40)
    chance = random.Random(7)
    for _ in range(500):
        parts = [chance.choice(["a", '"', "\\", "\n", "é", "\u2028", "x" * 30]) for _ in range(chance.randint(1, 60))]
        line = json.dumps({"long": "y" * 250, "text": "".join(parts), "type": "t"}).encode()
        [got] = lines_of(line + b"\n", chance.choice([1, 2, 3, 5, 11, 1_000]))
        if not got.endswith(CUT):
            assert orjson.loads(got)["type"] == "t"
            assert "".join(parts).startswith(orjson.loads(got)["text"])
