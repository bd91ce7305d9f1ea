"""From "Buy" to the invoice: what was shown before the click is what is invoiced, to the cent.

The amounts are those of the invoices at the stand-in for Stripe.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.portal.conftest import NewPage
from tests.portal.selling import CHECKOUT, Seller, at_stripe, selling
from tests.portal.test_buying import INT_SHOP, POS_SHOP, to_stripe
from tests.portal.vendor import Customer

AMOUNT = re.compile(r"€([\d,]+\.\d\d)")
PAY = re.compile(r"^Pay €[\d,]+\.\d\d now$")
REVIEW = "Review the purchase"


def cents(text: str) -> int:
    """Return the first amount in a text of the pages."""
    found = AMOUNT.search(text)
    assert found, text
    return int(found[1].replace(",", "").replace(".", ""))


def shown(page: Page, within: str) -> int:
    """Return the amount that a page shows beside a term."""
    described = page.locator("dt", has_text=re.compile(f"^{within}$")).locator("+ dd")
    return cents(described.inner_text())


def invoices(seller: Seller, subscription: str) -> list[int]:
    """Return what the invoices of a subscription are over, the oldest first; each is paid."""
    query = {"subscription": subscription, "limit": 100}
    its = seller.stripe.get("/v1/invoices", query)["data"]
    assert all(one["amount_paid"] == one["amount_due"] for one in its)
    return [one["amount_due"] for one in reversed(its)]


def quantities(seller: Seller, subscription: str) -> dict[str, int]:
    items = at_stripe(seller, subscription)["items"]["data"]
    return {one["price"]["lookup_key"]: one["quantity"] for one in items}


def review(customer: Customer, seats: int = 3) -> None:
    """Ask for more seats, up to the page that says what they cost."""
    customer.go(POS_SHOP)
    customer.page.get_by_label("Add seats").fill(str(seats))
    customer.page.get_by_role("button", name=REVIEW).click()
    expect(customer.page.get_by_role("heading", level=1)).to_have_text(REVIEW)


def pay(page: Page) -> int:
    """Press the button that pays, and return the amount it says."""
    button = page.get_by_role("button", name=PAY)
    amount = cents(button.inner_text())
    assert amount == shown(page, "To pay now")
    button.click()
    return amount


def subscribed(seller: Seller, page: Page, seats: int = 2) -> tuple[Customer, str]:
    account = seller.account()
    subscription = seller.subscribe(account, seats=seats)
    return seller.customer(page, account), subscription


# What is paid


@pytest.mark.parametrize(
    ("shop", "tier", "term", "interval"),
    [
        (POS_SHOP, None, "every month", "Every month"),
        (POS_SHOP, None, "every year", "Every year"),
        (INT_SHOP, "Growth", "Growth, every month", "Every month"),
        (INT_SHOP, "Growth", "Growth, every year", "Every year"),
    ],
)
def test_a_first_purchase_costs_what_a_seat_is_said_to_cost(
    seller: Seller, page: Page, shop: str, tier: str | None, term: str, interval: str
) -> None:
    customer = seller.customer(page)
    customer.go(shop)
    unit = shown(page, term)
    page.get_by_label("Seats").fill("3")
    page.get_by_label(interval).check()
    if tier:
        page.get_by_label("Tier").select_option(tier)
    session = to_stripe(page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)
    assert seller.stripe.get(f"/v1/checkout/sessions/{session}")["amount_total"] == 3 * unit
    assert invoices(seller, seller.pay(session)) == [3 * unit]


@pytest.mark.parametrize(("interval", "after"), [("month", "a month"), ("year", "a year")])
@pytest.mark.parametrize("days", [0, 9.7])
def test_more_seats_cost_what_the_button_says_now_and_each_period(
    new_page: NewPage, tmp_path: Path, interval: str, after: str, days: float
) -> None:
    with selling(tmp_path, since_days=20) as seller:
        account = seller.account()
        subscription = seller.subscribe(account, seats=2, interval=interval)
        seller.stripe.advance(days=days)
        page = new_page()
        review(seller.customer(page, account))
        each = shown(page, "After that")
        expect(page.locator("dl")).to_contain_text(after)
        amount = pay(page)
        expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
        assert invoices(seller, subscription)[1:] == [amount]
        assert each == 5 * (15_00 if interval == "month" else 150_00)
        assert (amount == 3 * each // 5) is (days == 0)
        seller.stripe.advance(days=31 if interval == "month" else 366)
        assert invoices(seller, subscription)[2] == each


def test_another_tier_beside_costs_what_the_button_says(seller: Seller, page: Page) -> None:
    account = seller.account()
    subscription = seller.subscribe(account, product="integrations", tier="growth", seats=1)
    customer = seller.customer(page, account)
    customer.go(INT_SHOP)
    unit = shown(page, "Starter, every month")
    page.get_by_label("Tier").select_option("Starter")
    page.get_by_label("Add seats").fill("2")
    page.get_by_role("button", name=REVIEW).click()
    amount = pay(page)
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    assert amount == 2 * unit
    assert invoices(seller, subscription)[1:] == [amount]


@pytest.mark.parametrize("users", [0, 5])
def test_a_base_plan_costs_what_it_is_said_to_cost_with_the_users_there_are(
    team_seller: Seller, page: Page, users: int
) -> None:
    seller = team_seller
    account = seller.account()
    if users:
        ended = seller.subscribe(account, product="team", seats=3)
        for number in range(users):
            seller.sit(account, f"user-{number}", "team")
        seller.stripe.delete(f"/v1/subscriptions/{ended}")
        seller.deliver()
    customer = seller.customer(page, account, permissions=["manage_users"])
    customer.open("buy/team")
    prices = page.locator(".prices dd").inner_text()
    base, further = (cents(part) for part in prices.split(";"))
    session = to_stripe(page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)
    assert invoices(seller, seller.pay(session)) == [base + max(users - 3, 0) * further]


def test_a_further_user_costs_each_period_what_the_users_page_says(
    team_seller: Seller, page: Page
) -> None:
    seller = team_seller
    account = seller.account()
    subscription = seller.subscribe(account, product="team", seats=3)
    for number in range(3):
        seller.sit(account, f"user-{number}", "team")
    customer = seller.customer(page, account, permissions=["manage_users"])
    customer.open("manage/team")
    said = cents(page.get_by_text("Each further one adds").inner_text())
    page.get_by_label("Name", exact=True).fill("The fourth")
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_role("status")).to_contain_text("Added.")
    seller.program.done("stripe", "sync")
    asked = {"subscription": subscription, "preview_mode": "recurring"}
    next_one = seller.stripe.post("/v1/invoices/create_preview", asked)
    assert next_one["total"] == 100_00 + said


# What is not paid


def test_who_may_not_buy_sees_no_button_and_pays_nothing_by_a_form(
    seller: Seller, page: Page
) -> None:
    account = seller.account()
    subscription = seller.subscribe(account)
    customer = seller.customer(page, account, permissions=["manage_billing"])
    customer.open("buy/cloud_pos")
    expect(page.get_by_role("main")).to_contain_text("Your link does not permit buying.")
    expect(page.get_by_role("button", name=REVIEW)).to_have_count(0)
    token = str(page.locator("[name=form_token]").first.get_attribute("value"))
    for path in ("", "/pay"):
        form: dict[str, Any] = {"form_token": token, "once": "a" * 24, "seats": 3}
        form["interval"] = "month"
        answer = page.request.post(f"{seller.url}/portal/buy/cloud_pos{path}", form=form)
        assert answer.status == 403
    assert quantities(seller, subscription) == {"cloud_pos_month": 2}


def test_of_two_tabs_the_later_shows_its_amount_anew_before_it_is_paid(
    seller: Seller, page: Page
) -> None:
    customer, subscription = subscribed(seller, page)
    review(customer)
    other = Customer(seller, page.context.new_page(), customer.account)
    other.open("subscriptions")
    review(other, 1)
    first = pay(other.page)
    expect(other.page.get_by_role("status")).to_contain_text("Your subscription was raised")
    page.get_by_role("button", name=PAY).click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Nothing was bought yet: what it costs has changed")
    assert invoices(seller, subscription)[1:] == [first]
    expect(page.locator("dl")).to_contain_text("3 now, 6 after this")
    second = pay(page)
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    assert invoices(seller, subscription)[1:] == [first, second]
    assert quantities(seller, subscription) == {"cloud_pos_month": 6}


def test_a_first_purchase_that_is_begun_in_two_tabs_or_again_after_back_is_paid_once(
    seller: Seller, page: Page
) -> None:
    customer = seller.customer(page)
    other = Customer(seller, page.context.new_page(), customer.account)
    for tab in (customer, other):
        tab.open("buy/cloud_pos")
        tab.page.get_by_label("Seats").fill("3")
    first, second = (
        to_stripe(tab.page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)
        for tab in (customer, other)
    )
    assert first == second
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(POS_SHOP)
    unit = shown(page, "every month")
    page.get_by_label("Seats").fill("2")
    again = to_stripe(page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)
    assert seller.stripe.get(f"/v1/checkout/sessions/{again}")["amount_total"] == 2 * unit
    assert seller.stripe.get(f"/v1/checkout/sessions/{first}")["status"] == "expired"
    assert invoices(seller, seller.pay(again)) == [2 * unit]
    assert seller.view(customer.account)["cloud_pos"]["seats"] == 2


def test_back_leads_to_the_form_and_a_review_that_was_paid_is_not_paid_again(
    seller: Seller, page: Page
) -> None:
    customer, subscription = subscribed(seller, page)
    review(customer)
    names = ("form_token", "once", "quote", "seats", "interval")
    fields: dict[str, Any] = {
        name: str(page.locator(f"form[action$=pay] [name={name}]").get_attribute("value"))
        for name in names
    }
    paid = pay(page)
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    page.reload()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(POS_SHOP)
    # What a browser sends that has kept the review; and as if it was shown once more.
    again = page.request.post(f"{seller.url}/portal/buy/cloud_pos/pay", form=fields)
    assert "Your subscription was raised" in again.text()
    fields["once"] = "f" * 24
    anew = page.request.post(f"{seller.url}/portal/buy/cloud_pos/pay", form=fields)
    assert "Nothing was bought yet" in anew.text()
    assert invoices(seller, subscription)[1:] == [paid]
    assert quantities(seller, subscription) == {"cloud_pos_month": 5}


def test_a_review_that_is_loaded_again_is_the_form_and_pays_nothing(
    seller: Seller, page: Page
) -> None:
    customer, subscription = subscribed(seller, page)
    review(customer)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(POS_SHOP)
    expect(page.get_by_label("Add seats (you have 2)")).to_be_visible()
    assert len(invoices(seller, subscription)) == 1


def dearer(seller: Seller, subscription: str) -> None:
    for item in at_stripe(seller, subscription)["items"]["data"]:
        item["price"]["unit_amount"] += 5_00
        item["price"]["unit_amount_decimal"] = str(item["price"]["unit_amount"])


def discounted(seller: Seller, subscription: str) -> None:
    coupon = seller.stripe.post("/v1/coupons", {"percent_off": 50, "duration": "forever"})
    discounts = {"discounts": [{"coupon": coupon["id"]}]}
    seller.stripe.post(f"/v1/subscriptions/{subscription}", discounts)


@pytest.mark.parametrize("happens", [dearer, discounted])
def test_a_price_that_changes_before_the_click_is_shown_anew(
    new_page: NewPage, tmp_path: Path, happens: Callable[[Seller, str], None]
) -> None:
    with selling(tmp_path) as seller:
        page = new_page()
        customer, subscription = subscribed(seller, page)
        review(customer)
        before = shown(page, "To pay now")
        happens(seller, subscription)
        page.get_by_role("button", name=PAY).click()
        expect(page.get_by_role("alert")).to_contain_text("what it costs has changed")
        assert len(invoices(seller, subscription)) == 1
        amount = pay(page)
        assert amount != before
        expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
        assert invoices(seller, subscription)[1:] == [amount]


def test_a_session_that_ends_before_the_click_pays_nothing(seller: Seller, page: Page) -> None:
    customer, subscription = subscribed(seller, page)
    review(customer)
    path = f"/v1/accounts/{customer.account}/portal-sessions/end"
    seller.ask("POST", path, {"reason": "A laptop was stolen"})
    page.get_by_role("button", name=PAY).click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert len(invoices(seller, subscription)) == 1
    assert quantities(seller, subscription) == {"cloud_pos_month": 2}


@pytest.mark.parametrize(
    ("code", "says", "advice"),
    [
        ("card_declined", "The payment did not go through", "update the card"),
        (
            "subscription_payment_intent_requires_action",
            "Your bank wants you to confirm this payment",
            "add the seats there",
        ),
        ("authentication_required", "Your bank wants you to confirm", "another card"),
    ],
)
def test_a_card_that_is_not_charged_buys_nothing_and_later_costs_what_is_shown_then(
    seller: Seller, page: Page, code: str, says: str, advice: str
) -> None:
    customer, subscription = subscribed(seller, page)
    payer = at_stripe(seller, subscription)["customer"]
    seller.stripe.fail_payments(payer, code)
    review(customer)
    pay(page)
    told = page.get_by_role("alert")
    expect(told).to_contain_text(says)
    expect(told).to_contain_text("nothing was changed")
    expect(told).to_contain_text(advice)
    assert quantities(seller, subscription) == {"cloud_pos_month": 2}
    seller.stripe.mend_payments(payer)
    expect(page.get_by_label("Add seats")).to_have_value("3")
    page.get_by_role("button", name=REVIEW).click()
    amount = pay(page)
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    assert quantities(seller, subscription) == {"cloud_pos_month": 5}
    assert invoices(seller, subscription)[-1] == amount
