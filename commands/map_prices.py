"""Give a meaning to prices that had none when they were reported (`stripe remap`)."""

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
    """What an account's prices mean from now on, and which of them still mean nothing."""

    account: str
    meanings: dict[str, Meaning]
    unmapped: list[str]
    position: int


def map_prices(ports: Ports, stamp: Stamp, account: str, *, dry_run: bool = False) -> Mapped:
    """Look an account's unmapped prices up in the catalog as it is now, and record what is found.

    What was true before stays as it was: the seats are there from now on.
    """

    def attempt() -> Mapped:
        loaded = ports.book.load(ACCOUNT, account)
        meanings, unmapped = _looked_up(ports, loaded.state)
        position = loaded.head
        if meanings and not dry_run:
            facts = [StripePricesMapped(meanings=meanings)]
            position = ports.book.append(stamp, Change(loaded, facts)).position
        return Mapped(account, meanings, unmapped, position)

    return deciding(attempt)


def _looked_up(ports: Ports, account: Account) -> tuple[dict[str, Meaning], list[str]]:
    meanings: dict[str, Meaning] = {}
    unmapped: list[str] = []
    for subscription in account.stripe.subscriptions.values():
        for item in subscription.items:
            price = item.price or "?"
            if item.meaning is not None or price in account.stripe.mapped or price in meanings:
                continue
            meaning = meaning_of(
                ports.catalog, item.price, item.lookup_key, item.stripe_product, None
            )
            if meaning is not None and item.price is not None:
                meanings[price] = meaning
            elif price not in unmapped:
                unmapped.append(price)
    return meanings, unmapped
