"""Amounts of money, as people read them."""

from __future__ import annotations

from typing import Final

from kora.domain.cost import MICRO_USD

_SMALL_USD: Final = 0.1


def usd(amount: float) -> str:
    """The amount in dollars; a small one to the hundredth of a cent."""
    return f"{amount:,.4f} USD" if 0 < amount < _SMALL_USD else f"{amount:,.2f} USD"


def usd_of(micro_usd: int) -> str:
    """The same, of millionths of a dollar."""
    return usd(micro_usd / MICRO_USD)
