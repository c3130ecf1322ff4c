"""What attempts printed: written, compressed, read, followed and swept."""

from __future__ import annotations

import gzip
import logging
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from kora.agents import record as record_module
from kora.agents.record import PART, RECORD_BYTES, Record, await_closed, compress, is_written, plain_path
from kora.agents.records import RecordLine, follow, read, sweep
from kora.clock import SystemTime, to_us
from kora.domain.ids import new_id

from .conftest import WAIT_SECONDS

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY_SECONDS = 86_400


class Clock(SystemTime):
    """Each look is a second later."""

    def __init__(self):
        self.now = START

    def now_us(self):
        self.now += timedelta(seconds=1)
        return to_us(self.now)


@pytest.fixture
def attempt():
    return new_id()


@pytest.fixture
def path(tmp_path, attempt):
    return plain_path(tmp_path, attempt)


def texts(lines):
    return [(line.stream, line.text) for line in lines]


def a_record(path, *blocks, **room):
    made = Record(path, Clock(), **room)
    for stream, *lines in blocks:
        made.write(stream, [line.encode() for line in lines])
    return made


def test_lines_come_back_with_time_and_stream_while_it_is_written_and_after(tmp_path, attempt, path):
    record = a_record(path, ("stdout", "one", "", " two  three\r"), ("stderr", "\ufffd\u2028 \x1b[1m"))
    expected = [
        RecordLine(START + timedelta(seconds=1), "stdout", "one"),
        RecordLine(START + timedelta(seconds=1), "stdout", ""),
        RecordLine(START + timedelta(seconds=1), "stdout", " two  three\r"),
        RecordLine(START + timedelta(seconds=2), "stderr", "\ufffd\u2028 \x1b[1m"),
    ]
    assert list(read(tmp_path, attempt)) == expected
    written = path.read_bytes()
    record.close()
    assert [entry.name for entry in path.parent.iterdir()] == [f"{attempt}.log.gz"]
    assert gzip.decompress((path.parent / f"{attempt}.log.gz").read_bytes()) == written
    assert list(read(tmp_path, attempt)) == expected
    # Too late: what is closed stays as it is.
    record.write("stdout", [b"late"])
    record.close()
    assert list(read(tmp_path, attempt)) == expected
    assert [entry.name for entry in path.parent.iterdir()] == [f"{attempt}.log.gz"]


def test_nothing_printed_is_nothing_kept(tmp_path, attempt, path):
    Record(path, Clock()).close()
    assert not path.parent.exists()
    assert list(read(tmp_path, attempt)) == []
    assert list(read(tmp_path, "../../etc/passwd")) == []
    assert sweep(tmp_path, keep_days=1, now_us=to_us(START), live=lambda _: False) == 0


def test_of_several_that_share_a_file_the_last_to_close_compresses_it(tmp_path, attempt, path):
    first, second = a_record(path, ("stdout", "a")), Record(path, Clock(), room_bytes=100)
    first.close()
    assert path.exists()
    assert is_written(path)
    second.write("verify", [b"b"])
    second.close()
    assert not path.exists()
    assert not is_written(path)
    assert await_closed(WAIT_SECONDS)
    assert texts(read(tmp_path, attempt)) == [("stdout", "a"), ("verify", "b")]


def test_a_record_is_bounded_and_says_so(tmp_path, attempt, path):
    record = a_record(path, ("stdout", *["x" * 20] * 10), room_bytes=200)
    record.close()
    *lines, last = texts(read(tmp_path, attempt))
    assert lines == [("stdout", "x" * 20)] * 3
    assert last == ("kora", "[cut: more than 200 bytes were printed]")


def test_a_whole_record_is_compressed_in_bounded_pieces(tmp_path, attempt, path):
    lines = [b"%064d" % number for number in range(10_000)]
    record = Record(path, Clock())
    for _ in range(20):
        record.write("stdout", lines)
    record.close()
    assert (path.parent / f"{attempt}.log.gz").stat().st_size < RECORD_BYTES / 10
    kept = list(read(tmp_path, attempt))
    assert [line.text.encode() for line in kept[:10_000]] == lines
    assert kept[-1].stream == "kora"


@pytest.mark.parametrize("keep", [0, 1, 10, 30, 200, 1_000, 3_000])
def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path, attempt, path, keep):
    record = Record(path, Clock())
    lines = [os.urandom(20).hex() for _ in range(200)]
    record.write("stdout", [line.encode() for line in lines])
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    found = [line.text for line in read(tmp_path, attempt)]
    assert found[:-1] == lines[: len(found)][:-1]
    assert len(found) >= whole[:keep].count(b"\n")
    path.write_bytes(whole)
    record.close()
    packed = path.with_suffix(".log.gz")
    packed.write_bytes(packed.read_bytes()[:keep])
    found = [line.text for line in read(tmp_path, attempt)]
    assert found[:-1] == lines[: len(found)][:-1]
    assert bool(found) is (keep >= 200)


def test_damage_ends_the_reading_and_raises_nothing(tmp_path, attempt, path):
    path.parent.mkdir()
    path.with_suffix(".log.gz").write_bytes(b"no gzip at all")
    assert list(read(tmp_path, attempt)) == []
    path.write_bytes(b"no time\n2026-03-01T12:00:00Z stdout good\n\n\xff\xff \xff \xff\n9999-99-99 a b\n")
    assert texts(read(tmp_path, attempt)) == [("stdout", "good")]


def test_what_a_crash_between_renaming_and_removing_left_is_read_once(tmp_path, attempt, path):
    a_record(path, ("stdout", "a")).close()
    path.write_bytes(gzip.decompress(path.with_suffix(".log.gz").read_bytes()))
    assert texts(read(tmp_path, attempt)) == [("stdout", "a")]
    sweep(tmp_path, keep_days=0, now_us=to_us(START), live=lambda _: False)
    assert not path.exists()
    assert texts(read(tmp_path, attempt)) == [("stdout", "a")]


def test_a_disk_that_is_full_leaves_the_plain_record(tmp_path, attempt, path, caplog, monkeypatch):
    record = a_record(path, ("stdout", "a"))

    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_module, "_compress_into", full)
    record.close()
    assert "stays uncompressed" in caplog.text
    assert texts(read(tmp_path, attempt)) == [("stdout", "a")]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert not is_written(path)


class Followed:
    """Follows in a thread of its own; the test says when a wait is over."""

    def __init__(self, tmp_path, attempt):
        self.waits = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.ends = False
        self.lines = []
        self.thread = threading.Thread(target=self.run, args=(tmp_path, attempt))
        self.thread.start()

    def run(self, tmp_path, attempt):
        self.lines += texts(follow(tmp_path, attempt, wait=self.wait))

    def wait(self):
        self.waits.release()
        assert self.go_on.acquire(timeout=WAIT_SECONDS)
        return not self.ends

    def await_wait(self):
        assert self.waits.acquire(timeout=WAIT_SECONDS)

    def step(self):
        self.go_on.release()
        self.await_wait()

    def end(self):
        self.go_on.release()
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive()
        return self.lines


def test_a_follower_hears_lines_as_they_come_and_ends_when_the_record_is_closed(tmp_path, attempt, path):
    followed = Followed(tmp_path, attempt)
    followed.await_wait()
    followed.step()
    record = a_record(path, ("stdout", "one"))
    followed.step()
    record.write("stdout", [b"two"])
    followed.step()
    record.write("stderr", [b"three"])
    record.close()
    assert not path.exists()
    assert followed.end() == [("stdout", "one"), ("stdout", "two"), ("stderr", "three")]


def test_a_follower_gets_each_line_when_it_is_there(tmp_path, attempt, path):
    record = a_record(path, ("stdout", "one"))
    lines = follow(tmp_path, attempt, wait=lambda: pytest.fail("nothing to wait for yet"))
    assert next(lines).text == "one"
    lines.close()
    record.close()


def test_a_follower_that_is_told_to_end_looks_once_more(tmp_path, attempt, path):
    followed = Followed(tmp_path, attempt)
    followed.await_wait()
    record = a_record(path, ("stdout", "last"))
    followed.ends = True
    # Found only now, it is open, and asked for once more.
    followed.go_on.release()
    assert followed.end() == [("stdout", "last")]
    record.close()


def test_a_follower_of_what_is_closed_reads_it_and_ends(tmp_path, attempt, path):
    a_record(path, ("stdout", "one")).close()
    assert texts(follow(tmp_path, attempt, wait=lambda: pytest.fail("nothing to wait for"))) == [("stdout", "one")]


def test_a_follower_of_what_never_was_ends_when_told(tmp_path, attempt):
    assert list(follow(tmp_path, attempt, wait=lambda: False)) == []


def aged(path, days):
    os.utime(path, (START.timestamp() - days * DAY_SECONDS,) * 2)
    return path


def test_the_sweep_removes_the_old_and_compresses_what_a_crash_left(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    names = {name: new_id() for name in ("old", "young", "crashed", "old crashed", "alive", "writing")}
    paths = {name: plain_path(tmp_path, attempt) for name, attempt in names.items()}
    writing = a_record(paths["writing"], ("stdout", "writing"))
    for name, path in paths.items():
        path.write_bytes(b"2026-03-01T12:00:00Z stdout " + name.encode() + b"\n")
    for name, days in (("old", 31), ("young", 29)):
        compress(paths[name])
        aged(paths[name].with_suffix(".log.gz"), days)
    for name, days in (("crashed", 10), ("old crashed", 31), ("alive", 31), ("writing", 31)):
        aged(paths[name], days)
    part = paths["crashed"].with_suffix(PART)
    part.write_bytes(b"half")
    removed = sweep(tmp_path, keep_days=30, now_us=to_us(START), live=lambda attempt: attempt == names["alive"])
    assert removed == 2
    assert sorted(entry.name for entry in paths["old"].parent.iterdir()) == sorted(
        [
            paths["young"].with_suffix(".log.gz").name,
            paths["crashed"].with_suffix(".log.gz").name,
            paths["alive"].name,
            paths["writing"].name,
        ]
    )
    assert texts(read(tmp_path, names["crashed"])) == [("stdout", "crashed")]
    assert paths["crashed"].with_suffix(".log.gz").stat().st_mtime == START.timestamp() - 10 * DAY_SECONDS
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "2 records older than 30 days removed, 1 compressed"
    ]
    writing.close()


def test_the_sweep_leaves_alone_what_is_not_its_own(tmp_path):
    folder = tmp_path / "attempts"
    folder.mkdir()
    outside = aged_file(tmp_path / "outside.log")
    kept = [
        aged_file(folder / name)
        for name in ("notes.txt", "x.log", f"{new_id()}.log.bak", f"{new_id()}.gz", f"{new_id()}.log.gz.old")
    ]
    links = [folder / f"{new_id()}{suffix}" for suffix in (".log", ".log.gz", ".log.gz.part")]
    for link in links:
        link.symlink_to(outside)
        os.utime(link, (0, 0), follow_symlinks=False)
    directory = folder / f"{new_id()}.log"
    directory.mkdir()
    os.utime(directory, (0, 0))
    fifo = folder / f"{new_id()}.log"
    os.mkfifo(fifo)
    os.utime(fifo, (0, 0))
    assert sweep(tmp_path, keep_days=1, now_us=to_us(START), live=lambda _: False) == 0
    assert all(os.path.lexists(path) for path in (*kept, *links, directory, fifo, outside))


def aged_file(path):
    path.write_text("x")
    return aged(path, 1_000)


def test_the_sweep_does_not_follow_a_folder_that_is_a_link(tmp_path, caplog):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    precious = aged_file(elsewhere / f"{new_id()}.log")
    (tmp_path / "attempts").symlink_to(elsewhere)
    assert sweep(tmp_path, keep_days=1, now_us=to_us(START), live=lambda _: False) == 0
    assert precious.exists()
    assert "is no folder, or a link" in caplog.text


def test_without_a_number_of_days_nothing_is_removed(tmp_path):
    (tmp_path / "attempts").mkdir()
    old = aged_file(plain_path(tmp_path, new_id()).with_suffix(".log.gz"))
    assert sweep(tmp_path, keep_days=0, now_us=to_us(START), live=lambda _: False) == 0
    assert old.exists()


def test_thousands_of_old_records_go_in_one_sweep(tmp_path):
    folder = tmp_path / "attempts"
    folder.mkdir()
    for _ in range(3_000):
        aged_file(folder / f"{new_id()}.log.gz")
    assert sweep(tmp_path, keep_days=1, now_us=to_us(START), live=lambda _: False) == 3_000
    assert list(folder.iterdir()) == []
