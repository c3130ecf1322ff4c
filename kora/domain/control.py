"""Permission to claim: what the store says, and how long the word is good."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

PERMISSION_SECONDS: Final = 5.0
"""a permission older than this counts as none: a Control that cannot read closes the gate by saying nothing"""


class ClaimPermission(StrEnum):
    """What may be claimed."""

    NONE = "none"
    CRITICAL_ONLY = "critical_only"
    NORMAL = "normal"
