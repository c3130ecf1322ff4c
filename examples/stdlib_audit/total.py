"""Add up the agents' reports and compare them with a direct count, made here in one process over the same modules.

Exit code 0: every module has its report, and each report says what the direct count says. 1: not so; the modules are
named. 2: the list of tickets cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from agent import Counts, audit, read_objective

FOLDER = Path(__file__).resolve().parent


class Comparison(NamedTuple):
    """What the agents reported beside what was counted directly."""

    modules: int
    reported: Counts
    direct: Counts
    missing: list[str]
    """modules without a report, or with one that is no report of theirs"""
    different: list[str]
    """modules whose report does not say what the direct count says"""
    unreadable: list[str]
    """modules whose source cannot be read now, so that there is no direct count"""

    @property
    def equal(self) -> bool:
        """Whether every module has a report and a direct count, and they say the same."""
        return not (self.missing or self.different or self.unreadable)


def listed(tickets: Path) -> dict[str, Path]:
    """Return the modules that the tickets name, with their files.

    Raises:
        OSError: The list cannot be read.
        ValueError: A line is no ticket of `make_tickets.py`, or there is none at all; the message names it.
    """
    modules = {}
    for number, line in enumerate(tickets.read_text(encoding="utf-8").splitlines(), 1):
        try:
            module, path = read_objective(json.loads(line)["ticket_objective"])
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{tickets}, line {number}: not a ticket of make_tickets.py") from None
        modules[module] = path
    if not modules:
        raise ValueError(f"{tickets}: holds no ticket")
    return modules


def reported(reports: Path, module: str) -> Counts | None:
    """Return what the module's report says; None if there is none, or it is not one."""
    try:
        said = json.loads((reports / f"{module}.json").read_text(encoding="utf-8"))
        if said.pop("module") != module:
            return None
        return Counts(*(int(said[field]) for field in Counts._fields))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def counted(path: Path) -> Counts | None:
    """Return what a direct count says; None if the source cannot be read."""
    try:
        return audit(path.read_bytes())
    except OSError:
        return None


def total(counts: Iterable[Counts | None]) -> Counts:
    """Return the sum, field by field."""
    return Counts(*map(sum, zip(Counts(), *(each for each in counts if each is not None), strict=True)))


def compare(modules: dict[str, Path], reports: Path) -> Comparison:
    """Return the reports beside the direct count."""
    said = {module: reported(reports, module) for module in modules}
    found = {module: counted(path) for module, path in modules.items()}
    return Comparison(
        modules=len(modules),
        reported=total(said.values()),
        direct=total(found.values()),
        missing=[module for module in modules if said[module] is None],
        different=[module for module in modules if said[module] and found[module] and said[module] != found[module]],
        unreadable=[module for module in modules if found[module] is None],
    )


def as_json(comparison: Comparison) -> str:
    """Return the comparison as one JSON document."""
    sums = {"reported": comparison.reported._asdict(), "direct": comparison.direct._asdict()}
    return json.dumps({"equal": comparison.equal, **comparison._asdict(), **sums})


def as_table(comparison: Comparison) -> str:
    """Return the comparison for people: the sums side by side, and every module that is not as it should be."""
    rows = [("", "reported", "direct")]
    rows.append(("modules", str(comparison.modules - len(comparison.missing)), str(comparison.modules)))
    for field, said, found in zip(Counts._fields, comparison.reported, comparison.direct, strict=True):
        rows.append((field.replace("_", " "), str(said), str(found)))
    lines = [f"{name:<16} {said:>10} {found:>10}".rstrip() for name, said, found in rows]
    lines.append("equal" if comparison.equal else "not equal")
    for what in ("missing", "different", "unreadable"):
        lines += [f"{what}: {module}" for module in getattr(comparison, what)]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare the agents' reports with a direct count.")
    parser.add_argument("--tickets", metavar="FILE", type=Path, default=FOLDER / "tickets.jsonl")
    parser.add_argument("--reports", metavar="FOLDER", type=Path, default=FOLDER / "reports")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        modules = listed(options.tickets)
    except OSError as error:
        print(f"total: {options.tickets}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"total: {error}", file=sys.stderr)
        return 2
    comparison = compare(modules, options.reports)
    print(as_json(comparison) if options.json else as_table(comparison))
    return 0 if comparison.equal else 1


if __name__ == "__main__":
    sys.exit(main())
