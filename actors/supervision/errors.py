"""What the kit raises.

    SupervisionError
    ├── SupersededError         this actor's name has been given to a successor
    ├── InboxFullError          there was no room for the message in the time given
    ├── UnknownNameError        no inbox was declared for that name
    ├── UnknownLetterError      no dead letter of that number is kept
    ├── ResendRefusedError      that dead letter must not be sent again, or would only be one again
    ├── NotRunningError         the supervisor has not been started, is stopping, or has ended
    ├── UnknownChildError       no child goes by that name
    ├── NameTakenError          a child goes by that name already
    ├── ChildStartError         a start that was asked for failed (a permanent child is tried again all the same)
    ├── GaveUpError             restarts came too fast, or the first start failed; carries the report
    └── CommandTimeoutError     the answer did not come in the time given (also a TimeoutError)

A specification that is wrong raises ``pydantic.ValidationError``, which lists every fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.supervision.report import Report


class SupervisionError(Exception):
    """The root of the kit's errors."""


class SupersededError(SupervisionError):
    """The actor's name has been given to a successor: it may neither take messages nor send them."""


class InboxFullError(SupervisionError):
    """The name's inbox had no room in the time given. The message was not taken."""


class UnknownNameError(SupervisionError):
    """No inbox was declared for that name."""


class UnknownLetterError(SupervisionError):
    """No dead letter of that number is kept: it was dropped or resent, has made room for newer ones, or never was."""


class ResendRefusedError(SupervisionError):
    """The dead letter must not be sent again, or would only become one again. It is kept."""


class NotRunningError(SupervisionError):
    """The supervisor has not been started, is stopping, or has ended."""


class UnknownChildError(SupervisionError):
    """No child goes by that name."""


class NameTakenError(SupervisionError):
    """A child goes by that name already."""


class ChildStartError(SupervisionError):
    """A start that was asked for failed. Whether it is tried again is up to the child's specification."""


class GaveUpError(SupervisionError):
    """The supervisor gave up, and everything was stopped. ``report`` says which child and why."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.line())
        self.report = report


class CommandTimeoutError(SupervisionError, TimeoutError):
    """The answer did not come in the time given. What was asked for goes on."""
