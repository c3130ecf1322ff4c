"""What a page of the documentation shows, done step by step, and compared with what it says comes of it.

A page's fenced blocks are its steps, in their order:

    ```toml supervisor.toml     a language and a file's name: the file is written
    ```python examples/x.py     an example of this checkout: it must be as it is shown
    ```console                  lines that begin with `$ ` are typed (further lines of one with `> `); what follows a
                                command is what it prints, stdout and stderr together, in a pipe

Everything is typed into one shell, in a folder of its own. Ids, times, spans of time and process numbers may differ
from the page's, but an id that the page shows twice is the same one twice, and commands may name it. A line `…` stands
for any number of lines. Blocks of other kinds are only shown.

    python -m tests.acceptance.shown PAGE…

writes what the commands print now into the pages; blocks with a line `…` are left alone. Read the difference before you
commit it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.acceptance.home import PATIENCE_SECONDS, ROOT
from tests.acceptance.preloaded import SHELL_FUNCTIONS, SOCKET_VARIABLE, preloaded
from tests.postgres import Server

FOLDER = "/srv/board"
"""where the pages pretend to be"""
PROGRAMS = Path(__file__).with_name("programs")
"""what the pages use and a machine need not have, played"""
PAGE_SECONDS = 4 * PATIENCE_SECONDS
HOST = "ship"
SERVER = "db.example"
"""the server of PostgreSQL that a page speaks of; everybody may come in, whatever the password"""
USER = "ada"
ANYTHING = "…"

_FENCE = re.compile(r"^```(?P<language>\w+)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_END = "---- shown: done"
_LOOSE = (
    (_ID, "<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"\b20\d\d-\d\d\b"), "<month>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<clock>"),
    (re.compile(r"\b\d+(\.\d+)? (s|min|h|d)( \d+ (s|min|h))?\b"), "<span>"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "<short id>"),
    (re.compile(rf"\b{HOST}[/\t]\d+"), f"{HOST}/<pid>"),
    (re.compile(r"^process +\d+,"), "process <pid>,"),
    # How many events there are depends on how often the mirror saw a change.
    (re.compile(r'("(?:pid|seq|chain_seq|events)": ?)\d+\b'), r"\1<number>"),
    (re.compile(r"^\d+(?=\t<time>)"), "<number>"),
    (re.compile(r"\b[\d,]+ events\b"), "<number> events"),
    (re.compile(r"\b\d+\.\d+\b"), "<number>"),
    (re.compile(r"\s+"), " "),
)


@dataclass
class Typed:
    """A command of a page, and what the page says it prints."""

    line: int
    command: str
    output: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A fenced block: a file to write, an example of this checkout, or commands to type."""

    start: int
    end: int
    name: str | None
    text: str
    typed: list[Typed]

    @property
    def example(self) -> Path | None:
        """The example that is shown."""
        return ROOT / self.name if self.name is not None and self.name.startswith("examples/") else None


class Shell:
    """One shell for a page, in a folder that has of this checkout what the pages use."""

    def __init__(self, folder: Path, surroundings: Mapping[str, str]) -> None:
        for name in ("bin", "examples", "actors", ".venv"):
            (folder / name).symlink_to(ROOT / name)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("KORA_", "COV_"))}
        environment |= {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "LOGNAME": USER,
            "TERM": "dumb",
            SOCKET_VARIABLE: preloaded(),
        }
        # So that the program is told by its name alone, wherever this checkout is.
        environment["PATH"] = os.pathsep.join((str(folder / "bin"), str(PROGRAMS), environment["PATH"]))
        environment |= {name: value.replace("$PATH", environment["PATH"]) for name, value in surroundings.items()}
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._folder = folder
        self._patience = threading.Timer(PAGE_SECONDS, os.killpg, (self._process.pid, signal.SIGKILL))
        self._patience.start()
        self.type(SHELL_FUNCTIONS)

    def type(self, command: str) -> list[str]:
        """What the command prints, as the page would show it."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        # A command must not read what is yet to be typed; and it may print a last line that has no end.
        stdin.write(f"{{ {command}\n}} </dev/null\necho; echo '{_END}'\n")
        stdin.flush()
        printed = ""
        while not printed.endswith(f"\n{_END}\n"):
            line = stdout.readline()
            assert line, f"the shell ended, or was not done within {PAGE_SECONDS} s: {command}\n{printed}"
            printed += line
        return self._as_shown(printed.removesuffix(f"\n{_END}\n")).splitlines()

    def _as_shown(self, text: str) -> str:
        host = re.escape(socket.gethostname())
        text = text.replace(str(self._folder), FOLDER).replace(str(ROOT), FOLDER)
        return re.sub(rf'(?<![\w.-]){host}(?=[/\t]\d|")', HOST, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("kill $(jobs -p) 2>/dev/null; wait\n")
        self._patience.cancel()


class Names:
    """Which id of the page is which id of this run."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def real(self, text: str) -> str:
        """The page's text with this run's ids."""
        return _ID.sub(lambda found: self._real.get(found[0], found[0]), text)

    def paged(self, text: str) -> str:
        """This run's text with the page's ids."""
        page = {real: paged for paged, real in self._real.items()}
        return _ID.sub(lambda found: page.get(found[0], found[0]), text)

    def bind(self, expected: str, actual: str) -> bool:
        """Whether the ids of the two lines can be the same ones; from now on they are."""
        for paged, real in zip(_ID.findall(expected), _ID.findall(actual), strict=True):
            known = self._real.setdefault(paged, real)
            if known != real or list(self._real.values()).count(real) > 1:
                return False
        return True


def blocks(page: str) -> Iterator[Block]:
    """The page's steps."""
    for found in _FENCE.finditer(page):
        name = found["name"]
        if name is not None or found["language"] == "console":
            line = page.count("\n", 0, found.start("text")) + 1
            typed = [] if name is not None else list(_typed(found["text"], line))
            yield Block(found.start("text"), found.end("text"), name, found["text"], typed)


def _typed(text: str, line: int) -> Iterator[Typed]:
    typed: Typed | None = None
    for number, each in enumerate(text.splitlines(), line):
        if each.startswith("$ "):
            if typed is not None:
                yield typed
            typed = Typed(number, each.removeprefix("$ "))
        elif typed is None:
            raise ValueError(f"line {number}: a console begins with a command")
        elif each.startswith("> ") and not typed.output:
            typed.command += "\n" + each.removeprefix("> ")
        else:
            typed.output.append(each)
    if typed is not None:
        yield typed


def loose(line: str) -> str:
    """The line without what may differ from run to run."""
    for pattern, stand_in in _LOOSE:
        line = pattern.sub(stand_in, line)
    return line.strip()


def agrees(expected: list[str], actual: list[str], names: Names) -> bool:
    """Whether the page says what was printed."""
    at = 0
    anywhere = False
    for line in expected:
        if line == ANYTHING:
            anywhere = True
            continue
        while anywhere and at < len(actual) and loose(actual[at]) != loose(line):
            at += 1
        if at == len(actual) or loose(actual[at]) != loose(line) or not names.bind(line, actual[at]):
            return False
        anywhere = False
        at += 1
    return anywhere or at == len(actual)


@contextmanager
def surroundings_of(page: str) -> Iterator[dict[str, str]]:
    """What the page takes for granted, as variables: where it speaks of a server, one that answers to its name."""
    if f"@{SERVER}/" not in page:
        yield {}
        return
    with Server() as server:
        yield {
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(server.port),
            "PATH": f"{server.programs}{os.pathsep}$PATH",
        }


def faults_of(page: str, folder: Path) -> list[str]:
    """Every command of the page that prints something else than the page says."""
    names, faults = Names(), []
    with surroundings_of(page) as surroundings, Shell(folder, surroundings) as shell:
        for block in blocks(page):
            if block.example is not None:
                if block.example.read_text(encoding="utf-8") != block.text:
                    line = page.count("\n", 0, block.start)
                    faults.append(f"line {line}: {block.name} is not as it is shown")
            elif block.name is not None:
                (folder / block.name).write_text(block.text, encoding="utf-8")
            for typed in block.typed:
                actual = shell.type(names.real(typed.command))
                if not agrees(typed.output, actual, names):
                    said, printed = "\n".join(typed.output), "\n".join(actual)
                    faults.append(f"line {typed.line}: $ {typed.command}\n-- says\n{said}\n-- prints\n{printed}")
    return faults


def told_anew(page: str, folder: Path) -> str:
    """The page with what its commands print now."""
    names, parts, upto = Names(), [], 0
    with surroundings_of(page) as surroundings, Shell(folder, surroundings) as shell:
        for block in blocks(page):
            if block.example is not None:
                parts += [page[upto : block.start], block.example.read_text(encoding="utf-8")]
                upto = block.end
                continue
            if block.name is not None:
                (folder / block.name).write_text(block.text, encoding="utf-8")
                continue
            lines: list[str] = []
            for typed in block.typed:
                actual = shell.type(names.real(typed.command))
                agreed = agrees(typed.output, actual, names)
                command = typed.command.replace("\n", "\n> ")
                lines.append(f"$ {command}")
                lines += typed.output if agreed or ANYTHING in typed.output else map(names.paged, actual)
            parts += [page[upto : block.start], "".join(f"{line}\n" for line in lines)]
            upto = block.end
    return "".join([*parts, page[upto:]])


def main(pages: list[str]) -> None:
    """Write what the commands print now into the pages."""
    for name in pages:
        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(told_anew(path.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
