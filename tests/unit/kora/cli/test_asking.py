"""A question is put to a person at a terminal, and to nobody else."""

import io

import pytest
import typer

from kora.cli.asking import confirm


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at(monkeypatch):
    def at(stdin, stderr):
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stderr", stderr)
        return stderr

    return at


@pytest.mark.parametrize("answer", ["y\n", "YES\n", " yes \n"])
def test_a_yes_is_a_yes(at, answer):
    stderr = at(Terminal(answer), Terminal())

    confirm("Sink \x1b[2J it?", is_sure=False)

    assert stderr.getvalue() == "Sink \\u001b[2J it? [y/N] "


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yesterday\n"])
def test_anything_else_changes_nothing_and_ends_with_1(at, answer):
    stderr = at(Terminal(answer), Terminal())

    with pytest.raises(typer.Exit) as end:
        confirm("Sink it?", is_sure=False)

    assert end.value.exit_code == 1
    assert stderr.getvalue().endswith("kora-actors: nothing was changed\n")


@pytest.mark.parametrize(
    ("stdin", "stderr", "is_sure"),
    [
        (io.StringIO("n\n"), Terminal(), False),
        (Terminal("n\n"), io.StringIO(), False),
        (Terminal("n\n"), Terminal(), True),
    ],
    ids=["a script's input", "a script's output", "who is sure"],
)
def test_nobody_else_is_asked(at, stdin, stderr, is_sure):
    at(stdin, stderr)

    confirm("Sink it?", is_sure=is_sure)

    assert (stderr.getvalue(), stdin.tell()) == ("", 0)
