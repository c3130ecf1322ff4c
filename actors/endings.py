"""What the end of an attempt comes to, and what it shows of its agent's provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.limits import ended_at_boundary
from actors.messages import Ended
from actors.names import CONTROL
from actors.steering import ProviderRefused, ProviderServed
from kora.domain.handback import hand_back, pass_back
from kora.domain.resolution import Resolution, settle
from kora.domain.ticket import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.desk import Desk
    from actors.herald import Speaker
    from actors.limits import Limits
    from actors.post import Taken
    from kora.agents.port import Agents
    from kora.domain.claim import Claim
    from kora.domain.resolution import Outcome, Settlement


class Endings:
    """Part of one Worker, and of its thread, but for `named`."""

    def __init__(
        self,
        speaker: Speaker,
        agents: Agents,
        desk: Desk,
        limits: Limits,
        *,
        max_attempts: int,
        redacted: Callable[[str], str],
    ) -> None:
        self._speaker = speaker
        self._agents = agents
        self._desk = desk
        self._limits = limits
        self._max_attempts = max_attempts
        self._redacted = redacted
        self.named: dict[str, str] = {}
        """which agent was chosen for an attempt whose ticket names none; written on whichever thread begins it"""

    def of(self, taken: Taken) -> Ended:
        """What is to be reported of one that is finished at the post."""
        worker, claim, agent = self._speaker.seat.name, taken.claim, taken.agent
        if agent is None:
            return Ended(worker, claim.key, self._of_unbegun(taken), taken.seconds)
        seconds = None if taken.ended_at is None else taken.ended_at - taken.began_at
        outcome = agent.outcome
        if outcome is None:
            text = f"{worker}: an end was announced, but nothing has ended"
            raise RuntimeError(text)
        settlement = self._of_ended(claim, outcome)
        return Ended(worker, claim.key, settlement, seconds, None if settlement else outcome.cost_usd)

    def tell_served(self, claim: Claim) -> None:
        """The attempt shows that its provider serves."""
        served = ProviderServed(agent=self._agent_of(claim), work_attempt_id=claim.key.work_attempt_id)
        self._speaker.tell(CONTROL, served)

    def _of_unbegun(self, taken: Taken) -> Settlement | None:
        if taken.is_doubtful:
            return hand_back(taken.claim, taken.unbegun, max_attempts=self._max_attempts)
        if taken.is_lost:
            return None
        settlement = pass_back(taken.claim, taken.unbegun)
        if taken.is_deferred:
            return settlement._replace(resolution=Resolution.DEFERRED_COST_LIMIT, sea_status=Status.DEFERRED_COST_LIMIT)
        return settlement

    def _of_ended(self, claim: Claim, outcome: Outcome) -> Settlement | None:
        attempt = claim.key.work_attempt_id
        if outcome.refusal is not None:
            refused = ProviderRefused(agent=self._agent_of(claim), work_attempt_id=attempt, refusal=outcome.refusal)
            self._speaker.tell(CONTROL, refused)
        elif self._limits.has_been_served(outcome):
            self.tell_served(claim)
        chosen = self.named.pop(attempt, None)
        if self._desk.has_turned_away(attempt):
            outcome = ended_at_boundary(outcome)
        caps = self._agents.caps
        settlement = settle(claim, outcome, max_attempts=self._max_attempts, caps=caps, redacted=self._redacted)
        if settlement is None or chosen is None or settlement.model_tier_used is not None:
            return settlement
        # It has named no model itself: then this is what is known of it.
        return settlement._replace(model_tier_used=f"agents.{chosen}")

    def _agent_of(self, claim: Claim) -> str | None:
        return self.named.get(claim.key.work_attempt_id, claim.ticket.agent)
