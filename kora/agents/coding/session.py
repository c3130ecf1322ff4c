"""The session of a coding agent's program: the one that an attempt goes on in, and its own, kept for the next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kora.domain.operation import OperationState

if TYPE_CHECKING:
    from kora.agents.coding.settings import Kind
    from kora.agents.dialogue import Dialogue
    from kora.domain.claim import Claim

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""what may be put into an argument list: it comes from a stream, and must not pass for an option"""


class Session:
    """Kept in the operation ledger: a committed operation of the ticket, with the session's id for its result.

    Without a `dialogue` no session is gone on with, and none is kept.
    """

    def __init__(self, kind: Kind, claim: Claim, dialogue: Dialogue | None) -> None:
        self._tool = tool_of(kind)
        self._attempt = claim.key.work_attempt_id
        self._dialogue = dialogue
        self._kept = 0
        self._last: str | None = None
        self.earlier = None if dialogue is None else newest(kind, claim)
        """the one that this attempt goes on in; None: it begins one"""

    def keep(self, session_id: str | None) -> None:
        """Later attempts go on in this one. What was said before is not said again."""
        if session_id is not None and session_id != self._last and _ID.fullmatch(session_id):
            self._record(session_id)

    def discard(self) -> None:
        """Later attempts begin anew."""
        self._record(None)

    def _record(self, session_id: str | None) -> None:
        if self._dialogue is None:
            return
        self._last = session_id
        key = f"{self._tool}#{self._kept}@{self._attempt}"
        self._kept += 1
        self._dialogue.take({"tool": self._tool, "key": key})
        self._dialogue.take({"key": key, "result": {"session_id": session_id}})


def tool_of(kind: Kind) -> str:
    """What the operation is called that keeps a session."""
    return f"{kind}.session"


def newest(kind: Kind, claim: Claim) -> str | None:
    """The session that the newest attempt kept, or none if that discarded it."""
    for operation in reversed(claim.operations):
        if operation.tool_name == tool_of(kind) and operation.state is OperationState.COMMITTED:
            result = operation.dispatch_result
            session_id = result.get("session_id") if isinstance(result, dict) else None
            return session_id if isinstance(session_id, str) and _ID.fullmatch(session_id) else None
    return None
