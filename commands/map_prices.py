"""Give prices the meaning that the catalog has for them now (`stripe remap`).

A price keeps its meaning for the life of a subscription, whatever becomes of the catalog. This is
the one way to change that, and the same for everybody at the same time.
"""

from __future__ import annotations

from typing import NamedTuple

from commands.deciding import deciding
from commands.ports import Ports
from ledger.book import Change
from ledger.events import Stamp
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account
from ledger.streams.stripe import Meaning, StripePricesMapped
from ledger.stripe_objects import meaning_of


class Mapped(NamedTuple):
    """What an account's prices mean from now on, and which of them still mean nothing.

    Attributes:
        before: by price, what those meant until now that meant something else.
    """

    account: str
    meanings: dict[str, Meaning]
    unmapped: list[str]
    before: dict[str, Meaning]
    position: int


def map_prices(ports: Ports, stamp: Stamp, account: str, *, dry_run: bool = False) -> Mapped:
    """Look an account's prices up in the catalog as it is now, and record what is new.

    A price that the catalog does not know keeps what it means. What was true before stays as it
    was: the seats are there from now on.
    """

    def attempt() -> Mapped:
        loaded = ports.book.load(ACCOUNT, account)
        found = _looked_up(ports, loaded.state)
        position = loaded.head
        if found.meanings and not dry_run:
            facts = [StripePricesMapped(meanings=found.meanings)]
            position = ports.book.append(stamp, Change(loaded, facts)).position
        return Mapped(account, *found, position)

    return deciding(attempt)


class _LookedUp(NamedTuple):
    meanings: dict[str, Meaning]
    unmapped: list[str]
    before: dict[str, Meaning]


def _looked_up(ports: Ports, account: Account) -> _LookedUp:
    found = _LookedUp({}, [], {})
    for subscription in account.stripe.subscriptions.values():
        for item, known in subscription.meanings(account.stripe.mapped):
            meaning = meaning_of(ports.catalog, item.price, item.lookup_key, item.stripe_product)
            price = item.price or "?"
            if meaning is not None and item.price is not None and meaning != known:
                found.meanings[price] = meaning
                if known is not None:
                    found.before[price] = known
            elif meaning is None and known is None and price not in found.unmapped:
                found.unmapped.append(price)
    return found
