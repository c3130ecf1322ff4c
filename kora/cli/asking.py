"""A question before something that cannot be taken back: put to a person, and to nobody else."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from kora.cli.output import complain
from kora.logging import escaped

_AGREED: Final = frozenset({"y", "yes"})

Sure = Annotated[bool, typer.Option("--yes", help="Do not ask. Where there is no terminal nothing is asked.")]


def confirm(question: str, *, is_sure: bool) -> None:
    """Return if it is to be done: a person at a terminal has said so, or nobody is there who could be asked.

    A script, a pipe or a timer waits for no answer: whoever put the command there has decided. Raises `typer.Exit`
    with 1 for a no.
    """
    if is_sure or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    sys.stdout.flush()
    sys.stderr.write(f"{escaped(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in _AGREED:
        complain("nothing was changed")
        raise typer.Exit(1)
