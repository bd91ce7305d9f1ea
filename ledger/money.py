"""Amounts of money as Stripe counts them: in minor units, with as many decimals as Stripe has.

    decimal(189900, "rsd")      # Decimal('1899.00')
    written(500, "jpy")         # 'JPY 500'

Neither ISO 4217 nor CLDR will do: CLDR rounds dinars and others to whole ones, and Stripe counts
Icelandic krónur and Ugandan shillings in hundredths, though neither has any.

Source: https://docs.stripe.com/currencies, "Zero-decimal", "Three-decimal" and "Special cases".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

# UGX is on Stripe's list of these, and taken off again among its special cases, as ISK is; HUF and
# TWD are whole only in payouts.
_WHOLE: Final = frozenset({
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
})  # fmt: skip
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def decimals(currency: str) -> int:
    """Return how many decimals Stripe's amounts in a currency have; its case does not matter."""
    code = currency.upper()
    return 0 if code in _WHOLE else 3 if code in _THOUSANDTHS else 2


def decimal(amount: int, currency: str) -> Decimal:
    """Return an amount in minor units as a number of the currency's own, with its decimals."""
    return Decimal(amount).scaleb(-decimals(currency))


def written(amount: int | None, currency: str | None) -> str:
    """Return an amount in minor units as text: `EUR 19.00`, `JPY 500`, `KWD 1.500`."""
    if amount is None:
        return "an unknown amount"
    code = currency or ""
    return f"{code.upper()} {decimal(amount, code):f}".strip()
