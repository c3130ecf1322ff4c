"""Old events move to files, and the log is as whole as before."""

import gzip
import json
import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from kora.clock import from_us
from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket
from kora.errors import StoreUnusableError
from kora.store.views import LeftEvent

LATER = timedelta(days=1)


def silent(done: int, total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cold"


@pytest.fixture
def archive(store, place, directory, clock):
    """Archive what occurred before so many seconds ago; all there is, unless said."""

    def some(seconds_ago: float = -1.0, progress=silent, to=directory):
        return place.open_as_owner().archive(
            to, from_us(clock.us) - timedelta(seconds=seconds_ago), who="tester", progress=progress
        )

    return some


def archived(directory):
    """The events in the directory's files, in the order of `seq`."""
    lines = [
        json.loads(line) for file in directory.iterdir() for line in gzip.decompress(file.read_bytes()).splitlines()
    ]
    return sorted((line for line in lines if "event_id" in line), key=lambda line: line["seq"])


def as_wire(event):
    return event.model_dump(mode="json")


def test_what_is_old_moves_and_the_rest_stays(add, archive, directory, reader, clock):
    add(3)
    clock.advance(100)
    add(2)
    before = list(reader.events())

    result = archive(50)

    left = list(reader.events())
    assert (result.events, result.until) == (3, from_us(clock.us) - timedelta(seconds=100))
    assert [file.parent for file in result.files] == [directory]
    assert archived(directory) == [as_wire(event) for event in before[:3]]
    assert left[:-1] == before[3:]
    report = reader.verify()
    assert (report.events, report.chains, report.fault) == (6, 1, None)


def test_an_operator_is_on_record_as_having_archived(add, archive, directory, reader, clock):
    add(2)
    newest = reader.last_seq()

    archive()

    (event,) = reader.events()
    assert event.event_type == EventType.OPERATOR_ACTED
    assert event.payload == {
        "who": "tester",
        "verb": "archive",
        "target": str(directory),
        "before": None,
        "after": {
            "older_than": (from_us(clock.us) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z"),
            "events": 2,
            "last_seq": newest,
        },
    }


def test_where_nothing_is_old_nothing_is_done(add, archive, directory, reader):
    add(2)

    result = archive(1)

    assert (result.events, list(result.files), result.until) == (0, [], None)
    assert not directory.exists()
    assert len(list(reader.events())) == 2


def test_only_a_beginning_of_the_log_moves(add, archive, reader, clock):
    add(1)
    clock.set_everywhere(100)
    add(1)
    late = from_us(clock.us)
    clock.set_everywhere(-60)
    add(1)
    clock.set_everywhere(100)
    seqs = [event.seq for event in reader.events()]

    result = archive(60)

    assert (result.events, result.first_left) == (1, LeftEvent(seqs[1], late))
    assert [event.seq for event in reader.events()][:2] == seqs[1:]


def test_what_is_dated_in_the_future_is_as_old_as_what_came_after_it(add, archive, reader, clock):
    add(1)
    clock.set_everywhere(10**7)
    add(2)
    future = from_us(clock.us)
    clock.set_everywhere(-(10**7))
    for _ in range(2):
        add(1)
        clock.advance(100)
    clock.set_everywhere(10**7)
    add(1)
    clock.set_everywhere(-(10**7))
    seqs = [event.seq for event in reader.events()]

    result = archive(150)

    assert (result.events, result.until) == (4, future)
    assert [event.seq for event in reader.events()][:2] == seqs[4:]
    assert reader.verify().fault is None
    result = archive(50)
    assert (result.events, result.first_left) == (1, LeftEvent(seqs[5], future + timedelta(seconds=200)))


def test_what_keeps_everything_back_is_named(*, add, archive, directory, reader, clock):
    clock.set_everywhere(10**7)
    add(1)
    future = from_us(clock.us)
    clock.set_everywhere(-(10**7))

    result = archive(1)

    assert (result.events, result.first_left) == (0, LeftEvent(reader.last_seq(), future))
    assert not directory.exists()


def test_an_event_of_the_very_moment_stays(add, archive):
    add(1)

    assert archive(0).events == 0


def test_the_log_goes_on_where_it_was(add, runtime, archive, reader, ends):
    add(2)
    runtime.settle(*[ends(claim) for claim in runtime.claim(count=2)])
    before = [event.seq for event in reader.events()]
    archive()

    add(1)
    runtime.claim()

    seqs = [event.seq for event in reader.events()]
    assert (len(seqs), sorted(set(seqs))) == (3, seqs)
    assert seqs[0] > before[-1]
    report = reader.verify()
    assert (report.events, report.chains, report.fault) == (len(before) + 3, 2, None)


def test_a_later_archiving_goes_on_in_the_same_file(add, archive, directory, reader):
    add(2)
    (first,) = archive().files
    add(2)
    (second,) = archive().files

    assert first == second
    seqs = [event["seq"] for event in archived(directory)]
    assert (len(seqs), sorted(set(seqs))) == (5, seqs)
    assert reader.verify().fault is None


def test_another_directory_gets_a_file_of_its_own(add, archive, tmp_path, reader):
    for name in ("cold", "colder", "cold"):
        add(2)
        archive(to=tmp_path / name)

    assert len(archived(tmp_path / "cold")) == 2 + 3
    assert len(archived(tmp_path / "colder")) == 3
    assert reader.verify().fault is None


def test_a_relative_directory_is_remembered_whole(add, archive, reader, tmp_path, monkeypatch):
    add(2)
    monkeypatch.chdir(tmp_path)
    archive(to=Path("here"))

    monkeypatch.chdir("/")

    assert reader.verify().fault is None


def test_nobody_else_may_read_what_was_archived(add, archive, directory):
    add(1)

    (file,) = archive().files

    assert file.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_other_workspaces_keep_their_events(*, store_factory, place, add, archive, directory, reader):
    other = store_factory("another / workspace")
    with closing(other.board()) as board, closing(other.reader()) as elsewhere:
        for _ in range(3):
            add(1)
            board.add([NewTicket(ticket_title="theirs")], who="tester")

        assert archive().events == 3
        assert len(list(elsewhere.events())) == 3
        assert elsewhere.verify().fault is None
        place.open_as_owner("another / workspace").archive(directory, from_us(2**52), who="them", progress=silent)
        assert len(list(elsewhere.events())) == 1
        assert elsewhere.verify().fault is None
    assert reader.verify().fault is None


def test_a_foreign_file_of_the_same_name_is_left_alone(add, archive, directory, reader):
    add(1)
    directory.mkdir()
    (directory / "workspace-1.jsonl.gz").write_bytes(b"somebody else's")

    archive()

    assert (directory / "workspace-1.jsonl.gz").read_bytes() == b"somebody else's"
    assert reader.verify().fault is None


def test_progress_is_told_and_others_write_meanwhile(add, runtime, archive, reader):
    (ticket_id,) = add(1)
    runtime.turn(append=[NewEvent(EventType.TRANSITIONED, {"n": n}, ticket_id) for n in range(12_000)])
    told = []

    def progress(done, total):
        told.append((done, total))
        runtime.turn(append=[NewEvent(EventType.TRANSITIONED, {"meanwhile": done}, ticket_id)])

    archive(progress=progress)

    assert told[0] == (0, 12_001)
    assert told[-1] == (12_001, 12_001)
    assert len(told) >= 4, "in more than one transaction"
    assert [event.payload["meanwhile"] for event in reader.events(ticket_id=ticket_id)] == [done for done, _ in told]
    assert reader.verify().fault is None


def test_a_directory_that_cannot_be_made_is_named_and_nothing_is_lost(add, archive, tmp_path, reader):
    add(2)
    before = list(reader.events())
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnusableError, match="file/cold cannot be made"):
        archive(to=tmp_path / "file" / "cold")

    assert list(reader.events()) == before
    assert archive().events == 2


@pytest.fixture
def cold(add, runtime, other, archive, ends):
    """A file with three chains in it, and more events in the store."""
    add(20)
    for holder in (runtime, other):
        holder.settle(*[ends(claim) for claim in holder.claim(count=10)])
    (file,) = archive().files
    add(2)
    return file


def forge(file, change):
    """Rewrite the file's lines, and make it as long as it was."""
    size = file.stat().st_size
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    change(lines)
    packed = gzip.compress(b"".join(lines), compresslevel=9)
    assert len(packed) <= size
    file.write_bytes(packed.ljust(size, b"\0"))


def test_an_archive_that_is_missing_is_found(cold, reader):
    cold.unlink()

    fault = reader.verify().fault

    assert (fault.chain_id, fault.chain_seq) == ("runtime-1", 1)
    assert fault.fault == f"{cold}: it is missing; it was written to this path: put the file back there"


def test_an_archive_that_was_cut_is_found(cold, reader):
    size = cold.stat().st_size
    with cold.open("r+b") as file:
        file.truncate(size - 1)

    fault = reader.verify().fault

    assert str(cold) in fault.fault
    assert "it was cut" in fault.fault


@pytest.mark.parametrize("byte", [0, 40, 500, -3])
def test_a_damaged_archive_is_found(cold, reader, byte):
    data = bytearray(cold.read_bytes())
    data[byte] ^= 0x10
    cold.write_bytes(data)

    fault = reader.verify().fault

    assert str(cold) in fault.fault


def test_an_archive_that_was_packed_anew_is_as_good(cold, reader):
    forge(cold, lambda lines: None)

    assert reader.verify().fault is None


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (b'"who":"tester"', b'"who":"TESTER"'),
        (b'"occurred_at":"2026', b'"occurred_at":"2025'),
        (b'"event_type":"kora', b'"event_type":"KORA'),
        (b'"ticket_title":"ticket 7"', b'"ticket_title":"ticket 8"'),
    ],
)
def test_a_changed_event_in_an_archive_is_named(cold, reader, said, instead):
    changed = []

    def change(lines):
        number = next(number for number, line in enumerate(lines) if number > 5 and said in line)
        changed.append(json.loads(lines[number]))
        lines[number] = lines[number].replace(said, instead)

    forge(cold, change)
    fault = reader.verify().fault

    (event,) = changed
    named = (fault.chain_id, fault.chain_seq, fault.event_id)
    assert named == (event["chain_id"], event["chain_seq"], event["event_id"])
    assert fault.fault == f"its hash does not match what it says (archived in {cold})"


def said_of(lines, **instead):
    """Another first line."""
    lines[0] = json.dumps(json.loads(lines[0]) | instead, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "instead",
    [
        {"kora_archive": 2},
        {"archive_id": "of another"},
        {"workspace_id": "another"},
        {"first_seq": 2},
        {"last_seq": 10},
        {"events": 10},
        {"events": 1_000},
        {"events": "many"},
        {"chains": {}},
    ],
)
def test_a_first_line_that_says_something_else_is_found(cold, reader, instead):
    forge(cold, lambda lines: said_of(lines, **instead))

    fault = reader.verify().fault

    assert fault is not None
    assert str(cold) in fault.fault


def test_another_end_than_the_store_has_recorded_is_found(cold, reader):
    def later(lines):
        lines[-1] = re.sub(rb'^{"seq":\d+', b'{"seq":%d' % (2**60), lines[-1])
        said_of(lines, last_seq=2**60)

    forge(cold, later)

    assert f"{cold}: it ends with event {2**60} where event" in reader.verify().fault.fault


def test_another_archive_in_the_place_of_one_is_found(cold, add, archive, reader, tmp_path):
    (other,) = archive(to=tmp_path / "elsewhere").files
    size = cold.stat().st_size
    cold.write_bytes(other.read_bytes().ljust(size, b"\0"))

    assert f"{cold}: it is another archive" in reader.verify().fault.fault


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines.pop(0),
        lambda lines: lines.insert(5, b'{"kora_archive":1,"said":"anything"}\n'),
        lambda lines: lines.insert(5, lines[0]),
        lambda lines: lines.append(lines[0]),
        lambda lines: lines.append(b'{"kora_archive":1,"said":"anything"}\n'),
        lambda lines: lines.__setitem__(-1, re.sub(rb'^{"seq":\d+', b'{"seq":999', lines[-1])),
        lambda lines: lines.pop(4),
        lambda lines: lines.pop(),
        lambda lines: lines.insert(9, lines.pop(4)),
        lambda lines: lines.insert(5, lines[4]),
        lambda lines: lines.insert(5, b"[]\n"),
        lambda lines: lines.insert(5, b"{}\n"),
        lambda lines: lines.insert(5, b"no JSON\n"),
        lambda lines: lines.insert(5, lines[4].replace(b'"chain_seq":', b'"chain_seq":[1],"was":')),
        lambda lines: lines.__setitem__(-1, lines[-1][:-1]),
        lambda lines: lines.clear(),
    ],
)
def test_lines_that_are_not_as_they_were_written_are_found(cold, reader, change):
    forge(cold, change)

    fault = reader.verify().fault

    assert fault is not None
    assert str(cold) in fault.fault
