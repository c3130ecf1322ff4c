import uuid
from itertools import chain

import pytest

from kora.domain import ids
from kora.domain.ids import new_id, new_ids


def test_ids_that_are_made_together_are_uuids_of_version_seven_in_their_one_spelling():
    for made in new_ids(1_000):
        parsed = uuid.UUID(made)
        assert (str(parsed), parsed.version, parsed.variant) == (made, 7, uuid.RFC_4122)


def test_ids_that_are_made_together_are_distinct_and_sort_among_those_before_and_after():
    made = list(chain.from_iterable([new_id(), *new_ids(600), new_id()] for _ in range(500)))
    assert made == sorted(set(made))


def test_no_ids_are_made_where_none_are_asked_for():
    assert new_ids(0) == []


@pytest.mark.parametrize("last", ["ffffffff", "7fffffff"])
def test_ids_count_on_from_the_highest_that_can_be_drawn(monkeypatch, last):
    monkeypatch.setattr(ids, "new_id", lambda: f"01a21d86-4c48-768a-a583-a2fe{last}")
    made = new_ids(1_000)
    assert made == sorted(set(made))
    assert {str(uuid.UUID(each)) for each in made} == set(made)
