"""The boot gates as `run --check-only` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kora.cli.output import complain, plain_documents, table

if TYPE_CHECKING:
    from kora.domain.gates import Checked

_COLUMNS: Final = ("gate", "class", "outcome", "attempts", "elapsed", "detail")
_STYLES: Final = {"passed": "green", "failed": "red", "skipped": "yellow"}


def show_gates(checked: Checked, *, as_json: bool) -> None:
    """Every gate with what it found: a table, or one JSON document."""
    if as_json:
        plain_documents(result.document() for result in checked.results)
        return
    rows = (
        (
            result.gate_id,
            result.gate_class.value,
            result.outcome.value,
            result.attempts,
            f"{result.elapsed_ms / 1_000:.3f} s",
            result.detail,
        )
        for result in checked.results
    )
    table(_COLUMNS, rows, "no gates", styles=_STYLES)
    failed = [result.gate_id for result in checked.results if result.outcome == "failed"]
    if failed:
        complain(f"a runtime would not start to work: {', '.join(failed)} failed")
