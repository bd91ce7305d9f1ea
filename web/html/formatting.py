"""Amounts of money, as people of the reader's language write them."""

from __future__ import annotations

from babel import Locale
from babel.numbers import parse_pattern

from ledger.money import decimal, decimals
from web.html.languages import current


def money(amount: int | None, currency: str | None) -> str:
    """Return an amount in minor units as people of the reader's language write it; a dash for None.

    With Stripe's decimals, which are not always those that the language has for the currency.
    """
    if amount is None or currency is None:
        return "–"
    code, locale = currency.upper(), Locale.parse(current())
    pattern = parse_pattern(locale.currency_formats["standard"].pattern)
    pattern.frac_prec = (decimals(code), decimals(code))
    shown = pattern.apply(decimal(amount, code), locale, currency=code, currency_digits=False)
    return str(shown)
