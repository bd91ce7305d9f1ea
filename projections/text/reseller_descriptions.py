"""Events of resellers and of their orders as sentences."""

from __future__ import annotations

from ledger.catalog import Catalog
from ledger.events import Fact
from ledger.streams.order import OrderApproved, OrderDeclined, OrderPlaced
from ledger.streams.reseller import (
    LimitsSet,
    OrderingResumed,
    OrderingSuspended,
    ResellerNamed,
    SeatsGivenBack,
    SeatsGranted,
    SeatsSpent,
)
from projections.text.formatting import counted, seats


def reseller_sentence(fact: Fact, id: str, catalog: Catalog) -> str:
    """Return what happened to a reseller, by its folded name."""
    match fact:
        case ResellerNamed(reseller=name):
            return f"Something arranged with reseller {name} for the first time"
        case SeatsGranted():
            given = seats(catalog, abs(fact.seats), fact.product, fact.tier)
            done = "granted to" if fact.seats >= 0 else "taken away from what was granted to"
            return f"{given} {done} reseller {id}"
        case SeatsSpent():
            given = seats(catalog, fact.seats, fact.product, fact.tier)
            return f"{given} spent by reseller {id} on keys of batch {fact.batch}"
        case SeatsGivenBack():
            given = seats(catalog, fact.seats, fact.product, fact.tier)
            return f"{given} given back to reseller {id}: the keys are its own no more"
        case LimitsSet():
            return f"Orders of reseller {id} limited: {_limits(fact)}"
        case OrderingSuspended(keys=keys):
            also = ", and its keys cannot be redeemed" if keys else ""
            return f"Reseller {id} suspended: it can order nothing{also}"
        case OrderingResumed():
            return f"Reseller {id} resumed: it can order again, and its keys can be redeemed"
    return type(fact).__name__


def _limits(fact: LimitsSet) -> str:
    said = [
        counted(value, what)
        for what, value in (("key", fact.count), ("seat", fact.seats), ("month", fact.months))
        if value is not None
    ]
    if fact.approval_above is not None:
        said.append(f"to be approved above {counted(fact.approval_above, 'seat')} in all")
    return ", ".join(said) or "not at all"


def order_sentence(fact: Fact, order: str, catalog: Catalog) -> str:
    """Return what happened to an order that waited."""
    match fact:
        case OrderPlaced():
            each = seats(catalog, fact.seats, fact.product, fact.tier)
            keys, months = counted(fact.count, "key"), counted(fact.months, "month")
            what = f"{keys}, {each} for {months} each"
            return f"Order {order} of {fact.reseller} waits to be approved: {what}"
        case OrderApproved(batch=batch):
            return f"Order {order} approved: its keys are batch {batch}"
        case OrderDeclined():
            return f"Order {order} declined"
    return type(fact).__name__
