"""Give prices the meaning that the catalog has for them now (`stripe remap`).

A price keeps its meaning for the life of a subscription, whatever becomes of the catalog. This is
the one way to change that, and the same for everybody at the same time.

A lookup key can have moved to another price since a subscription was last reported. So Stripe is
asked which key, product and metadata a price has now, unless the catalog names the price itself.
"""

from __future__ import annotations

from typing import NamedTuple

from commands.gateways.stripe_responses import StripeKeyRefused, StripeRefused, StripeUnavailable
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.catalog import Catalog
from ledger.events import RequestContext
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import Meaning, StripeItem, StripePricesMapped
from ledger.stripe.objects import meaning_of, meaning_of_price


class Mapped(NamedTuple):
    """What an account's prices mean from now on, and which of them still mean nothing.

    Attributes:
        before: by price, what those meant until now that meant something else.
        kept: by price, what those mean still that were not looked up, since Stripe did not tell
            which key, product and metadata they have now.
    """

    account: str
    meanings: dict[str, Meaning]
    unmapped: list[str]
    before: dict[str, Meaning]
    kept: dict[str, Meaning]
    position: int


class Unknown(Exception):
    """What a price gives by the catalog is not known, since Stripe did not tell."""


class PriceLookup:
    """Looks prices up in the catalog as they are at Stripe now, each of them once.

    Use one for all accounts: a Stripe that does not answer is not asked again.
    """

    def __init__(self, services: Services) -> None:
        self._catalog: Catalog = services.catalog
        self._stripe = services.stripe
        self._found: dict[str, Meaning | None] = {}
        self._missing: set[str] = set()

    def meaning_of(self, price: str) -> Meaning | None:
        """Return what a price gives by the catalog, else by its own metadata.

        Raises:
            Unknown: Stripe is not set up, does not answer, or has no such price.
        """
        named = meaning_of(self._catalog, price, None, None)
        if named is not None:
            return named
        if price not in self._found:
            self._found[price] = self._ask(price)
        return self._found[price]

    def _ask(self, price: str) -> Meaning | None:
        if self._stripe is None or price in self._missing:
            raise Unknown
        try:
            found = self._stripe.price(price)
        except StripeRefused:
            self._missing.add(price)
            raise Unknown from None
        except (StripeUnavailable, StripeKeyRefused):
            self._stripe = None
            raise Unknown from None
        return meaning_of_price(self._catalog, price, found)


def map_prices(
    services: Services,
    context: RequestContext,
    account: str,
    *,
    dry_run: bool = False,
    lookup: PriceLookup | None = None,
) -> Mapped:
    """Look an account's prices up in the catalog as it is now, record what is new, and return it.

    A price that the catalog does not know keeps what it means, and so does one that means something
    and of which Stripe does not tell what it is now. What was true before stays as it was: the
    seats are there from now on.

    Args:
        lookup: that other accounts were mapped by in the same run.
    """
    lookup = lookup or PriceLookup(services)

    def attempt() -> Mapped:
        loaded = services.book.load(ACCOUNT, account)
        found = _looked_up(services, lookup, loaded.state)
        position = loaded.head
        if found.meanings and not dry_run:
            facts = [StripePricesMapped(meanings=found.meanings)]
            position = services.book.append(context, Change(loaded, facts)).position
        return Mapped(account, *found, position)

    return retry_on_conflict(attempt)


class _LookedUp(NamedTuple):
    meanings: dict[str, Meaning]
    unmapped: list[str]
    before: dict[str, Meaning]
    kept: dict[str, Meaning]


def _looked_up(services: Services, lookup: PriceLookup, account: Account) -> _LookedUp:
    found = _LookedUp({}, [], {}, {})
    for subscription in account.stripe.subscriptions.values():
        for item, known in subscription.meanings(account.stripe.mapped):
            price = item.price or "?"
            try:
                meaning = lookup.meaning_of(item.price) if item.price is not None else None
            except Unknown:
                meaning = _as_reported(services.catalog, item)
                if known is not None:
                    # Without Stripe, who never used it there need not hear of each price.
                    if services.stripe is not None or meaning not in (None, known):
                        found.kept[price] = known
                    continue
            if meaning is not None and item.price is not None and meaning != known:
                found.meanings[price] = meaning
                if known is not None:
                    found.before[price] = known
            elif meaning is None and known is None and price not in found.unmapped:
                found.unmapped.append(price)
    return found


def _as_reported(catalog: Catalog, item: StripeItem) -> Meaning | None:
    return meaning_of(catalog, item.price, item.lookup_key, item.stripe_product)
