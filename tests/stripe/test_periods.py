"""The running period of a Stripe subscription: silence after it, and times out of range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.stripe.facts import StripeItem
from ledger.stripe.objects import read_subscription
from ledger.stripe.reader import Origin
from ledger.stripe.subscriptions import StripeSubscription, with_report
from tests.stripe.payloads import Json, changed, deliver, event, item, panel, seconds, subscription
from tests.stripe.test_price_meaning import told
from tests.web.api import Api
from tests.worlds import DAY, NOON

CANCELLED_LATE = subscription(cancel_at=seconds(NOON + 300 * DAY))


def test_silence_after_the_running_period_counts_also_where_an_end_is_known(api: Api) -> None:
    deliver(api, changed(CANCELLED_LATE))
    api.clock.now = NOON + 29 * DAY
    assert (panel(api)["seats"], panel(api)["rows"][0]["status"]) == (2, "active")
    billing = api.get("portal", "/v1/accounts/acme/billing").body
    assert billing["next_invoice_at"] == "2026-03-31T12:00:00.000000Z"
    api.clock.now = NOON + 33 * DAY
    assert panel(api)["seats"] == 2
    api.clock.now = NOON + 36 * DAY
    assert (panel(api)["seats"], panel(api)["rows"][0]["status"]) == (0, "unconfirmed")
    taken = api.put("portal", "/v1/accounts/acme/seats/cloud_pos/till-1", {})
    assert (taken.status, taken.body["code"]) == (409, "no_seat_available")
    api.clock.now = NOON + 301 * DAY
    assert panel(api)["rows"] == []


def test_the_last_period_before_an_end_needs_no_word_of_another(api: Api) -> None:
    deliver(api, changed(subscription(cancel_at=seconds(NOON + 32 * DAY))))
    api.clock.now = NOON + 31 * DAY
    assert panel(api)["rows"][0]["status"] == "active"


@pytest.mark.parametrize("more", [{}, {"cancel_at": seconds(NOON + 300 * DAY)}])
def test_silence_is_asked_for_row_by_row(api: Api, more: Json) -> None:
    items = [item("cloud_pos_month", 2), item("integrations_growth_year", 3, days=365)]
    deliver(api, changed(subscription(items=items, **more)))
    api.clock.now = NOON + 40 * DAY
    assert panel(api)["seats"] == 0
    yearly = panel(api, product="integrations")
    assert (yearly["seats"], yearly["rows"][0]["status"]) == (3, "active")


# Times out of range


def with_end(at: int) -> Json:
    return subscription(items=[{**item("cloud_pos_month", 2), "current_period_end": at}])


def last(days: int) -> int:
    return int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) - days * 86_400


@pytest.mark.parametrize("at", [last(0), last(1), last(3), last(4), last(400), 2**53, 2**62])
def test_a_time_out_of_range_is_left_out_and_said_so(api: Api, at: int) -> None:
    got = deliver(api, changed(with_end(at), id="evt_far"))
    assert got.status == 200
    assert (panel(api)["seats"], panel(api)["rows"][0]["expires_at"]) == (2, None)
    assert api.put("portal", "/v1/accounts/acme/seats/cloud_pos/till-1", {}).status == 201
    report = read_subscription(with_end(at), Origin("x", NOON), api.services.catalog)
    assert report.problems == ("items.data.0.current_period_end",)
    assert api.get("admin", "/v1/overview").status == 200
    far = event("customer.subscription.updated", with_end(at), id="evt_2")
    assert deliver(api, {**far, "created": at}).status == 400


def test_a_time_near_the_end_of_time_that_was_recorded_before_breaks_no_view(api: Api) -> None:
    report = told(subscription(), 1, api.services.catalog)
    assert report.items is not None
    for days in (0, 1, 3, 4):
        end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - timedelta(days=days)
        items: tuple[StripeItem, ...] = tuple(
            type(one)(**{**{n: getattr(one, n) for n in one.__struct_fields__}, "period_end": end})
            for one in report.items
        )
        old = type(report)(
            **{**{n: getattr(report, n) for n in report.__struct_fields__}, "items": items}
        )
        state: StripeSubscription = with_report(None, old, 1)
        assert state.steps()
        assert state.status(NOON + 2 * DAY) == "active"
        assert state.status(datetime.max.replace(tzinfo=UTC)) in ("active", "unconfirmed")
        assert state.status(datetime.min.replace(tzinfo=UTC)) == "active"
