"""Whose a Stripe object is: named by it, by its subscription, by its customer, or not known yet."""

from __future__ import annotations

from typing import Any

from ledger.stripe.facts import StripeCustomerLinked, StripeSubscriptionReported
from tests.stripe.payloads import Json, changed, deliver, ended, event, invoice, panel, subscription
from tests.web.api import Api
from tests.worlds import DAY, MINUTE, NOON, recorded

LINK = "/v1/accounts/acme/stripe-customer"


def checkout(**more: Any) -> Json:
    return event(
        "checkout.session.completed",
        {
            "id": "cs_1",
            "object": "checkout.session",
            "client_reference_id": None,
            "customer": "cus_1",
            "metadata": {},
            "mode": "subscription",
            "payment_status": "paid",
            "status": "complete",
            "subscription": "sub_1",
            **more,
        },
    )


def unnamed(id: str = "sub_1", **more: Any) -> Json:
    return subscription(id, account=None, **more)


def test_what_came_before_the_link_is_applied_with_it_in_one_commit(api: Api) -> None:
    assert deliver(api, changed(unnamed())).body["outcome"] == "waiting"
    assert deliver(api, event("invoice.paid", invoice())).body["outcome"] == "waiting"
    assert panel(api)["seats"] == 0
    before = api.head
    got = api.put("portal", LINK, {"customer": "cus_1"})
    assert (got.status, got.body) == (200, {"account": "acme", "customer": "cus_1", "applied": 2})
    assert got.position == api.head
    events = recorded(api.services, before)
    on_account = [one for one in events if one.stream == "account-acme"]
    assert [type(one.fact).__name__ for one in on_account] == [
        "StripeCustomerLinked",
        "StripeSubscriptionReported",
        "StripeInvoiceReported",
    ]
    assert [one.causation for one in on_account[1:]] == [
        "stripe_customer-cus_1/1",
        "stripe_customer-cus_1/2",
    ]
    assert len({one.recorded_at for one in events}) == 1
    assert panel(api)["seats"] == 2


def test_what_comes_after_the_link_is_the_accounts_at_once(api: Api) -> None:
    api.put("portal", LINK, {"customer": "cus_1"})
    assert deliver(api, changed(unnamed())).body["outcome"] == "reported"
    assert panel(api)["seats"] == 2


def test_linked_again_nothing_is_recorded(api: Api) -> None:
    api.put("portal", LINK, {"customer": "cus_1"})
    head = api.head
    got = api.put("support", LINK, {"customer": "cus_1"})
    assert (got.status, got.body["applied"], api.head) == (200, 0, head)


def test_a_customer_of_another_account_is_refused(api: Api) -> None:
    api.put("portal", "/v1/accounts/other/stripe-customer", {"customer": "cus_1"})
    head = api.head
    got = api.put("portal", LINK, {"customer": "cus_1"})
    assert (got.status, got.code, api.head) == (409, "customer_linked_elsewhere", head)


def test_an_account_may_have_several_customers(api: Api) -> None:
    for number in (1, 2):
        deliver(api, changed(unnamed(f"sub_{number}", customer=f"cus_{number}")))
        api.put("portal", LINK, {"customer": f"cus_{number}"})
    assert panel(api)["seats"] == 4


def test_the_version_seen_is_held_to(api: Api) -> None:
    api.redeem("acme")
    got = api.put("portal", LINK, {"customer": "cus_1"}, headers={"If-Match": '"0"'})
    assert (got.status, got.code) == (412, "version_mismatch")


def test_what_is_no_customer_is_named(api: Api) -> None:
    for wrong in ("sub_1", "cus_", "somebody@people.example", 7, None):
        got = api.put("portal", LINK, {"customer": wrong})
        assert (got.status, got.pointers) == (422, ["/customer"])


def test_metadata_name_the_account_and_link_its_customer(api: Api) -> None:
    deliver(api, event("invoice.paid", invoice()))
    deliver(api, changed(subscription()))
    links = [
        (one.stream, one.fact.by)
        for one in recorded(api.services)
        if isinstance(one.fact, StripeCustomerLinked)
    ]
    assert links == [("account-acme", "stripe"), ("stripe_customer-cus_1", "stripe")]
    assert deliver(api, changed(unnamed("sub_2"))).body["outcome"] == "reported"
    assert panel(api)["seats"] == 4


def test_a_checkout_names_the_account_by_its_metadata(api: Api) -> None:
    deliver(api, changed(unnamed()))
    named = checkout(client_reference_id="acme", metadata={"keyfold_account": "acme"})
    assert deliver(api, named).body["outcome"] == "reported"
    assert panel(api)["seats"] == 2


def test_a_reference_alone_gives_nothing_and_links_nobody(api: Api) -> None:
    deliver(api, changed(unnamed()))
    assert deliver(api, checkout(client_reference_id="acme")).body["outcome"] == "waiting"
    assert panel(api)["seats"] == 0
    assert api.put("portal", LINK.replace("acme", "beta"), {"customer": "cus_1"}).status == 200
    assert (panel(api)["seats"], panel(api, "beta")["seats"]) == (0, 2)


def test_a_reference_that_is_no_account_id_names_nobody(api: Api) -> None:
    got = deliver(api, checkout(client_reference_id="somebody@people.example"))
    assert got.body["outcome"] == "waiting"


def test_metadata_come_before_the_customer(api: Api) -> None:
    api.put("portal", "/v1/accounts/other/stripe-customer", {"customer": "cus_1"})
    deliver(api, changed(subscription()))
    deliver(api, changed(unnamed(status="past_due"), at=NOON + MINUTE))
    assert panel(api, "other")["seats"] == 0
    api.clock.now += DAY
    assert [row["status"] for row in panel(api)["rows"]] == ["past_due"]


def test_a_subscription_stays_with_its_first_account(api: Api) -> None:
    deliver(api, changed(subscription()))
    moved = subscription(account="other", status="past_due")
    deliver(api, changed(moved, at=NOON + MINUTE, id="evt_moved"))
    assert panel(api, "other")["rows"] == []
    ((*_, state),) = api.services.book.store.read_stream("stripe_event-evt_moved")[1]
    assert b"belongs to another account already" in state


def test_what_names_nobody_at_all_is_kept(api: Api) -> None:
    dispute = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "amount": 5, "currency": "eur"}
    del dispute["charge"]
    got = deliver(api, event("charge.dispute.created", dispute, id="evt_dispute"))
    assert got.body["outcome"] == "ownerless"
    assert len(api.services.book.store.read_stream("stripe_event-evt_dispute")[1]) == 2


def test_an_end_that_waited_is_an_end(api: Api) -> None:
    deliver(api, event("customer.subscription.deleted", ended(unnamed(), NOON), at=NOON))
    deliver(api, changed(unnamed(), at=NOON + MINUTE))
    api.put("portal", LINK, {"customer": "cus_1"})
    api.clock.now += DAY
    assert panel(api)["seats"] == 0
    reports = [
        one
        for one in recorded(api.services)
        if one.stream == "account-acme" and isinstance(one.fact, StripeSubscriptionReported)
    ]
    assert len(reports) == 2
