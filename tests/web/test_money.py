"""Amounts have Stripe's decimals: of every currency that Stripe takes, wherever they are shown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import parse_decimal

from ledger.money import decimal, decimals, written
from tests.web.api import Api
from web.html.formatting import money

# Stripe's page of currencies, typed off; apart from the program's own lists.
_EVERY = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd
    bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp
    gel gip gmd gnf gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf
    krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn
    nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr
    sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv
    wst xaf xcd xof xpf yer zar zmw
"""
EVERY = _EVERY.split()
# Special cases: charged in hundredths (HUF, TWD), or counted so though there are none (ISK, UGX).
IN_HUNDREDTHS = {"isk", "ugx", "huf", "twd"}
_WHOLE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
WHOLE = set(_WHOLE.split())
THOUSANDTHS = {"bhd", "jod", "kwd", "omr", "tnd"}


def places(currency: str) -> int:
    return 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2


@pytest.mark.parametrize("currency", EVERY)
def test_every_currency_has_stripes_decimals(currency: str) -> None:
    assert not (IN_HUNDREDTHS & (WHOLE | THOUSANDTHS))
    assert decimals(currency) == decimals(currency.upper()) == places(currency)
    assert decimal(189900, currency) == Decimal(189900) / 10 ** places(currency)
    code, text = written(-189905, currency).split()
    assert (code, Decimal(text)) == (currency.upper(), Decimal(-189905) / 10 ** places(currency))
    assert len(text.partition(".")[2]) == places(currency)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("currency", EVERY)
def test_the_pages_show_them_too(shared: Api, currency: str, language: str) -> None:
    headers = {"Accept-Language": language}
    with shared.app.test_request_context(headers=headers):
        shown = money(189905, currency)
    figures = "".join(letter for letter in shown if letter.isdigit() or letter in ",.")
    figures = figures.strip(".")  # of an abbreviation such as `Bs.`
    amount = parse_decimal(figures, locale=language)
    assert amount == Decimal(189905) / 10 ** places(currency)
    point = "." if language == "en" else ","
    assert len(figures.partition(point)[2]) == places(currency)


def test_dinars_have_their_paras(shared: Api) -> None:
    with shared.app.test_request_context():
        assert money(189900, "rsd") == "RSD1,899.00"
        assert money(500, "jpy") == "¥500"
        assert money(-1500, "kwd") == "-KWD1.500"
        assert money(None, "eur") == money(500, None) == "–"
    assert written(189900, "rsd") == "RSD 1899.00"
    assert written(0, "eur") == "EUR 0.00"
    assert written(2**53, "usd") == "USD 90071992547409.92"
    assert written(None, "eur") == "an unknown amount"
    assert written(500, None) == "5.00"
