"""Audit one module of the standard library: the agent that Kora runs as a command, once for each ticket.

It reads Kora's JSON object from stdin, parses the module that the ticket's objective names, counts, and writes
`reports/MODULE.json` in its working directory. The report is replaced whole or not at all, so an agent that is killed
half way leaves the old one or none.

At its start and at its end it adds a line to `journal.jsonl`. Kora neither reads nor writes that file: it shows,
independently of Kora, that no two agents worked one ticket at once.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple, NoReturn

REPORTS = Path("reports")
JOURNAL = Path("journal.jsonl")
WRONG_INPUT = 77
"""the exit code that tells Kora to fail the ticket for good"""

DEPRECATED_FUNCTIONS = frozenset(
    {
        "asyncio.iscoroutinefunction",
        "importlib.find_loader",
        "locale.format",
        "locale.getdefaultlocale",
        "locale.resetlocale",
        "pkgutil.find_loader",
        "pkgutil.get_loader",
        "pkgutil.ImpImporter",
        "pkgutil.ImpLoader",
        "ssl.match_hostname",
        "ssl.wrap_socket",
        "unittest.findTestCases",
        "unittest.makeSuite",
        "warnings._deprecated",
    }
)
"""Deprecated by the library; they count when called by their full name, as the file's own imports spell it out."""

DEPRECATED_MODULES = frozenset({"imp"})
"""Any call of a function in one of these counts."""

DEPRECATED_NAMES = frozenset(
    {
        "currentThread",
        "find_module",
        "get_event_loop",
        "getName",
        "isDaemon",
        "load_module",
        "module_repr",
        "notifyAll",
        "setDaemon",
        "setName",
        "utcfromtimestamp",
        "utcnow",
    }
)
"""Mostly methods: without running the program nobody knows whose. A call counts by this last name alone."""


class Counts(NamedTuple):
    """What was counted in one source, or the sum over many. All are zero in a source that does not parse."""

    functions: int = 0
    """`def` and `async def`, methods and nested ones included"""
    lambdas: int = 0
    branches: int = 0
    """what `branches_at` adds up: the places where the program may go on in a second way"""
    deprecated_calls: int = 0
    unparsable: int = 0
    """1 for a source that this Python cannot parse"""


class Task(NamedTuple):
    """What Kora said on stdin, as far as this agent needs it."""

    ticket_id: str
    attempt: int
    work_attempt_id: str
    objective: str


def audit(source: str | bytes) -> Counts:
    """Return the counts of one module's source; bytes are decoded as the source itself declares."""
    try:
        with warnings.catch_warnings():
            # What this Python thinks of an escape sequence in that file is not part of the audit.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Counts(unparsable=1)
    return count(tree)


def count(tree: ast.Module) -> Counts:
    """Return the counts of one parsed module."""
    nodes = list(ast.walk(tree))
    imported = imported_names(nodes)
    return Counts(
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        lambdas=sum(isinstance(node, ast.Lambda) for node in nodes),
        branches=sum(map(branches_at, nodes)),
        deprecated_calls=sum(isinstance(node, ast.Call) and is_deprecated(node.func, imported) for node in nodes),
    )


def branches_at(node: ast.AST) -> int:
    """Return how many branches this node itself adds.

    One each for `if`, `elif`, `for`, `async for`, `while`, `except`, `case`, a conditional expression, and an `if` in
    a comprehension; one for each `and` and `or`. None for `else`, `finally`, `with`, `assert`, or a comprehension's
    own `for`.
    """
    match node:
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.match_case() | ast.IfExp():
            return 1
        case ast.BoolOp(values=values):
            return len(values) - 1
        case ast.comprehension(ifs=conditions):
            return len(conditions)
    return 0


def imported_names(nodes: list[ast.AST]) -> dict[str, str]:
    """Return what each imported name stands for, as a dotted name; imports anywhere in the file count for all of it."""
    names = {}
    for node in nodes:
        match node:
            case ast.Import(names=aliases):
                names.update({alias.asname: alias.name for alias in aliases if alias.asname})
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names.update({alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases})
    return names


def is_deprecated(called: ast.expr, imported: dict[str, str]) -> bool:
    """Return whether a call of this expression is one of a deprecated function, judged by its name."""
    parts: list[str] = []
    while isinstance(called, ast.Attribute):
        parts.insert(0, called.attr)
        called = called.value
    if isinstance(called, ast.Name):
        parts.insert(0, imported.get(called.id, called.id))
        name = ".".join(parts)
        if name in DEPRECATED_FUNCTIONS or name.rpartition(".")[0] in DEPRECATED_MODULES:
            return True
        parts = name.split(".")
    return bool(parts) and parts[-1] in DEPRECATED_NAMES


def say(**message: str) -> None:
    """Tell Kora, at once."""
    print(json.dumps(message), flush=True)


def progress() -> None:
    """Tell Kora that a phase is done: the lease is refreshed only for an agent that gets on."""
    say(kora="progress", signal="tool_call_boundary")


def give_up(why: str) -> NoReturn:
    """End for good: what came on stdin is nothing that this agent could ever work."""
    print(f"agent: {why}", file=sys.stderr)
    sys.exit(WRONG_INPUT)


def is_file_name(text: object) -> bool:
    """Return whether this is text that may become part of a file's name."""
    return isinstance(text, str) and text.isprintable() and text.strip(".") != "" and "/" not in text


def read_task(document: bytes) -> Task:
    """Return what Kora asks for.

    Raises:
        ValueError: It is not the JSON object that SPEC section 13 promises; the message says what is wrong.
    """
    try:
        said = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"stdin is not a JSON document: {error}") from None
    match said:
        case {
            "ticket": {"ticket_id": str(ticket), "ticket_objective": str(objective)},
            "attempt": int(attempt),
            "work_attempt_id": str(work_attempt_id),
        } if is_file_name(ticket):
            return Task(ticket, attempt, work_attempt_id, objective)
    raise ValueError("stdin holds no object with a ticket (its id and objective), an attempt and a work_attempt_id")


def read_objective(objective: str) -> tuple[str, Path]:
    """Return the module's name and its file.

    Raises:
        ValueError: The ticket is not one of `make_tickets.py`.
    """
    try:
        asked = json.loads(objective)
    except (ValueError, RecursionError):
        asked = None
    match asked:
        case {"module": str(module), "path": str(path)} if is_file_name(module):
            return module, Path(path)
    raise ValueError('the objective is not {"module": NAME, "path": FILE}')


def write_journal(what: str, task: Task) -> None:
    """Append one line, in a single write, so that the lines of agents that run at once never mix."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    entry = {
        "ticket": task.ticket_id,
        "attempt": task.attempt,
        "work_attempt_id": task.work_attempt_id,
        "pid": os.getpid(),
        "what": what,
        "at": time.clock_gettime_ns(clock),
    }
    with JOURNAL.open("ab", buffering=0) as journal:
        journal.write(json.dumps(entry).encode() + b"\n")


def write_report(task: Task, module: str, path: Path, counts: Counts) -> None:
    """Put the report in its place, whole and on the disk; a crash at any point leaves the old one, or none."""
    report = {"module": module, "path": str(path), **counts._asdict(), "unparsable": bool(counts.unparsable)}
    REPORTS.mkdir(exist_ok=True)
    # Named by the ticket, so that a later attempt takes over what a killed one left.
    unfinished = REPORTS / f".{module}.{task.ticket_id}.tmp"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps(report) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(REPORTS / f"{module}.json")
    folder = os.open(REPORTS, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def work(task: Task) -> tuple[str, str]:
    """Do the ticket; return its resolution and one sentence about it."""
    try:
        module, path = read_objective(task.objective)
    except ValueError as error:
        return "failed_terminal", str(error)
    try:
        source = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        return "failed_terminal", f"{module}: cannot read {path}: {error.strerror}"
    except ValueError as error:
        return "failed_terminal", f"{module}: cannot read {str(path)!r}: {error}"
    progress()
    counts = audit(source)
    progress()
    write_report(task, module, path, counts)
    progress()
    if counts.unparsable:
        return "completed", f"{module}: not valid source for Python {sys.version_info.major}.{sys.version_info.minor}"
    return "completed", (
        f"{module}: functions {counts.functions}, lambdas {counts.lambdas}, branches {counts.branches}, "
        f"deprecated calls {counts.deprecated_calls}"
    )


def main() -> None:
    """Work the one ticket that stdin holds."""
    try:
        task = read_task(sys.stdin.buffer.read())
    except ValueError as error:
        give_up(str(error))
    try:
        write_journal("start", task)
        resolution, summary = work(task)
        say(kora="result", resolution=resolution, summary=summary)
        write_journal("end", task)
    except OSError as error:
        # A full disk, a report that may not be written: it may go better another time.
        print(f"agent: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
