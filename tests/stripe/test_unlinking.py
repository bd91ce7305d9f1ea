"""Taking a customer away from an account, and giving it a subscription by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.stripe.facts import StripeCustomerUnlinked
from tests.stripe.payloads import Json, changed, deliver, event, invoice, panel, subscription
from tests.stripe.shop import Shop, shop
from tests.web.api import Api, Got
from tests.worlds import MINUTE, NOON

LINK = "/v1/accounts/acme/stripe-customer"


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


def unlink(api: Api, account: str = "acme", role: str = "support", **body: str) -> Got:
    body = {"customer": "cus_1", "reason": "not theirs", **body}
    return api.ask(role, "DELETE", f"/v1/accounts/{account}/stripe-customer", body)


def assign(api: Api, account: str, id: str = "sub_1", **body: str) -> Got:
    path = f"/v1/accounts/{account}/stripe-subscriptions/{id}"
    return api.put("support", path, {"reason": "sold by invoice", **body})


def unnamed(id: str = "sub_1", **more: object) -> Json:
    return subscription(id, account=None, **more)  # type: ignore[arg-type]


def test_subscriptions_by_the_link_alone_go_with_it(api: Api) -> None:
    api.put("portal", LINK, {"customer": "cus_1"})
    deliver(api, changed(unnamed("sub_1")))
    deliver(api, event("invoice.paid", invoice()))
    deliver(api, changed(subscription("sub_2")))
    got = unlink(api)
    assert (got.status, got.body) == (
        200,
        {"account": "acme", "customer": "cus_1", "released": ["sub_1"], "kept": ["sub_2"]},
    )
    assert panel(api)["seats"] == 2
    assert deliver(api, changed(unnamed(), at=NOON + MINUTE)).body["outcome"] == "waiting"
    linked = api.put("portal", "/v1/accounts/beta/stripe-customer", {"customer": "cus_1"})
    assert linked.body["applied"] == 3
    assert (panel(api)["seats"], panel(api, "beta")["seats"]) == (2, 2)


def test_nothing_but_a_call_links_it_to_the_account_again(api: Api) -> None:
    deliver(api, changed(subscription()))
    unlink(api)
    deliver(api, changed(subscription(status="past_due"), at=NOON + MINUTE))
    deliver(api, changed(subscription("sub_2")))
    assert panel(api)["seats"] == 4
    assert deliver(api, changed(unnamed("sub_3"))).body["outcome"] == "waiting"
    assert api.put("portal", LINK, {"customer": "cus_1"}).body["applied"] == 1
    assert panel(api)["seats"] == 6


def test_why_is_on_record_and_sealed(api: Api) -> None:
    api.put("portal", LINK, {"customer": "cus_1"})
    unlink(api, reason="Belongs to somebody else")
    facts = [one.fact for one in api.services.book.follow(0)]
    (on_account, on_customer) = [f for f in facts if isinstance(f, StripeCustomerUnlinked)]
    assert (on_account.reason is not None, on_customer.reason) == (True, None)
    states = b"".join(row.state for row in api.services.book.store.read_from(0, 1000))
    assert b"somebody else" not in states


def test_who_may_and_what_is_refused(api: Api) -> None:
    api.put("portal", LINK, {"customer": "cus_1"})
    assert unlink(api, role="portal").status == 403
    assert unlink(api, "beta").code == "customer_not_linked"
    assert unlink(api, reason="").pointers == ["/reason"]
    assert unlink(api, customer="sub_1").pointers == ["/customer"]
    assert unlink(api, role="admin").status == 200
    assert unlink(api).code == "customer_not_linked"


def test_a_subscription_without_customer_and_metadata_is_given_by_hand(api: Api) -> None:
    assert deliver(api, changed(unnamed(customer=None))).body["outcome"] == "waiting"
    deliver(api, event("invoice.paid", invoice(customer=None)))
    got = assign(api, "acme")
    assert (got.status, got.body) == (
        200,
        {"account": "acme", "stripe_subscription": "sub_1", "from": None, "applied": 2},
    )
    assert panel(api)["seats"] == 2
    more = unnamed(customer=None, status="past_due")
    assert deliver(api, changed(more, at=NOON + MINUTE)).body["outcome"] == "reported"
    head = api.head
    assert (assign(api, "acme").status, api.head) == (200, head)


def test_what_somebody_else_has_moves_only_if_that_is_said(api: Api) -> None:
    deliver(api, changed(subscription()))
    deliver(api, event("invoice.paid", invoice()))
    assert assign(api, "beta").code == "stripe_subscription_elsewhere"
    got = assign(api, "beta", **{"from": "acme"})
    assert (got.status, got.body["from"]) == (200, "acme")
    assert (panel(api)["rows"], panel(api, "beta")["seats"]) == ([], 2)
    deliver(api, changed(subscription(status="past_due"), at=NOON + MINUTE))
    assert (panel(api)["rows"], panel(api, "beta")["seats"]) == ([], 2)


def test_one_that_was_never_heard_of_is_asked_for(it: Shop) -> None:
    customer = it.stripe.post("/v1/customers", {})["id"]
    (price,) = it.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_month"]})["data"]
    sold = it.stripe.post(
        "/v1/subscriptions", {"customer": customer, "items": [{"price": price["id"]}]}
    )
    assert assign(it.api, "acme", sold["id"]).status == 200
    assert it.seats() == 1
    assert assign(it.api, "acme", "sub_nobodys").code == "stripe_subscription_not_found"
