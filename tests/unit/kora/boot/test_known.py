"""What this machine last knew of its store, and what shows that the store is not the one that it knew."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from loguru import logger

from kora.app.boot.known import CHAINS_KEPT, Known, KnownEvent, KnownHead, Memory, fault, newest
from kora.errors import BootError
from kora.store.steering import ChainHead


def digest(text):
    return hashlib.sha256(text.encode()).digest()


def head(chain_id, seq, text=None):
    return ChainHead(chain_id, seq, digest(text or f"{chain_id} {seq}"))


def known(*heads, epoch=1):
    return Known(
        store="sqlite:///kora.db", workspace_id="w", epoch=epoch, heads=tuple(KnownHead.of(each) for each in heads)
    )


class Reader:
    """A log whose heads and events are these."""

    def __init__(self, heads, events=()):
        self._heads, self._events = heads, events

    def heads(self, chain_ids):
        return [each for each in self._heads if each.chain_id in chain_ids]

    def events(self, *, after_seq, up_to_now):
        assert up_to_now
        return iter([event for event in self._events if event.seq > after_seq])

    def last_seq(self):
        return max((event.seq for event in self._events), default=0)


def event(seq, text=None):
    return SimpleNamespace(seq=seq, this_event_hash=digest(text or str(seq)).hex())


def newest_was(seq, *heads):
    return known(*heads).model_copy(update={"newest": KnownEvent(seq=seq, event_hash=digest(str(seq)).hex())})


def test_a_store_that_is_as_it_was_known_or_further_on_has_no_fault():
    last = known(head("workspace:w", 5), head("a", 3))
    assert fault(last, Reader([head("workspace:w", 5), head("a", 3)])) is None
    assert fault(last, Reader([head("workspace:w", 9), head("a", 4)])) is None


@pytest.mark.parametrize("now", [[head("workspace:w", 4)], []])
def test_a_chain_that_is_behind_or_gone_is_one(now):
    said = fault(known(head("workspace:w", 5)), Reader(now))
    assert "workspace:w ends at event" in said
    assert "this machine has known event 5" in said


def test_another_event_at_the_known_end_of_a_chain_is_one():
    last = known(head("a", 3, "what was there"))
    assert "event 3 of chain a is not the one" in fault(last, Reader([head("a", 3)]))


def test_another_event_in_the_place_of_the_newest_is_one_however_far_the_chains_have_gone_on():
    last, heads = newest_was(7, head("a", 3)), [head("a", 9)]
    assert fault(last, Reader(heads, [event(1), event(7), event(20)])) is None
    assert "seq 7 is not the one" in fault(last, Reader(heads, [event(1), event(7, "another"), event(20)]))
    assert "seq 7, which this machine has known, is gone" in fault(last, Reader(heads, [event(1), event(20)]))


@pytest.mark.parametrize("left", [[event(8), event(9)], []])
def test_a_newest_event_that_was_archived_since_is_none(left):
    assert fault(newest_was(7), Reader([], left)) is None


def test_a_chain_that_had_no_event_yet_says_nothing():
    assert fault(known(ChainHead("a", 0, bytes(32))), Reader([])) is None


def test_the_newest_event_of_another_workspace_is_not_known():
    class OfAnother(Reader):
        def last_seq(self):
            return 30

    assert newest(Reader([], [event(3), event(9)])).seq == 9
    assert newest(OfAnother([], [event(3), event(9)])) is None
    assert newest(Reader([])) is None


def test_newer_ends_replace_those_known_and_new_chains_come_last():
    merged = known(head("workspace:w", 1), head("a", 1)).with_heads([head("a", 2), head("b", 1)])
    assert [(each.chain_id, each.chain_seq) for each in merged.heads] == [("workspace:w", 1), ("a", 2), ("b", 1)]


def test_of_many_runtimes_the_newest_are_kept_and_the_workspace_always():
    last = known()
    for number in range(CHAINS_KEPT + 10):
        last = last.with_heads([head(f"runtime-{number}", 1)])
    last = last.with_heads([head("workspace:w", 7)])
    assert last.chain_ids[0] == "workspace:w"
    assert last.chain_ids[1:] == tuple(f"runtime-{number}" for number in range(10, CHAINS_KEPT + 10))


def test_what_is_kept_is_recalled_and_before_that_nothing_is(tmp_path):
    memory = Memory(tmp_path)
    assert memory.recall() is None
    assert memory.keep(known(head("a", 3), epoch=7))
    assert Memory(tmp_path).recall() == known(head("a", 3), epoch=7)
    assert memory.path.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["known.json"]


def test_as_many_chains_as_are_kept_can_be_read_again(tmp_path):
    memory, last = Memory(tmp_path), known(head("workspace:" + "w" * 200, 10**15))
    for number in range(CHAINS_KEPT + 1):
        last = last.with_heads([head(f"{number:036}", 10**15)])
    memory.keep(last)
    assert memory.recall() == last


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff\xfe", b'{"epoch": 1}', b"[" * 100_000])
def test_a_damaged_file_is_said_to_be_so_with_the_way_out_and_is_no_traceback(tmp_path, content):
    memory = Memory(tmp_path)
    memory.path.write_bytes(content)
    with pytest.raises(BootError, match=r"known.json cannot be read \(it is damaged\).*control reset` goes on"):
        memory.recall()


def test_a_file_that_cannot_be_opened_is_as_a_damaged_one(tmp_path):
    memory = Memory(tmp_path)
    memory.path.mkdir()
    with pytest.raises(BootError, match="Is a directory"):
        memory.recall()


def test_a_file_that_cannot_be_written_is_said_once_and_leaves_what_was_known(tmp_path):
    memory, said = Memory(tmp_path), []
    memory.keep(known(epoch=1))
    memory.path.with_suffix(".new").mkdir()
    sink = logger.add(said.append, format="{message}", level="WARNING")
    try:
        assert not memory.keep(known(epoch=2))
        assert not memory.keep(known(epoch=3))
    finally:
        logger.remove(sink)
    assert len(said) == 1
    assert "make the directory writable" in said[0]
    assert memory.recall() == known(epoch=1)
    memory.path.with_suffix(".new").rmdir()
    assert memory.keep(known(epoch=4))
    assert memory.recall() == known(epoch=4)
