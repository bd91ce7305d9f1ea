"""What an account has asked Stripe to sell it, and what became of that.

Invariant: of one Stripe subscription one change at a time is under way; one that was asked for is
           made once, however often its request is repeated.
Source:    docs/stripe.md, "Buying".

Stripe changes a quantity *to* a number, so two who add to the same one would undo each other. A
change is therefore recorded before Stripe is asked, by whoever wins the account's next version; the
others wait. What was asked for and never answered, because the connection was cut or the process
died, is taken up again by its own request, with the same idempotency key: that is made from the
version of the fact here. Another request finds out from Stripe whether it was made, and gives it up
when it cannot be under way any more (`ledger.stripe.pending_calls`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact
from ledger.limits import SEATS_MAX
from ledger.refusals import (
    UNKNOWN_PRICE,
    FieldError,
    IdempotencyKeyReused,
    InvalidRequest,
    SeatsFollowHolders,
    SubscriptionNotChangeable,
)
from ledger.stripe.facts import Meaning, StripeCheckoutReported, StripeItem
from ledger.stripe.requests import (
    PurchaseOutcome,
    StripeCheckoutStarted,
    StripeSeatsAnswered,
    StripeSeatsAsked,
)
from ledger.stripe.subscriptions import StripeSubscription

# Stripe lets a session be open for a day; its clock is not ours.
CHECKOUT_OPEN_MAX: Final = timedelta(hours=25)
CHANGEABLE: Final = frozenset({"active", "trialing"})

# State


class StripePurchase(Struct, frozen=True):
    """Something that was asked for.

    Attributes:
        version, asked_at: of the event that began it.
        outcome: None of a Checkout of which nothing was heard, and of a change that is under way.
    """

    version: int
    asked_at: datetime
    fact: StripeCheckoutStarted | StripeSeatsAsked
    outcome: PurchaseOutcome | None = None

    @property
    def stripe_subscription(self) -> str:
        """Return the id of the subscription that is to be changed; not for a Checkout."""
        assert isinstance(self.fact, StripeSeatsAsked)
        return self.fact.stripe_subscription

    @property
    def under_way(self) -> bool:
        """Return whether it is a change of seats of which nobody knows yet what became."""
        return isinstance(self.fact, StripeSeatsAsked) and self.outcome is None


# By version, which is the order they were asked for in.
Purchases = Map[int, StripePurchase]


# Fold

_CHECKOUT_OUTCOMES: Final[dict[str | None, PurchaseOutcome]] = {
    "complete": "done", "expired": "given_up",
}  # fmt: skip


def fold(purchases: Purchases, event: AnyOccurrence) -> Purchases:
    """Return the purchases after an event; events that are of no purchase change nothing."""
    match event.fact:
        case StripeCheckoutStarted() | StripeSeatsAsked() as asked:
            began = StripePurchase(event.version, event.occurred_at, asked)
            return purchases.set(event.version, began)
        case StripeCheckoutReported(checkout=id, status=status) if status in _CHECKOUT_OUTCOMES:
            outcome = _CHECKOUT_OUTCOMES[status]
            for version, one in purchases.items():
                if isinstance(one.fact, StripeCheckoutStarted) and one.fact.checkout == id:
                    return purchases.set(version, replace(one, outcome=outcome))
        case StripeSeatsAnswered(asked=version, outcome=outcome) if version in purchases:
            return purchases.set(version, replace(purchases[version], outcome=outcome))
    return purchases


# Decisions


class Wanted(NamedTuple):
    """What is to be bought: `seats` more, paid every `interval`."""

    product: str
    tier: str | None
    seats: int
    interval: str
    fingerprint: str
    request: str | None = None


class Priced(NamedTuple):
    """A price of Stripe's, and how many seats each unit of it gives."""

    price: str
    per_unit: int


class SeatTarget(NamedTuple):
    """A subscription that seats can be added to.

    Attributes:
        item: that has the product and tier already, if one has.
    """

    subscription: StripeSubscription
    item: StripeItem | None
    meaning: Meaning | None


def repeated(purchases: Purchases, wanted: Wanted) -> StripePurchase | None:
    """Return the purchase that a request began before, if it need not begin another.

    A request is known by its Idempotency-Key; one without is the same as another that asked for the
    same, as long as that is under way.

    Raises:
        IdempotencyKeyReused: the key was used with another request.
    """
    its = [
        one
        for one in purchases.values()
        if (one.fact.request == wanted.request if wanted.request else one.under_way)
    ]
    if wanted.request and any(one.fact.fingerprint != wanted.fingerprint for one in its):
        raise IdempotencyKeyReused
    its = [
        one
        for one in its
        if one.fact.fingerprint == wanted.fingerprint and one.outcome not in ("refused", "given_up")
    ]
    return max(its, key=lambda one: one.version, default=None)


def of(purchases: Purchases, stripe_subscription: str) -> tuple[StripePurchase, ...]:
    """Return the changes of a subscription, in the order they were asked for."""
    its = [
        one
        for one in purchases.values()
        if isinstance(one.fact, StripeSeatsAsked)
        and one.fact.stripe_subscription == stripe_subscription
    ]
    return tuple(sorted(its, key=lambda one: one.version))


def open_checkouts(purchases: Purchases, product: str, at: datetime) -> tuple[StripePurchase, ...]:
    """Return the Checkouts for a product that may still be open, in the order of their start."""
    its = [
        one
        for one in purchases.values()
        if isinstance(one.fact, StripeCheckoutStarted)
        and one.fact.product == product
        and one.outcome is None
        and at - one.asked_at <= CHECKOUT_OPEN_MAX
    ]
    return tuple(sorted(its, key=lambda one: one.version))


def find_seat_target(
    subscriptions: Iterable[StripeSubscription],
    mapped: Mapping[str, Meaning],
    wanted: Wanted,
    at: datetime,
) -> SeatTarget | None:
    """Return where seats are added; None when the product has no subscription that has not ended.

    Of several, the first of these has it: can be changed now; has the tier, paid every such
    interval; has something paid every such interval; renews; started last; has the greater id.
    """
    targets = [
        target
        for subscription in subscriptions
        if not subscription.has_ended(at)
        for target in _targets(subscription, mapped, wanted)
    ]
    return max(targets, key=lambda target: _preference(target, wanted, at), default=None)


def _targets(
    subscription: StripeSubscription, mapped: Mapping[str, Meaning], wanted: Wanted
) -> Iterator[SeatTarget]:
    of_product = [
        (item, means)
        for item, means in subscription.meanings(mapped)
        if means and means.product == wanted.product
    ]
    if of_product and all(means.tier != wanted.tier for _, means in of_product):
        yield SeatTarget(subscription, None, None)
    for item, means in of_product:
        if means.tier == wanted.tier:
            yield SeatTarget(subscription, item, means)


def _preference(target: SeatTarget, wanted: Wanted, at: datetime) -> tuple[object, ...]:
    return (
        _can_change(target.subscription, at),
        target.item is not None and interval_of(target.item) == wanted.interval,
        wanted.interval in map(interval_of, target.subscription.items),
        target.subscription.renews,
        target.subscription.started_at,
        target.subscription.id,
        target.item.id or "" if target.item else "",
    )


def _can_change(subscription: StripeSubscription, at: datetime) -> bool:
    return subscription.status(at) in CHANGEABLE and subscription.latest.pause_behavior is None


def interval_of(item: StripeItem) -> str:
    """Return how often an item is paid: `month`, or `3 months`."""
    count = item.interval_count or 1
    return f"{count} {item.interval}s" if count > 1 else item.interval or "month"


def refuse_beside_lost(
    subscriptions: Iterable[StripeSubscription],
    mapped: Mapping[str, Meaning],
    wanted: Wanted,
    at: datetime,
) -> None:
    """Refuse to sell beside a subscription that had the product and tier by a price unknown now.

    Raises:
        SubscriptionNotChangeable: naming that subscription; else it would be paid for twice.
    """
    for one in subscriptions:
        if not one.has_ended(at) and one.has_lost(wanted.product, wanted.tier, mapped):
            raise SubscriptionNotChangeable(one.id, UNKNOWN_PRICE)


def perhaps_bought(
    subscriptions: Iterable[StripeSubscription],
    mapped: Mapping[str, Meaning],
    purchases: Purchases,
    wanted: Wanted,
    at: datetime,
) -> list[StripeSubscription]:
    """Return the subscriptions that may be what a Checkout of the product came to.

    They have an item that means nothing, and have not ended. Stripe knows which Checkout they are
    from: see `refuse_beside_bought`.
    """
    if not _checkouts(purchases, wanted.product):
        return []
    return [one for one in subscriptions if not one.has_ended(at) and one.unmapped(mapped)]


def refuse_beside_bought(
    subscription: StripeSubscription,
    mapped: Mapping[str, Meaning],
    purchases: Purchases,
    checkouts: Container[str],
    wanted: Wanted,
) -> None:
    """Refuse to sell beside a subscription that was bought as the product, by a price unknown now.

    Args:
        checkouts: that the subscription is from, as Stripe has it.

    Raises:
        SubscriptionNotChangeable: naming that subscription; else it would be paid for twice.
    """
    has = {(row.product, row.tier) for row in subscription.rows(mapped)}
    for begun in _checkouts(purchases, wanted.product):
        if begun.checkout in checkouts and (begun.product, begun.tier) not in has:
            raise SubscriptionNotChangeable(subscription.id, UNKNOWN_PRICE)


def _checkouts(purchases: Purchases, product: str) -> list[StripeCheckoutStarted]:
    """Return the Checkouts that were begun for a product."""
    facts = [one.fact for one in purchases.values()]
    return [
        one for one in facts if isinstance(one, StripeCheckoutStarted) and one.product == product
    ]


def ask(target: SeatTarget, wanted: Wanted, priced: Priced | None, at: datetime) -> list[Fact]:
    """Return the fact of asking for more seats, or for another tier of the same product.

    Args:
        priced: to add an item with; not needed where there is one.

    Raises:
        SubscriptionNotChangeable: as it is now, Stripe would not be paid for more, or not at once.
        SeatsFollowHolders: the product's seats are billed by their holders, and not bought.
        InvalidRequest: it is paid at other times, or sold in other numbers.
    """
    subscription, item, means = target
    if not _can_change(subscription, at):
        paused = subscription.latest.pause_behavior is not None
        raise SubscriptionNotChangeable(
            subscription.id, "paused" if paused else subscription.status(at)
        )
    if means is not None and means.billed:
        raise SeatsFollowHolders
    _hold_to_interval(subscription, item, wanted)
    before, per_unit, had = 0, priced.per_unit if priced else 1, 0
    if item is not None and means is not None:
        if item.quantity is None and means.per_unit and item.usage_type != "metered":
            raise SubscriptionNotChangeable(subscription.id, "of a quantity that is not known")
        before, per_unit = item.quantity or 0, max(means.per_unit, 1)
        had = per_unit * before
    if wanted.seats % per_unit:
        raise InvalidRequest(FieldError("/seats", f"must be a multiple of {per_unit}"))
    quantity = before + wanted.seats // per_unit
    if quantity * per_unit > SEATS_MAX:
        raise InvalidRequest(
            FieldError("/seats", f"must leave at most {SEATS_MAX} in all: there are {had}")
        )
    return [
        StripeSeatsAsked(
            stripe_subscription=subscription.id,
            item=item.id if item else None,
            price=priced.price if priced and item is None else None,
            product=wanted.product,
            tier=wanted.tier,
            quantity_before=before,
            quantity=quantity,
            seats=wanted.seats,
            seats_after=had + wanted.seats,
            fingerprint=wanted.fingerprint,
            request=wanted.request,
        )
    ]


def _hold_to_interval(
    subscription: StripeSubscription, item: StripeItem | None, wanted: Wanted
) -> None:
    paid = {interval_of(one) for one in ([item] if item else subscription.items)}
    if wanted.interval not in paid:
        every = " or ".join(sorted(paid))
        detail = f"must be {every}: that is how often {subscription.id} is paid"
        raise InvalidRequest(FieldError("/interval", detail))


def answer(
    purchases: Purchases, asked: StripePurchase, outcome: PurchaseOutcome, reason: str | None = None
) -> list[Fact]:
    """Return the fact of what became of a change; none when that was said before."""
    known = purchases.get(asked.version)
    if known is None or not known.under_way or not isinstance(asked.fact, StripeSeatsAsked):
        return []
    id = asked.fact.stripe_subscription
    return [
        StripeSeatsAnswered(
            stripe_subscription=id, asked=asked.version, outcome=outcome, reason=reason
        )
    ]
