"""The Billing view: Stripe's own figures, or what they were when Stripe last told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.gateways import stripe_billing
from ledger.catalog import parse
from tests.cli.program import Program
from tests.stripe.payloads import Json
from tests.stripe.shop import Shop, shop
from tests.web.api import memory_api

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
EXAMPLE = parse((EXAMPLES / "billed-seats.toml").read_text("utf-8"))
PRICES = {
    "shop_base_month": ("month", 4900),
    "shop_base_year": ("year", 49000),
    "shop_seat_month": ("month", 800),
    "shop_seat_year": ("year", 8000),
}
SHOP = {"product": "shop"}


@pytest.fixture
def it() -> Iterator[Shop]:
    """Answer a shop that sells the example: a base plan with three seats, then by the seat."""
    with shop(EXAMPLE, PRICES) as opened:
        yield opened


@pytest.fixture
def capped() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


def line(
    kind: str,
    quantity: int,
    amount: int | None,
    description: str = "Shop",
    interval: str = "month",
    currency: str = "eur",
) -> Json:
    return {
        "kind": kind,
        "description": description,
        "quantity": quantity,
        "amount": amount,
        "currency": currency,
        "interval": interval,
        "interval_count": 1,
    }


def total(amount: int | None, interval: str, next: str | None, currency: str = "eur") -> Json:
    return {
        "currency": currency,
        "interval": interval,
        "interval_count": 1,
        "total": amount,
        "next_invoice_at": next,
    }


def moved(it: Shop, days: float) -> None:
    """Let time go by on both clocks, and deliver what Stripe has to say about it."""
    it.stripe.advance(days=days)
    it.api.clock.forward(days=days)
    it.deliver()


def offline(it: Shop, account: str = "acme", query: str = "") -> Json:
    """Answer the view while Stripe is down."""
    it.stripe.fail("down")
    view = it.billing(account, query)
    it.stripe.mend()
    assert view["live"] is False
    return view


FIGURES = (
    "status", "currency", "interval", "seats", "lines", "total", "totals", "next_invoice_at",
    "can_manage", "notice",
)  # fmt: skip


def figures(view: Json) -> dict[str, Any]:
    return {name: view[name] for name in FIGURES}


def test_a_base_plan_and_seats_add_up_to_the_total(it: Shop) -> None:
    it.subscribe(**SHOP, seats=5)
    for n in range(4):
        it.api.sit(f"user-{n}", product="shop")
    view = it.billing()
    assert view["live"] is True
    assert view["fetched_at"] == "2026-03-01T12:00:00.000000Z"
    assert figures(view) == {
        "status": "active",
        "currency": "eur",
        "interval": "month",
        "seats": {"included": 3, "total": 5, "used": 4},
        "lines": [line("base", 1, 4900), line("seats", 2, 1600)],
        "total": 6500,
        "totals": [total(6500, "month", "2026-04-01T12:00:00.000000Z")],
        "next_invoice_at": "2026-04-01T12:00:00.000000Z",
        "can_manage": True,
        "notice": None,
    }
    (invoice,) = view["invoices"]
    assert invoice["url"].startswith("https://invoice.stripe.com/")
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("paid", 6500, "eur")
    assert figures(offline(it)) == figures(view)


def test_a_discount_and_tax_are_lines_of_their_own(it: Shop) -> None:
    bought = it.subscribe(**SHOP, seats=5)
    rate = {"display_name": "VAT", "percentage": "20", "inclusive": "false"}
    coupon = it.stripe.post("/v1/coupons", {"percent_off": 10, "duration": "forever"})
    changes = {
        "discounts": [{"coupon": coupon["id"]}],
        "default_tax_rates": [it.stripe.post("/v1/tax_rates", rate)["id"]],
    }
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", changes)
    view = it.billing()
    assert view["live"] is True
    assert view["lines"] == [
        line("base", 1, 4900),
        line("seats", 2, 1600),
        line("discount", 1, -650, "10% off"),
        line("tax", 1, 1170, "Tax"),
    ]
    assert view["total"] == 7020


def test_a_discount_has_the_name_that_the_vendor_gave_it(it: Shop) -> None:
    bought = it.subscribe(**SHOP)
    named = {"amount_off": 500, "currency": "eur", "duration": "forever", "name": "Early bird"}
    coupon = it.stripe.post("/v1/coupons", named)
    discounts = {"discounts": [{"coupon": coupon["id"]}]}
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", discounts)
    assert it.billing()["lines"][-1] == line("discount", 1, -500, "Early bird")


def test_what_is_included_in_the_prices_is_not_added_again(it: Shop) -> None:
    bought = it.subscribe(**SHOP)
    rate = {"display_name": "VAT", "percentage": "20", "inclusive": "true"}
    rates = {"default_tax_rates": [it.stripe.post("/v1/tax_rates", rate)["id"]]}
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", rates)
    view = it.billing()
    assert (view["lines"], view["total"]) == ([line("base", 1, 4900)], 4900)


def test_without_stripe_tax_is_that_of_the_last_whole_period(it: Shop) -> None:
    bought = it.subscribe(**SHOP, seats=5)
    rate = {"display_name": "VAT", "percentage": "20", "inclusive": "false"}
    rates = {"default_tax_rates": [it.stripe.post("/v1/tax_rates", rate)["id"]]}
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", rates)
    moved(it, days=32)
    view = offline(it)
    assert [one["kind"] for one in view["lines"]] == ["base", "seats", "tax"]
    assert view["total"] == it.billing()["total"] == 7800


@pytest.mark.parametrize("months", [1, 2, 3])
@pytest.mark.parametrize(
    "duration",
    [
        {"duration": "once"},
        {"duration": "repeating", "duration_in_months": 2},
        {"duration": "forever"},
    ],
    ids=lambda one: one["duration"],
)
def test_a_discount_that_may_end_is_never_taken_for_one_that_lasts(
    capped: Shop, duration: Json, months: int
) -> None:
    coupon = capped.stripe.post("/v1/coupons", {"percent_off": 50, **duration})
    customer = capped.stripe.post("/v1/customers", {})["id"]
    (price,) = capped.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_month"]})["data"]
    asked = {
        "customer": customer,
        "items": [{"price": price["id"], "quantity": 2}],
        "discounts": [{"coupon": coupon["id"]}],
        "metadata": {"keyfold_account": "acme"},
    }
    bought = capped.stripe.post("/v1/subscriptions", asked)
    capped.deliver()
    for _ in range(months - 1):
        moved(capped, days=31)
    told, without = capped.billing(), offline(capped)
    moved(capped, days=32)
    paid = capped.invoices(bought["id"])[-1]
    assert paid[1] == told["total"]
    assert without["total"] in (None, told["total"])
    assert without["notice"] or without["total"] is not None


def test_without_stripe_the_answer_says_as_of_when_it_is(it: Shop) -> None:
    it.subscribe(**SHOP)
    it.api.clock.forward(days=2)
    view = offline(it)
    assert view["fetched_at"] == "2026-03-01T12:00:00.000000Z"
    assert [invoice["url"] for invoice in view["invoices"]] == [None]
    assert it.billing()["fetched_at"] == "2026-03-03T12:00:00.000000Z"


def test_capped_seats_have_none_that_are_included(capped: Shop) -> None:
    capped.subscribe(seats=3)
    capped.api.sit("till-1")
    view = capped.billing()
    assert view["seats"] == {"included": 0, "total": 3, "used": 1}
    assert view["lines"] == [line("seats", 3, 4500, "Cloud POS")]
    assert figures(offline(capped)) == figures(view)


def test_several_subscriptions_are_added_up(capped: Shop) -> None:
    capped.subscribe(seats=3)
    capped.subscribe(product="integrations", tier="growth")
    view = capped.billing()
    assert view["lines"] == [
        line("seats", 3, 4500, "Cloud POS"),
        line("seats", 2, 5800, "Integrations Growth"),
    ]
    assert (view["total"], view["interval"]) == (10300, "month")
    assert len(view["invoices"]) == 2
    assert figures(offline(capped)) == figures(view)


def test_what_is_paid_at_different_times_has_a_total_for_each(capped: Shop) -> None:
    capped.subscribe(product="integrations", tier="growth", interval="year")
    capped.subscribe()
    for view in (capped.billing(), offline(capped)):
        assert view["totals"] == [
            total(3000, "month", "2026-04-01T12:00:00.000000Z"),
            total(58000, "year", "2027-03-01T12:00:00.000000Z"),
        ]
        assert [view[name] for name in ("interval", "total", "next_invoice_at")] == [None] * 3
        assert [(one["interval"], one["amount"]) for one in view["lines"]] == [
            ("month", 3000),
            ("year", 58000),
        ]
        assert view["notice"] is None


def test_what_changed_at_stripe_is_shown_before_stripe_has_told(capped: Shop) -> None:
    bought = capped.subscribe(seats=3)
    item = bought["items"]["data"][0]["id"]
    capped.stripe.post(f"/v1/subscription_items/{item}", {"quantity": 7})
    assert capped.billing()["seats"]["total"] == 7
    assert offline(capped)["seats"]["total"] == 3


# Statuses and notices


def test_an_account_that_never_bought_is_asked_to_start(it: Shop) -> None:
    view = it.billing()
    assert (view["status"], view["live"], view["can_manage"]) == ("none", False, False)
    assert view["notice"] == "There is no subscription yet: start one."
    assert (view["lines"], view["total"], view["invoices"]) == ([], 0, [])
    assert it.stripe.requests == []


def test_who_canceled_is_asked_to_start_again(it: Shop) -> None:
    bought = it.subscribe(**SHOP)
    it.stripe.delete(f"/v1/subscriptions/{bought['id']}")
    it.deliver()
    for view in (it.billing(), offline(it)):
        assert view["status"] == "canceled"
        assert view["notice"] == "The subscription has ended: start one again."
        assert (view["lines"], view["total"], view["next_invoice_at"]) == ([], 0, None)
        assert (view["can_manage"], len(view["invoices"])) == (True, 1)


def test_whose_card_fails_is_asked_to_update_it(it: Shop) -> None:
    bought = it.subscribe(**SHOP)
    it.stripe.fail_payments(bought["customer"])
    moved(it, days=32)
    for view in (it.billing(), offline(it)):
        assert view["status"] == "past_due"
        assert view["notice"] == "The last payment did not go through: update the card."
        assert view["total"] == 4900


def test_of_several_the_one_that_needs_attention_gives_the_status(capped: Shop) -> None:
    first = capped.subscribe()
    capped.stripe.fail_payments(first["customer"])
    moved(capped, days=32)
    capped.stripe.mend_payments(first["customer"])
    capped.subscribe(product="integrations", tier="growth")
    assert capped.billing()["status"] == "past_due"


def test_one_that_ends_with_its_period_has_no_next_invoice(it: Shop) -> None:
    bought = it.subscribe(**SHOP)
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", {"cancel_at_period_end": True})
    it.deliver()
    for view in (it.billing(), offline(it)):
        assert (view["status"], view["next_invoice_at"], view["total"]) == ("active", None, 4900)


def test_a_silence_of_stripes_is_told(it: Shop) -> None:
    it.subscribe(**SHOP)
    it.api.clock.forward(days=36)
    assert offline(it)["status"] == "unconfirmed"


# When Stripe fails


@pytest.mark.parametrize("kind", ["down", "cut", "applied_then_cut", "slow", "429", "500"])
@pytest.mark.parametrize(
    "path", ["/v1/subscriptions", "/v1/invoices/create_preview", "/v1/invoices"]
)
def test_when_one_part_cannot_be_read_all_comes_from_the_ledger(
    it: Shop, monkeypatch: pytest.MonkeyPatch, kind: str, path: str
) -> None:
    it.subscribe(**SHOP, seats=5)
    known = figures(it.billing())
    monkeypatch.setattr(stripe_billing, "WITHIN_S", 0.5)
    options: dict[str, Any] = {"delay_s": 1.5} if kind == "slow" else {}
    it.stripe.fail(kind, **({} if kind == "down" else {"path": path, **options}))
    view = it.billing()
    assert view["live"] is False
    assert figures(view) == known


def test_a_key_that_stripe_refuses_leaves_the_ledgers_figures(it: Shop) -> None:
    it.subscribe(**SHOP)
    it.stripe.fail("wrong_key")
    assert it.billing()["live"] is False


def test_without_a_key_for_stripe_the_figures_are_the_ledgers() -> None:
    assert Shop(memory_api(), None).billing()["live"] is False  # type: ignore[arg-type]


def test_nothing_of_what_was_read_is_kept(it: Shop) -> None:
    it.subscribe(**SHOP)
    before = it.api.head
    secret = it.billing()["invoices"][0]["url"].rpartition("/i/")[0]
    assert it.api.head == before
    states = b"".join(row.state for row in it.api.services.book.store.read_from(0, 1000))
    assert secret.encode() not in states


# Other moments


def test_what_was_true_before_comes_from_the_ledger(capped: Shop) -> None:
    capped.subscribe(seats=3)
    moved(capped, days=5)
    capped.buy(seats=4)
    capped.deliver()
    before = capped.billing(query="?as_of=2026-03-02T00:00:00Z")
    assert (before["live"], before["seats"]["total"], before["total"]) == (False, 3, 4500)
    assert (before["as_of"], len(before["invoices"])) == ("2026-03-02T00:00:00.000000Z", 1)
    now = capped.billing()
    assert (now["live"], now["seats"]["total"], now["total"]) == (True, 7, 10500)


# On the command line


def test_the_command_shows_what_the_api_answers(it: Shop, tmp_path: Path) -> None:
    keyfold = Program(
        tmp_path,
        {
            "KEYFOLD_CATALOG": str(EXAMPLES / "billed-seats.toml"),
            "STRIPE_API_KEY": it.stripe.api_key,
            "STRIPE_API_BASE": it.stripe.url,
        },
    )
    keyfold.done("db", "upgrade")
    it.subscribe(**SHOP, seats=5)
    events = tmp_path / "events.json"
    events.write_text(json.dumps(it.stripe.events), "utf-8")
    keyfold.done("stripe", "import", str(events))
    view = keyfold.json("billing", "acme")
    assert (view["live"], view["total"], view["seats"]["total"]) == (True, 6500, 5)
    shown = keyfold.done("billing", "acme").out
    assert "active: 5 seats, 3 of them included, 0 used" in shown
    assert "EUR 65.00" in shown
    it.stripe.fail("down")
    assert "as Stripe reported it" in keyfold.done("billing", "acme").out
    assert "There is no subscription yet" in keyfold.done("billing", "nobody").out


# The example in the documentation


@pytest.mark.parametrize(
    ("users", "interval", "bought", "total"),
    [
        (1, "month", {"shop_base_month": 1}, 4900),
        (3, "month", {"shop_base_month": 1}, 4900),
        (4, "month", {"shop_base_month": 1, "shop_seat_month": 1}, 5700),
        (10, "year", {"shop_base_year": 1, "shop_seat_year": 7}, 105000),
    ],
)
def test_the_example_bills_as_it_says(
    it: Shop, users: int, interval: str, bought: dict[str, int], total: int
) -> None:
    subscription = it.subscribe(**SHOP, seats=users, interval=interval)
    assert it.quantities(subscription["id"]) == bought
    view = it.billing()
    assert (view["total"], view["interval"]) == (total, interval)
    assert view["seats"] == {"included": 3, "total": max(users, 3), "used": 0}


@pytest.mark.parametrize("kind", ["null", "list", "word", "empty"])
@pytest.mark.parametrize(
    "path", ["/v1/subscriptions/", "/v1/invoices/create_preview", "/v1/invoices"]
)
def test_an_answer_that_is_no_object_is_as_good_as_none(capped: Shop, kind: str, path: str) -> None:
    capped.subscribe(seats=2)
    without = figures(offline(capped))
    capped.stripe.fail(kind, path=path)
    view = capped.billing()
    assert view["live"] is False
    assert figures(view) == without
    capped.stripe.mend()


def test_an_accounts_own_invoice_has_its_page_however_many_others_the_customer_has(
    capped: Shop,
) -> None:
    bought = capped.subscribe(seats=2)
    (price,) = capped.stripe.get("/v1/prices", {"lookup_keys": ["integrations_growth_month"]})[
        "data"
    ]
    for _ in range(12):
        capped.stripe.advance(hours=1)
        capped.stripe.post(
            "/v1/subscriptions",
            {
                "customer": bought["customer"],
                "items": [{"price": price["id"]}],
                "metadata": {"keyfold_account": "beta"},
            },
        )
    capped.deliver()
    (own,) = capped.billing()["invoices"]
    assert own["url"] is not None
    assert len(capped.billing("beta")["invoices"]) == 10
