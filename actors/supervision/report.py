"""What a supervisor has to say about its children."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Context = Literal["start_failed", "child_terminated", "hung", "restarted", "shutdown_overrun", "gave_up"]

_REASON_SHOWN: Final = 300


class Report(BaseModel):
    """One occurrence: which supervisor, in what context, for what reason, and which child it concerns.

    - ``start_failed``: an exception, or longer than ``start_seconds``. ``child_terminated``: it died, or ended though
      it is permanent. ``hung``: longer than ``hang_seconds`` at one thing. ``restarted``: it runs again.
    - ``shutdown_overrun``: longer than ``shutdown_seconds``; its thread is left behind. ``gave_up``: the supervisor.

    ``restarts`` counts the offender's restarts so far; ``detail`` is the traceback's text, or where a thread that was
    left behind stood, where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    supervisor: str
    context: Context
    reason: str
    offender: str
    restarts: int = 0
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    detail: str = ""

    def line(self) -> str:
        """One line, whatever the exception's message holds."""
        shown = "".join(letter if letter.isprintable() else " " for letter in self.reason)
        reason = " ".join(shown.split())
        if len(reason) > _REASON_SHOWN:
            reason = f"{reason[:_REASON_SHOWN]}…"
        return f"{self.supervisor}: {self.context} {self.offender}: {reason} (restarts: {self.restarts})"

    def text(self) -> str:
        """The line, and below it the traceback, indented."""
        detail = self.detail.strip()
        if not detail:
            return self.line()
        return "\n".join([self.line(), *(f"    {row}" for row in detail.splitlines())])
