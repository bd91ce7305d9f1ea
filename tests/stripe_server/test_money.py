"""What the stand-in bills: whole units, and sums that hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drawn import holds_for
from tests.stripe_server import Settings, StripeServer
from tests.stripe_server.money import discount_amounts, price_amount, split
from tests.stripe_server.shop import Shop, bills, open_shop, price, subscribe

MONTH_S = 31 * 86400  # January, when the stand-in's clock starts


def _set_seats(stripe: StripeServer, made: dict[str, Any], quantity: int, how: str) -> None:
    item = made["items"]["data"][1]["id"]
    stripe.post(f"/v1/subscription_items/{item}", {"quantity": quantity, "proration_behavior": how})


def test_always_invoice_bills_unused_and_remaining_time_at_once(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop, seats=2)
    stripe.advance(seconds=MONTH_S // 2)
    _set_seats(stripe, made, 3, "always_invoice")
    bill = bills(stripe, made["id"])[-1]
    assert (bill["billing_reason"], bill["status"]) == ("subscription_update", "paid")
    assert [(one["quantity"], one["amount"]) for one in bill["lines"]["data"]] == [
        (2, -500),
        (3, 750),
    ]
    details = [one["parent"]["subscription_item_details"] for one in bill["lines"]["data"]]
    assert all(one["proration"] for one in details)
    credited = details[0]["proration_details"]["credited_items"]
    assert credited["invoice"] == made["latest_invoice"]
    period = stripe.get(f"/v1/subscriptions/{made['id']}")["items"]["data"][1]
    assert period["current_period_start"] == made["items"]["data"][1]["current_period_start"]


def test_create_prorations_waits_for_the_renewal(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop, seats=2)
    stripe.advance(seconds=MONTH_S // 2)
    _set_seats(stripe, made, 3, "create_prorations")
    assert len(bills(stripe, made["id"])) == 1
    foreseen = stripe.post("/v1/invoices/create_preview", {"subscription": made["id"]})
    always = stripe.post(
        "/v1/invoices/create_preview", {"subscription": made["id"], "preview_mode": "recurring"}
    )
    stripe.advance(days=31)
    renewal = bills(stripe, made["id"])[-1]
    assert renewal["billing_reason"] == "subscription_cycle"
    assert renewal["total"] == foreseen["total"] == 2000 + 1500 + 250
    assert always["total"] == 3500


def test_none_changes_the_quantity_and_bills_nothing_till_the_renewal(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop, seats=4)
    stripe.advance(days=5)
    _set_seats(stripe, made, 2, "none")
    _set_seats(stripe, made, 4, "none")
    _set_seats(stripe, made, 3, "none")
    assert len(bills(stripe, made["id"])) == 1
    stripe.advance(days=31)
    assert bills(stripe, made["id"])[-1]["total"] == 3500


@pytest.mark.parametrize("mode", ["classic", "flexible"])
@pytest.mark.parametrize("credit", ["current_quantity", "debited_quantity"])
def test_raising_a_lowered_quantity_back_first_bills_only_what_is_new(
    mode: str, credit: str
) -> None:
    with StripeServer(serve=False, settings=Settings(flexible_credit=credit)) as stripe:
        made = subscribe(stripe, open_shop(stripe), seats=4, billing_mode={"type": mode})
        stripe.advance(seconds=MONTH_S // 2)
        _set_seats(stripe, made, 2, "none")
        _set_seats(stripe, made, 4, "none")
        _set_seats(stripe, made, 5, "always_invoice")
        assert bills(stripe, made["id"])[-1]["total"] == 250


def test_raising_a_lowered_quantity_at_once_bills_seats_twice(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop, seats=4, billing_mode={"type": "classic"})
    stripe.advance(seconds=MONTH_S // 2)
    _set_seats(stripe, made, 2, "none")
    _set_seats(stripe, made, 5, "always_invoice")
    assert bills(stripe, made["id"])[-1]["total"] == 750


def test_a_credit_is_kept_and_used_up_by_the_next_invoice(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop, seats=4)
    stripe.advance(seconds=MONTH_S // 2)
    _set_seats(stripe, made, 2, "always_invoice")
    bill = bills(stripe, made["id"])[-1]
    assert (bill["total"], bill["amount_due"], bill["ending_balance"]) == (-500, 0, -500)
    assert stripe.get(f"/v1/customers/{shop.customer}")["balance"] == -500
    stripe.advance(days=20)
    renewal = bills(stripe, made["id"])[-1]
    assert (renewal["total"], renewal["amount_due"], renewal["amount_paid"]) == (3000, 2500, 2500)
    assert stripe.get(f"/v1/customers/{shop.customer}")["balance"] == 0


def test_another_interval_begins_a_new_period_at_once(stripe: StripeServer, shop: Shop) -> None:
    made = stripe.post(
        "/v1/subscriptions", {"customer": shop.customer, "items": [{"price": shop.base}]}
    )
    stripe.advance(seconds=MONTH_S // 2)
    item = made["items"]["data"][0]["id"]
    stripe.post(f"/v1/subscription_items/{item}", {"price": shop.yearly})
    assert bills(stripe, made["id"])[-1]["total"] == 20000 - 1000
    now = stripe.get(f"/v1/subscription_items/{item}")
    assert now["current_period_start"] == stripe.clock
    assert now["current_period_end"] == stripe.clock + 365 * 86400


def test_items_of_several_periods_renew_each_in_its_own_time(
    stripe: StripeServer, shop: Shop
) -> None:
    made = stripe.post(
        "/v1/subscriptions",
        {
            "customer": shop.customer,
            "items": [{"price": shop.yearly}, {"price": shop.seat, "quantity": 2}],
        },
    )
    ends = {one["current_period_end"] for one in made["items"]["data"]}
    assert len(ends) == 2
    stripe.advance(days=32)
    assert [one["total"] for one in bills(stripe, made["id"])] == [21000, 1000]
    stripe.advance(days=334)
    assert bills(stripe, made["id"])[-1]["total"] == 21000


TIERS = [
    {"up_to": 3, "unit_amount": 0, "flat_amount": 2000},
    {"up_to": 10, "unit_amount": 500},
    {"up_to": "inf", "unit_amount_decimal": "333.5"},
]


@pytest.mark.parametrize(
    ("mode", "quantity", "amount"),
    [
        ("graduated", 1, 2000),
        ("graduated", 3, 2000),
        ("graduated", 4, 2500),
        ("graduated", 10, 5500),
        ("graduated", 11, 5834),
        ("volume", 3, 2000),
        ("volume", 4, 2000),
        ("volume", 11, 3669),
    ],
)
def test_tiers(stripe: StripeServer, shop: Shop, mode: str, quantity: int, amount: int) -> None:
    product = stripe.get(f"/v1/prices/{shop.base}")["product"]
    given = {
        "product": product,
        "currency": "usd",
        "billing_scheme": "tiered",
        "tiers_mode": mode,
        "tiers": TIERS,
        "recurring": {"interval": "month"},
    }
    tiered = stripe.post("/v1/prices", given)
    assert "tiers" not in tiered
    assert len(stripe.get(f"/v1/prices/{tiered['id']}", {"expand": ["tiers"]})["tiers"]) == 3
    made = stripe.post(
        "/v1/subscriptions",
        {"customer": shop.customer, "items": [{"price": tiered["id"], "quantity": quantity}]},
    )
    assert bills(stripe, made["id"])[0]["total"] == amount


@pytest.mark.parametrize(
    ("coupon", "totals"),
    [
        ({"percent_off": 25, "duration": "forever"}, [2625, 2625, 2625]),
        ({"amount_off": 1000, "currency": "usd", "duration": "forever"}, [2500, 2500, 2500]),
        ({"percent_off": 50, "duration": "once"}, [1750, 3500, 3500]),
        ({"percent_off": 10, "duration": "repeating", "duration_in_months": 2}, [3150, 3150, 3500]),
        ({"amount_off": 9999, "currency": "usd", "duration": "once"}, [0, 3500, 3500]),
    ],
)
def test_discounts_reach_invoices_and_previews(
    stripe: StripeServer, shop: Shop, coupon: dict[str, Any], totals: list[int]
) -> None:
    name = stripe.post("/v1/coupons", coupon)["id"]
    made = subscribe(stripe, shop, discounts=[{"coupon": name}])
    for total in totals[1:]:
        foreseen = stripe.post("/v1/invoices/create_preview", {"subscription": made["id"]})
        assert foreseen["total"] == total
        stripe.advance_to(foreseen["period_end"] + 3600)
    assert [one["total"] for one in bills(stripe, made["id"])] == totals


def test_a_promotion_code_is_redeemed_at_checkout(stripe: StripeServer, shop: Shop) -> None:
    coupon = stripe.post("/v1/coupons", {"percent_off": 20, "duration": "forever"})["id"]
    code = stripe.post(
        "/v1/promotion_codes", {"promotion": {"type": "coupon", "coupon": coupon}, "code": "SPRING"}
    )
    session = stripe.post(
        "/v1/checkout/sessions",
        {
            "mode": "subscription",
            "line_items": [{"price": shop.base, "quantity": 1}],
            "allow_promotion_codes": True,
            "success_url": "https://shop.example/",
        },
    )
    done = stripe.pay(session["id"], promotion_code=code["id"])
    assert (done["amount_subtotal"], done["amount_total"]) == (2000, 1600)
    assert bills(stripe, done["subscription"])[0]["total"] == 1600


def test_tax_is_added_or_included(stripe: StripeServer, shop: Shop) -> None:
    for inclusive, total, without in ((False, 4165, 3500), (True, 3500, 2942)):
        rate = stripe.post(
            "/v1/tax_rates", {"display_name": "VAT", "inclusive": inclusive, "percentage": 19}
        )
        made = subscribe(stripe, shop, default_tax_rates=[rate["id"]])
        bill = bills(stripe, made["id"])[0]
        assert (bill["total"], bill["total_excluding_tax"]) == (total, without)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(0, 1000), min_size=1, max_size=6),
)
def test_an_amount_is_split_to_the_last_unit(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(part >= 0 for part in parts)


def test_a_discount_never_takes_more_than_there_is() -> None:
    lines = [
        {"left": 300, "discountable": True, "product": "a"},
        {"left": -100, "discountable": True, "product": "a"},
        {"left": 500, "discountable": False, "product": "a"},
    ]
    assert discount_amounts(lines, {"percent_off": None, "amount_off": 1000}) == [300, 0, 0]
    assert discount_amounts(lines, {"percent_off": 33.3, "amount_off": None}) == [100, 0, 0]


def test_a_part_of_a_cent_is_rounded_on_the_line() -> None:
    unit = {
        "billing_scheme": "per_unit",
        "transform_quantity": None,
        "unit_amount": None,
        "unit_amount_decimal": "0.5",
    }
    assert [price_amount(unit, quantity, None) for quantity in (1, 2, 3)] == [1, 1, 2]


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["always_invoice", "create_prorations", "none"]),
        st.integers(0, 40 * 86400),
    ),
    max_size=8,
)


@holds_for(
    20,
    60,
    CHANGES,
    st.sampled_from([None, {"percent_off": 33.3}, {"amount_off": 777, "currency": "usd"}]),
    st.sampled_from([None, True, False]),
)
def test_every_invoice_adds_up(
    changes: list[tuple[int, str, int]], coupon: dict[str, Any] | None, inclusive: bool | None
) -> None:
    with StripeServer(serve=False) as stripe:
        shop = open_shop(stripe)
        more: dict[str, Any] = {}
        if coupon is not None:
            name = stripe.post("/v1/coupons", {**coupon, "duration": "forever"})["id"]
            more["discounts"] = [{"coupon": name}]
        if inclusive is not None:
            rate = {"display_name": "VAT", "inclusive": inclusive, "percentage": 7.7}
            more["default_tax_rates"] = [stripe.post("/v1/tax_rates", rate)["id"]]
        made = subscribe(stripe, shop, **more)
        for quantity, how, wait in changes:
            _set_seats(stripe, made, quantity, how)
            stripe.advance(seconds=wait)
        for bill in bills(stripe, made["id"]):
            _adds_up(bill)
        balance = stripe.get(f"/v1/customers/{shop.customer}")["balance"]
        settled = [one for one in bills(stripe, made["id"]) if one["status"] == "paid"]
        assert sum(one["total"] for one in settled) == balance + sum(
            one["amount_paid"] for one in settled
        )


def _adds_up(bill: dict[str, Any]) -> None:
    lines = bill["lines"]["data"]
    taken = sum(one["amount"] for line in lines for one in line["discount_amounts"])
    added = sum(one["amount"] for one in bill["total_taxes"] if one["tax_behavior"] == "exclusive")
    assert bill["subtotal"] == sum(line["amount"] for line in lines)
    assert taken == sum(one["amount"] for one in bill["total_discount_amounts"])
    assert bill["total"] == bill["subtotal"] - taken + added
    assert bill["amount_due"] == bill["amount_paid"] + bill["amount_remaining"]


def test_prices_may_be_per_product_of_a_coupon(stripe: StripeServer, shop: Shop) -> None:
    other = stripe.post("/v1/products", {"name": "Kiosk"})["id"]
    kiosk = price(stripe, other, 1000)
    coupon = stripe.post(
        "/v1/coupons",
        {"percent_off": 50, "duration": "forever", "applies_to": {"products": [other]}},
    )
    made = stripe.post(
        "/v1/subscriptions",
        {
            "customer": shop.customer,
            "items": [{"price": shop.base}, {"price": kiosk}],
            "discounts": [{"coupon": coupon["id"]}],
        },
    )
    assert bills(stripe, made["id"])[0]["total"] == 2500
