"""What time does to a subscription, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.stripe_server import Settings, StripeServer
from tests.stripe_server.periods import after, period_at
from tests.stripe_server.shop import Shop, bills, kinds, open_shop, subscribe


def _at(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "end"),
    [
        (_at(2026, 1, 31), "month", 1, _at(2026, 2, 28)),
        (_at(2026, 1, 31), "month", 2, _at(2026, 3, 31)),
        (_at(2028, 1, 31), "month", 1, _at(2028, 2, 29)),
        (_at(2024, 2, 29), "year", 1, _at(2025, 2, 28)),
        (_at(2024, 2, 29), "year", 4, _at(2028, 2, 29)),
        (_at(2026, 1, 1), "week", 2, _at(2026, 1, 15)),
        (_at(2026, 11, 15), "month", 3, _at(2027, 2, 15)),
    ],
)
def test_periods_are_counted_from_the_anchor(
    anchor: int, interval: str, count: int, end: int
) -> None:
    assert after(anchor, interval, count) == end
    start, stop = period_at(anchor, {"interval": interval, "interval_count": count}, anchor)
    assert (start, stop) == (anchor, end)


def test_a_renewal_rolls_the_period_and_is_billed_an_hour_later(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop)
    since = len(stripe.events)
    stripe.advance(days=31)
    assert kinds(stripe, since) == ["invoice.created", "customer.subscription.updated"]
    updated = stripe.events[-1]["data"]
    old = updated["previous_attributes"]["items"]["data"]
    assert [one["current_period_end"] for one in old] == [stripe.clock, stripe.clock]
    assert len(updated["object"]["items"]["data"]) == 2
    stripe.advance(hours=1)
    assert "invoice.paid" in kinds(stripe, since)
    bill = bills(stripe, made["id"])[-1]
    assert (bill["status"], bill["billing_reason"]) == ("paid", "subscription_cycle")
    assert {event["created"] for event in stripe.events[since:]} == {
        stripe.clock - 3600,
        stripe.clock,
    }


def test_a_failed_renewal_recovers_at_a_retry(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop)
    stripe.fail_payments(shop.customer)
    stripe.advance(days=31, hours=1)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "past_due"
    bill = bills(stripe, made["id"])[-1]
    assert (bill["status"], bill["attempt_count"]) == ("open", 1)
    assert bill["next_payment_attempt"] == stripe.clock + 3 * 86400
    stripe.mend_payments(shop.customer)
    stripe.advance(days=3)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "active"
    assert bills(stripe, made["id"])[-1]["status"] == "paid"


@pytest.mark.parametrize(
    ("final", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")]
)
def test_after_the_last_retry_the_accounts_setting_decides(final: str, status: str) -> None:
    with StripeServer(serve=False, settings=Settings(after_retries=final)) as stripe:
        shop = open_shop(stripe)
        made = subscribe(stripe, shop)
        stripe.fail_payments(shop.customer)
        stripe.advance(days=31 + 15, hours=2)
        now = stripe.get(f"/v1/subscriptions/{made['id']}")
        assert now["status"] == status
        assert bills(stripe, made["id"])[-1]["attempt_count"] == 4
        if status == "canceled":
            assert now["cancellation_details"]["reason"] == "payment_failed"
            assert kinds(stripe)[-1] == "customer.subscription.deleted"


def test_a_trial_is_announced_ends_and_is_then_billed(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop, trial_period_days=14)
    assert made["status"] == "trialing"
    assert [one["total"] for one in bills(stripe, made["id"])] == [0]
    stripe.advance(days=11)
    assert kinds(stripe)[-1] == "customer.subscription.trial_will_end"
    stripe.advance(days=3, hours=1)
    now = stripe.get(f"/v1/subscriptions/{made['id']}")
    assert (now["status"], now["trial_end"]) == ("active", made["trial_end"])
    assert now["items"]["data"][0]["current_period_start"] == made["trial_end"]
    assert [one["total"] for one in bills(stripe, made["id"])] == [0, 3500]


@pytest.mark.parametrize(("missing", "status"), [("cancel", "canceled"), ("pause", "paused")])
def test_a_trial_without_a_card_ends_as_was_set(
    stripe: StripeServer, shop: Shop, missing: str, status: str
) -> None:
    settings = {"end_behavior": {"missing_payment_method": missing}}
    made = subscribe(stripe, shop, trial_period_days=5, trial_settings=settings)
    stripe.advance(days=6)
    now = stripe.get(f"/v1/subscriptions/{made['id']}")
    assert now["status"] == status
    if status == "paused":
        assert "customer.subscription.paused" in kinds(stripe)
        stripe.post(f"/v1/subscriptions/{made['id']}/resume")
        assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "active"
        assert "customer.subscription.resumed" in kinds(stripe)
        assert bills(stripe, made["id"])[-1]["total"] == 3500


def test_an_end_at_the_end_of_the_period_can_be_taken_back(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop)
    path = f"/v1/subscriptions/{made['id']}"
    ending = stripe.post(path, {"cancel_at_period_end": True})
    assert ending["cancel_at"] == made["items"]["data"][0]["current_period_end"]
    assert ending["status"] == "active"
    changed = stripe.events[-1]["data"]["previous_attributes"]
    assert changed["cancel_at_period_end"] is False
    stripe.post(path, {"cancel_at_period_end": False})
    stripe.advance(days=31)
    assert stripe.get(path)["status"] == "active"
    stripe.post(path, {"cancel_at_period_end": True})
    stripe.advance(days=31)
    gone = stripe.get(path)
    assert (gone["status"], gone["ended_at"]) == ("canceled", gone["cancel_at"])
    assert kinds(stripe)[-1] == "customer.subscription.deleted"
    count = len(bills(stripe, made["id"]))
    stripe.advance(days=90)
    assert len(bills(stripe, made["id"])) == count


def test_a_first_payment_that_fails_leaves_it_incomplete_and_then_expired(
    stripe: StripeServer, shop: Shop
) -> None:
    stripe.fail_payments(shop.customer)
    made = subscribe(stripe, shop)
    assert made["status"] == "incomplete"
    stripe.advance(days=1)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "incomplete_expired"
    assert bills(stripe, made["id"])[0]["status"] == "void"
    again = subscribe(stripe, shop, payment_behavior="default_incomplete")
    stripe.mend_payments(shop.customer)
    stripe.post(f"/v1/invoices/{again['latest_invoice']}/pay")
    assert stripe.get(f"/v1/subscriptions/{again['id']}")["status"] == "active"


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")],
)
def test_collection_may_be_paused_while_it_stays_active(
    stripe: StripeServer, shop: Shop, behavior: str, status: str
) -> None:
    made = subscribe(stripe, shop)
    path = f"/v1/subscriptions/{made['id']}"
    until = stripe.clock + 40 * 86400
    stripe.post(path, {"pause_collection": {"behavior": behavior, "resumes_at": until}})
    stripe.advance(days=32)
    assert stripe.get(path)["status"] == "active"
    assert bills(stripe, made["id"])[-1]["status"] == status
    stripe.advance(days=30)
    assert stripe.get(path)["pause_collection"] is None
    assert bills(stripe, made["id"])[-1]["status"] == "paid"


def test_a_paused_subscription_renews_when_it_is_resumed(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop)
    paused = stripe.post(f"/v1/subscriptions/{made['id']}/pause", {"type": "subscription"})
    assert paused["status"] == "paused"
    assert paused["status_details"]["paused"]["subscription"]["type"] == "pause_requested"
    stripe.advance(days=70)
    assert len(bills(stripe, made["id"])) == 1
    resumed = stripe.post(f"/v1/subscriptions/{made['id']}/resume")
    assert resumed["status"] == "active"
    assert resumed["items"]["data"][0]["current_period_start"] == stripe.clock


def test_a_schedule_changes_the_quantity_at_its_next_phase(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop, seats=5)
    schedule = stripe.post("/v1/subscription_schedules", {"from_subscription": made["id"]})
    first = schedule["phases"][0]
    phases = [
        {
            "items": [{"price": shop.base}, {"price": shop.seat, "quantity": quantity}],
            "start_date": start,
            "end_date": end,
            "proration_behavior": "none",
        }
        for quantity, start, end in (
            (5, first["start_date"], first["end_date"]),
            (2, first["end_date"], first["end_date"] + 28 * 86400),
        )
    ]
    stripe.post(f"/v1/subscription_schedules/{schedule['id']}", {"phases": phases})
    stripe.advance(days=32)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["items"]["data"][1]["quantity"] == 2
    assert bills(stripe, made["id"])[-1]["total"] == 3000
    stripe.post(f"/v1/subscription_schedules/{schedule['id']}/release")
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["schedule"] is None


def test_a_bill_that_was_sent_and_not_paid_is_past_due(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop, collection_method="send_invoice", days_until_due=10)
    assert (made["status"], bills(stripe, made["id"])[0]["status"]) == ("active", "open")
    stripe.advance(days=11)
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "past_due"
    stripe.post(f"/v1/invoices/{made['latest_invoice']}/pay")
    assert stripe.get(f"/v1/subscriptions/{made['id']}")["status"] == "active"


def test_events_are_kept_for_thirty_days(stripe: StripeServer, shop: Shop) -> None:
    subscribe(stripe, shop)
    listed = stripe.get("/v1/events", {"types": ["customer.subscription.created"]})
    assert len(listed["data"]) == 1
    stripe.advance(days=30)
    assert stripe.get("/v1/events", {"type": "customer.subscription.*"})["data"] == []
    assert "customer.subscription.created" in kinds(stripe)
