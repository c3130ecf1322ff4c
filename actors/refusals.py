"""Providers that refuse: until when nothing is to be tried, and what shows that one serves again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from actors.steering import ProviderRefused, ProviderServed
    from kora.domain.state import DegradationReason

_FIRST_SECONDS: Final = 60.0
_CAP_SECONDS: Final = 1_800.0
_DOUBLINGS_MAX: Final = 5


@dataclass(slots=True)
class _Refusing:
    """What is known of the provider of one agent."""

    refused: ProviderRefused
    """its last refusal"""
    until: float
    """nothing is tried before"""
    in_a_row: int = 0
    """how many pauses it has brought about since it served last"""
    is_tried: bool = True
    """its pause is over, and an attempt has shown that it, or another one, serves"""


class Refusals:
    """One pause for all agents: intake goes on when the last of the refusing providers is to be tried again.

    - A refusal pauses until the time that it named, or for a minute. What others of its attempts hear meanwhile
      lengthens that only by a later time that is named.
    - After the pause one attempt is to show whether it serves again. Progress, or an end without a refusal, opens the
      flood. Another refusal pauses for at least two minutes, four, eight, up to half an hour.
    - An attempt of another agent opens the flood as well: the tickets of the one that refuses may be far down the
      board. Its own provider's next refusal then pauses for longer all the same.
    """

    def __init__(self) -> None:
        self._known: dict[str | None, _Refusing] = {}

    def refuse(self, refused: ProviderRefused, now: float) -> float | None:
        """Until when nothing is tried, if that is news; None if this was heard before, or changes nothing."""
        known = self._known.get(refused.agent)
        if known is None:
            known = self._known[refused.agent] = _Refusing(refused, until=now)
        elif known.refused.work_attempt_id == refused.work_attempt_id:
            return None
        known.refused = refused
        named = refused.refusal.until or now
        if now < known.until:
            is_later, known.until = named > known.until, max(named, known.until)
            return known.until if is_later else None
        pause = min(_FIRST_SECONDS * 2.0 ** min(known.in_a_row, _DOUBLINGS_MAX), _CAP_SECONDS)
        is_first_word = known.in_a_row == 0 and named > now
        known.until = named if is_first_word else max(named, now + pause)
        known.in_a_row += 1
        known.is_tried = False
        return known.until

    def serve(self, served: ProviderServed, now: float) -> bool:
        """Whether this opens the flood."""
        tried = [known for known in self._known.values() if not known.is_tried and known.until <= now]
        for known in tried:
            known.is_tried = True
        own = self._known.get(served.agent)
        if own is not None and own.until <= now:
            own.in_a_row = 0
        return bool(tried) and not self.reasons(now)

    def try_again(self, now: float) -> None:
        """Nothing is waited for any longer; the next attempt shows whether they serve."""
        for known in self._known.values():
            known.until = min(known.until, now)

    def reasons(self, now: float) -> frozenset[DegradationReason]:
        """Why nothing is to be tried now; empty when something may be."""
        return frozenset(known.refused.refusal.reason for known in self._known.values() if now < known.until)

    def probes(self, now: float) -> bool:
        """Whether one attempt is to show whether a provider serves again."""
        return not self.reasons(now) and any(not known.is_tried for known in self._known.values())

    def facts(self) -> dict[str, object]:
        """The last refusal of each agent's provider, in JSON's own types."""
        return {agent or "": _shown(known) for agent, known in list(self._known.items())}


def _shown(known: _Refusing) -> dict[str, object]:
    refusal = known.refused.refusal
    return {
        "work_attempt_id": known.refused.work_attempt_id,
        "reason": refusal.reason.value,
        "said": refusal.said,
        "until": known.until,
        "serves": known.is_tried,
    }
