"""Random ledgers in which Stripe has its say: in any order, late, twice, and never quite the same.

    StripeStory(world, Random(7)).go_on(60)

The facts are recorded as they are, so that there is every one that could be, and some that Stripe
would hardly send.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger.book import Change, Dated
from ledger.events import Fact
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import (
    LONG_AGO,
    Billed,
    KnownPrice,
    Meaning,
    StripeCustomerDeleted,
    StripeCustomerLinked,
    StripeHistory,
    StripeItem,
    StripePricesMapped,
    StripeSubscriptionGivenUp,
    StripeSubscriptionReported,
)
from tests.audit.ledgers import HOLDERS, Story

SUBSCRIPTIONS = tuple(f"sub_{n}" for n in range(1, 6))
SOURCES = (
    *("customer.subscription.created",) * 4,
    *("customer.subscription.updated",) * 8,
    *("retrieved",) * 4,
    "customer.subscription.deleted",
)
STATUSES = (
    *("active", "trialing", "past_due") * 3,
    *("unpaid", "paused", "incomplete", "a word of tomorrow", None) * 2,
    *("incomplete_expired", "canceled"),
)
PRICES = ("price_1", "price_2", "price_3")
MEANINGS = (
    Meaning("cloud_pos", None, per_unit=1),
    Meaning("cloud_pos", None, per_unit=5),
    Meaning("integrations", "starter", per_unit=1),
    Meaning("integrations", "growth", per_unit=2),
    Meaning("integrations", "left the catalog", per_unit=1),
    Meaning("users", None, per_unit=1, billed=True),
    Meaning("users", None, per_unit=0, included=2, billed=True),
    None,
)
DAY = timedelta(days=1)
SPANS = tuple(days * DAY for days in (-9, -4, -1, 0, 0.1, 3, 30, 365))


class StripeStory(Story):
    """What happens to a ledger, Stripe's reports among it."""

    def go_on(self, things: int) -> None:
        for _ in range(things):
            if self._random.random() < 0.5:
                super().go_on(1)
            else:
                self._hear()

    def _hear(self) -> None:
        loaded = self._world.book.load(ACCOUNT, self._account())
        fact = self._random.choice((self._report, self._report, self._report, self._other))()
        occurred_at = min(getattr(fact, "created", self._at), self._at)
        self._world.book.append(self._stamp(), Change(loaded, [Dated(fact, occurred_at)]))

    def _report(self) -> Fact:
        source = self._random.choice(SOURCES)
        is_event = source != "retrieved"
        return StripeSubscriptionReported(
            stripe_subscription=self._random.choice(SUBSCRIPTIONS),
            customer=self._random.choice(("cus_1", "cus_2", None)),
            source=source,
            created=self._near() or self._at,
            stripe_event=f"evt_{self._random.randint(1, 9)}" if is_event else None,
            retrieved_at=None if is_event else self._at,
            status=self._random.choice(STATUSES),
            items=self._items(),
            started_at=self._near(),
            trial_end=None,
            cancel_at=self._seldom(),
            cancel_at_period_end=self._random.random() < 0.1,
            canceled_at=self._seldom(),
            ended_at=self._seldom(),
            cancellation_reason=None,
            currency="eur",
            collection_method=None,
            billing_mode=None,
            pause_behavior=None,
            pause_resumes_at=None,
            schedule=None,
            latest_invoice=None,
            history=self._history() if self._random.random() < 0.1 else None,
        )

    def _history(self) -> StripeHistory:
        """Return what a subscription brings along that comes from another account."""
        prices = {
            price: KnownPrice(
                (self._random.random() < 0.8, self._near() or self._at, False, LONG_AGO, "evt_1"),
                meaning,
                f"si_{self._random.randint(0, 2)}",
                None,
                None,
            )
            for price in PRICES
            if (meaning := self._random.choice(MEANINGS))
        }
        remapped = {self._random.choice(PRICES): MEANINGS[0]} if self._random.random() < 0.5 else {}
        return StripeHistory(prices, remapped, {"si_1": Billed(self._at, 2)})

    def _items(self) -> tuple[StripeItem, ...] | None:
        if self._random.random() < 0.15:
            return None
        return tuple(self._item(f"si_{n}") for n in range(self._random.randint(0, 3)))

    def _item(self, id: str) -> StripeItem:
        return StripeItem(
            id=id,
            price=self._random.choice((*PRICES, None)),
            lookup_key=None,
            stripe_product=None,
            quantity=self._random.choice((None, 0, 1, 2, 3)),
            currency="eur",
            unit_amount="1900",
            interval="month",
            interval_count=1,
            usage_type="licensed",
            period_start=None,
            period_end=self._near(),
            meaning=self._random.choice(MEANINGS),
        )

    def _other(self) -> Fact:
        meaning = self._random.choice([meaning for meaning in MEANINGS if meaning])
        others: tuple[Fact, ...] = (
            StripePricesMapped(meanings={self._random.choice(PRICES): meaning}),
            StripeCustomerLinked(customer="cus_1", account="acme", by="call"),
            StripeCustomerDeleted(customer="cus_1", created=self._at, stripe_event=None),
            StripeSubscriptionGivenUp(stripe_subscription=self._random.choice(SUBSCRIPTIONS)),
            SeatOccupied(product="users", tier=None, holder=self._random.choice(HOLDERS)),
            SeatOccupied(product="users", tier=None, holder=f"user-{self._random.randint(1, 20)}"),
        )
        return self._random.choice(others)

    def _near(self) -> datetime | None:
        """Return a time around now, in whole seconds as Stripe writes it, or none."""
        at = self._at + self._random.choice(SPANS)
        return self._random.choice((at, at, at, None)) and at.replace(microsecond=0)

    def _seldom(self) -> datetime | None:
        return self._near() if self._random.random() < 0.1 else None
