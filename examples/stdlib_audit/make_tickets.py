"""Write a ticket for every module of this machine's Python standard library: one JSON object a line, sorted by name.

A module is a `.py` file that an import can reach: it lies in the library's folder (`sysconfig`'s path `stdlib`) or in
a package there, a folder with an `__init__.py`. Left out are `site-packages`, which is not the standard library,
`__pycache__`, and the library's own tests: every package named `test`, `tests` or `idle_test`.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = frozenset({"site-packages", "__pycache__", "test", "tests", "idle_test"})


def modules(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield each module in this folder and in the packages below it: its dotted name and its file, in no set order."""
    for entry in folder.iterdir():
        if entry.name in LEFT_OUT or "." in entry.name.removesuffix(".py"):
            continue
        if entry.suffix == ".py" and entry.is_file():
            name = prefix.removesuffix(".") if entry.stem == "__init__" else prefix + entry.stem
            if name:
                yield name, entry
        elif (entry / "__init__.py").is_file():
            yield from modules(entry, f"{prefix}{entry.name}.")


def ticket(module: str, path: Path) -> str:
    """Return the ticket that asks for the audit of one module, as a line for `ticket import`."""
    objective = json.dumps({"module": module, "path": str(path)})
    return json.dumps({"ticket_title": module, "ticket_objective": objective, "sea_idea_kind": "audit"})


def natural(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(arguments: list[str] | None = None) -> int:
    """Write the tickets; return 0, or 1 if the library's source cannot be listed or the file not be written."""
    parser = argparse.ArgumentParser(description="One ticket for every module of the standard library, as JSON lines.")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there, not to stdout")
    parser.add_argument("--every", metavar="N", type=natural, default=1, help="only each N-th module, from the first")
    parser.add_argument("--limit", metavar="N", type=natural, help="at most N modules")
    options = parser.parse_args(arguments)
    library = Path(sysconfig.get_path("stdlib"))
    try:
        found = sorted(modules(library))[:: options.every][: options.limit]
        text = "".join(ticket(name, path) + "\n" for name, path in found)
        if options.output is None:
            sys.stdout.write(text)
        else:
            options.output.write_text(text, encoding="utf-8")
            print(f"{options.output}: {len(found)} tickets, from {library}")
    except OSError as error:
        print(f"make_tickets: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
