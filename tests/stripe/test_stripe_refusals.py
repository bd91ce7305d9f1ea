"""Every "no" that has to do with Stripe, in its order: rows break later rules, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ledger.catalog import Catalog, builtin, parse
from tests.stripe.payloads import deliver_body
from tests.stripe.shop import PRICES, Shop, price, shop
from tests.stripe.test_checkout import BILLED, BILLED_PRICES
from tests.stripe.test_stripe_portal import shared
from tests.web.api import Got, memory_api
from web.app.errors import PROBLEM_TYPES

REASON = {"reason": "Because"}


@dataclass(frozen=True)
class Row:
    """What is done, and how it is refused."""

    name: str
    status: int
    code: str
    do: Callable[[Shop], Got]
    billed: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.name}"


def unsigned_and_broken(it: Shop) -> Got:
    return deliver_body(it.api, b"{", {})


def bought_without_a_key(_it: Shop) -> Got:
    return Shop(memory_api(), _it.stripe).buy()


def linked_to_another_while_at_an_old_version(it: Shop) -> Got:
    place = "/v1/accounts/{}/stripe-customer"
    it.api.put("portal", place.format("other"), {"customer": "cus_1"})
    return it.api.put("portal", place.format("acme"), {"customer": "cus_1"})


def unlinked(it: Shop) -> Got:
    body = {"customer": "cus_1", **REASON}
    return it.api.ask("support", "DELETE", "/v1/accounts/acme/stripe-customer", body)


def opened_for_a_shared_customer(it: Shop) -> Got:
    shared(it)
    return it.portal("beta")


def assigned(it: Shop, id: str) -> Got:
    return it.api.put("support", f"/v1/accounts/acme/stripe-subscriptions/{id}", REASON)


def changed(how: str, **body: Any) -> Callable[[Shop], Got]:
    """Return what changes a subscription of Stripe's as one that a key gave is changed."""

    def change(it: Shop) -> Got:
        it.subscribe()
        (row,) = it.api.get("portal", "/v1/accounts/acme/subscriptions").body["products"][0]["rows"]
        path = f"/v1/accounts/acme/subscriptions/{row['subscription']}/{how}"
        return it.api.post("admin", path, {**REASON, **body})

    return change


def bought_while_past_due(it: Shop) -> Got:
    bought = it.subscribe()
    it.stripe.fail_payments(bought["customer"])
    it.stripe.advance(days=32)
    it.api.clock.forward(days=32)
    it.deliver()
    return it.buy()


def bought_where_seats_follow_holders(it: Shop) -> Got:
    bought = it.subscribe(seats=5)
    it.stripe.fail_payments(bought["customer"])
    return it.buy(seats=1)


def bought_for_an_amount_that_nobody_previewed(it: Shop) -> Got:
    subscription = it.subscribe()
    it.stripe.fail_payments(subscription["customer"])
    return it.buy(quote="AAAA")


def bought_with_a_card_that_is_refused(it: Shop) -> Got:
    bought = it.subscribe()
    it.stripe.advance(days=1)
    it.stripe.fail_payments(bought["customer"])
    return it.buy()


def bought_in_another_currency(it: Shop) -> Got:
    product = it.stripe.post("/v1/products", {"name": "Seats"})["id"]
    dollars = {**price(product, "integrations_scale_month", "month", 500), "currency": "usd"}
    it.stripe.post("/v1/prices", dollars)
    it.subscribe(product="integrations", tier="starter")
    it.api.clock.forward(days=1)
    return it.buy(product="integrations", tier="scale")


def bought_while_stripe_is(fault: str) -> Callable[[Shop], Got]:
    def buy(it: Shop) -> Got:
        it.stripe.fail(fault)
        return it.buy()

    return buy


ROWS = [
    Row("no signature, and no JSON", 400, "webhook_refused", unsigned_and_broken),
    Row("no key for Stripe", 503, "stripe_not_configured", bought_without_a_key),
    Row("a wrong key", 503, "stripe_not_configured", bought_while_stripe_is("wrong_key")),
    Row("down", 503, "stripe_unavailable", bought_while_stripe_is("down")),
    Row("too many requests", 503, "stripe_unavailable", bought_while_stripe_is("429")),
    Row("an error of Stripe's", 503, "stripe_unavailable", bought_while_stripe_is("500")),
    Row(
        "another account's customer", 409, "customer_linked_elsewhere",
        linked_to_another_while_at_an_old_version,
    ),
    Row("not linked", 409, "customer_not_linked", unlinked),
    Row("pays for another account", 409, "customer_shared", opened_for_a_shared_customer),
    Row(
        "another account's", 409, "stripe_subscription_elsewhere",
        lambda it: assigned(it, it.subscribe("other")["id"]),
    ),
    Row(
        "nobody's", 404, "stripe_subscription_not_found", lambda it: assigned(it, "sub_nobodys")
    ),
    Row("never at Stripe", 409, "no_stripe_customer", lambda it: it.portal()),
    Row("Stripe's to end", 409, "managed_in_stripe", changed("terminate")),
    Row("Stripe's to extend", 409, "managed_in_stripe", changed("extend", days=1)),
    Row("Stripe's to suspend", 409, "managed_in_stripe", changed("suspend")),
    Row("Stripe's to resume", 409, "managed_in_stripe", changed("resume")),
    Row("Stripe's to start", 409, "managed_in_stripe", changed("start")),
    Row("Stripe's to transfer", 409, "managed_in_stripe", changed("transfer", to="beta")),
    Row("past due, no card", 409, "subscription_not_changeable", bought_while_past_due),
    Row(
        "billed, and the card refused", 409, "seats_follow_holders",
        bought_where_seats_follow_holders, billed=True,
    ),
    Row(
        "another amount, and the card refused", 409, "purchase_price_changed",
        bought_for_an_amount_that_nobody_previewed,
    ),
    Row("the card refused", 402, "payment_failed", bought_with_a_card_that_is_refused),
    Row("another currency", 502, "stripe_refused", bought_in_another_currency),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_refusal_says_which_and_why(row: Row) -> None:
    catalog: Catalog = parse(BILLED) if row.billed else builtin()
    with shop(catalog, BILLED_PRICES if row.billed else PRICES) as it:
        got = row.do(it)
    kind = PROBLEM_TYPES[row.code]
    assert (got.status, got.code, got.body["title"]) == (row.status, row.code, kind.title)
    assert kind.status == row.status
    assert ("Retry-After" in got.headers) == (row.status == 503)
    assert got.body["detail"].endswith(".")
