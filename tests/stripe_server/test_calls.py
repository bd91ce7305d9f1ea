"""The stand-in by HTTP, as Stripe's own client sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests
import stripe as sdk

from tests.stripe_server import StripeServer
from tests.stripe_server.shop import Shop, bills, kinds, open_shop, subscribe


def test_the_client_subscribes_and_reads_back(stripe: StripeServer, shop: Shop) -> None:
    client = stripe.client()
    made = client.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.base}, {"price": shop.seat, "quantity": 3}],
            "metadata": {"keyfold_account": "acme"},
            "expand": ["latest_invoice.payments", "customer"],
        }
    )
    assert made.status == "active"
    assert [item.quantity for item in made["items"].data] == [1, 3]
    assert not isinstance(made.latest_invoice, str | None)
    assert made.latest_invoice.total == 3500
    assert made.latest_invoice.payments is not None
    assert len(made.latest_invoice.payments.data) == 1
    assert isinstance(made.customer, sdk.Customer)
    again = client.v1.subscriptions.retrieve(made.id)
    assert again.customer == shop.customer
    assert again.metadata["keyfold_account"] == "acme"


def test_a_discount_is_expanded_down_to_its_coupon(stripe: StripeServer, shop: Shop) -> None:
    coupon = stripe.post("/v1/coupons", {"percent_off": 25, "duration": "forever"})["id"]
    made = subscribe(stripe, shop, discounts=[{"coupon": coupon}])
    assert all(isinstance(one, str) for one in made["discounts"])
    read = stripe.client().v1.subscriptions.retrieve(
        made["id"], {"expand": ["discounts.source.coupon", "items.data.price.tiers"]}
    )
    discount = read.discounts[0]
    assert isinstance(discount, sdk.Discount)
    assert isinstance(discount.source.coupon, sdk.Coupon)
    assert discount.source.coupon.percent_off == 25


def test_a_key_repeated_gives_the_first_answer_and_changes_nothing(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client()
    given: sdk.params.SubscriptionCreateParams = {
        "customer": shop.customer,
        "items": [{"price": shop.base}],
    }
    first = client.v1.subscriptions.create(given, {"idempotency_key": "k1"})
    count = len(stripe.events)
    again = client.v1.subscriptions.create(given, {"idempotency_key": "k1"})
    assert (again.id, len(stripe.events)) == (first.id, count)
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(sdk.IdempotencyError, match="same parameters"):
        client.v1.subscriptions.create({**given, "metadata": {"a": "b"}}, {"idempotency_key": "k1"})
    stripe.advance(days=2)
    assert client.v1.subscriptions.create(given, {"idempotency_key": "k1"}).id != first.id


def test_lists_go_in_pages_newest_first(stripe: StripeServer, shop: Shop) -> None:
    made = [subscribe(stripe, shop)["id"] for _ in range(7)]
    client = stripe.client()
    page = client.v1.subscriptions.list({"limit": 3})
    assert [one.id for one in page.data] == made[:-4:-1]
    assert page.has_more
    assert [one.id for one in page.auto_paging_iter()] == made[::-1]
    before = client.v1.subscriptions.list({"limit": 3, "ending_before": made[2]})
    assert [one.id for one in before.data] == [made[5], made[4], made[3]]
    with pytest.raises(sdk.InvalidRequestError, match="No such object"):
        client.v1.subscriptions.list({"starting_after": "sub_none"})


def test_ended_subscriptions_are_listed_when_asked_for(stripe: StripeServer, shop: Shop) -> None:
    client = stripe.client()
    gone, live = subscribe(stripe, shop)["id"], subscribe(stripe, shop)["id"]
    client.v1.subscriptions.cancel(gone)
    assert [one.id for one in client.v1.subscriptions.list({}).data] == [live]
    assert len(client.v1.subscriptions.list({"status": "all", "customer": shop.customer}).data) == 2
    assert [one.id for one in client.v1.subscriptions.list({"status": "canceled"}).data] == [gone]


def test_prices_are_found_by_lookup_key(stripe: StripeServer, shop: Shop) -> None:
    found = stripe.client().v1.prices.list({"lookup_keys": ["seat", "none"]})
    assert [one.id for one in found.data] == [shop.seat]


def test_refusals_are_worded_as_stripes(stripe: StripeServer, shop: Shop) -> None:
    client = stripe.client()
    with pytest.raises(sdk.InvalidRequestError) as missing:
        client.v1.subscriptions.retrieve("sub_none")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(sdk.InvalidRequestError) as wanting:
        client.v1.subscriptions.create({"items": [{"price": shop.base}]})
    assert (wanting.value.code, wanting.value.param) == ("parameter_missing", "customer")
    assert str(wanting.value.request_id).startswith("req_")
    with pytest.raises(sdk.InvalidRequestError, match="cannot be expanded"):
        client.v1.subscriptions.list({"expand": ["data.colour", "colour"]})


def test_another_key_is_refused(stripe: StripeServer) -> None:
    stranger = sdk.StripeClient("sk_test_other", base_addresses={"api": stripe.url})
    with pytest.raises(sdk.AuthenticationError):
        stranger.v1.customers.list()


def test_a_card_that_fails_refuses_the_change_and_leaves_everything(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client()
    made = subscribe(stripe, shop)
    seats = made["items"]["data"][1]["id"]
    stripe.advance(days=10)
    stripe.fail_payments(shop.customer)
    count = len(stripe.events)
    with pytest.raises(sdk.CardError) as refused:
        client.v1.subscription_items.update(
            seats,
            {
                "quantity": 9,
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    assert (refused.value.http_status, refused.value.code) == (402, "card_declined")
    assert client.v1.subscription_items.retrieve(seats).quantity == 3
    assert len(stripe.events) == count


def test_a_change_may_wait_for_its_payment(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop)
    seats = made["items"]["data"][1]["id"]
    stripe.fail_payments(shop.customer)
    stripe.post(
        f"/v1/subscription_items/{seats}",
        {
            "quantity": 9,
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    held = stripe.get(f"/v1/subscriptions/{made['id']}")
    assert held["status"] == "active"
    assert held["items"]["data"][1]["quantity"] == 3
    assert held["pending_update"]["subscription_items"][1]["quantity"] == 9
    stripe.mend_payments(shop.customer)
    stripe.post(f"/v1/invoices/{held['latest_invoice']}/pay")
    now = stripe.get(f"/v1/subscriptions/{made['id']}")
    assert (now["pending_update"], now["items"]["data"][1]["quantity"]) == (None, 9)
    assert "customer.subscription.pending_update_applied" in kinds(stripe)


def test_a_change_that_is_not_paid_for_in_a_day_is_dropped(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop)
    stripe.fail_payments(shop.customer)
    stripe.post(
        f"/v1/subscription_items/{made['items']['data'][1]['id']}",
        {
            "quantity": 9,
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    stripe.advance(days=1)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["pending_update"] is None
    assert bills(stripe, made["id"])[-1]["status"] == "void"
    assert "customer.subscription.pending_update_expired" in kinds(stripe)


def test_an_answer_cut_in_its_midst_is_had_by_asking_again_with_the_key(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client(max_network_retries=2)
    stripe.fail("applied_then_cut", times=1, method="POST", path="/v1/subscriptions")
    given: sdk.params.SubscriptionCreateParams = {
        "customer": shop.customer,
        "items": [{"price": shop.base}],
    }
    # stripe-python tries again what was never answered, not what was answered by half.
    with pytest.raises(sdk.APIConnectionError):
        client.v1.subscriptions.create(given, {"idempotency_key": "k1"})
    made = client.v1.subscriptions.create(given, {"idempotency_key": "k1"})
    assert [one["id"] for one in stripe.get("/v1/subscriptions")["data"]] == [made.id]


def test_a_call_hung_up_on_after_it_was_done_is_replayed(stripe: StripeServer, shop: Shop) -> None:
    client = stripe.client(max_network_retries=2)
    stripe.fail(
        "applied_then_cut", times=1, method="POST", path="/v1/subscriptions", mid_answer=False
    )
    made = client.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.base}]}
    )
    assert [one["id"] for one in stripe.get("/v1/subscriptions")["data"]] == [made.id]
    tries = [one for one in stripe.requests if one.method == "POST"]
    assert len(tries) == 2
    assert tries[0].idempotency_key == tries[1].idempotency_key
    assert tries[0].params == tries[1].params


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("down", sdk.APIConnectionError),
        ("cut", sdk.APIConnectionError),
        ("429", sdk.RateLimitError),
        ("500", sdk.APIError),
        ("wrong_key", sdk.AuthenticationError),
    ],
)
def test_stripe_fails_on_demand_and_is_mended(
    stripe: StripeServer, shop: Shop, kind: str, error: type[Exception]
) -> None:
    client = stripe.client()
    assert client.v1.customers.retrieve(shop.customer).id == shop.customer
    stripe.fail(kind)
    with pytest.raises(error):
        client.v1.customers.create({})
    stripe.mend()
    assert client.v1.customers.retrieve(shop.customer).id == shop.customer
    assert len(stripe.get("/v1/customers")["data"]) == 1


def test_a_slow_stripe_outlasts_the_clients_patience(stripe: StripeServer) -> None:
    client = stripe.client(http_client=sdk.RequestsClient(timeout=(1, 0.2)))
    stripe.fail("slow", delay_s=1.0)
    with pytest.raises(sdk.APIConnectionError):
        client.v1.customers.list()


def test_checkout_makes_the_customer_the_subscription_and_the_events(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client()
    session = client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "client_reference_id": "acme",
            "line_items": [
                {"price": shop.base, "quantity": 1},
                {
                    "price": shop.seat,
                    "quantity": 2,
                    "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 50},
                },
            ],
            "subscription_data": {"metadata": {"keyfold_account": "acme"}},
            "success_url": "https://shop.example/?session={CHECKOUT_SESSION_ID}",
        }
    )
    assert session.url is not None
    assert session.amount_total == 3000
    stripe.pay(session.id, quantities={shop.seat: 4})
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert (done.status, done.payment_status, done.amount_total) == ("complete", "paid", 4000)
    assert isinstance(done.subscription, sdk.Subscription)
    assert done.subscription.metadata["keyfold_account"] == "acme"
    lines = client.v1.checkout.sessions.line_items.list(session.id)
    assert sorted(one.quantity or 0 for one in lines.data) == [1, 4]
    assert kinds(stripe)[-1] == "checkout.session.completed"


def test_a_session_nobody_completes_expires(stripe: StripeServer, shop: Shop) -> None:
    session = stripe.post(
        "/v1/checkout/sessions",
        {
            "mode": "subscription",
            "line_items": [{"price": shop.base}],
            "success_url": "https://shop.example/",
        },
    )
    stripe.advance(days=1)
    assert stripe.get(f"/v1/checkout/sessions/{session['id']}")["status"] == "expired"


def test_the_portal_cannot_update_a_subscription_of_several_items(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client()
    made = subscribe(stripe, shop)
    session = client.v1.billing_portal.sessions.create(
        {"customer": shop.customer, "return_url": "https://shop.example/"}
    )
    assert session.url.startswith("https://billing.stripe.com/")
    with pytest.raises(sdk.InvalidRequestError, match="multiple items"):
        client.v1.billing_portal.sessions.create(
            {
                "customer": shop.customer,
                "flow_data": {
                    "type": "subscription_update",
                    "subscription_update": {"subscription": made["id"]},
                },
            }
        )


def test_a_deleted_customer_leaves_a_stub_and_ends_their_subscriptions(
    stripe: StripeServer, shop: Shop
) -> None:
    client = stripe.client()
    made = subscribe(stripe, shop)
    client.v1.customers.delete(shop.customer)
    assert client.v1.customers.retrieve(shop.customer).deleted
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "canceled"
    assert kinds(stripe)[-2:] == ["customer.subscription.deleted", "customer.deleted"]


def test_a_refund_and_a_dispute_reach_the_charge(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop)
    client = stripe.client()
    payment = client.v1.invoice_payments.list({"invoice": made["latest_invoice"]}).data[0]
    intent = client.v1.payment_intents.retrieve(str(payment.payment.payment_intent))
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    charge = stripe.get(f"/v1/charges/{intent.latest_charge}")
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, False)
    dispute = stripe.dispute(charge["id"])
    stripe.close_dispute(dispute["id"], won=False)
    assert kinds(stripe)[-4:] == [
        "refund.created",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.closed",
    ]


def test_it_runs_as_a_program_to_play_with() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stripe_server", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().split()[3].rstrip(",")
            client = sdk.StripeClient("sk_test_stand_in", base_addresses={"api": url})
            made = client.v1.customers.create({"email": "hand@example.com"})
            answer = requests.post(f"{url}/_test/advance", json={"days": 1}, timeout=10)
            assert answer.json()["result"] == made.created + 86400
        finally:
            program.terminate()


def test_the_same_seed_gives_the_same_history() -> None:
    def history(seed: int) -> list[object]:
        with StripeServer(seed=seed, serve=False) as server:
            subscribe(server, open_shop(server))
            server.advance(days=40)
            return list(server.events)

    assert history(3) == history(3)
    assert history(3) != history(4)
