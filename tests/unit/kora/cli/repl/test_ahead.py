"""JSON that is still being typed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.cli.repl.ahead import place_in

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.text())
def test_whatever_is_typed_has_a_place(text):
    assert place_in(text).expected in {"key", "colon", "value", "next", "nothing"}


@given(st.dictionaries(st.text(), VALUES, min_size=1), st.data())
def test_what_is_completed_at_any_place_is_json(message, data):
    spelt = json.dumps(message)
    upto = data.draw(st.integers(1, len(spelt) - 1))

    place = place_in(spelt[:upto])

    assert place.expected != "nothing"
    assert spelt[:upto].endswith(place.partial)
    # Close all that is open, innermost first: a place that knows its containers knows how.
    typed = spelt[: upto - len(place.partial)]
    typed += {"key": '"k": 0', "colon": ": 0", "value": "0", "next": ""}[place.expected]
    typed += "".join("}" if each.is_object else "]" for each in reversed(place.containers))
    assert isinstance(json.loads(typed), dict)


@pytest.mark.parametrize(
    ("text", "expected", "path", "partial"),
    [
        ("{", "key", (), ""),
        ('{"ki', "key", (), '"ki'),
        ('{"kind"', "colon", ("kind",), ""),
        ('{"kind": ', "value", ("kind",), ""),
        ('{"kind": "Po', "value", ("kind",), '"Po'),
        ('{"kind": "Poll"', "next", ("kind",), ""),
        ('{"kind": "Poll", ', "key", (), ""),
        ('{"a": {"b": [1, tr', "value", ("a", "b", None), "tr"),
        ('{"a": {"b', "key", ("a",), '"b'),
        ('{"kind": "Poll"}', "nothing", (), ""),
        ("{]", "nothing", (), ""),
        ('{"a" 1,', "nothing", ("a",), ""),
    ],
)
def test_it_is_known_what_may_come_and_inside_what(text, expected, path, partial):
    place = place_in(text)

    assert (place.expected, place.partial) == (expected, partial)
    if expected != "nothing":
        assert place.path == path


def test_what_is_given_already_is_known():
    (outer, inner) = place_in('{"kind": "Transition", "to": {"state": "ready", ').containers

    assert outer.given == {"kind": "Transition", "to": None}
    assert inner.given == {"state": "ready"}
