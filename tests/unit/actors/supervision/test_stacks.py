"""A thread's stack is told whatever becomes of the source lines meanwhile."""

from __future__ import annotations

import linecache
import sys

import pytest

from actors.supervision import Died, stack_text


def here():
    return stack_text(sys._getframe())


def test_it_says_where_with_the_source():
    *_, place, source = here().splitlines()
    assert place.endswith("in here")
    assert source.strip() == "return stack_text(sys._getframe())"


@pytest.mark.parametrize(("losses", "has_source"), [(1, True), (100, False)])
def test_source_lines_that_another_thread_has_just_taken_out_are_looked_for_again_and_done_without(
    monkeypatch, losses, has_source
):
    checkcache, left = linecache.checkcache, [losses]

    def losing(filename=None):
        if left[0]:
            left[0] -= 1
            raise KeyError(filename)
        checkcache(filename)

    with monkeypatch.context() as patch:
        patch.setattr(linecache, "checkcache", losing)
        text = here()
    assert "in here" in text
    assert ("return stack_text" in text) is has_source


def fail():
    raise ValueError("as you wish")


def test_so_is_the_traceback_of_a_death_and_its_exception_at_the_least(monkeypatch):
    with pytest.raises(ValueError, match="wish") as caught:
        fail()
    assert "in fail" in Died("actor", 1, caught.value, "on_receive").traceback_text
    with monkeypatch.context() as patch:
        patch.setattr(linecache, "checkcache", lambda filename=None: {}[filename])
        text = Died("actor", 1, caught.value, "on_receive").traceback_text
    assert text == "ValueError: as you wish\n"
