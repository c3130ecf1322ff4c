# ruff: noqa: S608 - the statements are a vandal's
"""Whatever is done to the log behind Kora's back is found, and the first broken event is named."""

from contextlib import closing

import pytest

from kora.domain.events import GENESIS, EventType, NewEvent, event_hash
from kora.store.port import ClaimOrder, RuntimeRecord, Turn


@pytest.fixture
def chains(store, add):
    """Four events of the operators, then ten of each of two runtimes, interleaved."""
    add(4)
    writers = [store.writer(RuntimeRecord(name, "here", 1, "0")) for name in ("one", "two")]
    for writer in writers:
        writer.next_incarnation()
    for _ in range(10):
        for writer in writers:
            writer.turn(1, Turn(append=[NewEvent(EventType.TRANSITIONED, {"n": 1})]))
    for writer in writers:
        writer.turn(1, Turn(claim=ClaimOrder(1, 60.0)))
        writer.close()


@pytest.fixture
def fault(store, chains, raw):
    """Tamper by these statements; then say what is found."""

    def found(*statements):
        for statement in statements:
            raw.execute(statement)
        with closing(store.reader()) as reader:
            return reader.verify().fault

    return found


def test_an_untouched_log_has_no_fault(fault):
    assert fault() is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_id", "'x'"),
        ("event_type", "'kora.boot.ready'"),
        ("occurred_at", "occurred_at + 1"),
        ("ticket_no", "2"),
        ("ticket_no", "NULL"),
        ("payload", "replace(payload, 'tester', 'nobody')"),
        ("payload", "payload || ' '"),
        ("payload", "CAST(x'ff' AS TEXT)"),
        ("chain_seq", "chain_seq + 1"),
        ("prev_event_hash", "randomblob(32)"),
        ("this_event_hash", "randomblob(32)"),
    ],
)
def test_a_changed_field_is_found(fault, column, value):
    found = fault("DROP INDEX events_of_ticket", f"UPDATE events SET {column} = {value} WHERE seq = 3")

    assert (found.chain_id, found.chain_seq) == ("workspace:w", 4 if column == "chain_seq" else 3)


def test_an_event_moved_to_another_chain_is_found(fault):
    found = fault("UPDATE events SET chain_id = 'two' WHERE chain_id = 'one' AND chain_seq = 3")

    assert (found.chain_id, found.chain_seq) == ("two", 3)


@pytest.mark.parametrize("chain_id", ["workspace:w", "unknown"])
def test_an_event_moved_to_an_unknown_or_far_chain_is_found(fault, chain_id):
    assert fault(f"UPDATE events SET chain_id = '{chain_id}' WHERE chain_id = 'one' AND chain_seq = 3") is not None


def test_an_event_moved_to_another_workspace_is_found(fault, raw):
    found = fault("UPDATE events SET workspace_id = 'elsewhere' WHERE seq = 2")

    assert (found.chain_id, found.chain_seq) == ("workspace:w", 3)


def test_a_changed_ticket_id_is_found(fault, raw):
    found = fault("UPDATE tickets SET ticket_id = 'another' WHERE ticket_no = 2")

    assert (found.chain_id, found.chain_seq) == ("workspace:w", 2)


def test_a_removed_event_is_found(fault):
    found = fault("DELETE FROM events WHERE chain_id = 'one' AND chain_seq = 5")

    assert (found.chain_id, found.chain_seq) == ("one", 6)
    assert "event 5" in found.fault


def test_the_first_of_several_faults_is_named(fault):
    found = fault("UPDATE events SET occurred_at = 1 WHERE chain_seq = 4")

    assert found.chain_id == "workspace:w"


def test_a_doubled_event_is_found(fault):
    columns = (
        "event_id, event_type, occurred_at, workspace_id, ticket_no, payload, chain_id, chain_seq,"
        " prev_event_hash, this_event_hash"
    )
    found = fault(
        "DROP INDEX events_of_no_ticket",
        f"INSERT INTO events ({columns}) SELECT {columns} FROM events WHERE chain_id = 'one' AND chain_seq = 7",
    )

    assert (found.chain_id, found.chain_seq) == ("one", 7)


def forged(raw, chain_id, seq, prev):
    fields = {
        "chain_id": chain_id,
        "chain_seq": seq,
        "event_id": "forged",
        "event_type": "kora.boot.ready",
        "occurred_at_us": 1,
        "workspace_id": "w",
        "ticket_id": None,
        "payload": "{}",
    }
    this = event_hash(prev, **fields)
    raw.execute(
        "INSERT INTO events (event_id, event_type, occurred_at, workspace_id, payload, chain_id, chain_seq,"
        " prev_event_hash, this_event_hash) VALUES ('forged', 'kora.boot.ready', 1, 'w', '{}', ?, ?, ?, ?)",
        (chain_id, seq, prev, this),
    )


def test_a_well_forged_event_at_a_chains_end_is_found_by_its_head(fault, raw):
    (prev,) = raw.execute("SELECT last_event_hash FROM chains WHERE chain_id = 'one'").fetchone()
    forged(raw, "one", 12, prev)

    found = fault()
    assert (found.chain_id, found.chain_seq) == ("one", 12)


def test_an_event_rewritten_with_a_right_hash_is_found_by_the_next(fault, raw):
    (prev,) = raw.execute("SELECT prev_event_hash FROM events WHERE chain_id = 'one' AND chain_seq = 5").fetchone()
    (seq,) = raw.execute("SELECT seq FROM events WHERE chain_id = 'one' AND chain_seq = 5").fetchone()
    raw.execute("DELETE FROM events WHERE seq = ?", (seq,))
    forged(raw, "one", 5, prev)
    raw.execute("UPDATE events SET seq = ? WHERE event_id = 'forged'", (seq,))

    found = fault()
    assert (found.chain_id, found.chain_seq) == ("one", 6)
    assert "does not follow" in found.fault


def test_a_well_forged_chain_is_found_by_its_missing_head(fault, raw):
    forged(raw, "three", 1, GENESIS)

    found = fault()
    assert (found.chain_id, found.fault) == ("three", "the chain's head is missing")


@pytest.mark.parametrize("column", ["seq", "chain_seq"])
def test_two_events_that_changed_places_are_found(fault, column, raw):
    two = [seq for (seq,) in raw.execute("SELECT seq FROM events WHERE chain_id = 'one' AND chain_seq IN (4, 5)")]
    first, second = [raw.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchone()[0] for seq in two]

    found = fault(
        f"UPDATE events SET {column} = 9999 WHERE {column} = {first} AND chain_id = 'one'",
        f"UPDATE events SET {column} = {first} WHERE {column} = {second} AND chain_id = 'one'",
        f"UPDATE events SET {column} = {second} WHERE {column} = 9999 AND chain_id = 'one'",
    )

    assert (found.chain_id, found.chain_seq) == ("one", 5)


@pytest.mark.parametrize("left", [0, 1, 10])
def test_a_cut_tail_is_found(fault, left):
    found = fault(f"DELETE FROM events WHERE chain_id = 'one' AND chain_seq > {left}")

    assert (found.chain_id, found.chain_seq, found.event_id) == ("one", left + 1, None)
    assert "was cut" in found.fault


def test_a_missing_head_is_found(fault):
    found = fault("DELETE FROM chains WHERE chain_id = 'two'")

    assert (found.chain_id, found.fault) == ("two", "the chain's head is missing")


@pytest.mark.parametrize("change", ["last_chain_seq = 3", "last_event_hash = zeroblob(32)"])
def test_a_changed_head_is_found(fault, change):
    assert fault(f"UPDATE chains SET {change} WHERE chain_id = 'two'").chain_id == "two"


def test_reading_goes_on_as_before_after_a_verification(store, chains):
    with closing(store.reader()) as reader:
        reader.verify()
        assert all(isinstance(event.event_id, str) for event in reader.events())
        assert reader._connection.bare.text_factory is str


def test_events_are_counted_up_to_the_fault(store, chains, raw):
    raw.execute("UPDATE events SET occurred_at = 1 WHERE seq = 3")

    with closing(store.reader()) as reader:
        assert reader.verify().events == 3
