"""Stripe's Customer Portal: for whose customer, with which way back; and when Stripe fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from commands.gateways import stripe as gateway
from tests.stripe.shop import BACK, Shop, shop
from tests.web.api import memory_api

SESSIONS = "/v1/billing_portal/sessions"


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


def customer(it: Shop, account: str = "acme") -> str:
    """Make a customer at Stripe, and link it."""
    id: str = it.stripe.post("/v1/customers", {})["id"]
    it.api.put("portal", f"/v1/accounts/{account}/stripe-customer", {"customer": id})
    return id


def opened_for(it: Shop) -> list[str]:
    return [one.params["customer"] for one in it.asked("POST", SESSIONS)]


def test_it_is_opened_for_the_customer_with_the_way_back(it: Shop) -> None:
    bought = it.subscribe()
    got = it.portal()
    assert got.status == 201
    assert got.body["url"].startswith("https://billing.stripe.com/p/session/")
    assert got.headers["Cache-Control"] == "no-store"
    (sent,) = it.asked("POST", SESSIONS)
    assert sent.params == {
        "customer": bought["customer"],
        "return_url": BACK,
        "locale": "auto",
    }


def test_it_is_opened_for_a_linked_customer_that_bought_nothing_yet(it: Shop) -> None:
    linked = customer(it)
    assert it.portal().status == 201
    assert opened_for(it) == [linked]


def test_of_several_customers_the_one_with_a_subscription_is_taken(it: Shop) -> None:
    bought = it.subscribe()
    customer(it)
    assert it.portal().status == 201
    assert opened_for(it) == [bought["customer"]]


def test_it_is_opened_after_the_subscription_has_ended_too(it: Shop) -> None:
    bought = it.subscribe()
    it.stripe.delete(f"/v1/subscriptions/{bought['id']}")
    it.deliver()
    assert it.portal().status == 201
    assert opened_for(it) == [bought["customer"]]


def test_its_address_is_kept_nowhere(it: Shop, caplog: pytest.LogCaptureFixture) -> None:
    customer(it)
    before = it.api.head
    secret = it.portal().body["url"].rpartition("/")[2]
    assert it.api.head == before
    assert secret not in caplog.text


def test_an_account_without_a_customer_is_told(it: Shop) -> None:
    got = it.portal()
    assert (got.status, got.code) == (409, "no_stripe_customer")
    assert it.stripe.requests == []


def test_a_customer_that_stripe_deleted_is_none(it: Shop) -> None:
    it.stripe.delete(f"/v1/customers/{customer(it)}")
    got = it.portal()
    assert (got.status, got.code) == (409, "no_stripe_customer")


@pytest.mark.parametrize(
    "url",
    ["https://elsewhere.example/", "javascript:alert(1)", "//x.example", "http://127.0.0.1:81"],
)
def test_the_way_back_leads_only_to_addresses_on_the_list(it: Shop, url: str) -> None:
    customer(it)
    got = it.portal(return_url=url)
    assert (got.status, got.pointers) == (422, ["/return_url"])
    assert opened_for(it) == []


def test_without_a_key_for_stripe_it_is_not_opened() -> None:
    got = Shop(memory_api(), None).portal()  # type: ignore[arg-type]
    assert (got.status, got.code) == (503, "stripe_not_configured")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("down", "stripe_unavailable"),
        ("cut", "stripe_unavailable"),
        ("applied_then_cut", "stripe_unavailable"),
        ("slow", "stripe_unavailable"),
        ("429", "stripe_unavailable"),
        ("500", "stripe_unavailable"),
        ("wrong_key", "stripe_not_configured"),
    ],
)
def test_when_stripe_fails_that_is_told_and_the_next_try_goes_through(
    it: Shop, monkeypatch: pytest.MonkeyPatch, kind: str, code: str
) -> None:
    customer(it)
    monkeypatch.setattr(gateway, "READ_S", 0.5)
    monkeypatch.setattr(gateway, "TRIES_AGAIN", 1)
    it.stripe.fail(kind, **({"delay_s": 2.0} if kind == "slow" else {}))
    got = it.portal()
    assert (got.status, got.code) == (503, code)
    assert got.headers["Retry-After"]
    it.stripe.mend()
    assert it.portal().status == 201


def test_a_call_that_was_cut_off_is_repeated_with_the_same_key(it: Shop) -> None:
    customer(it)
    it.stripe.fail("applied_then_cut", path=SESSIONS, times=1, mid_answer=False)
    assert it.portal().status == 201
    first, again = it.asked("POST", SESSIONS)
    assert first.idempotency_key == again.idempotency_key


def shared(it: Shop) -> str:
    """Let a customer, linked to the first of two accounts, pay for subscriptions of both."""
    bought = it.subscribe()
    (price,) = it.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_month"]})["data"]
    of_beta = {
        "customer": bought["customer"],
        "items": [{"price": price["id"]}],
        "metadata": {"keyfold_account": "beta"},
    }
    it.stripe.post("/v1/subscriptions", of_beta)
    it.deliver()
    customer: str = bought["customer"]
    return customer


def test_a_customer_that_pays_for_another_account_is_not_opened_for_that_one(it: Shop) -> None:
    customer = shared(it)
    got = it.portal("beta")
    assert (got.status, got.code) == (409, "customer_shared")
    assert "linked to another account" in got.body["detail"]
    assert it.portal("acme").status == 201
    assert opened_for(it) == [customer]


def test_a_shared_customer_that_is_nobodys_is_opened_for_nobody(it: Shop) -> None:
    customer = shared(it)
    unlinked = "/v1/accounts/acme/stripe-customer"
    got = it.api.ask("support", "DELETE", unlinked, {"customer": customer, "reason": "not theirs"})
    assert got.status == 200
    for account in ("acme", "beta"):
        assert it.portal(account).code == "customer_shared"


def test_a_purchase_is_never_made_as_a_customer_of_others(it: Shop) -> None:
    shared(it)
    assert it.buy("beta", product="integrations", tier="growth").status == 201
    assert "customer" not in it.asked("POST", "/v1/checkout/sessions")[-1].params


def test_billing_lists_nobody_elses_invoices(it: Shop) -> None:
    customer = shared(it)
    it.stripe.post("/v1/invoices", {"customer": customer})  # of no subscription, and not told
    everybody = it.stripe.get("/v1/invoices", {"customer": customer})["data"]
    its = {}
    for account in ("acme", "beta"):
        seen = it.billing(account)
        assert seen["live"] is True
        its[account] = {one["id"] for one in seen["invoices"]}
        assert its[account] == {
            one["id"] for one in it.billing(account, "?as_of=2026-03-02T00:00:00Z")["invoices"]
        }
    assert not its["acme"] & its["beta"]
    assert its["acme"] | its["beta"] <= {one["id"] for one in everybody}
    assert all(its.values())
