"""What keys have cost a reseller's allowance, and what becomes of it when they are changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from commands.services import Services
from ledger.book import Change
from ledger.events import Fact
from ledger.loaded import Loaded
from ledger.reseller_names import folded, same
from ledger.streams import batch, key, reseller
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, Key, KeyTerms
from ledger.streams.reseller import RESELLER, Place, Reseller, SeatsGivenBack, SeatsSpent


def given_back(
    services: Services, keys: Iterable[Key], causation: str | None = None
) -> list[Change]:
    """Return the changes that give back what was spent on keys which are revoked just now."""
    seats: defaultdict[str, defaultdict[Place, int]] = defaultdict(lambda: defaultdict(int))
    for one in keys:
        if _spent_on(services, one):
            issued = one.issued
            seats[folded(issued.reseller)][Place(issued.product, issued.tier)] += issued.seats
    return [
        Change(
            services.book.load(RESELLER, id),
            [
                SeatsGivenBack(product=place.product, tier=place.tier, seats=count)
                for place, count in places.items()
            ],
            causation=causation,
        )
        for id, places in seats.items()
    ]


def amended(services: Services, old: Key, terms: KeyTerms, causation: str) -> list[Change]:
    """Return the changes of an allowance that go with an amendment of a key.

    What was spent on it becomes what it has now; a key that becomes another reseller's costs that
    one nothing, since the vendor gave it.

    Raises:
        AllowanceExceeded: it has more seats now than are left.
    """
    before = old.terms
    if not _spent_on(services, old):
        return []
    loaded = services.book.load(RESELLER, reseller.stream_id(before.reseller))
    facts = _amended(loaded, old, terms)
    return [Change(loaded, facts, causation=causation)] if facts else []


def _amended(loaded: Loaded[Reseller], old: Key, terms: KeyTerms) -> list[Fact]:
    before, product = old.terms, old.issued.product

    def back(seats: int) -> SeatsGivenBack:
        return SeatsGivenBack(product=product, tier=before.tier, seats=seats)

    def spent(seats: int) -> SeatsSpent:
        reseller.afford(loaded.state, product, terms.tier, seats)
        return SeatsSpent(product=product, tier=terms.tier, seats=seats, batch=old.issued.batch)

    if not same(before.reseller, terms.reseller):
        return [back(before.seats)]
    if before.tier != terms.tier:
        return [back(before.seats), spent(terms.seats)]
    more = terms.seats - before.seats
    if more == 0:
        return []
    return [spent(more)] if more > 0 else [back(-more)]


def _spent_on(services: Services, one: Key) -> bool:
    """Return whether a key's seats count as spent: its reseller ordered it, and still has it."""
    ordered = services.book.load(BATCH, batch.stream_id(one.issued.batch)).state
    if ordered is None or not ordered.spent:
        return False
    while not one.changed_hands:
        if one.issued.replaces is None:
            return True
        before = services.book.load(KEY, key.stream_id(one.issued.replaces)).state
        if before is None:
            return True
        one = before
    return False
