"""Following the log: the whole of it, then what comes, and no longer than anybody reads."""

import itertools
import json
import os
from dataclasses import dataclass

import pytest

from kora.cli import following


@dataclass
class Written:
    seq: int


class Growing:
    """A log that others write to while it is read."""

    def __init__(self, *upto):
        self.upto = list(upto)
        self.seen = 0
        self.reads = []

    def last_seq(self):
        return self.upto[0]

    def changed(self):
        if len(self.upto) > 1:
            del self.upto[0]
            return True
        return False

    def read(self, after):
        self.reads.append(after)
        return (Written(seq) for seq in range(after + 1, self.upto[0] + 1))


def test_what_is_there_comes_first_then_what_has_come(monkeypatch):
    pauses = []

    def pause():
        pauses.append(1)
        if len(pauses) > 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(following, "pause", pause)
    log = Growing(0, 1_200, 1_200, 1_203)
    bursts = []

    with pytest.raises(KeyboardInterrupt):
        bursts.extend(following.bursts(log, log.read))

    assert [event.seq for burst in bursts for event in burst] == list(range(1, 1_204))
    assert max(map(len, bursts)) == 500


def test_what_arrives_while_it_is_read_is_told_once(monkeypatch):
    pauses = itertools.count()

    def pause():
        if next(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(following, "pause", pause)
    log = Growing(0, 1, 5)
    seen = []

    def read(after):
        # One more than there was a moment ago, when the log was asked for its last.
        return (Written(seq) for seq in range(after + 1, log.upto[0] + 2))

    with pytest.raises(KeyboardInterrupt):
        seen.extend(following.bursts(log, read))

    assert [event.seq for burst in seen for event in burst] == [1, 2, 3, 4, 5, 6]


def test_a_filter_that_lets_nothing_through_is_not_tried_again_on_what_is_old(monkeypatch):
    pauses = itertools.count()

    def pause():
        if next(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(following, "pause", pause)
    log = Growing(0, 10, 20)
    asked = []

    def read(after):
        asked.append(after)
        return iter(())

    with pytest.raises(KeyboardInterrupt):
        list(following.bursts(log, read))

    assert asked == [0, 10]


def test_a_reader_that_has_left_is_noticed_without_a_write(monkeypatch):
    reading, writing = os.pipe()
    try:
        monkeypatch.setattr(following, "_STDOUT", writing)
        monkeypatch.setattr(following, "LOOK_SECONDS", 0.001)
        following.pause()
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            following.pause()
    finally:
        os.close(writing)


@pytest.fixture
def once(monkeypatch):
    """Whoever waits for more is interrupted."""

    def pause():
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "pause", pause)


def test_events_are_followed_one_object_a_line(kora, once, capsysbinary, monkeypatch):
    monkeypatch.setattr("kora.cli.program.discard", lambda: None)
    ids = [kora("ticket", "add", title, "--json").document["ticket_id"] for title in ("one", "two")]

    done = kora("events", "--follow", "--json")
    assert done.code == 130
    assert [json.loads(line)["ticket_id"] for line in done.out.splitlines()] == ids

    done = kora("events", "--follow", "--ticket", ids[1])
    head, line = done.out.splitlines()
    assert head.split("\t")[0] == "seq"
    assert ids[1] in line

    assert kora("events", "--follow", "--type", "kora.boot.ready", "--json").out == ""


def test_a_chain_is_not_verified_for_ever(kora):
    assert kora("events", "--follow", "--verify").code == 2
