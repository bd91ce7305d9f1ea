"""What a Billing page shows, read from Stripe all at once and in time, or not at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import (
    Retrieved,
    StripeKeyRefused,
    StripeRefused,
    StripeUnavailable,
)

AnswerT = TypeVar("AnswerT")

# An answer is to be there within five seconds, and some of them are ours.
WITHIN_S: Final = 4.5
ASKS_MAX: Final = 120
AT_ONCE_MAX: Final = 30


class TooMuchToRead(Exception):
    """There is more to read from Stripe than can be asked for while somebody waits."""


class BillingRead(NamedTuple):
    """Stripe's objects as plain JSON: to be shown, and not kept.

    Attributes:
        subscriptions: by id, with their discounts and coupons.
        previews: by subscription; one that Stripe does not preview has none.
        invoices: of all customers, and those that were wanted in any case.
    """

    subscriptions: dict[str, dict[str, Any]]
    previews: dict[str, dict[str, Any]]
    invoices: list[dict[str, Any]]


def read_billing(
    stripe: StripeGateway,
    subscriptions: Sequence[str],
    customers: Sequence[str],
    known_invoices: Sequence[str],
    *,
    invoices: int,
) -> BillingRead:
    """Return subscriptions, what they cost, and the latest invoices of customers.

    Args:
        known_invoices: ids of those that are wanted in any case. A customer that pays for others as
            well may have so many later ones that they are asked for one by one.

    Raises:
        TooMuchToRead: Stripe was not asked.
        StripeUnavailable: not everything could be read in time.
        StripeRefused, StripeKeyRefused: Stripe does not have it, or not for us.
    """
    asks: list[Callable[[], Retrieved | None]] = []
    asks += [partial(_subscription, stripe, id) for id in subscriptions]
    asks += [partial(_preview, stripe, id) for id in subscriptions]
    asks += [partial(_invoices, stripe, customer, invoices) for customer in customers]
    if len(asks) > ASKS_MAX:
        raise TooMuchToRead(f"{len(subscriptions)} subscriptions are too many to read at once")
    ends_at = time.monotonic() + WITHIN_S
    count = len(subscriptions)
    with stripe.slot():
        found = in_time(asks, WITHIN_S)
        listed = [invoice for one in found[2 * count :] if one for invoice in one.object["data"]]
        missing = [id for id in known_invoices if all(one["id"] != id for one in listed)]
        more = in_time(
            [partial(_invoice, stripe, id) for id in missing], ends_at - time.monotonic()
        )
    return BillingRead(
        {id: one.object for id, one in zip(subscriptions, found, strict=False) if one},
        {id: one.object for id, one in zip(subscriptions, found[count:], strict=False) if one},
        [*listed, *(one.object for one in more if one)],
    )


def in_time(asks: Sequence[Callable[[], AnswerT]], within_s: float) -> list[AnswerT]:
    """Ask everything, many at once, and return all of it in the order asked.

    A library's timeouts are for each read, and a slow answer has many: so the time is taken here,
    and who has not answered by then is left alone.

    Raises:
        StripeUnavailable: not everything was answered in time.
        Exception: the first that was raised by one that was asked.
    """
    ends_at = time.monotonic() + within_s
    waiting: SimpleQueue[tuple[int, Callable[[], AnswerT]]] = SimpleQueue()
    answers: SimpleQueue[tuple[int, AnswerT | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        while time.monotonic() < ends_at:
            try:
                place, ask = waiting.get_nowait()
            except Empty:
                return
            try:
                answers.put((place, ask(), None))
            except Exception as error:
                answers.put((place, None, error))
                return

    for one in enumerate(asks):
        waiting.put(one)
    for _ in range(min(len(asks), AT_ONCE_MAX)):
        threading.Thread(target=run, daemon=True).start()
    found: dict[int, Any] = {}
    while len(found) < len(asks):
        try:
            place, answer, error = answers.get(timeout=max(ends_at - time.monotonic(), 0))
        except Empty:
            raise StripeUnavailable("Stripe does not answer in time") from None
        if error is not None:
            raise error
        found[place] = answer
    return [found[place] for place in range(len(asks))]


def _subscription(stripe: StripeGateway, id: str) -> Retrieved:
    found = stripe.subscription_with_discounts(id)
    items = found.object.get("items") or {}
    if items.get("has_more"):
        found.object["items"] = stripe.list_all("items", id)
    return found


def _preview(stripe: StripeGateway, id: str) -> Retrieved | None:
    try:
        found = stripe.next_bill(id)
    except StripeRefused:  # of a subscription that is going to end, or has
        return None
    if (found.object.get("lines") or {}).get("has_more") and found.object.get("id"):
        # Where the rest is not to be had, the view tells the sum of it.
        with contextlib.suppress(StripeRefused):
            found.object["lines"] = stripe.list_all("lines", str(found.object["id"]))
    return found


def _invoices(stripe: StripeGateway, customer: str, count: int) -> Retrieved | None:
    try:
        return stripe.invoices(customer, count)
    except StripeRefused:  # of a customer that was deleted
        return None


def _invoice(stripe: StripeGateway, id: str) -> Retrieved | None:
    try:
        return stripe.invoice_with_first_lines(id)
    except StripeRefused:  # of another Stripe account, or mode
        return None


FAULTS: Final[tuple[type[Exception], ...]] = (StripeUnavailable, StripeRefused, StripeKeyRefused)
