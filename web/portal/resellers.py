"""Which resellers an account has its keys of: whom a customer can be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.streams import key
from ledger.streams.account.state import Account
from ledger.streams.key import KEY
from web.app.context import services
from web.html.languages import gettext as _

LOOKED_UP_MAX: Final = 20
NAMED_MAX: Final = 3


def by_subscription(account: Account) -> Mapping[str, str]:
    """Return the reseller of each subscription of a key, by its id, the latest ones first."""
    latest = sorted(account.subscriptions.values(), key=lambda one: one.position, reverse=True)
    streams = {one.id: key.stream_id(one.key) for one in latest[:LOOKED_UP_MAX]}
    if not streams:
        return {}
    found = services().book.load_many(KEY, sorted(set(streams.values())))
    return {
        id: state.issued.reseller
        for id, stream in streams.items()
        if (state := found[stream].state) is not None
    }


def named(account: Account) -> list[str]:
    """Return the sentence that says who "your reseller" is; none where that is not known."""
    names = list(dict.fromkeys(by_subscription(account).values()))[:NAMED_MAX]
    return [_("You have keys of: %(names)s", names=", ".join(names))] if names else []


def contact(reseller: str | None) -> object:
    """Return whom to ask about a prepaid subscription."""
    if reseller is None:
        return _("Prepaid: contact your reseller")
    return _("Prepaid: contact your reseller, %(reseller)s", reseller=reseller)
