"""Moving old events out of the store."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kora.cli.invocation import Invocation
from kora.store.views import ArchiveResult, LeftEvent

UNTIL = datetime(2026, 7, 4, 8, tzinfo=UTC)


class Shelf:
    """Stands in for a store: remembers what it was asked to move."""

    def __init__(self, result):
        self.result = result
        self.asked = []

    def archive(self, directory, older_than, *, who, progress):
        self.asked.append((directory, older_than, who))
        for moved in (10, 20, self.result.events):
            progress(moved, self.result.events)
        return self.result


@pytest.fixture
def shelf(monkeypatch):
    def shelf(result):
        made = Shelf(result)

        @contextmanager
        def store(self, settings=None):
            yield made

        monkeypatch.setattr(Invocation, "store", store)
        return made

    return shelf


def test_what_was_moved_where_is_said(kora, here, shelf):
    made = shelf(ArchiveResult(1_234, (Path("archive/a.gz"), Path("archive/b.gz")), UNTIL))

    done = kora("archive", "--older-than", "30")

    assert done.out.splitlines() == [
        "moved 1,234 events, the newest of 2026-07-04T08:00:00Z, to",
        "  archive/a.gz",
        "  archive/b.gz",
    ]
    assert done.err == ""
    ((directory, older_than, _),) = made.asked
    assert directory == here / "archive"
    assert round((datetime.now(UTC) - older_than) / timedelta(days=1)) == 30


def test_another_folder_is_relative_to_here(kora, here, shelf):
    made = shelf(ArchiveResult(0, (), None))

    done = kora("archive", "--older-than", "0.5", "--to", "cold")

    assert made.asked[0][0] == here / "cold"
    assert done.out.startswith("nothing to archive: no event is older than 2")


def test_what_keeps_the_log_back_is_said(kora, shelf):
    shelf(ArchiveResult(0, (), None, LeftEvent(17, UNTIL)))

    said = kora("archive", "--older-than", "30").out

    first = "the first in the log, event 17 of 2026-07-04T08:00:00Z, is not older than 2"
    assert said.startswith(f"nothing to archive: {first}")
    assert kora("archive", "--older-than", "1", "--json").document["first_left"] == {
        "seq": 17,
        "occurred_at": "2026-07-04T08:00:00Z",
    }


def test_the_result_for_programs(kora, shelf):
    shelf(ArchiveResult(3, (Path("a.gz"),), UNTIL))

    assert kora("archive", "--older-than", "1", "--json").document == {
        "events": 3,
        "files": ["a.gz"],
        "until": "2026-07-04T08:00:00Z",
        "first_left": None,
    }


@pytest.mark.parametrize("days", ["-1", "soon", "99999999999", "nan", "inf"])
def test_days_that_are_none_are_wrong_usage(kora, here, days):
    assert kora("archive", "--older-than", days).code == 2
    assert not (here / "kora.db").exists()


def test_the_days_must_be_said(kora):
    assert kora("archive").code == 2
