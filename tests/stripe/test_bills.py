"""What a period costs, as the ledger knows it: from prices and invoices, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.catalog import builtin
from ledger.streams.account.stream import ACCOUNT
from projections.views import billing as billed
from projections.views.account_at import Moment, account_at
from projections.views.billing import BillingView, Live
from projections.views.bills import bills_of
from tests.stripe.payloads import (
    TAKING,
    Json,
    changed,
    deliver,
    event,
    invoice,
    item,
    seconds,
    subscription,
)
from tests.stripe.shop import Shop, shop
from tests.web.api import Api, memory_api
from tests.worlds import DAY, NOON

PRICE = "price_till"
APRIL = datetime(2026, 4, 1, 12, tzinfo=UTC)
NOT_TOLD = "What a period costs is not known here"


@pytest.fixture
def api() -> Api:
    return memory_api(stripe=TAKING)


@pytest.fixture
def capped() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


def till(quantity: int | None, unit: int | str | None, price: str = PRICE, **changes: Any) -> Json:
    """Return an item: so many tills at a unit amount a month, unless told otherwise."""
    interval = changes.pop("interval", "month")
    count, usage = changes.pop("interval_count", 1), changes.pop("usage_type", "licensed")
    found = item("cloud_pos_month", quantity, id="si_till", price=price, days=31)
    found["price"] |= {
        "unit_amount": unit if isinstance(unit, int) else None,
        "unit_amount_decimal": None if unit is None else str(unit),
        "recurring": {"interval": interval, "interval_count": count, "usage_type": usage},
        **changes,
    }
    return found


def line(quantity: int, amount: int, price: str = PRICE, **more: Any) -> Json:
    """Return an invoice's line of the tills, for March unless told otherwise."""
    begins, ends = more.pop("begins", NOON), more.pop("ends", APRIL)
    of_item = {"subscription_item": "si_till", "proration": more.pop("proration", False)}
    return {
        "id": "il_1",
        "amount": amount,
        "quantity": quantity,
        "period": {"start": seconds(begins), "end": seconds(ends)},
        "pricing": {"price_details": {"price": price, "product": "prod_1"}},
        "parent": {"subscription_item_details": of_item},
        **more,
    }


def bill(*lines: Json, total: int | None = None, **more: Any) -> Json:
    subtotal = sum(one["amount"] for one in lines)
    whole = {"object": "list", "data": list(lines), "has_more": False}
    return invoice(**{
        "total": subtotal if total is None else total, "subtotal": subtotal, "lines": whole, **more,
    })  # fmt: skip


def before(of: str = "sub_1", id: str = "in_1", currency: str = "eur") -> Json:
    """Return a subscription's first invoice, for a price that it has no more."""
    subscribed = {"subscription_details": {"subscription": of, "metadata": {}}}
    first = line(1, 100, "price_before", begins=NOON - 31 * DAY, ends=NOON)
    return bill(first, id=id, currency=currency, parent=subscribed)


def told(api: Api, *objects: Json) -> Json:
    """Deliver objects as Stripe's events, a minute apart; return the view without Stripe."""
    for number, one in enumerate(objects):
        kind = "invoice.paid" if one["object"] == "invoice" else "customer.subscription.updated"
        sent = event(kind, one, at=NOON + timedelta(minutes=number))
        assert deliver(api, sent).status == 200
    got = api.get("portal", "/v1/accounts/acme/billing")
    assert got.status == 200
    view: Json = got.body
    assert view["live"] is False
    return view


def costs(view: Json) -> int | None:
    """Return the total, having held the notice and the lines against it."""
    known: int | None = view["total"]
    if known is None:
        assert view["notice"]
    else:
        assert sum(one["amount"] for one in view["lines"]) == known
    return known


# Prices


def test_another_price_on_the_same_item_counts_at_once(api: Api) -> None:
    view = told(
        api,
        subscription(items=[till(1, 1000)]),
        bill(line(1, 1000)),
        subscription(items=[till(1, 20000, "price_year", interval="year")]),
    )
    assert (costs(view), view["interval"]) == (20000, "year")
    assert view["totals"][0]["interval"] == "year"


def test_a_dearer_price_counts_for_every_seat(api: Api) -> None:
    before = bill(line(4, 4000), billing_reason="subscription_create")
    view = told(
        api,
        subscription(items=[till(4, 1000)]),
        before,
        subscription(items=[till(4, 1500, "price_dear")]),
    )
    assert costs(view) == 6000


def test_a_trial_shows_what_a_period_will_cost(api: Api) -> None:
    trial: Json = {"status": "trialing", "trial_end": seconds(APRIL), "trial_start": seconds(NOON)}
    view = told(api, subscription(items=[till(2, 1500)], **trial), bill(line(2, 0)))
    assert costs(view) == 3000


def test_a_first_period_cut_short_is_no_whole_one(api: Api) -> None:
    short = line(2, 484, ends=NOON + 5 * DAY)
    first = bill(short, billing_reason="subscription_create")
    assert costs(told(api, subscription(items=[till(2, 1500)]), first)) == 3000


def tiered(quantity: int, mode: str = "graduated") -> Json:
    return till(quantity, None, billing_scheme="tiered", tiers_mode=mode)


def test_what_tiers_cost_is_what_the_last_invoice_had_for_the_same(api: Api) -> None:
    view = told(api, subscription(items=[tiered(8)]), bill(line(5, 5000), line(3, 2400)))
    assert costs(view) == 7400
    assert [(one["quantity"], one["amount"]) for one in view["lines"]] == [(8, 7400)]


@pytest.mark.parametrize(
    "lines",
    [
        [line(5, 5000), line(4, 3200)],  # of another quantity
        [line(8, 7400, "price_other")],
        [line(8, 7400, ends=NOON + 10 * DAY)],
        [line(8, 7400, proration=True)],
        [line(7, 5600), line(1, 500)],  # the one may be a tier's flat fee
        [],
    ],
)
def test_what_tiers_cost_is_not_known_from_another_invoice(api: Api, lines: list[Json]) -> None:
    view = told(api, subscription(items=[tiered(8)]), bill(*lines))
    assert costs(view) is None
    assert NOT_TOLD in view["notice"]
    assert [one["amount"] for one in view["lines"]] == [None]


def test_an_older_invoice_for_the_same_still_tells_what_tiers_cost(api: Api) -> None:
    older = bill(line(8, 7400), created=seconds(NOON))
    newer = bill(line(9, 8000), id="in_2", created=seconds(NOON + DAY))
    assert costs(told(api, subscription(items=[tiered(8)]), older, newer)) == 7400


def test_an_invoice_with_lines_that_were_not_sent_tells_nothing(api: Api) -> None:
    cut = bill(line(8, 7400), subtotal=9000, total=9000)
    assert costs(told(api, subscription(items=[tiered(8)]), cut)) is None


@pytest.mark.parametrize(
    ("quantity", "rounding", "cost"),
    [(7, "up", 2000), (7, "down", 1000), (5, "up", 1000), (10, "down", 2000), (0, "up", 0)],
)
def test_packages_are_counted_whole(api: Api, quantity: int, rounding: str, cost: int) -> None:
    packed = till(quantity, 1000, transform_quantity={"divide_by": 5, "round": rounding})
    assert costs(told(api, subscription(items=[packed]), before())) == cost


def test_packages_of_an_old_plan_are_counted_whole(api: Api) -> None:
    plan = till(7, 1000)["price"] | {"amount": 1000, "interval": "month"}
    del plan["recurring"], plan["unit_amount"], plan["unit_amount_decimal"]
    packs = {"transform_usage": {"divide_by": 5, "round": "up"}}
    old = {**till(7, 1000), "plan": {**plan, **packs}}
    del old["price"]
    assert costs(told(api, subscription(items=[old]), before())) == 2000


@pytest.mark.parametrize(
    "packs", [{"divide_by": 0, "round": "up"}, {"divide_by": 5, "round": "odd"}]
)
def test_packages_that_are_not_understood_tell_no_amount(api: Api, packs: Json) -> None:
    packed = till(7, 1000, transform_quantity=packs)
    assert costs(told(api, subscription(items=[packed]), before())) is None


@pytest.mark.parametrize(
    ("quantity", "unit", "cost"),
    [(4, "12.5", 50), (3, "12.5", None), (1, "0.5", None), (0, "0.5", 0)],
)
def test_parts_of_a_minor_unit_are_not_rounded_by_guess(
    api: Api, quantity: int, unit: str, cost: int | None
) -> None:
    assert costs(told(api, subscription(items=[till(quantity, unit)]), before())) == cost


def test_what_is_billed_by_use_has_no_amount_beforehand(api: Api) -> None:
    view = told(api, subscription(items=[till(None, 10, usage_type="metered")]), before())
    assert costs(view) is None
    assert "billed by use" in view["notice"]
    assert [(one["quantity"], one["amount"]) for one in view["lines"]] == [(None, None)]


def test_a_price_in_another_currency_than_the_subscription_tells_no_amount(api: Api) -> None:
    other = subscription(items=[till(2, 1500)], currency="usd")
    assert costs(told(api, other, before())) is None


def test_prices_reported_before_their_terms_were_kept_need_an_invoice(api: Api) -> None:
    by_id = {**till(4, 1000), "price": PRICE}
    assert costs(told(api, subscription(items=[by_id]), before())) is None


# Discounts and taxes


def taxed(*rates: str, inclusive: bool = False) -> Json:
    return {"default_tax_rates": [{"id": one, "inclusive": inclusive} for one in rates]}


def taxes(amount: int, rate: str = "txr_1", behaviour: str = "exclusive") -> Json:
    tax = {"amount": amount, "tax_behavior": behaviour, "tax_rate_details": {"tax_rate": rate}}
    return {"taxes": [tax]}


def test_tax_is_that_of_the_last_whole_period(api: Api) -> None:
    march = bill(line(2, 3000, **taxes(600)), total=3600, total_taxes=taxes(600)["taxes"])
    view = told(api, subscription(items=[till(2, 1500)], **taxed("txr_1")), march)
    assert costs(view) == 3600
    assert [(one["kind"], one["amount"]) for one in view["lines"]] == [
        ("seats", 3000),
        ("tax", 600),
    ]


@pytest.mark.parametrize(
    "now",
    [
        {"items": [till(2, 1500)], **taxed("txr_2")},
        {"items": [till(2, 1500)], **taxed("txr_1"), "discounts": ["di_1"]},
        {"items": [till(3, 1500)], **taxed("txr_1")},
        {"items": [till(2, 1500, "price_other")], **taxed("txr_1")},
    ],
)
def test_a_change_since_the_last_invoice_leaves_no_tax_to_go_by(api: Api, now: Json) -> None:
    march = bill(line(2, 3000, **taxes(600)), total=3600, total_taxes=taxes(600)["taxes"])
    view = told(api, march, subscription(**now))
    assert costs(view) is None


def test_tax_that_is_taken_no_more_is_not_in_the_total(api: Api) -> None:
    march = bill(line(2, 3000, **taxes(600)), total=3600, total_taxes=taxes(600)["taxes"])
    assert costs(told(api, march, subscription(items=[till(2, 1500)], **taxed()))) == 3000


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        (taxed("txr_1"), None),
        (taxed("txr_1", inclusive=True), 3000),
        (taxed(), 3000),
        ({"automatic_tax": {"enabled": True}}, None),
        ({"automatic_tax": {"enabled": False}}, 3000),
        ({"tax_percent": 20.0}, None),
        ({"discounts": ["di_1"]}, None),
        ({"discount": {"id": "di_1"}}, None),
    ],
)
def test_without_an_invoice_only_what_nothing_is_added_to_is_known(
    api: Api, more: Json, cost: int | None
) -> None:
    bought = subscription(items=[till(2, 1500)], latest_invoice=None, **more)
    assert costs(told(api, bought)) == cost


def off(amount: int, id: str = "di_1") -> Json:
    return {"total_discount_amounts": [{"amount": amount, "discount": id}]}


@pytest.mark.parametrize(
    ("march", "now"),
    [
        (off(300), ["di_1"]),  # for ever, or for this month the last time: nobody knows
        (off(300), ["di_2"]),
        (off(300), ["di_1", "di_2"]),
        (off(300), []),  # spent, or the customer's own: nobody knows
        ({}, ["di_1"]),
        ({"discounts": ["di_9"]}, []),
    ],
)
def test_with_a_discount_what_the_next_period_costs_is_not_known(
    api: Api, march: Json, now: list[str]
) -> None:
    taken = sum(one["amount"] for one in march.get("total_discount_amounts", []))
    billed = bill(line(2, 3000), total=3000 - taken, **march)
    view = told(api, billed, subscription(items=[till(2, 1500)], discounts=now))
    assert costs(view) is None
    assert "there is a discount" in view["notice"]


def test_a_discount_on_the_first_invoice_alone_may_be_spent(api: Api) -> None:
    first = bill(line(2, 3000), total=2700, billing_reason="subscription_create", **off(300))
    bought = subscription(items=[till(2, 1500)], discounts=["di_1"])
    created = event("customer.subscription.created", bought, at=NOON)
    assert deliver(api, created).status == 200
    assert deliver(api, event("invoice.paid", first)).status == 200
    view = api.get("portal", "/v1/accounts/acme/billing").body
    assert costs(view) is None


def test_what_is_billed_once_and_for_a_change_is_not_in_the_total(api: Api) -> None:
    once = {"id": "il_9", "amount": 4200, "quantity": 1, "parent": {"invoice_item_details": {}}}
    march = bill(line(2, 3000), once, line(1, -500, proration=True))
    assert costs(told(api, subscription(items=[till(2, 1500)]), march)) == 3000


def test_a_total_below_zero_is_no_amount_of_a_period(api: Api) -> None:
    credit = bill(line(1, -9000, proration=True), billing_reason="subscription_update")
    view = told(api, subscription(items=[till(2, 1500)]), credit)
    assert (costs(view), view["invoices"][0]["total"]) == (3000, -9000)


# Currencies, intervals, next invoices


def test_each_currency_and_interval_has_a_total_and_a_next_invoice(api: Api) -> None:
    euros = till(2, 1500)
    yen = {**till(3, 500, "price_jpy", currency="jpy", interval_count=3), "id": "si_yen"}
    yen["current_period_end"] = seconds(NOON + 92 * DAY)
    view = told(
        api,
        subscription(items=[euros]),
        subscription("sub_2", items=[yen], currency="jpy", customer="cus_2", latest_invoice="in_2"),
        subscription(
            "sub_3",
            items=[{**till(1, 1000), "id": "si_3"}],
            customer="cus_3",
            latest_invoice="in_3",
        ),
        before(),
        before("sub_2", "in_2", "jpy"),
        before("sub_3", "in_3"),
    )
    assert view["totals"] == [
        {
            "currency": "eur",
            "interval": "month",
            "interval_count": 1,
            "total": 4000,
            "next_invoice_at": "2026-04-01T12:00:00.000000Z",
        },
        {
            "currency": "jpy",
            "interval": "month",
            "interval_count": 3,
            "total": 1500,
            "next_invoice_at": "2026-06-01T12:00:00.000000Z",
        },
    ]
    assert (view["total"], view["interval"], view["next_invoice_at"]) == (None, None, None)
    assert view["seats"]["total"] == 6


def test_parts_of_one_subscription_at_two_intervals_are_two_totals(api: Api) -> None:
    yearly = {**till(1, 20000, "price_year", interval="year"), "id": "si_year"}
    view = told(api, subscription(items=[till(2, 1500), yearly]), before())
    found = [(one["interval"], one["total"]) for one in view["totals"]]
    assert found == [("month", 3000), ("year", 20000)]


@pytest.mark.parametrize(
    ("more", "next_at"),
    [
        ({}, APRIL),
        ({"cancel_at_period_end": True}, None),
        ({"cancel_at": seconds(APRIL)}, None),
        ({"cancel_at": seconds(NOON + 300 * DAY)}, APRIL),
        ({"cancel_at": seconds(NOON + 10 * DAY)}, None),
        ({"status": "past_due"}, APRIL),
        ({"status": "paused"}, None),
        ({"status": "incomplete"}, None),
    ],
)
def test_the_next_invoice_comes_when_the_period_ends_unless_all_ends_by_then(
    api: Api, more: Json, next_at: datetime | None
) -> None:
    view = told(api, subscription(items=[till(2, 1500)], **more), before())
    assert view["next_invoice_at"] == (f"{next_at:%Y-%m-%dT%H:%M:%S}.000000Z" if next_at else None)
    assert costs(view) == 3000


def test_a_notice_says_what_to_do_and_what_is_missing(api: Api) -> None:
    view = told(api, subscription(items=[tiered(8)], status="past_due"), before())
    assert view["notice"].startswith("The last payment did not go through: update the card. What a")


@pytest.mark.parametrize(
    ("begins", "ends", "interval", "count", "whole"),
    [
        ("2026-01-31", "2026-02-28", "month", 1, True),
        ("2026-02-28", "2026-03-31", "month", 1, True),
        ("2026-02-28", "2026-03-15", "month", 1, False),
        ("2026-01-31", "2026-03-31", "month", 1, False),
        ("2026-01-15", "2026-02-14", "month", 1, False),
        ("2026-01-15", "2026-02-16", "month", 1, False),
        ("2026-11-30", "2027-02-28", "month", 3, True),
        ("2024-02-29", "2025-02-28", "year", 1, True),
        ("2025-03-01", "2026-03-01", "year", 1, True),
        ("2026-03-01", "2026-03-15", "week", 2, True),
        ("2026-03-01", "2026-03-08", "week", 2, False),
        ("2026-03-01", "2026-03-02", "day", 1, True),
        ("2026-03-01", "2026-03-02", "decade", 1, False),
    ],
)
def test_only_a_whole_period_tells_what_one_costs(
    api: Api, begins: str, ends: str, interval: str, count: int, whole: bool
) -> None:
    times: Json = {
        "begins": datetime.fromisoformat(f"{begins}T12:00:00+00:00"),
        "ends": datetime.fromisoformat(f"{ends}T12:00:00+00:00"),
    }
    sold = tiered(8)
    sold["price"]["recurring"] |= {"interval": interval, "interval_count": count}
    view = told(api, subscription(items=[sold]), bill(line(8, 7400, **times)))
    assert costs(view) == (7400 if whole else None)


# Read from Stripe


def read(api: Api, preview: Json, *items: Json, **more: Any) -> BillingView:
    """Return the view with a preview that Stripe answers."""
    bought = subscription(items=items or [till(2, 1500)], **more)
    assert deliver(api, changed(bought)).status == 200
    asked = account_at(api.services.book, "acme", Moment(api.clock.now, None, None))
    return billed.billing(asked, builtin(), Live({"sub_1": bought}, {"sub_1": preview}, [])).view


def read_late(api: Api, bought: Json) -> BillingView:
    """Return the view with what Stripe has of a subscription now, and no preview."""
    asked = account_at(api.services.book, "acme", Moment(api.clock.now, None, None))
    return billed.billing(asked, builtin(), Live({"sub_1": bought}, {}, [])).view


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_discount_that_may_have_ended_after_the_period_leaves_no_total(
    api: Api, *, is_recorded: bool
) -> None:
    plan: dict[str, Any] = {"items": [till(2, 1500)], "latest_invoice": None}
    assert deliver(api, changed(subscription(**plan, discounts=["di_1"]))).status == 200
    api.clock.forward(days=40)
    bought = subscription(**plan)
    if is_recorded:
        assert deliver(api, changed(bought, at=api.clock.now)).status == 200
        reported = api.get("portal", "/v1/accounts/acme/billing").body
        assert (reported["total"], "was over" in reported["notice"]) == (None, True)
    view = read_late(api, bought)
    assert (view.total, "was over when Stripe told of it" in (view.notice or "")) == (None, True)


def test_a_period_that_is_over_has_its_total_if_none_was_told_within_it(api: Api) -> None:
    bought = subscription(items=[till(2, 1500)], latest_invoice=None)
    assert deliver(api, changed(bought)).status == 200
    api.clock.forward(days=40)
    assert read_late(api, bought).total == 3000


def test_lines_that_stripe_did_not_send_are_other_lines_and_no_tax(api: Api) -> None:
    view = read(api, bill(line(2, 3000), subtotal=5000, total=5000))
    assert [(one.kind, one.amount) for one in view.lines] == [("seats", 3000), ("other", 2000)]
    assert view.total == 5000
    view = read(api, bill(line(2, 3000), subtotal=5000, total=6000, tax=1000))
    assert [(one.kind, one.amount) for one in view.lines] == [
        ("seats", 3000),
        ("other", 2000),
        ("tax", 1000),
    ]


def test_what_no_line_and_no_tax_explains_is_other(api: Api) -> None:
    view = read(api, bill(line(2, 3000), total=3700))
    assert [(one.kind, one.amount) for one in view.lines] == [("seats", 3000), ("other", 700)]
    assert view.total == 3700


def test_what_waits_for_the_next_invoice_is_not_in_a_preview_of_a_period(api: Api) -> None:
    waiting = line(1, 700, proration=True)
    view = read(api, bill(line(2, 3000), waiting))
    assert view.total == 3000


def test_twelve_lines_are_read_and_none_of_them_is_tax(capped: Shop) -> None:
    product = capped.stripe.post("/v1/products", {"name": "Add-on"})["id"]
    prices = [
        capped.stripe.post(
            "/v1/prices",
            {
                "product": product,
                "currency": "eur",
                "unit_amount": 1000,
                "recurring": {"interval": "month"},
            },
        )["id"]
        for _ in range(12)
    ]
    customer = capped.stripe.post("/v1/customers", {})["id"]
    capped.stripe.post(
        "/v1/subscriptions",
        {
            "customer": customer,
            "items": [{"price": one} for one in prices],
            "metadata": {"keyfold_account": "acme"},
        },
    )
    capped.deliver()
    view = capped.billing()
    assert view["live"] is True
    assert [(one["kind"], one["amount"]) for one in view["lines"]] == [("base", 1000)] * 12
    assert view["total"] == 12000
    assert capped.asked("GET", "/v1/invoices/upcoming_in")


# Many, gone, and without a page


def subscribed(it: Shop, count: int) -> None:
    price = it.stripe.get("/v1/prices", {"limit": 100})["data"][-1]["id"]
    customer = it.stripe.post("/v1/customers", {})["id"]
    for _ in range(count):
        bought = {
            "customer": customer,
            "items": [{"price": price, "quantity": 2}],
            "metadata": {"keyfold_account": "acme"},
        }
        it.stripe.post("/v1/subscriptions", bought)
    it.deliver()


def test_stripe_is_asked_about_sixteen_subscriptions(capped: Shop) -> None:
    subscribed(capped, 16)
    view = capped.billing()
    assert (view["live"], view["total"], view["notice"]) == (True, 16 * 3000, None)


def test_of_more_than_stripe_is_asked_about_the_answer_says_so(capped: Shop) -> None:
    subscribed(capped, 61)
    asked = len(capped.stripe.requests)
    view = capped.billing()
    assert (view["live"], view["total"]) == (False, 61 * 3000)
    assert "more subscriptions than Stripe is asked about at once" in view["notice"]
    assert len(capped.stripe.requests) == asked


def test_an_invoice_without_a_page_of_stripes_has_no_url(api: Api) -> None:
    bought = subscription(items=[till(2, 1500)])
    assert deliver(api, changed(bought)).status == 200
    asked = account_at(api.services.book, "acme", Moment(api.clock.now, None, None))
    open_one = {"id": "in_1", "created": seconds(NOON), "status": "open", "subscription": "sub_1"}
    live = Live({"sub_1": bought}, {}, [open_one])
    (found,) = billed.billing(asked, builtin(), live).view.invoices
    assert (found.id, found.url, found.number, found.total) == ("in_1", None, None, None)


def test_a_customer_that_stripe_has_deleted_manages_nothing(capped: Shop) -> None:
    bought = capped.subscribe()
    assert capped.billing()["can_manage"] is True
    capped.stripe.delete(f"/v1/customers/{bought['customer']}")
    capped.deliver()
    for view in (capped.billing(), capped.billing(query="?as_of=2026-03-01T12:00:00Z")):
        assert view["can_manage"] is False
    assert capped.portal().status == 409
    assert capped.buy().status == 201  # with a customer of its own again


# What is not known


def cut(of: Json) -> Json:
    """Return a subscription as Stripe sends it when it has more items than it sends along."""
    return {**of, "items": {**of["items"], "has_more": True}}


def nothing_known(view: Json) -> bool:
    assert view["notice"].startswith(NOT_TOLD)
    assert [one["total"] for one in view["totals"]] == [None]
    assert view["lines"] == []
    return costs(view) is None


def test_a_subscription_whose_items_were_never_told_costs_an_unknown_amount(api: Api) -> None:
    assert nothing_known(told(api, cut(subscription(items=[till(2, 1500)]))))


def test_items_that_may_have_changed_since_cost_an_unknown_amount(api: Api) -> None:
    known = subscription(items=[till(2, 1500)])
    assert nothing_known(told(api, known, cut(subscription(items=[till(9, 1500)]))))


def test_a_subscription_without_any_items_costs_an_unknown_amount(api: Api) -> None:
    assert nothing_known(told(api, subscription(items=[])))


def test_nothing_is_paid_once_the_only_subscription_has_ended(api: Api) -> None:
    over: Json = {"status": "canceled", "ended_at": seconds(NOON), "canceled_at": seconds(NOON)}
    view = told(api, cut(subscription(items=[till(2, 1500)], **over)))
    assert (view["total"], view["totals"]) == (0, [])


@pytest.mark.parametrize("interval", ["day", "week", "month", "year"])
@pytest.mark.parametrize("count", [10**12, 2**53, 2**60, 0, -1, "1"])
def test_an_interval_that_stripe_cannot_have_is_not_known(
    api: Api, interval: str, count: object
) -> None:
    odd = till(8, None, billing_scheme="tiered", interval=interval, interval_count=count)
    view = told(api, subscription(items=[odd]), bill(line(8, 7400)))
    assert (costs(view), view["interval"]) == (None, None)
    ours = api.services.book.load(ACCOUNT, "acme").state.stripe.subscriptions["sub_1"]
    assert ours.latest.problems == ("items.data.0.price.recurring.interval_count",)


def test_an_interval_on_record_that_no_calendar_has_tells_no_amount(api: Api) -> None:
    tiers = till(8, None, billing_scheme="tiered", interval="week")
    told(api, subscription(items=[tiers]), bill(line(8, 7400)))
    side = api.services.book.load(ACCOUNT, "acme").state.stripe
    known, invoices = side.subscriptions["sub_1"], side.invoices.values()
    assert known.latest.items
    items = tuple(replace(one, interval_count=10**12) for one in known.latest.items)
    report = replace(known.latest, items=items)
    (found,) = bills_of(replace(known, latest=report, itemised=report), invoices, None, NOON)
    assert (found.total, found.unknown) == (None, "not_told")


@pytest.mark.parametrize("left_out", ["not sent", "too many"])
def test_lines_that_are_missing_may_be_what_a_period_costs_also_where_the_rest_adds_up(
    api: Api, left_out: str
) -> None:
    tiers = till(8, None, billing_scheme="tiered")
    rest = (
        [line(1, 0, id=f"il_{n}", parent={}) for n in range(100)] if left_out != "not sent" else []
    )
    whole = bill(line(8, 7400), *rest)
    whole["lines"]["has_more"] = left_out == "not sent"
    assert costs(told(api, subscription(items=[tiers], latest_invoice="in_1"), whole)) is None


def test_a_quantity_on_record_that_nothing_has_tells_no_amount(api: Api) -> None:
    told(api, subscription(items=[till(2, 1500)]), bill(line(2, 3000)))
    side = api.services.book.load(ACCOUNT, "acme").state.stripe
    known = side.subscriptions["sub_1"]
    assert known.latest.items
    items = tuple(replace(one, quantity=10**9 + 1) for one in known.latest.items)
    report = replace(known.latest, items=items)
    (found,) = bills_of(replace(known, latest=report, itemised=report), (), None, NOON)
    assert (found.total, found.unknown, found.charges[0].quantity) == (None, "not_told", None)


@pytest.mark.parametrize("quantity", [-1, 10**9 + 1, 2**53, 2**60, "5", 5.0, True])
def test_a_quantity_that_does_not_fit_is_not_known_and_gives_no_seat(
    api: Api, quantity: Any
) -> None:
    odd = item("cloud_pos_month", quantity)
    view = told(api, subscription(items=[odd]))
    assert costs(view) is None
    assert (view["seats"]["total"], view["lines"][0]["quantity"]) == (0, None)
    ours = api.services.book.load(ACCOUNT, "acme").state.stripe.subscriptions["sub_1"]
    assert ours.latest.problems == ("items.data.0.quantity",)


def test_a_large_amount_is_exact(api: Api) -> None:
    view = told(api, subscription(items=[till(999_999_999, "99999999999999999999.5")]), before())
    assert costs(view) is None
    view = told(api, subscription(items=[till(999_999_998, "99999999999999999999.5")]))
    assert costs(view) == 99999999999999999999 * 999_999_998 + 499_999_999


def test_a_discount_of_the_customers_own_may_be_there_until_the_latest_invoice_is_on_record(
    api: Api,
) -> None:
    bought = subscription(items=[till(2, 1500)], **taxed(), latest_invoice="in_9")
    assert costs(told(api, bought)) is None
    assert costs(told(api, bill(line(2, 3000)))) is None
    assert costs(told(api, bill(line(2, 3000), id="in_9"))) == 3000


def test_a_discount_of_the_customers_own_shows_on_the_latest_invoice(api: Api) -> None:
    bought = subscription(items=[till(2, 1500)], **taxed(), latest_invoice="in_1")
    assert costs(told(api, bought, bill(line(2, 3000), total=1500, **off(1500)))) is None


# What a change of a rule here would be seen by


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_invoices_the_newest_tells_what_is_added(api: Api, turned: bool) -> None:
    february = line(2, 3000, begins=NOON - 28 * DAY, ends=NOON, **taxes(300))
    made = {"id": "in_0", "created": seconds(NOON - 28 * DAY)}
    invoices = [
        bill(february, total=3300, total_taxes=taxes(300)["taxes"], **made),
        bill(line(2, 3000, **taxes(600)), total=3600, total_taxes=taxes(600)["taxes"]),
    ]
    bought = subscription(items=[till(2, 1500)], **taxed("txr_1"))
    assert costs(told(api, *invoices[:: -1 if turned else 1], bought)) == 3600


def test_a_period_that_ends_now_has_been_billed(api: Api) -> None:
    told(api, subscription(items=[till(2, 1500)]), before())
    for early, next_at in ((1, "2026-04-01T12:00:00.000000Z"), (0, None)):
        at = (APRIL - timedelta(microseconds=early)).isoformat().replace("+00:00", "Z")
        got = api.get("portal", f"/v1/accounts/acme/billing?as_of={at}").body
        assert got["next_invoice_at"] == next_at


def test_an_item_of_none_needs_no_line_in_a_preview(api: Api) -> None:
    none = {**till(0, None, "price_add_on", billing_scheme="tiered"), "id": "si_add_on"}
    view = read(api, bill(line(2, 3000)), till(2, 1500), none)
    assert (view.total, [one.amount for one in view.lines]) == (3000, [3000, 0])


def test_a_preview_with_a_line_of_no_amount_is_not_gone_by(api: Api) -> None:
    odd = {**line(2, 3000), "amount": None}
    whole = {"object": "list", "data": [odd], "has_more": False}
    view = read(api, invoice(lines=whole, subtotal=4000, total=4000), latest_invoice=None)
    assert (view.total, [one.amount for one in view.lines]) == (3000, [3000])


def test_a_preview_from_before_the_price_was_changed_is_not_gone_by(api: Api) -> None:
    view = read(api, bill(line(2, 2000, "price_before")), latest_invoice=None)
    assert (view.total, [one.amount for one in view.lines]) == (3000, [3000])


def test_tax_on_what_waits_for_the_next_invoice_is_not_in_a_preview_of_a_period(api: Api) -> None:
    lines = [line(2, 3000, **taxes(600)), line(1, 700, proration=True, **taxes(140))]
    view = read(api, bill(*lines, total=4440, total_taxes=taxes(740)["taxes"]))
    assert [(one.kind, one.amount) for one in view.lines] == [("seats", 3000), ("tax", 600)]
    assert view.total == 3600


def test_what_a_total_has_beside_included_tax_is_no_tax(api: Api) -> None:
    included = taxes(500, behaviour="inclusive")
    view = read(api, bill(line(2, 3000, **included), total=3400, total_taxes=included["taxes"]))
    assert [(one.kind, one.amount) for one in view.lines] == [("seats", 3000), ("other", 400)]


@pytest.mark.parametrize(
    "whole",
    [
        {"total": 4440, "total_taxes": taxes(740)["taxes"]},  # the other line's tax is not told
        {"total": 4300, "total_taxes": taxes(600)["taxes"], **off(0)},
        {"total": 4000, "total_taxes": taxes(600)["taxes"], **off(300)},  # nor whose discount it is
    ],
)
def test_what_is_added_and_taken_off_is_told_by_line_or_not_at_all(api: Api, whole: Json) -> None:
    lines = [line(2, 3000, **taxes(600)), line(1, 700, proration=True)]
    view = read(api, bill(*lines, **whole))
    assert view.total == (3600 if whole["total"] == 4300 else None)
