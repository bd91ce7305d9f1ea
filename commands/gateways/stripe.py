"""Stripe, as commands ask it: objects come as plain JSON, faults as three kinds.

    stripe = StripeGateway("sk_test_…")
    found = stripe.subscription("sub_1")      # Retrieved(object={…}, at=…)

The library is imported at the first call, since it takes longer to load than most commands to run.
Every call that changes something carries an idempotency key, so that the library may repeat it.

Source: docs/stripe.md, "Calls".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from commands.gateways.breaker import Breaker
from commands.gateways.stripe_responses import (
    Retrieved,
    StripeFault,
    StripeKeyRefused,
    StripeRefused,
    StripeUnavailable,
    call_stripe,
)
from ledger.catalog import Price

if TYPE_CHECKING:
    import stripe

CONNECT_S: Final = 3.0
READ_S: Final = 10.0
TRIES_AGAIN: Final = 2
# Where a person waits: one try, and of a change as long as a bank may take to say yes.
PERSON_CONNECT_S: Final = 2.0
PERSON_READ_S: Final = 5.0
PERSON_CHANGE_S: Final = 8.0
PERSONS_MAX: Final = 4
PERSON_WAITS_S: Final = 1.0
INTERACTIVE_CONNECT_S: Final = 1.0
INTERACTIVE_READ_S: Final = 3.0
PAGE: Final = 100
# Of the parts of one object, which somebody waits for.
PAGES_MAX: Final = 5


class SeatChange(NamedTuple):
    """How many of an item a subscription is to have.

    Attributes:
        item: None to add one, of `price`.
        invoiced: whether what is more is billed at once; else no money moves.
    """

    subscription: str
    item: str | None
    price: str | None
    quantity: int
    invoiced: bool


class StripeGateway:
    """Stripe under one key. Threads may share it; it must not be used before a fork.

    Args:
        for_persons: whether somebody waits for each answer. Then a call is tried once, for a few
            seconds; few are under way at once; and a service that is down is not asked each time.
        persons_max: how many of them may wait at once.
    """

    def __init__(
        self,
        api_key: str,
        api_base: str | None = None,
        *,
        for_persons: bool = False,
        persons_max: int = PERSONS_MAX,
    ) -> None:
        self._api_key = api_key
        self._api_base = api_base
        self._for_persons = for_persons
        self._breaker = Breaker()
        self._slots = threading.BoundedSemaphore(persons_max)
        self.shown_prices: dict[Price, tuple[float, Any]] = {}  # see `commands.purchase_offers`

    def beside(self, persons_max: int) -> StripeGateway:
        """Return Stripe under the same key for others, with slots and a breaker of their own.

        However many of either wait for Stripe, the others' slots are free.
        """
        return StripeGateway(
            self._api_key, self._api_base, for_persons=self._for_persons, persons_max=persons_max
        )

    @property
    def livemode(self) -> bool | None:
        """Return whether the key is one for real money; None for a key that does not say."""
        for word, live in (("_live_", True), ("_test_", False)):
            if word in self._api_key:
                return live
        return None

    def warm_up(self) -> None:
        """Load the library and make its clients, so that no request has to wait for that."""
        _ = self.batch, self.changing, self.interactive

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Take one of the few slots for persons who wait for Stripe, and yield while it is held.

        Raises:
            StripeUnavailable: all are taken.
        """
        if not self._for_persons:
            yield
            return
        if not self._slots.acquire(timeout=PERSON_WAITS_S):
            raise StripeUnavailable("too many wait for Stripe")
        try:
            yield
        finally:
            self._slots.release()

    def _ask(self, call: Callable[..., Any], *args: Any) -> Retrieved:
        with self.slot():
            return self._ask_in_slot(call, *args)

    def _ask_in_slot(self, call: Callable[..., Any], *args: Any) -> Retrieved:
        if not self._for_persons:
            return call_stripe(call, *args)
        with self._breaker.call():
            return call_stripe(call, *args)

    @cached_property
    def batch(self) -> stripe.StripeClient:
        """Return a client for whole lists, and for what has time.

        It repeats what may be repeated, unless persons wait.
        """
        if self._for_persons:
            return self._client(PERSON_CONNECT_S, PERSON_READ_S, 0)
        return self._client(CONNECT_S, READ_S, TRIES_AGAIN)

    @cached_property
    def changing(self) -> stripe.StripeClient:
        """Return a client for what changes something, which may take a bank's time."""
        if self._for_persons:
            return self._client(PERSON_CONNECT_S, PERSON_CHANGE_S, 0)
        return self.batch

    @cached_property
    def interactive(self) -> stripe.StripeClient:
        """Return a client for what must be answered soon, or done without."""
        return self._client(INTERACTIVE_CONNECT_S, INTERACTIVE_READ_S, 0)

    def _client(self, connect_s: float, read_s: float, retries: int) -> stripe.StripeClient:
        import stripe

        stripe.enable_telemetry = False
        return stripe.StripeClient(
            self._api_key,
            base_addresses={"api": self._api_base} if self._api_base else {},
            max_network_retries=retries,
            http_client=stripe.RequestsClient(timeout=(connect_s, read_s)),
        )

    # Reading

    def subscription(
        self, id: str, *, interactive: bool = False, expand: tuple[str, ...] = ()
    ) -> Retrieved:
        """Return a subscription; of what it names whole objects where `expand` says so.

        Its items are all there: where Stripe sends only the first of them, they are listed.

        Raises:
            StripeRefused: there is none.
            StripeUnavailable, StripeKeyRefused: no answer.
        """
        client = self.interactive if interactive else self.batch
        params: Any = {"expand": list(expand)} if expand else {}
        found = self._ask(client.v1.subscriptions.retrieve, id, params)
        return self._with_all_items(client, found)

    def subscriptions(self, **params: Any) -> Iterator[Retrieved]:
        """Return all subscriptions, ended ones too, page by page.

        One whose further items Stripe refuses to list keeps `has_more`.
        """
        list_page = self.batch.v1.subscriptions.list
        for found in self._pages(list_page, {"status": "all", **params}):
            try:
                yield self._with_all_items(self.batch, found)
            except (StripeRefused, StripeKeyRefused):
                yield found

    def customers(self) -> Iterator[dict[str, Any]]:
        """Return all customers that were not deleted, page by page."""
        return (found.object for found in self._pages(self.batch.v1.customers.list, {}))

    def _with_all_items(self, client: stripe.StripeClient, found: Retrieved) -> Retrieved:
        """Return a subscription with the items that Stripe left out, if it left out any."""
        items = found.object.get("items") or {}
        if not items.get("has_more"):
            return found
        params = {"subscription": found.object["id"]}
        pages = self._pages(client.v1.subscription_items.list, params)
        whole = {**items, "data": [one.object for one in pages], "has_more": False}
        return found._replace(object={**found.object, "items": whole})

    def invoice_paid_by(self, payment_intent: str) -> Retrieved | None:
        """Return the invoice that a payment was for, if it was for one."""
        params: Any = {
            "payment": {"type": "payment_intent", "payment_intent": payment_intent},
            "expand": ["data.invoice"],
            "limit": 1,
        }
        found = self._ask(self.interactive.v1.invoice_payments.list, params)
        data = found.object["data"]
        return found._replace(object=data[0]["invoice"]) if data else None

    def invoice_lines(self, id: str, count: int) -> list[dict[str, Any]]:
        """Return the lines of an invoice, at most `count`."""
        list_page = self.interactive.v1.invoices.line_items.list
        pages = self._pages(partial(list_page, id), {})
        return [one.object for one in islice(pages, count)]

    def events(self, since: datetime) -> Iterator[dict[str, Any]]:
        """Return all events of Stripe since a moment, the newest first; it keeps them 30 days."""
        params = {"created": {"gte": int(since.timestamp())}}
        for found in self._pages(self.batch.v1.events.list, params):
            yield found.object

    def price(self, id: str) -> dict[str, Any]:
        """Return a price as it is now, an inactive one too.

        Raises:
            StripeRefused: there is none.
            StripeUnavailable, StripeKeyRefused: no answer.
        """
        return self._ask(self.batch.v1.prices.retrieve, id).object

    def invoice(self, id: str, lines_max: int) -> Retrieved:
        """Return an invoice with its lines: at most `lines_max`, and then it says `has_more`.

        Raises:
            StripeRefused: there is none, or Stripe does not list its lines.
            StripeUnavailable, StripeKeyRefused: no answer.
        """
        found = self._ask(self.batch.v1.invoices.retrieve, id)
        listed = found.object.get("lines") or {}
        if not listed.get("has_more"):
            return found
        list_page = self.batch.v1.invoices.line_items.list
        pages = self._pages(partial(list_page, id), {})
        lines = [one.object for one in islice(pages, lines_max + 1)]
        whole = {**listed, "data": lines[:lines_max], "has_more": len(lines) > lines_max}
        return found._replace(object={**found.object, "lines": whole})

    def checkouts_of(self, stripe_subscription: str) -> list[str]:
        """Return the ids of the Checkout sessions that a subscription came from; one, or none."""
        params: Any = {"subscription": stripe_subscription}
        pages = self._pages(self.batch.v1.checkout.sessions.list, params)
        return [str(one.object["id"]) for one in pages]

    def price_of(self, price: Price) -> str | None:
        """Return Stripe's id of a price of the catalog; None when Stripe sells nothing by it."""
        found = {"id": price.price} if price.price else self.find_price(price, self.batch)
        return str(found["id"]) if found else None

    def find_price(self, price: Price, client: stripe.StripeClient) -> dict[str, Any] | None:
        """Return a price of the catalog as Stripe has it; None when Stripe sells nothing by it.

        Of a product, its newest active price that is paid as often.
        """
        if price.price is not None:
            return self._ask(client.v1.prices.retrieve, price.price).object
        params: dict[str, Any] = {"active": True, "lookup_keys": [price.lookup_key]}
        if price.lookup_key is None:
            params = {"active": True, "product": price.stripe_product}
        try:
            for found in self._pages(client.v1.prices.list, params):
                if price.lookup_key or _terms(found.object) == (price.interval, 1, "licensed"):
                    return found.object
        except StripeRefused as refused:
            if refused.param != "product":
                raise
        return None

    def checkout(self, id: str) -> dict[str, Any]:
        """Return a Checkout session; one that is over has no `url`."""
        return self._ask(self.batch.v1.checkout.sessions.retrieve, id).object

    @cached_property
    def _account(self) -> str:
        accounts = self.interactive.v1.accounts
        return str(self._ask(accounts.retrieve_current).object["id"])

    def account_id(self) -> str:
        """Return the id of the key's own account; Stripe is asked until it has answered once.

        Raises:
            StripeUnavailable, StripeRefused, StripeKeyRefused: no answer.
        """
        return self._account

    def is_own(self, named: str) -> bool:
        """Return whether an event's `account` or `context` names the key's own account.

        Raises:
            StripeUnavailable: Stripe did not say.
        """
        try:
            return named.rpartition("/")[2] == self.account_id()
        except (StripeRefused, StripeKeyRefused):
            return False

    # For a page that somebody waits for, who has taken a `slot`

    def subscription_with_discounts(self, id: str) -> Retrieved:
        """Return a subscription with its discounts and their coupons.

        Not those of its items: Stripe expands four levels deep, and that would be five.
        """
        params: Any = {"expand": ["discounts.source.coupon"]}
        return self._ask_in_slot(self.interactive.v1.subscriptions.retrieve, id, params)

    def next_bill(self, stripe_subscription: str) -> Retrieved:
        """Return what a subscription costs for a whole period as it is now, as an invoice."""
        params: Any = {"subscription": stripe_subscription, "preview_mode": "recurring"}
        return self._ask_in_slot(self.interactive.v1.invoices.create_preview, params)

    def list_all(self, what: Literal["items", "lines"], id: str) -> dict[str, Any]:
        """Return the whole list of a subscription's items or of an invoice's lines.

        Of more than `PAGES_MAX` pages the list says `has_more` still.
        """
        client, data = self.interactive.v1, []
        params: dict[str, Any] = {"limit": PAGE}
        for _ in range(PAGES_MAX):
            if what == "items":
                of_subscription = {"subscription": id, **params}
                found = self._ask_in_slot(client.subscription_items.list, of_subscription)
            else:
                found = self._ask_in_slot(client.invoices.line_items.list, id, params)
            page = found.object
            data += page["data"]
            if not page["has_more"]:
                break
            params["starting_after"] = page["data"][-1]["id"]
        return {**page, "data": data}

    def invoices(self, customer: str, count: int) -> Retrieved:
        """Return a list of a customer's invoices, the newest first."""
        params: Any = {"customer": customer, "limit": count}
        return self._ask_in_slot(self.interactive.v1.invoices.list, params)

    def invoice_with_first_lines(self, id: str) -> Retrieved:
        """Return an invoice; of a long one the first lines."""
        return self._ask_in_slot(self.interactive.v1.invoices.retrieve, id)

    # For who is asked whether to pay

    def preview_change(self, change: SeatChange, prorated_at: datetime) -> dict[str, Any]:
        """Return the invoice that a change would be billed by at once, with prorations from then.

        Raises:
            StripeRefused: Stripe would not make the change.
            StripeUnavailable, StripeKeyRefused: no answer.
        """
        details = {
            "items": [_item(change)],
            "proration_behavior": "always_invoice",
            "proration_date": int(prorated_at.timestamp()),
        }
        params: Any = {"subscription": change.subscription, "subscription_details": details}
        return self._ask(self.interactive.v1.invoices.create_preview, params).object

    def preview_period(self, change: SeatChange) -> dict[str, Any]:
        """Return what a whole period of a subscription would cost after a change, as an invoice.

        Raises:
            StripeRefused, StripeUnavailable, StripeKeyRefused: as `preview_change`.
        """
        params: Any = {
            "subscription": change.subscription,
            "subscription_details": {"items": [_item(change)]},
            "preview_mode": "recurring",
        }
        return self._ask(self.interactive.v1.invoices.create_preview, params).object

    def preview_items(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what a whole period of a new subscription would cost, as an invoice.

        Raises:
            StripeRefused, StripeUnavailable, StripeKeyRefused: as `preview_change`.
        """
        params: Any = {"subscription_details": {"items": items}, "preview_mode": "recurring"}
        return self._ask(self.interactive.v1.invoices.create_preview, params).object

    # Changing

    def start_checkout(self, params: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        """Start a Checkout session, and return it. Its `url` is a secret of the customer's."""
        create = self.changing.v1.checkout.sessions.create
        return self._ask(create, params, {"idempotency_key": idempotency_key}).object

    def expire_checkout(self, id: str) -> None:
        """Let a Checkout session be over, so that nobody can pay at it any more.

        Each call has an idempotency key of the library's own, since twice is as good as once: under
        one of ours a failure that Stripe keeps as the key's answer would leave it open.

        Raises:
            StripeRefused: it is over already, one way or the other.
        """
        self._ask(self.batch.v1.checkout.sessions.expire, id)

    def set_quantity(self, item: str, params: dict[str, Any], idempotency_key: str) -> None:
        """Change an item of a subscription."""
        update = self.changing.v1.subscription_items.update
        self._ask(update, item, params, {"idempotency_key": idempotency_key})

    def add_item(self, params: dict[str, Any], idempotency_key: str) -> None:
        """Add an item to a subscription."""
        create = self.changing.v1.subscription_items.create
        self._ask(create, params, {"idempotency_key": idempotency_key})

    def open_portal(self, params: dict[str, Any], idempotency_key: str) -> str:
        """Open the Customer Portal, and return its address: a secret of the customer's."""
        create = self.changing.v1.billing_portal.sessions.create
        found = self._ask(create, params, {"idempotency_key": idempotency_key})
        return str(found.object["url"])

    def set_billed_seats(self, change: SeatChange, idempotency_key: str) -> Retrieved:
        """Set how many of an item a subscription has; return the subscription, with its invoice.

        Invoiced, it happens only if the invoice is paid, or can be sent. Once it is done, no later
        fault is raised: where Stripe does not list the items that it left out, they say `has_more`.

        Raises:
            StripeRefused: it was not done; the card was refused, or the call.
            StripeUnavailable: nobody knows whether it was done: repeat it with the same key.
            StripeKeyRefused: it was not done.
        """
        params: dict[str, Any] = {
            "items": [_item(change)],
            "proration_behavior": "always_invoice" if change.invoiced else "none",
            "expand": ["latest_invoice"],
        }
        if change.invoiced:
            params["payment_behavior"] = "error_if_incomplete"
        update = self.changing.v1.subscriptions.update
        key = {"idempotency_key": idempotency_key}
        found = self._ask(update, change.subscription, params, key)
        try:
            return self._with_all_items(self.batch, found)
        except StripeFault:
            return found

    def _pages(
        self, list_page: Callable[[Any], Any], params: dict[str, Any]
    ) -> Iterator[Retrieved]:
        params = {**params, "limit": PAGE}
        while True:
            page = self._ask(list_page, params)
            for found in page.object["data"]:
                yield Retrieved(found, page.at)
            if not page.object["has_more"]:
                return
            params["starting_after"] = page.object["data"][-1]["id"]


def _item(change: SeatChange) -> dict[str, Any]:
    named = {"id": change.item} if change.item else {"price": change.price}
    return {**named, "quantity": change.quantity}


def _terms(price: dict[str, Any]) -> tuple[str | None, int | None, str | None]:
    recurring = price["recurring"] or {}
    names = ("interval", "interval_count", "usage_type")
    every, count, usage = (recurring.get(name) for name in names)
    return every, count, usage
