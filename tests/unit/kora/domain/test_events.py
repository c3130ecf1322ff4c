"""The spelling of what thousands of events have in common."""

import pytest

from kora.domain.events import canonical, spelling
from kora.domain.ids import new_id


@pytest.mark.parametrize("name", ["first", "middle", "zuletzt"])
@pytest.mark.parametrize("hard", ['quotes "middle":"" and more', "back\\slash", "n\u00e9e\n", "", "middle", None, 0.5])
def test_a_payload_is_spelt_around_an_id_as_it_is_at_once(name, hard):
    payload, value = {"g": 1, "k": hard, "o": hard}, new_id()

    before, after = spelling(payload, name)

    assert f"{before}{value}{after}" == canonical({**payload, name: value})


def test_an_id_may_be_all_there_is():
    before, after = spelling({}, "id")

    assert f"{before}x{after}" == canonical({"id": "x"})
