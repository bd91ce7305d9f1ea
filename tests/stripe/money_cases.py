"""Random subscriptions, with all that Stripe says of them and what it bills: worked out here alone.

    case = Case(random.Random(7))
    case.events          # Stripe's events, in order
    case.objects         # what it answers now: subscriptions, previews
    case.bills           # what a period costs, by currency and interval

The arithmetic is written down once more, apart from the program and from the stand-in server: line
by line with fractions, rounded half away from zero, discounts before taxes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.stripe.payloads import Json, event, seconds

START = datetime(2026, 1, 10, 9, 30, tzinfo=UTC)
CURRENCIES = ("eur", "eur", "usd", "jpy", "kwd", "rsd", "isk")
MONTH, YEAR, QUARTER, WEEK = ("month", 1), ("year", 1), ("month", 3), ("week", 1)
Interval = tuple[str, int]
Place = tuple[str | None, str | None, int | None]  # currency, interval, its count


def later(at: datetime, interval: Interval, times: int = 1) -> datetime:
    """Return when a period ends; all begin on a day that every month has."""
    every, count = interval
    if every == "week":
        return at + timedelta(weeks=count * times)
    months = at.year * 12 + at.month - 1 + count * times * (12 if every == "year" else 1)
    return at.replace(year=months // 12, month=months % 12 + 1)


def half_up(value: Fraction) -> int:
    return int(abs(value) + Fraction(1, 2)) * (-1 if value < 0 else 1)


@dataclass
class Price:
    """A price: what it is like, and what a quantity of it costs."""

    id: str
    currency: str
    interval: Interval
    kind: str
    unit: Fraction = Fraction(0)
    divide_by: int = 1
    up: bool = True
    tiers: list[tuple[int | None, int, int]] = field(default_factory=list)  # up to, unit, flat

    def lines(self, quantity: int) -> list[tuple[int, int]]:
        """Return the lines of an invoice, as quantity and amount."""
        match self.kind:
            case "graduated":
                found, below = [], 0
                for top, unit, flat in self.tiers:
                    within = (quantity if top is None else min(quantity, top)) - below
                    if within > 0:
                        found.append((within, within * unit))
                        if flat:
                            found.append((1, flat))
                    below = top or quantity
                return found or [(0, 0)]
            case "volume":
                for top, unit, flat in self.tiers:
                    if top is None or quantity <= top:
                        return [(quantity, quantity * unit + flat)]
            case "package":
                packs = Fraction(quantity, self.divide_by)
                whole = -(-packs.numerator // packs.denominator) if self.up else int(packs)
                return [(quantity, half_up(whole * self.unit))]
        return [(quantity, half_up(quantity * self.unit))]

    def amount(self, quantity: int) -> int:
        return sum(amount for _, amount in self.lines(quantity))

    def told(self) -> Json:
        tiered, whole = self.kind in {"graduated", "volume"}, self.unit.denominator == 1
        amount = None if tiered else f"{float(self.unit):.4f}".rstrip("0").rstrip(".")
        packs = {"divide_by": self.divide_by, "round": "up" if self.up else "down"}
        return {
            "id": self.id,
            "object": "price",
            "billing_scheme": "tiered" if tiered else "per_unit",
            "currency": self.currency,
            "lookup_key": None,
            "metadata": {"keyfold_product": "cloud_pos"},
            "product": f"prod_{self.id}",
            "recurring": {
                "interval": self.interval[0],
                "interval_count": self.interval[1],
                "usage_type": "metered" if self.kind == "metered" else "licensed",
            },
            "tiers_mode": self.kind if tiered else None,
            "transform_quantity": packs if self.kind == "package" else None,
            "unit_amount": None if tiered or not whole else int(self.unit),
            "unit_amount_decimal": amount,
        }


@dataclass
class Coupon:
    """A discount; the id is that of the discount.

    Attributes:
        once: it is for one invoice.
        item: the item that it is for; None for all.
        hidden: of the customer, and so not told with the subscription.
        end: from when on no invoice has it; None for ever.
    """

    id: str
    percent: int | None
    amount: int
    once: bool
    item: str | None = None
    hidden: bool = False
    end: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return self.end is None or at < self.end


@dataclass
class Rate:
    id: str
    percent: int
    inclusive: bool


@dataclass
class Item:
    id: str
    price: Price
    quantity: int
    begins: datetime
    ends: datetime


@dataclass
class Line:
    """A line of an invoice: of an item, or of something that is billed this once."""

    item: str | None
    price: Price
    quantity: int
    amount: int
    begins: datetime
    ends: datetime
    proration: bool = False
    off: dict[str, int] = field(default_factory=dict)
    taxes: list[tuple[Rate, int]] = field(default_factory=list)


@dataclass
class Subscription:
    id: str
    customer: str
    currency: str
    account: str
    items: list[Item]
    began: datetime
    coupons: list[Coupon] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    automatic: bool = False
    status: str = "active"
    trial_end: datetime | None = None
    ends: bool = False
    pending: list[Line] = field(default_factory=list)


class Case:
    """One account: its subscriptions through a few periods, and what they cost as they are then."""

    def __init__(self, chance: random.Random, account: str) -> None:
        self.chance, self.account, self.now = chance, account, START
        self.events: list[Json] = []
        self._count = 0
        self._adds = False
        self.subscriptions = [self._begin() for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        last = START
        for subscription in self.subscriptions:
            self._live(subscription)
            last = max(last, self.now)
        self.now = last

    # What is made up

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self.account}_{self._count}"

    def _price(self, currency: str, interval: Interval) -> Price:
        chance = self.chance
        kinds = ["flat"] * 6 + ["decimal", "package", "package", "graduated", "volume", "metered"]
        kind, id = chance.choice(kinds), self._id("price")
        unit = chance.choice([0, 1, 333, 1000, 1500, 4900, 99999])
        if kind in {"graduated", "volume"}:
            tops = sorted(chance.sample(range(1, 20), chance.choice([1, 2])))
            tiers = [
                (top, chance.choice([1000, 800, 650]), chance.choice([0, 0, 500]))
                for top in [*tops, None]
            ]
            return Price(id, currency, interval, kind, tiers=tiers)
        if kind == "decimal":
            return Price(
                id, currency, interval, kind, Fraction(chance.choice([25, 333, 10001]), 20)
            )
        if kind == "package":
            by, up = chance.choice([2, 5, 10]), chance.random() < 0.7
            return Price(id, currency, interval, kind, Fraction(unit), by, up)
        return Price(id, currency, interval, kind, Fraction(unit))

    def _coupon(self, subscription: Subscription) -> Coupon:
        self._adds = True
        chance, percent = self.chance, None
        if chance.random() < 0.6:
            percent = chance.choice([10, 33, 50, 100])
        item = chance.choice(subscription.items).id if percent and chance.random() < 0.25 else None
        amount = chance.choice([100, 500, 100000])
        duration = chance.choice(["forever", "forever", "once", "once", "repeating", "repeating"])
        months = chance.choice([1, 2, 3]) if duration == "repeating" else None
        end = later(self.now, MONTH, months) if months else None
        return Coupon(self._id("di"), percent, amount, duration == "once", item, end=end)

    def _rate(self) -> Rate:
        self._adds = True
        return Rate(self._id("txr"), self.chance.choice([7, 19, 20]), self.chance.random() < 0.3)

    def _begin(self) -> Subscription:
        chance = self.chance
        currency = chance.choice(CURRENCIES)
        intervals = [chance.choice([MONTH, MONTH, MONTH, YEAR, QUARTER, WEEK])]
        if chance.random() < 0.15:
            intervals = [MONTH, YEAR]
        id = self._id("sub")
        items: list[Item] = []
        for _ in range(chance.choice([1, 1, 2, 3]) if len(intervals) == 1 else 3):
            interval = intervals[len(items) % len(intervals)]
            price, quantity = (
                self._price(currency, interval),
                chance.choice([0, 1, 1, 2, 4, 7, 8, 23]),
            )
            items.append(Item(self._id("si"), price, quantity, START, later(START, interval)))
        customer = self._id("cus")
        found = Subscription(id, customer, currency, self.account, items, START)
        if chance.random() < 0.35:
            found.coupons.append(self._coupon(found))
        if chance.random() < 0.1:
            self._adds = True
            end = later(self.now, MONTH, 2) if chance.random() < 0.5 else None
            found.coupons.append(Coupon(self._id("di"), 10, 0, once=False, hidden=True, end=end))
        if chance.random() < 0.35:
            found.rates, found.automatic = [self._rate()], chance.random() < 0.2
        return found

    # What happens

    def _live(self, one: Subscription) -> None:
        chance = self.chance
        self.now = START
        start = chance.choice(["whole", "whole", "whole", "trial", "trial_month", "short"])
        if start.startswith("trial"):
            one.status = "trialing"
            one.trial_end = later(START, MONTH) if start == "trial_month" else START + timedelta(14)
            for item in one.items:
                item.ends = one.trial_end
            lines = [self._line(one, item, 0) for item in one.items]
        elif start == "short":
            for item in one.items:
                item.ends = START + timedelta(days=5)
            share = Fraction(5, 31)
            lines = [
                self._line(one, item, half_up(item.price.amount(item.quantity) * share))
                for item in one.items
            ]
        else:
            lines = [line for item in one.items for line in self._lines(item)]
        self._tell(one, "created")
        self._invoice(one, lines, "subscription_create")
        for _ in range(chance.choice([0, 0, 1, 2, 3])):
            if chance.random() < 0.5:
                self._change(one)
            else:
                self._renew(one)
        if chance.random() < 0.1:
            one.ends = True
            self._tell(one)
        self.now += timedelta(minutes=1)

    def _line(self, one: Subscription, item: Item, amount: int) -> Line:
        return Line(item.id, item.price, item.quantity, amount, item.begins, item.ends)

    def _lines(self, item: Item) -> list[Line]:
        if item.price.kind == "metered":
            return [Line(item.id, item.price, 0, 0, item.begins, item.ends)]
        return [
            Line(item.id, item.price, quantity, amount, item.begins, item.ends)
            for quantity, amount in item.price.lines(item.quantity)
        ]

    def _renew(self, one: Subscription) -> None:
        self.now = max(self.now, min(item.ends for item in one.items))
        one.coupons = [coupon for coupon in one.coupons if coupon.holds(self.now)]
        over = [item for item in one.items if item.ends <= self.now]
        if one.trial_end is not None and one.trial_end <= self.now:
            one.status = "active"
        for item in over:
            item.begins, item.ends = self.now, later(self.now, item.price.interval)
        lines = [*one.pending, *(line for item in over for line in self._lines(item))]
        one.pending = []
        self._invoice(one, lines, "subscription_cycle")
        self._tell(one)

    def _change(self, one: Subscription) -> None:
        chance = self.chance
        self.now += timedelta(hours=7)
        item = chance.choice(one.items)
        match chance.choice(["quantity", "quantity", "price", "price", "coupon", "tax", "extra"]):
            case "quantity":
                self._prorate(one, item)
                item.quantity = chance.choice([1, 2, 3, 6, 9, 24])
            case "price":
                self._prorate(one, item)
                item.price = self._price(one.currency, item.price.interval)
                if len(one.items) == 1 and one.status == "active" and chance.random() < 0.4:
                    interval = YEAR if item.price.interval == MONTH else MONTH
                    item.price = self._price(one.currency, interval)
                    item.begins, item.ends = self.now, later(self.now, interval)
                    lines, one.pending = [*one.pending, *self._lines(item)], []
                    self._tell(one)
                    self._invoice(one, lines, "subscription_update")
                    return
            case "coupon":
                one.coupons = [] if one.coupons else [self._coupon(one)]
            case "tax":
                one.rates = [] if one.rates else [self._rate()]
                one.automatic = False
            case "extra":
                price = Price(self._id("price"), one.currency, MONTH, "flat", Fraction(4200))
                one.pending.append(Line(None, price, 1, 4200, self.now, self.now))
        self._tell(one)

    def _prorate(self, one: Subscription, item: Item) -> None:
        if one.status == "trialing" or self.chance.random() < 0.4:
            return
        for amount in (-777, 1234):
            line = Line(item.id, item.price, item.quantity, amount, self.now, item.ends, True)
            one.pending.append(line)
        if self.chance.random() < 0.5:
            lines, one.pending = one.pending, []
            self._invoice(one, lines, "subscription_update")

    # What Stripe reckons

    def _reckon(
        self, one: Subscription, lines: list[Line], at: datetime | None = None
    ) -> tuple[int, int]:
        """Take discounts off the lines and tax them; return what is added, and the total.

        Args:
            at: when they are billed; None for now.
        """
        for line in lines:
            line.off, line.taxes = {}, []
        holding = [coupon for coupon in one.coupons if coupon.holds(at or self.now)]
        for coupon in sorted(holding, key=lambda coupon: coupon.item is None):
            its = [line for line in lines if not line.proration]
            its = [line for line in its if coupon.item in {None, line.item}]
            left = [max(line.amount - sum(line.off.values()), 0) for line in its]
            if coupon.percent is not None:
                parts = [half_up(Fraction(one_left * coupon.percent, 100)) for one_left in left]
            else:
                parts = _shared(min(coupon.amount, sum(left)), left)
            for line, part in zip(its, parts, strict=True):
                if part:
                    line.off[coupon.id] = part
        for line in lines:
            for rate in one.rates:
                base, percent = line.amount - sum(line.off.values()), Fraction(rate.percent, 100)
                tax = base * percent / (1 + percent) if rate.inclusive else base * percent
                line.taxes.append((rate, half_up(Fraction(tax))))
        added = sum(tax for line in lines for rate, tax in line.taxes if not rate.inclusive)
        off = sum(sum(line.off.values()) for line in lines)
        return added, sum(line.amount for line in lines) - off + added

    @property
    def plain(self) -> bool:
        """Whether nothing but quantities and unit amounts has ever been in any of the bills."""
        kinds = {item.price.kind for one in self.subscriptions for item in one.items}
        return not self._adds and kinds <= {"flat", "package"}

    def _open(self) -> list[Subscription]:
        """Return the subscriptions that have not ended."""
        return [
            one
            for one in self.subscriptions
            if not one.ends or min(item.ends for item in one.items) > self.now
        ]

    def bills(self) -> dict[Place, int | None]:
        """Return what a period costs, by currency and interval; None for what is billed by use."""
        found: dict[Place, int | None] = {}
        for one in self._open():
            for interval in dict.fromkeys(item.price.interval for item in one.items):
                items = [item for item in one.items if item.price.interval == interval]
                place = (one.currency, *interval)
                if any(item.price.kind == "metered" for item in items):
                    found[place] = None
                    continue
                lines = [line for item in items for line in self._lines(item)]
                total = self._reckon(one, lines, min(item.ends for item in items))[1]
                before = found.get(place, 0)
                found[place] = None if before is None else before + total
        return found

    # What Stripe says

    def told(self, one: Subscription, *, expanded: bool = False) -> Json:
        """Return a subscription as Stripe has it."""
        shown = [one for one in one.coupons if not one.hidden and one.holds(self.now)]

        def discounts(item: str | None) -> list[Any]:
            its = [coupon for coupon in shown if coupon.item == item]
            if not expanded or item is not None:
                return [coupon.id for coupon in its]
            return [
                {"id": one.id, "source": {"coupon": {"percent_off": one.percent}}} for one in its
            ]

        items = [
            {
                "id": item.id,
                "object": "subscription_item",
                "current_period_start": seconds(item.begins),
                "current_period_end": seconds(item.ends),
                "discounts": discounts(item.id),
                "price": item.price.told(),
                "quantity": None if item.price.kind == "metered" else item.quantity,
                "tax_rates": [],
            }
            for item in one.items
        ]
        return {
            "id": one.id,
            "object": "subscription",
            "automatic_tax": {"enabled": one.automatic},
            "cancel_at": None,
            "cancel_at_period_end": one.ends,
            "created": seconds(one.began),
            "currency": one.currency,
            "customer": one.customer,
            "default_tax_rates": [] if one.automatic else [_told_rate(rate) for rate in one.rates],
            "discounts": discounts(None),
            "items": {"object": "list", "data": items, "has_more": False},
            "livemode": False,
            "metadata": {"keyfold_account": self.account},
            "start_date": seconds(one.began),
            "status": one.status,
            "trial_end": seconds(one.trial_end),
        }

    def _tell(self, one: Subscription, word: str = "updated") -> None:
        told = self.told(one)
        self.events.append(event(f"customer.subscription.{word}", told, at=self.now))

    def _invoice(self, one: Subscription, lines: list[Line], reason: str) -> None:
        told = self.invoice(one, lines, reason)
        self.events.append(event("invoice.paid", told, at=self.now))
        one.coupons = [coupon for coupon in one.coupons if not coupon.once]

    def invoice(
        self, one: Subscription, lines: list[Line], reason: str, at: datetime | None = None
    ) -> Json:
        """Return an invoice of lines; a customer's credit lowers what is due, and nothing else."""
        total = self._reckon(one, lines, at)[1]
        off: dict[str, int] = {}
        for line in lines:
            for id, amount in line.off.items():
                off[id] = off.get(id, 0) + amount
        holding = [coupon for coupon in one.coupons if coupon.holds(at or self.now)]
        named = [coupon.id for coupon in holding if coupon.item is None]
        told = [_told_line(self._id("il"), one, line) for line in lines]
        return {
            "id": self._id("in"),
            "object": "invoice",
            "amount_due": max(total - 1000, 0),
            "billing_reason": reason,
            "created": seconds(self.now),
            "currency": one.currency,
            "customer": one.customer,
            "discounts": named,
            "lines": {"object": "list", "data": told, "has_more": False},
            "livemode": False,
            "number": None,
            "parent": {
                "type": "subscription_details",
                "subscription_details": {"subscription": one.id, "metadata": {}},
            },
            "starting_balance": -1000,
            "status": "paid",
            "subtotal": sum(line.amount for line in lines),
            "total": total,
            "total_discount_amounts": [
                {"amount": amount, "discount": id} for id, amount in off.items()
            ],
            "total_taxes": [
                _told_tax(rate, amount) for line in lines for rate, amount in line.taxes
            ],
        }

    def preview(self, one: Subscription) -> Json:
        """Return what Stripe previews of a whole period."""
        lines = [line for item in one.items for line in self._lines(item)]
        return self.invoice(one, lines, "upcoming", min(item.ends for item in one.items))

    def next_invoices(self) -> dict[Place, datetime | None]:
        """Return when the next invoice comes, by currency and interval."""
        found: dict[Place, datetime | None] = {}
        for one in self._open():
            last = min(item.ends for item in one.items) if one.ends else None
            for item in one.items:
                place = (one.currency, *item.price.interval)
                end = item.ends if last is None or item.ends < last else None
                if end is not None and end <= self.now:
                    end = None
                known = found.get(place)
                found[place] = min(filter(None, (known, end)), default=None)
        return found


def _shared(total: int, weights: list[int]) -> list[int]:
    """Divide a total by weights, to the last unit: the largest remainders get one more."""
    whole = sum(weights)
    if not whole:
        return [0 for _ in weights]
    exact = [Fraction(total * weight, whole) for weight in weights]
    parts = [int(one) for one in exact]
    rest = sorted(range(len(parts)), key=lambda n: (parts[n] - exact[n], n))
    for n in rest[: total - sum(parts)]:
        parts[n] += 1
    return parts


def _told_rate(rate: Rate) -> Json:
    return {"id": rate.id, "object": "tax_rate", "inclusive": rate.inclusive}


def _told_tax(rate: Rate, amount: int) -> Json:
    return {
        "amount": amount,
        "tax_behavior": "inclusive" if rate.inclusive else "exclusive",
        "tax_rate_details": {"tax_rate": rate.id},
        "type": "tax_rate_details",
    }


def _told_line(id: str, one: Subscription, line: Line) -> Json:
    proration = {"proration": line.proration}
    of_item = {"subscription_item": line.item, "subscription": one.id, **proration}
    return {
        "id": id,
        "object": "line_item",
        "amount": line.amount,
        "currency": one.currency,
        "discount_amounts": [{"amount": off, "discount": id} for id, off in line.off.items()],
        "parent": {
            "invoice_item_details": None if line.item else proration,
            "subscription_item_details": of_item if line.item else None,
        },
        "period": {"start": seconds(line.begins), "end": seconds(line.ends)},
        "pricing": {"price_details": {"price": line.price.id, "product": f"prod_{line.price.id}"}},
        "quantity": line.quantity,
        "taxes": [_told_tax(rate, amount) for rate, amount in line.taxes],
    }
