"""How events leave a SQLite store: in moves that may be broken off anywhere, into files that stay small."""

import errno
import fcntl
import gzip
import os
import random
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import UTC, datetime
from io import FileIO

import orjson
import pytest

from kora.clock import SystemTime
from kora.domain.events import EventType, NewEvent
from kora.errors import StoreUnavailableError, StoreUnusableError
from kora.store.archive_file import may_go_on
from kora.store.open import open_store
from kora.store.port import RuntimeRecord, Turn
from kora.store.sql import archive
from kora.store.sql.archive import Limits
from kora.store.sqlite.connection import identity
from kora.store.sqlite.place import SqliteConnection, SqlitePlace
from kora.store.sqlite.sets import ARCHIVING

FAR = datetime(2100, 1, 1, tzinfo=UTC)
SMALL = Limits(move_events=10, file_bytes=1_500)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cold"


@pytest.fixture
def place(store, path):
    return SqlitePlace(path, "w", "a", SystemTime(), identity(path))


@pytest.fixture
def run(place, directory):
    """Archive all there is, little at a time unless said otherwise."""

    def some(limits=SMALL, to=directory, progress=lambda *_: None):
        return archive.archive(place, ARCHIVING, to, FAR, who="tester", progress=progress, limits=limits)

    return some


@pytest.fixture
def verify(store):
    def fault():
        with closing(store.reader()) as reader:
            return reader.verify().fault

    return fault


@pytest.fixture
def several(store, add):
    """Sixty events, of three chains in turn."""
    writers = [store.writer(RuntimeRecord(name, "here", 1, "0")) for name in ("one", "two")]
    for writer in writers:
        writer.next_incarnation()
    for number in range(20):
        add(1)
        for writer in writers:
            writer.turn(1, Turn(append=[NewEvent(EventType.TRANSITIONED, {"n": number})]))
    for writer in writers:
        writer.close()


def recorded(raw):
    return raw.execute("SELECT file, bytes, events FROM archives ORDER BY last_seq").fetchall()


def archived(raw):
    """The ids of all archived events, as far as the store has recorded the files."""
    ids = []
    for file, size, events in recorded(raw):
        with open(file, "rb") as packed:  # noqa: PTH123 - a name as the store has it
            lines = gzip.decompress(packed.read(size)).splitlines() if size else []
        found = [said["event_id"] for said in map(orjson.loads, lines) if "event_id" in said]
        assert len(found) == events
        ids += found
    return ids


def stored(raw):
    return [event_id for (event_id,) in raw.execute("SELECT event_id FROM events ORDER BY seq")]


def test_a_full_file_is_followed_by_a_new_one(several, run, directory, raw, verify):
    before = stored(raw)

    result = run()

    assert archived(raw) == before
    assert sorted(result.files) == sorted(directory.iterdir())
    assert len(result.files) > 2
    assert all(file.stat().st_size < 1_500 + 1_500 for file in result.files)
    assert {file.name for file in result.files} >= {"w-1.jsonl.gz"}
    assert verify() is None


def test_large_events_make_a_move_smaller(several, run, directory):
    told = []
    run(Limits(move_bytes=1), progress=lambda done, _: told.append(done))

    assert told == [0, 60], "a page is the least"


def test_a_member_says_what_it_holds_and_where_its_chains_stood(several, run):
    (file,) = run(Limits(move_events=30)).files

    headers = [
        said for said in map(orjson.loads, gzip.decompress(file.read_bytes()).splitlines()) if "kora_archive" in said
    ]

    assert [(said["first_seq"], said["last_seq"], said["events"]) for said in headers] == [(1, 30, 30), (31, 60, 30)]
    assert headers[0]["chains"] == {chain_id: [0, "00" * 32] for chain_id in ("one", "two", "workspace:w")}
    assert {chain_id: seq for chain_id, (seq, _) in headers[1]["chains"].items()} == dict.fromkeys(
        ["one", "two", "workspace:w"], 10
    )


class KilledError(BaseException):
    """What a SIGKILL would be, if it could be caught."""


@pytest.mark.parametrize("moves", [0, 1, 3])
@pytest.mark.parametrize("when", ["half written", "written at length", "hardly written"])
def test_what_a_killed_move_left_is_cut_off(*, several, run, raw, verify, monkeypatch, directory, moves, when):
    before = stored(raw)
    # What is to be moved, and the file, are on record before.
    real, left = SqliteConnection.writing, [2 + moves]

    def until_killed(connection):
        if not left[0]:
            raise KilledError
        left[0] -= 1
        return real(connection)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteConnection, "writing", until_killed)
        with pytest.raises(KilledError):
            run(Limits(move_events=10))
    (file,) = directory.iterdir()
    assert file.stat().st_size > recorded(raw)[0][1]
    if when == "half written":
        with file.open("r+b") as cut:
            cut.truncate(file.stat().st_size - 10)
    elif when == "written at length":
        with file.open("r+b") as longer:
            longer.truncate(recorded(raw)[0][1])
            longer.seek(0, os.SEEK_END)
            begun = gzip.decompress(file.read_bytes())[:100] if moves else b""
            longer.write(gzip.compress(begun + os.urandom(600_000 * bool(moves)))[:-9])
    elif when == "hardly written":
        with file.open("r+b") as cut:
            cut.truncate(recorded(raw)[0][1] + 15)
    assert verify() is None, "what the store does not know is not looked at"

    run(Limits(move_events=10))

    assert archived(raw)[: len(before)] == before
    assert list(directory.iterdir()) == [file]
    assert file.stat().st_size == recorded(raw)[0][1]
    assert verify() is None


def test_a_move_killed_at_its_very_end_is_made_again_in_another_file(*, several, run, raw, verify, monkeypatch):
    before = stored(raw)

    def killed(*_):
        raise KilledError

    (file,) = run(Limits(move_events=30)).files
    with monkeypatch.context() as patch:
        patch.setattr(archive.OpenArchive, "append", after_it(archive.OpenArchive.append, killed))
        with pytest.raises(KilledError):
            run()
    longer = file.read_bytes()

    run()

    assert file.read_bytes() == longer
    assert archived(raw)[: len(before)] == before
    assert verify() is None


def after_it(real, then):
    def both(*args):
        real(*args)
        then()

    return both


def test_a_file_killed_before_its_first_byte_is_gone_on_with(*, several, run, raw, verify, monkeypatch, directory):
    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(archive, "member", killed)
        with pytest.raises(KilledError):
            run()
    assert [size for _, size, _ in recorded(raw)] == [0]

    run(Limits())

    assert len(recorded(raw)) == 1
    assert len(list(directory.iterdir())) == 1
    assert verify() is None


def test_a_file_that_another_copy_of_the_store_went_on_with_is_left_alone(several, run, raw, verify):
    (file,) = run(Limits(move_events=30)).files
    raw.execute("UPDATE archives SET bytes = 0, events = 0")
    longer = file.read_bytes()

    (other,) = run(Limits()).files

    assert other != file
    assert file.read_bytes() == longer


@pytest.mark.parametrize("when", [0, 10, 50, 60])
@pytest.mark.parametrize("first", ["copy", "original"])
def test_a_copy_of_the_store_destroys_nothing(*, several, run, directory, path, add, raw, tmp_path, when, first):
    """Taken between two moves of the original, which goes on as the copy does, in the same directory."""
    copy = tmp_path / "copy.db"

    def copied(done, _):
        if done == when:
            raw.execute("VACUUM INTO ?", (str(copy),))

    run(Limits(move_events=10), progress=copied)
    copies = SqlitePlace(copy, "w", "a", SystemTime(), identity(copy))
    for turn in range(4):
        if (turn % 2 == 0) is (first == "original"):
            add(1)
            run()
        else:
            archive.archive(copies, ARCHIVING, directory, FAR, who="copy", progress=lambda *_: None)
        for whose in (path, copy):
            with closing(open_store(f"sqlite:///{whose}", workspace_id="w", actor_id="a").reader()) as reader:
                assert reader.verify().fault is None


def test_a_broken_off_member_of_the_archive_is_told_from_all_else(tmp_path):
    file = tmp_path / "file"
    header = b'{"kora_archive":1,"archive_id":"mine","more":1}\n'
    mine = gzip.compress(header + b"x" * 1_000_000 + os.urandom(400_000))
    other = gzip.compress(header.replace(b"mine", b"your") + os.urandom(4_000))
    for before, behind, may in (
        (mine, b"", True),
        (mine, mine[:-1], True),
        (mine, mine[:5], True),
        (mine, mine, False),
        (mine, mine + mine[:1], False),
        (mine, other[:-1], False),
        (mine, b"something else", False),
        (other, b"", False),
        (b"something else", b"", False),
        (b"", b"", True),
        (b"", mine[:-1], True),
        (b"", mine, False),
        (b"", other[:-1], False),
        (b"", b"something else", False),
    ):
        file.write_bytes(before + behind)
        with FileIO(file) as opened:
            assert may_go_on(opened, len(before), "mine") is may, (before[:20], behind[:20])


@pytest.mark.parametrize("change", ["removed", "replaced", "with its directory", "longer"])
def test_events_stay_where_their_file_does_not(*, several, run, raw, directory, change):
    before = stored(raw)

    def lost(done, _):
        if not done:
            return
        (file,) = directory.iterdir()
        if change == "longer":
            with file.open("ab") as longer:
                longer.truncate(file.stat().st_size + 100_000)
            return
        file.rename(directory.parent / "away")
        if change == "replaced":
            file.write_bytes((directory.parent / "away").read_bytes())
        elif change == "with its directory":
            directory.rmdir()

    with pytest.raises(StoreUnusableError, match=r"w-1\.jsonl\.gz was removed, replaced or changed .* archive again"):
        run(Limits(move_events=10), progress=lost)

    assert stored(raw)[:50] == before[10:]
    assert [events for *_, events in recorded(raw)] == [10]


def test_a_chain_without_its_row_is_not_archived_and_named(several, run, raw):
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute("DELETE FROM chains WHERE chain_id = 'two'")

    with pytest.raises(StoreUnusableError, match=r"the head of chain two is missing.*events --verify"):
        run()

    assert len(stored(raw)) == 61


def test_a_lost_file_is_not_gone_on_with(several, run, add, raw, verify):
    (file,) = run(Limits()).files
    file.unlink()
    add(3)

    (other,) = run(Limits()).files

    assert other != file
    assert f"{file}: it is missing" in verify().fault


def test_of_two_at_once_into_one_file_one_does_it(several, run, raw, verify):
    before = stored(raw)

    def another(done, _):
        if done == 20:
            with pytest.raises(StoreUnavailableError, match="being written by another archiving"):
                run(Limits(move_events=10))

    run(Limits(move_events=10), progress=another)
    assert archived(raw)[: len(before)] == before
    assert verify() is None


@pytest.mark.parametrize("moved", [0, 10, 50])
def test_of_two_at_once_into_two_directories_one_is_told_of_the_other(several, run, raw, moved, tmp_path):
    before = stored(raw)

    def one_move(done, _):
        if done:
            raise KilledError

    def elsewhere(done, _):
        if done == moved:
            with pytest.raises(KilledError):
                run(Limits(move_events=7), to=tmp_path / "elsewhere", progress=one_move)

    with pytest.raises(StoreUnavailableError, match="another archiving of this workspace is under way"):
        run(Limits(move_events=10), progress=elsewhere)
    assert archived(raw) == before[: moved + 7]
    assert stored(raw)[: 53 - moved] == before[moved + 7 :]


def test_what_another_has_moved_is_not_counted(several, run, tmp_path):
    result = run(progress=lambda *_: run(to=tmp_path / "elsewhere"))

    assert (result.events, list(result.files), result.until) == (0, [], None)


def test_a_full_disk_loses_nothing_and_says_what_to_do(*, several, run, raw, verify, monkeypatch, directory):
    before = stored(raw)
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnusableError, match=r"No space left on device.*make room"):
            run(Limits(move_events=10))

    (file,) = directory.iterdir()
    assert file.stat().st_size == recorded(raw)[0][1], "what was not recorded does not fill the disk"
    assert archived(raw) == before[:20]
    assert stored(raw)[:40] == before[20:]
    run()
    assert archived(raw)[:60] == before
    assert verify() is None


def test_a_write_that_is_cut_short_is_gone_on_with(several, run, raw, verify, monkeypatch):
    class Reluctant(FileIO):
        def write(self, data):
            return super().write(data[:100])

    monkeypatch.setattr("kora.store.sql.archive_place.FileIO", Reluctant)
    run()

    assert len(archived(raw)) == 60
    assert verify() is None


def test_a_broken_chain_is_not_archived(several, run, raw):
    raw.execute("UPDATE events SET payload = replace(payload, '7', '8') WHERE chain_id = 'one' AND chain_seq = 8")

    with pytest.raises(StoreUnusableError, match=r"chain one is broken at event 8.*events --verify"):
        run()

    assert len(archived(raw)) == 20
    assert raw.execute("SELECT count(*) FROM events WHERE chain_id = 'one'").fetchone() == (13,)


def test_the_lock_ends_with_its_holder(several, run, directory):
    (file,) = run(Limits()).files

    with file.open("rb") as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


PROGRAM = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from kora.clock import SystemTime
    from kora.store.sql import archive
    from kora.store.sql.archive import Limits
    from kora.store.sqlite.connection import identity
    from kora.store.sqlite.place import SqlitePlace
    from kora.store.sqlite.sets import ARCHIVING

    path = Path(sys.argv[1])
    archive.archive(
        SqlitePlace(path, "w", "a", SystemTime(), identity(path)),
        ARCHIVING,
        Path(sys.argv[2]),
        datetime(2100, 1, 1, tzinfo=UTC),
        who="tester", progress=lambda done, total: print(done, flush=True),
        limits=Limits(move_events=20, file_bytes=20_000),
    )
"""


@pytest.mark.parametrize("kills", [4, pytest.param(40, id="40", marks=pytest.mark.prove)])
def test_killed_again_and_again_it_loses_and_doubles_nothing(*, store, path, directory, add, raw, verify, kills):
    add(100 * kills)
    before = set(stored(raw))
    chosen = random.Random(7)
    for _ in range(kills):
        command = [sys.executable, "-P", "-c", textwrap.dedent(PROGRAM), str(path), str(directory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
            for _ in range(chosen.randrange(1, 6)):
                assert running.stdout.readline()
            # The next move is under way: after a random while of nothing but counting, it is over.
            for _ in range(chosen.randrange(20_000)):
                pass
            running.kill()
        assert running.returncode == -signal.SIGKILL
        assert verify() is None

    command[-2:] = [str(path), str(directory)]
    subprocess.run(command, check=True, capture_output=True)

    cold, left = archived(raw), stored(raw)
    assert len(cold) + len(left) == len({*cold, *left}), "every event is in one place"
    assert before <= {*cold}
    assert len({*cold, *left} - before) == len(left) + kills, "else only what the archiving itself has logged"
    known = {file: size for file, size, _ in recorded(raw)}
    lengths = {str(file): file.stat().st_size for file in directory.iterdir()}
    assert {file for file, size in lengths.items() if size} <= known.keys() <= lengths.keys()
    assert all(lengths[file] >= size for file, size in known.items()), "behind it, at most a move killed at its end"
    assert all(size < 20_000 + 10_000 for size in known.values())
    assert verify() is None
