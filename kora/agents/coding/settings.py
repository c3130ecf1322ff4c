"""What a coding agent's attempts are to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from kora.agents.coding.stream import amount_of
from kora.agents.command import DEFAULT_ENV_ALLOW
from kora.agents.prompt import DEFAULT
from kora.agents.workspace import WorkspaceKind

Kind = Literal["claude", "codex", "gemini"]
STALL_SECONDS: Final[Mapping[Kind, float]] = {"claude": 300.0, "codex": 540.0, "gemini": 300.0}
"""how long each may go without progress, if nothing is said: codex says nothing while it thinks"""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars for a million tokens."""

    input_usd_per_million: float
    cached_input_usd_per_million: float
    output_usd_per_million: float


@dataclass(frozen=True, slots=True)
class CodingSettings:
    """The `[agent]` of kind "claude", "codex" or "gemini"."""

    kind: Kind
    executable: str
    """the program: a name to be found in PATH, or a path"""
    workdir: Path
    """where the agent runs; the repository, for worktrees"""
    prompt: str = DEFAULT
    """the template of what it is asked; see `kora.agents.prompt`"""
    model: str = ""
    """empty: the program's own choice"""
    permission_mode: str = ""
    """what it may do unasked, in its program's own words; empty: as the program is set up"""
    allowed_tools: tuple[str, ...] = ()
    """what it may use unasked, beside that"""
    max_turns: int = 0
    """0: no limit"""
    max_budget_usd: float = 0.0
    """0: no limit"""
    resume: bool = False
    """whether a later attempt goes on in the session of the one before"""
    arguments: tuple[str, ...] = ()
    """further arguments for the program"""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """by the model's name, for programs that do not tell what they cost"""
    timeout_seconds: float = 0.0
    """how long an attempt may take; 0: as long as it makes progress"""
    stall_seconds: float = 0.0
    """how long an attempt may go without progress; 0: as long as its lease lasts"""
    grace_seconds: float = 5.0
    """between SIGTERM and SIGKILL, and between its last word and SIGTERM"""
    env_allow: tuple[str, ...] = DEFAULT_ENV_ALLOW
    """which of the runtime's environment variables the agent gets"""
    verify: tuple[str, ...] = ()
    """the check that an agent's success has to pass; empty: its word is taken"""
    workspace: WorkspaceKind = "shared"
    """whether each attempt runs in `workdir`, or in a place of its own: see `WorkspacedAgent`"""

    def cost_usd(self, model: str, tokens_in: object, cached: object, tokens_out: object) -> float | None:
        """What so many tokens of the model cost, those `cached` being among `tokens_in`; None if that is not known."""
        price = self.prices.get(model)
        used, made = amount_of(tokens_in), amount_of(tokens_out)
        if price is None or used is None or made is None:
            return None
        again = min(amount_of(cached) or 0.0, used)
        cost = (
            (used - again) * price.input_usd_per_million
            + again * price.cached_input_usd_per_million
            + made * price.output_usd_per_million
        )
        return amount_of(cost / _MILLION)
