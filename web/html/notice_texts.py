"""Notices as titles for people, in the reader's language: the same before their time and after."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from ledger.catalog import Catalog
from ledger.notice_kinds import NoticeKind
from projections.lists.notices import NoticeView
from web.html.languages import format_date, get_locale, ngettext
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l

_TITLES: Final[dict[NoticeKind, Any]] = {
    "subscription.started": _l("Start: %(seats)s"),
    "subscription.ending": _l("Ends on %(date)s: %(seats)s"),
    "subscription.ended": _l("End: %(seats)s"),
    "subscription.unconfirmed": _l("Not confirmed by Stripe: %(seats)s"),
    "seats.full": _l("%(product)s: all %(number)s seats are taken"),
    "seats.over": _l("%(product)s: %(used)s in use, but %(number)s seats"),
    "key.lapsing": _l("Key %(key)s lapses on %(date)s"),
    "key.lapsed": _l("Key %(key)s has lapsed"),
    "token.expiring": _l("Access token %(subject)s expires on %(date)s"),
    "allowance.low": _l("%(product)s: %(left)s of %(granted)s seats are left to order"),
    "webhook.failing": _l("Webhook %(subject)s is disabled"),
}
_RENEWED: Final = _l("End, renewed: %(seats)s")
_DATES: Final = ("ends_at", "redeem_by", "expires_at")
# What XML 1.0 cannot hold, and a calendar should not.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def notice_title(notice: NoticeView, catalog: Catalog) -> str:
    """Return what a notice says, on one line.

    Args:
        catalog: with its texts in the reader's language.
    """
    facts = notice.facts
    title = _TITLES[notice.kind]
    if notice.kind == "subscription.ended" and facts["renewed"]:
        title = _RENEWED
    values = {**facts, "subject": notice.subject, "number": facts.get("seats")}
    if "product" in facts:
        values["product"] = _place(facts, catalog)
        values["seats"] = _seats(facts, catalog)
    for name in _DATES:
        if facts.get(name) is not None:
            # English as it is written outside America, as everywhere on the pages.
            written = "long" if str(get_locale()) != "en" else "d MMM y"
            values["date"] = format_date(datetime.fromisoformat(facts[name]), written)
    return on_one_line(str(title) % values)


def on_one_line(text: str) -> str:
    """Return a text without what feeds and calendars cannot hold."""
    return _CONTROL.sub(" ", text)


def _seats(facts: dict[str, Any], catalog: Catalog) -> Any:
    if facts["product"] is None:
        return _("a subscription at Stripe")
    return ngettext(
        "%(product)s, %(num)s seat",
        "%(product)s, %(num)s seats",
        facts.get("seats", 0),
        product=_place(facts, catalog),
    )


def _place(facts: dict[str, Any], catalog: Catalog) -> str:
    product = catalog.product(facts["product"])
    if product is None:  # of a catalog of before, or none that Stripe's price means
        return str(facts["product"])
    tier = next((one for one in product.tiers if one.id == facts["tier"]), None)
    return f"{product.name} {tier.name}" if tier else product.name
