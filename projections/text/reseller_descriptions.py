"""Events of resellers and of their orders as sentences."""

from __future__ import annotations

from ledger.catalog import Catalog
from ledger.events import Fact
from ledger.streams.order import OrderApproved, OrderDeclined, OrderPlaced
from ledger.streams.reseller import (
    LimitsSet,
    OrderingResumed,
    OrderingSuspended,
    OrderSettled,
    OrderWaits,
    ResellerNamed,
    SeatsGivenBack,
    SeatsGranted,
    SeatsSpent,
    StatementMade,
)
from ledger.translation import gettext as _
from projections.text.formatting import counted, seats


def reseller_sentence(fact: Fact, id: str, catalog: Catalog) -> str:
    """Return what happened to a reseller, by its folded name."""
    match fact:
        case ResellerNamed(reseller=name):
            return _(
                "Something arranged with reseller %(reseller)s for the first time", reseller=name
            )
        case OrderWaits() | OrderSettled():
            return _of_waiting(fact, id, catalog)
        case SeatsGranted() | SeatsSpent() | SeatsGivenBack():
            return _of_allowance(fact, id, catalog)
        case LimitsSet():
            limits = _limits(fact)
            return _(
                "Orders of reseller %(reseller)s limited: %(limits)s", reseller=id, limits=limits
            )
        case OrderingSuspended(keys=True):
            return _(
                "Reseller %(reseller)s suspended: it can order nothing,"
                " and its keys cannot be redeemed",
                reseller=id,
            )
        case OrderingSuspended():
            return _("Reseller %(reseller)s suspended: it can order nothing", reseller=id)
        case OrderingResumed():
            return _(
                "Reseller %(reseller)s resumed: it can order again, and its keys can be redeemed",
                reseller=id,
            )
        case StatementMade(month=month):
            return _(
                "Statement of %(month)s made for reseller %(reseller)s: what it says is kept",
                month=month,
                reseller=id,
            )
    return type(fact).__name__


def _of_allowance(
    fact: SeatsGranted | SeatsSpent | SeatsGivenBack, id: str, catalog: Catalog
) -> str:
    match fact:
        case SeatsGranted():
            given = seats(catalog, abs(fact.seats), fact.product, fact.tier)
            if fact.seats >= 0:
                return _("%(seats)s granted to reseller %(reseller)s", seats=given, reseller=id)
            return _(
                "%(seats)s taken away from what was granted to reseller %(reseller)s",
                seats=given,
                reseller=id,
            )
        case SeatsSpent():
            given = seats(catalog, fact.seats, fact.product, fact.tier)
            return _(
                "%(seats)s spent by reseller %(reseller)s on keys of batch %(batch)s",
                seats=given,
                reseller=id,
                batch=fact.batch,
            )
        case SeatsGivenBack():
            given = seats(catalog, fact.seats, fact.product, fact.tier)
            return _(
                "%(seats)s given back to reseller %(reseller)s: the keys are its own no more",
                seats=given,
                reseller=id,
            )


def _of_waiting(fact: OrderWaits | OrderSettled, id: str, catalog: Catalog) -> str:
    if isinstance(fact, OrderSettled):
        return _(
            "Order %(order)s of reseller %(reseller)s waits no more", order=fact.order, reseller=id
        )
    return _(
        "Order %(order)s of reseller %(reseller)s waits, for %(seats)s",
        order=fact.order,
        reseller=id,
        seats=seats(catalog, fact.seats, fact.product, fact.tier),
    )


def _limits(fact: LimitsSet) -> str:
    said = [
        counted(value, what)
        for what, value in (("key", fact.count), ("seat", fact.seats), ("month", fact.months))
        if value is not None
    ]
    if fact.approval_above is not None:
        above = counted(fact.approval_above, "seat")
        said.append(_("to be approved above %(seats)s in all", seats=above))
    return ", ".join(said) or _("not at all")


def order_sentence(fact: Fact, order: str, catalog: Catalog) -> str:
    """Return what happened to an order that waited."""
    match fact:
        case OrderPlaced():
            each = seats(catalog, fact.seats, fact.product, fact.tier)
            keys, months = counted(fact.count, "key"), counted(fact.months, "month")
            return _(
                "Order %(order)s of %(reseller)s waits to be approved: %(keys)s,"
                " %(each)s for %(months)s each",
                order=order,
                reseller=fact.reseller,
                keys=keys,
                each=each,
                months=months,
            )
        case OrderApproved(batch=batch):
            return _(
                "Order %(order)s approved: its keys are batch %(batch)s", order=order, batch=batch
            )
        case OrderDeclined():
            return _("Order %(order)s declined", order=order)
    return type(fact).__name__
