"""What there is to be seen of a runtime whose boot gates are tried."""

from __future__ import annotations

from kora.cli.admin.asked import Document, count, label
from kora.cli.output import painted, write_line
from kora.cli.spans import span_since


def show_boot(boot: Document) -> None:
    """Which gate is tried, how often it has failed, since when, and why."""
    passed = [result for result in boot["results"] if result["outcome"] == "passed"]
    held = [result for result in boot["results"] if result["outcome"] != "passed"]
    write_line(label("gates passed"), painted(f"{len(passed)}"))
    for result in held:
        write_line(label("gate"), painted(result["gate_id"], "yellow"), painted(f": {result['detail']}"))
    if boot["gate"] is None:
        return
    tried = f", failed {count(boot['failures'], 'time')}" if boot["failures"] else ""
    since = "" if boot["since"] is None else f", for {span_since(boot['since'])}"
    write_line(label("gate"), painted(boot["gate"], "cyan"), painted(f"{tried}{since}"))
    if boot["detail"]:
        write_line(label("because"), painted(boot["detail"], "yellow"))
