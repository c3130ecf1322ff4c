"""Commands run one after the other, attached to one state directory; none of them ends the session but `quit`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from kora.cli.ending import EXIT_INTERRUPTED, EXIT_USAGE, code_of
from kora.cli.output import complain
from kora.cli.registry import SESSION, group
from kora.cli.repl.words import Typed, read

if TYPE_CHECKING:
    from kora.cli.invocation import Invocation

app = typer.Typer(
    cls=group(SESSION),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """See how a running runtime stands, and take hold of it."""


class Session:
    """A row of commands. Raises `SystemExit` for `quit`."""

    def __init__(self, call: Invocation) -> None:
        self.call = call
        self.commands: TyperGroup = typer.main.get_group(app)

    def run_all(self, lines: Iterable[str]) -> int:
        """Run what the lines hold, each as soon as it is whole; the exit code of the first that failed."""
        codes: list[int] = []
        waiting = ""
        with suppress(SystemExit):
            for line in lines:
                waiting += line if line.endswith("\n") else f"{line}\n"
                typed = read(waiting)
                if typed.is_whole:
                    codes += self.run(typed)
                    waiting = ""
            if waiting:
                opened = waiting[read(waiting).open_at :].split("\n")[0]
                complain(f"unfinished: this is never closed: {opened}")
                codes.append(EXIT_USAGE)
        return next(filter(None, codes), 0)

    def run(self, typed: Typed) -> list[int]:
        """Run the commands; their exit codes."""
        return [self._run([word.text for word in words]) for words in typed.commands]

    def _run(self, words: list[str]) -> int:
        try:
            return code_of(lambda: self._invoke(words), lambda path: f"Try '{f'help {path}'.strip()}'.")
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            return EXIT_INTERRUPTED
        finally:
            sys.stdout.flush()

    def _invoke(self, words: list[str]) -> int:
        with self.commands.make_context("", words, obj=self.call) as context:
            return self.commands.invoke(context) or 0
