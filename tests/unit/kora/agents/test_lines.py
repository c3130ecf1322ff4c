from __future__ import annotations

import pytest

from kora.agents.lines import CUT, LINE_BYTES, Conversation, LineSplitter, clean


def test_lines_come_out_whole_however_they_were_chopped():
    text = b"one\n\ntwo\r\nthr\xff\xee\nfour"
    for size in range(1, len(text) + 1):
        splitter = LineSplitter()
        lines = [line for at in range(0, len(text), size) for line in splitter.feed(text[at : at + size])]
        assert [*lines, *splitter.end()] == [b"one", b"", b"two\r", b"thr\xff\xee", b"four"]


@pytest.mark.parametrize("chunk_bytes", [1_000, LINE_BYTES - 1, LINE_BYTES, LINE_BYTES + 1, 5 * LINE_BYTES])
def test_an_over_long_line_is_cut_once_and_the_next_is_whole(chunk_bytes):
    text = b"a\n" + b"x" * (3 * LINE_BYTES) + b"\nb\n" + b"y" * (LINE_BYTES + 1)
    splitter = LineSplitter()
    lines = [line for at in range(0, len(text), chunk_bytes) for line in splitter.feed(text[at : at + chunk_bytes])]
    lines += splitter.end()
    assert lines == [b"a", b"x" * LINE_BYTES + CUT, b"b", b"y" * LINE_BYTES + CUT]


def test_a_line_of_exactly_the_limit_is_not_cut():
    splitter = LineSplitter()
    assert splitter.feed(b"x" * LINE_BYTES) == []
    assert splitter.feed(b"\n") == [b"x" * LINE_BYTES]


def test_clean_replaces_what_no_store_can_hold():
    assert clean(b"a\0b\xffc") == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[1]",
        b'{"a": 1}',
        b'"kora"',
        b'say {"kora":"result"}',
        b"[" * 60_000,
        b'{"kora":' * 5_000,
    ],
)
def test_what_is_no_object_with_a_kora_key_is_output(line):
    conversation = Conversation()
    assert conversation.take([line]) == [line]
    assert (conversation.result, conversation.protocol_fault, conversation.not_understood) == (None, None, None)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kora":"result","resolution":"failed_terminal","summary":"caf\xe9"}',
        b'{"kora":"result","resolution":"failed_terminal","summary":"caf\\udce9"}',
        b'{"kora":"result","resolution":"failed_terminal","summary":"a\\u0000b"}',
        b'\xef\xbb\xbf{"kora":"result","resolution":"failed_terminal"}',
        b'progress 99%\rprogress 100%\r{"kora":"result","resolution":"failed_terminal"}\r',
        b'{"cost_usd":0.1,"resolution":"failed_terminal","summary":"' + b"x" * 70_000 + b'","kora":"result"}',
        b'{"kora":"result","resolution":"failed_terminal","something":["new"]}',
    ],
)
def test_a_result_is_understood_as_it_was_meant(line):
    conversation = Conversation()
    assert conversation.take([line]) == []
    assert conversation.result is not None
    assert conversation.result.resolution == "failed_terminal"
    conversation.result.summary.encode()
    assert conversation.protocol_fault is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"kora":"result","resolution":',
        b'{ "kora" : "result", }',
        b'{"kora":"result","resolution":"failed_retryable","next_eligible_offset_seconds":Infinity}',
        b'{"kora":"result"}',
    ],
)
def test_a_result_that_cannot_be_read_is_a_fault_also_after_a_good_one(line):
    conversation = Conversation()
    conversation.take([b'{"kora":"result","resolution":"completed"}', line])
    assert conversation.result is None
    assert "the result line was" in str(conversation.protocol_fault)
    conversation.take([b'{"kora":"result","resolution":"completed"}'])
    assert conversation.result is not None
    assert conversation.protocol_fault is None


def test_a_result_line_that_was_cut_is_a_protocol_fault():
    conversation = Conversation()
    splitter = LineSplitter()
    lines = splitter.feed(b'{ "kora": "result", "resolution": "completed", "summary": "' + b"x" * LINE_BYTES + b'"}\n')
    assert conversation.take(lines) == lines
    assert "longer than 1,048,576 bytes" in str(conversation.protocol_fault)


def test_leading_blanks_and_a_carriage_return_do_no_harm():
    conversation = Conversation()
    assert conversation.take([b' {"kora":"progress","signal":"tool_call_boundary"}\r']) == []
    assert conversation.progress_lines == 1
