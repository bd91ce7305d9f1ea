"""What Stripe reports, as facts.

Facts:     StripeSubscriptionReported, StripeInvoiceReported, StripeCheckoutReported,
           StripeChargeReported, StripeCustomerDeleted, StripeCustomerLinked,
           StripeCustomerUnlinked, StripeSubscriptionGivenUp, StripePricesMapped
Source:    docs/stripe.md, "What is kept".

They are recorded in an account's stream, or, while nobody knows whose they are, in that of the
Stripe customer, or of the event alone. A report says how something was when Stripe said so, and not
what changed; what follows from all of them together is in `ledger.stripe.subscriptions`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from ledger.events import Fact, Sealed

ENDED: Final = frozenset({"canceled", "incomplete_expired"})
RETRIEVED: Final = "retrieved"
# In the problems of an invoice of which Stripe sent only the first lines.
LINES_CUT: Final = "lines.has_more"
LINES_LEFT_OUT: Final = "lines.data"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Order = tuple[bool, datetime, bool, datetime, str]
Source = str  # a type of event, e.g. `customer.subscription.updated`, or `retrieved`


# Facts


class Meaning(Struct, frozen=True, gc=False):
    """What a price gives, as the catalog had it when the report was recorded.

    Attributes:
        per_unit: seats for each unit of the item's quantity.
        included: seats that come with the item, whatever its quantity.
        billed: the product's seats are billed by the number of holders, and never refused.
    """

    product: str
    tier: str | None
    per_unit: int
    included: int = 0
    billed: bool = False


class StripeTerms(Struct, frozen=True, gc=False, omit_defaults=True):
    """What an item's amount depends on, beside its quantity and its price's unit amount.

    Attributes:
        scheme: `per_unit`, or `tiered`, of which no unit amount tells what a quantity costs.
        divide_by, rounding: units are sold in packages of so many, a part of one rounded `up` or
            `down`; None where they are sold one by one.
        tax: whether tax is `added` to the amount, or may be; `included` in it; `none` is taken;
            None where that was not told.
        tax_rates: ids of the rates that are set; automatic tax has none.
    """

    scheme: str = "per_unit"
    divide_by: int | None = None
    rounding: str | None = None
    tax: Literal["none", "included", "added"] | None = None
    tax_rates: tuple[str, ...] = ()


class StripeItem(Struct, frozen=True, omit_defaults=True):
    """An item of a Stripe subscription.

    Attributes:
        quantity: None for a metered price.
        unit_amount: in minor units, as a decimal number in text; None for a tiered price.
        period_start, period_end: of the item, or of the subscription where only that has them.
        meaning: None when the catalog had no use for the price.
        terms: None where its price was not told, or before terms were kept.
    """

    id: str | None
    price: str | None
    lookup_key: str | None
    stripe_product: str | None
    quantity: int | None
    currency: str | None
    unit_amount: str | None
    interval: str | None
    interval_count: int | None
    usage_type: str | None
    period_start: datetime | None
    period_end: datetime | None
    discounts: tuple[str, ...] = ()
    meaning: Meaning | None = None
    terms: StripeTerms | None = None


class KnownPrice(NamedTuple):
    """What a price of a subscription means by its reports.

    Attributes:
        order: of the first report that gave it a meaning.
        item: that had the price in that report.
        lookup_key, stripe_product: that the meaning was found by.
    """

    order: Order
    meaning: Meaning
    item: str
    lookup_key: str | None
    stripe_product: str | None

    @property
    def rank(self) -> tuple[object, ...]:
        """Return what the first is told by, so that there is always one order."""
        meaning = self.meaning
        return (
            self.order,
            (meaning.product, meaning.tier or "", meaning.per_unit, meaning.included),
            (meaning.billed, self.item, self.lookup_key or "", self.stripe_product or ""),
        )


class Billed(NamedTuple):
    """The most of an item that was reported in a billing period, the newest one that was."""

    period_start: datetime
    quantity: int


class StripeHistory(Struct, frozen=True):
    """What followed from all reports of a subscription in the account that it left.

    Attributes:
        prices: what each price means that ever meant something, by its id.
        remapped: prices that were given another meaning on record.
        billed: by item.
    """

    prices: dict[str, KnownPrice] = {}
    remapped: dict[str, Meaning] = {}
    billed: dict[str, Billed] = {}


class StripeSubscriptionReported(Fact, frozen=True):
    """How a Stripe subscription was, when Stripe said so.

    Attributes:
        source: the event's type, or `retrieved`.
        created: when Stripe made the event, or answered; whole seconds, by Stripe's clock.
        retrieved_at: when we asked, by our clock; None for an event.
        items: None when they were not told, or not all of them.
        problems: what could not be understood, as paths into Stripe's object.
        history: of a report that is recorded again because the subscription left the account that
            it was recorded on; the earlier reports stay there.
    """

    stripe_subscription: str
    customer: str | None
    source: Source
    created: datetime
    stripe_event: str | None
    retrieved_at: datetime | None
    status: str | None
    items: tuple[StripeItem, ...] | None
    started_at: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    cancellation_reason: str | None
    currency: str | None
    collection_method: str | None
    billing_mode: str | None
    pause_behavior: str | None
    pause_resumes_at: datetime | None
    schedule: str | None
    latest_invoice: str | None
    discounts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    history: StripeHistory | None = None

    @property
    def is_end(self) -> bool:
        """Return whether the subscription is over by what this says."""
        return self.status in ENDED or self.source.endswith(".deleted")

    @property
    def rank(self) -> tuple[bool, bool, Order]:
        """Return what reports are held against each other by; the highest is the state."""
        return self.is_end, self.status is not None, self.order

    @property
    def order(self) -> Order:
        """Return when it was said, as far as that is known; later ones are greater."""
        return (
            not self.source.endswith("subscription.created"),
            self.created,
            self.source == RETRIEVED,
            self.retrieved_at or LONG_AGO,
            self.stripe_event or "",
        )


class StripeDiscount(Struct, frozen=True, gc=False):
    """What a discount took off an invoice or a line of one, in minor units."""

    discount: str | None
    amount: int


class StripeTax(Struct, frozen=True, gc=False):
    """A tax on a line of an invoice, in minor units."""

    rate: str | None
    amount: int
    included: bool


class StripeInvoiceLine(Struct, frozen=True, gc=False, omit_defaults=True):
    """A line of an invoice; the amount in minor units, before discounts and added taxes."""

    id: str | None
    amount: int | None
    quantity: int | None
    price: str | None
    stripe_product: str | None
    item: str | None
    proration: bool
    period_start: datetime | None
    period_end: datetime | None
    discounts: tuple[StripeDiscount, ...] = ()
    taxes: tuple[StripeTax, ...] = ()


class StripeInvoiceReported(Fact, frozen=True):
    """How an invoice was, when Stripe said so; amounts in minor units.

    Attributes:
        lines: those that Stripe sent along, or listed; at most the first hundred.
    """

    invoice: str
    number: str | None
    customer: str | None
    stripe_subscription: str | None
    source: Source
    created: datetime
    stripe_event: str | None
    retrieved_at: datetime | None
    status: str | None
    billing_reason: str | None
    currency: str | None
    subtotal: int | None
    total: int | None
    tax: int | None
    amount_due: int | None
    amount_paid: int | None
    amount_remaining: int | None
    invoiced_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    due_date: datetime | None
    attempt_count: int | None
    next_payment_attempt: datetime | None
    discounts: tuple[StripeDiscount, ...] = ()
    lines: tuple[StripeInvoiceLine, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def lacks_lines(self) -> bool:
        """Return whether Stripe sent only the first of its lines, and did not list the others."""
        return LINES_CUT in self.problems

    @property
    def is_settled(self) -> bool:
        """Return whether its status is its last one."""
        return self.status in INVOICE_ENDS

    @property
    def has_all_lines(self) -> bool:
        """Return whether no line is missing: neither not told, nor one of too many to be kept."""
        return not self.lacks_lines and LINES_LEFT_OUT not in self.problems

    @property
    def rank(self) -> tuple[int, datetime, datetime, str]:
        """Return what reports are held against each other by; no invoice goes back a status."""
        return (
            _INVOICE_STEPS.get(self.status or "", 0),
            self.created,
            self.retrieved_at or LONG_AGO,
            self.stripe_event or "",
        )


INVOICE_ENDS: Final = frozenset({"paid", "void"})
_INVOICE_STEPS: Final = {"draft": 1, "open": 2, "uncollectible": 3, "paid": 4, "void": 4}


class StripeCheckoutReported(Fact, frozen=True):
    """What became of a purchase at Stripe Checkout; amounts in minor units."""

    checkout: str
    customer: str | None
    stripe_subscription: str | None
    invoice: str | None
    source: Source
    created: datetime
    stripe_event: str | None
    mode: str | None
    status: str | None
    payment_status: str | None
    currency: str | None
    amount_subtotal: int | None
    amount_total: int | None
    amount_discount: int | None
    amount_tax: int | None
    problems: tuple[str, ...] = ()


class StripeChargeReported(Fact, frozen=True):
    """A charge was refunded, or disputed; amounts in minor units.

    Attributes:
        kind: what was reported on, `charge` or `dispute`.
        id: the charge's or the dispute's.
    """

    kind: Literal["charge", "dispute"]
    id: str
    charge: str | None
    payment_intent: str | None
    customer: str | None
    source: Source
    created: datetime
    stripe_event: str | None
    amount: int | None
    amount_refunded: int | None
    refunded: bool | None
    currency: str | None
    reason: str | None
    status: str | None
    problems: tuple[str, ...] = ()


class StripeCustomerDeleted(Fact, frozen=True):
    """Stripe holds nothing more about this customer."""

    customer: str
    created: datetime
    stripe_event: str | None


StripeReport = (
    StripeSubscriptionReported
    | StripeInvoiceReported
    | StripeCheckoutReported
    | StripeChargeReported
    | StripeCustomerDeleted
)

REPORTS: Final[dict[str, type[Fact]]] = {
    "stripe.subscription_reported@1": StripeSubscriptionReported,
    "stripe.invoice_reported@1": StripeInvoiceReported,
    "stripe.checkout_reported@1": StripeCheckoutReported,
    "stripe.charge_reported@1": StripeChargeReported,
    "stripe.customer_deleted@1": StripeCustomerDeleted,
}


class StripeCustomerLinked(Fact, frozen=True):
    """A Stripe customer is this account: what Stripe says about it is recorded here from now on.

    Attributes:
        by: who said so: a call of ours, or an object of Stripe that names the account.
        reason: why, if somebody said; in the account's stream alone.
    """

    customer: str
    account: str
    by: Literal["call", "stripe"]
    reason: Sealed | None = None


class StripeCustomerUnlinked(Fact, frozen=True):
    """A Stripe customer is this account no more.

    Attributes:
        reason: why, as somebody said; in the account's stream alone.
    """

    customer: str
    account: str
    reason: Sealed | None = None


class StripeReportsTaken(Fact, frozen=True):
    """Reports that waited in this stream are on record on an account now."""

    versions: tuple[int, ...]
    account: str


class StripeSubscriptionGivenUp(Fact, frozen=True):
    """A Stripe subscription is this account's no more, nor are its invoices.

    Attributes:
        account: whose it is now; None while nobody knows.
    """

    stripe_subscription: str
    account: str | None = None
    reason: Sealed | None = None


class StripePricesMapped(Fact, frozen=True):
    """Prices mean this from now on, whatever was reported of them."""

    meanings: dict[str, Meaning]
