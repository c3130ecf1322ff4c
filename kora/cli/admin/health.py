"""How a running runtime is, for people, for scripts and for whoever keeps it running."""

from __future__ import annotations

from typing import Final

import typer

from kora.cli.admin.asked import AsJson, client
from kora.cli.output import painted, plain_document, table, write_line

_COLUMNS: Final = ("part", "grade", "says")
_STYLES: Final = {"ok": "green", "degraded": "yellow", "broken": "red"}
_EXIT_BROKEN: Final = 1


def health(context: typer.Context, *, as_json: AsJson = False) -> int:
    """Show whether the runtime is well, part by part. Ends with 1 if it is broken, with 3 if none is running.

    Whatever is stopped on purpose (an operator's pause, a STOP command, a used-up credit pool) is not broken for that,
    and what is degraded goes on: both end with 0.

    \b
    Examples:
      kora-actors health
      kora-actors health --json
    """  # noqa: D301 - typer is told by a backspace to keep the lines
    found = client(context).get("/health")
    status = found["status"]
    if as_json:
        plain_document(found)
    else:
        write_line(painted(status, _STYLES[status], "bold"))
        if found["stopped_on_purpose"] is not None:
            write_line(painted(f"stopped on purpose: {found['stopped_on_purpose']}", "yellow"))
        elif found["not_ready"] is not None:
            write_line(painted(f"nothing is claimed: {found['not_ready']}", "yellow"))
        table(_COLUMNS, [tuple(each[name] for name in _COLUMNS) for each in found["parts"]], "no parts", styles=_STYLES)
    return _EXIT_BROKEN if status == "broken" else 0
