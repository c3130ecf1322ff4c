"""What was typed, taken apart: whatever it is, and as a shell would where a shell knows it."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kora.cli.repl.words import read

PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES)


def words(text):
    return [[word.text for word in command] for command in read(text).commands]


@given(st.lists(PLAIN, min_size=1))
def test_words_that_are_quoted_for_a_shell_are_read_as_a_shell_reads_them(given_words):
    typed = read(shlex.join(given_words))

    assert [word.text for word in typed.commands[0]] == given_words
    assert typed.is_whole


@given(OBJECTS, st.sampled_from([None, 2]))
def test_json_needs_no_quotes(message, indent):
    spelt = json.dumps(message, indent=indent)

    assert words(f"tell poller {spelt}; status") == [["tell", "poller", spelt], ["status"]]


@given(OBJECTS, st.data())
def test_json_that_is_not_closed_goes_on_in_the_next_line(message, data):
    spelt = json.dumps(message, indent=1)
    # Where a line may end: not inside a string, which JSON does not let go on.
    ends = [at for at, letter in enumerate(spelt) if letter == "\n"]
    upto = data.draw(st.sampled_from(ends)) if ends else 1

    typed = read(f"tell poller {spelt[:upto]}\n")

    assert typed.open_at == len("tell poller ")


@given(st.text())
def test_whatever_is_typed_each_word_is_where_it_says(text):
    typed = read(text)

    for command in typed.commands:
        assert command != []
        assert all(text[word.start : word.end].strip() for word in command)
        assert [word.start for word in command] == sorted(word.start for word in command)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ;; \n ", []),
        ("status; claims\ntree", [["status"], ["claims"], ["tree"]]),
        ("""tell poller '{"kind":"Poll"}'""", [["tell", "poller", '{"kind":"Poll"}']]),
        ("""tell a {"note": "one; two\\" }"} ;tree""", [["tell", "a", '{"note": "one; two\\" }"}'], ["tree"]]),
        ('a "b; c" d', [["a", "b; c", "d"]]),
        ("a ''", [["a", ""]]),
        ("tell a {]; tree", [["tell", "a", "{]"], ["tree"]]),
        ('tell a {"a": "b\n}', [["tell", "a", '{"a": "b\n}']]),
    ],
)
def test_commands_end_with_a_semicolon_or_a_line(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize("text", ["tell a {", "tell a [{}", "say 'one", 'say "one', 'tell a {"b": "c'])
def test_what_is_left_open_is_known(text):
    typed = read(text)

    assert not typed.is_whole
    assert text[typed.open_at] in "{['\""


def test_the_last_words_are_those_behind_the_last_semicolon():
    assert [word.text for word in read("status; tell poller").last] == ["tell", "poller"]
    assert read("status;").last == []
