"""Buying online: Stripe Checkout, Manage in Stripe, and rows of Stripe's beside those of keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.conftest import NewPage
from tests.portal.keyboard import press_until
from tests.portal.selling import CHECKOUT, PORTAL, Seller
from tests.portal.vendor import INT, Customer, Vendor

POS_SHOP = "Buy POS License"
INT_SHOP = "Buy Integration License"


def to_stripe(page: Page, button: str, origin: str) -> str:
    """Press a button that leads to a page of Stripe's, and answer its address."""
    with page.expect_request(lambda request: request.url.startswith(origin)) as leaving:
        page.get_by_role("button", name=button).first.click()
    page.wait_for_url("chrome-error://**")
    return leaving.value.url


def bought(customer: Customer, shop: str, seats: int, interval: str = "Every month") -> str:
    """Choose seats on a Buy page and go to Checkout; answer the session."""
    page = customer.page
    customer.go(shop)
    page.get_by_label("Seats").fill(str(seats))
    page.get_by_label(interval).check()
    return to_stripe(page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)


def test_a_pos_licence_is_bought_at_stripe_checkout(seller: Seller, new_page: NewPage) -> None:
    page = new_page()
    customer = seller.customer(page)
    session = bought(customer, POS_SHOP, 3)
    asked = seller.stripe.get(f"/v1/checkout/sessions/{session}")
    page.goto(seller.sent_back(asked["success_url"]))
    expect(page.get_by_role("status")).to_contain_text("Thank you.")
    expect(page.get_by_role("heading", level=1)).to_have_text(POS_SHOP)
    seller.pay(session)
    customer.go("Subscriptions")
    row = customer.row("Cloud POS")
    assert (row["Seats"], row["Source"], row["Used"]) == ("3", "Stripe", "0 / 3")
    assert row["Expires"].endswith("renews")
    expect(page.get_by_role("button", name="Manage in Stripe")).to_have_count(1)


def test_an_integration_licence_is_bought_by_tier(seller: Seller, new_page: NewPage) -> None:
    page = new_page()
    customer = seller.customer(page)
    customer.go(INT_SHOP)
    page.get_by_label("Tier").select_option("Growth")
    page.get_by_label("Seats").fill("2")
    page.get_by_label("Every year").check()
    session = to_stripe(page, "Continue to Stripe", CHECKOUT).removeprefix(CHECKOUT)
    seller.pay(session)
    customer.open("subscriptions")
    row = customer.row("Integrations")
    assert (row["Tier"], row["Seats"], row["Source"]) == ("Growth", "2", "Stripe")


def test_giving_up_at_checkout_buys_nothing_and_says_so(seller: Seller, new_page: NewPage) -> None:
    page = new_page()
    customer = seller.customer(page)
    session = bought(customer, POS_SHOP, 1)
    asked = seller.stripe.get(f"/v1/checkout/sessions/{session}")
    page.goto(seller.sent_back(asked["cancel_url"]))
    expect(page.get_by_role("alert")).to_contain_text("Nothing was bought.")


def test_buying_more_raises_the_subscription_there_is(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.subscribe(account, seats=2)
    customer = seller.customer(page, account)
    customer.go(POS_SHOP)
    page.get_by_label("Add seats (you have 2)").fill("3")
    page.get_by_role("button", name="Review the purchase").click()
    expect(page.get_by_role("main")).to_contain_text("€75.00 a month")
    page.get_by_role("button", name=re.compile(r"^Pay €\d+\.\d\d now$")).click()
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    seller.deliver()
    customer.go("Subscriptions")
    assert customer.row("Cloud POS")["Seats"] == "5"


def test_a_declined_card_buys_nothing_and_says_what_to_do(seller: Seller, page: Page) -> None:
    account = seller.account()
    bought_id = seller.subscribe(account, seats=2)
    subscription = seller.stripe.get(f"/v1/subscriptions/{bought_id}")
    seller.stripe.fail_payments(subscription["customer"])
    customer = seller.customer(page, account)
    customer.go(POS_SHOP)
    page.get_by_role("button", name="Review the purchase").click()
    page.get_by_role("button", name=re.compile("^Pay ")).click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("The payment did not go through, and nothing was changed.")
    expect(told).to_contain_text("update the card")


def test_a_double_click_buys_once(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.subscribe(account, seats=2)
    customer = seller.customer(page, account)
    customer.go(POS_SHOP)
    page.get_by_role("button", name="Review the purchase").dblclick()
    page.get_by_role("button", name=re.compile("^Pay ")).dblclick()
    expect(page.get_by_role("status")).to_contain_text("Your subscription was raised")
    seller.deliver()
    assert seller.view(account)["cloud_pos"]["seats"] == 3


@pytest.mark.parametrize(
    ("shop", "product", "order"), [(POS_SHOP, "Cloud POS", {}), (INT_SHOP, "Integrations", INT)]
)
def test_the_buy_page_shows_the_current_subscription_summary(
    vendor: Vendor, page: Page, shop: str, product: str, order: dict[str, Any]
) -> None:
    customer = vendor.customer(page)
    customer.go(shop)
    shown = customer.panel("Current subscription")
    expect(shown).to_contain_text(f"You don't have any active {product} subscription.")
    vendor.redeem(customer.account, **order)
    page.reload()
    row = customer.row("Current subscription")
    assert (row["Seats"], row["Used"]) == ("2", "0 / 2")
    assert row["Source"].startswith("Activation key")


def test_without_stripe_the_buy_page_says_what_else_there_is(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.go(POS_SHOP)
    expect(page.get_by_role("main")).to_contain_text("Buying is not possible here at the moment.")
    page.get_by_role("button", name="Activate Key").click()
    expect(page.get_by_label("Activation key")).to_be_visible()


def test_manage_in_stripe_opens_the_portal_which_leads_back(
    seller: Seller, new_page: NewPage
) -> None:
    account = seller.account()
    seller.subscribe(account)
    page = new_page()
    customer = seller.customer(page, account)
    assert to_stripe(page, "Manage in Stripe", PORTAL)
    asked = next(one for one in reversed(seller.stripe.requests) if "billing_portal" in one.path)
    page.goto(seller.sent_back(asked.params["return_url"]))
    expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")
    assert customer.row("Cloud POS")["Source"] == "Stripe"


def test_a_form_may_lead_to_stripe_and_nowhere_unheard_of(seller: Seller, page: Page) -> None:
    seller.customer(page)
    answer = page.request.get(page.url)
    policy = answer.headers["content-security-policy"]
    allowed = policy.partition("form-action ")[2].partition(";")[0].split()
    assert set(allowed) == {
        "'self'",
        "https://billing.stripe.com",
        "https://checkout.stripe.com",
        "http://127.0.0.1:8000",
    }


def test_manage_in_stripe_without_a_customer_says_what_to_do(seller: Seller, page: Page) -> None:
    customer = seller.customer(page)
    token = page.locator("[name=form_token]").first.get_attribute("value")
    answer = page.request.post(f"{seller.url}/portal/stripe", form={"form_token": str(token)})
    assert answer.status == 409
    assert "There is nothing to manage in Stripe yet." in answer.text()
    customer.open("subscriptions")


def test_stripe_and_keys_are_side_by_side_and_only_stripes_is_managed_there(
    seller: Seller, page: Page
) -> None:
    account = seller.account()
    seller.redeem(account, seats=5)
    seller.subscribe(account, seats=10)
    customer = seller.customer(page, account)
    rows = [customer.row("Cloud POS", n) for n in (1, 2)]
    assert [row["Seats"] for row in rows] == ["10", "5"]
    assert [row["Actions"] for row in rows] == [
        "Manage in Stripe",
        "Prepaid: contact your reseller, Northwind",
    ]


def test_seats_of_both_are_one_pool_of_one_product(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.redeem(account, seats=1)
    seller.subscribe(account, seats=1)
    customer = seller.customer(page, account)
    customer.go("POS Manager")
    for name in ("Till 1", "Till 2"):
        customer.upload(certificates.pem(name))
        expect(page.get_by_role("status")).to_contain_text("Added.")
    expect(customer.panel("Certificates")).to_contain_text("Used 2 / 2")


def test_a_subscription_of_two_tiers_is_two_rows(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.subscribe(account, product="integrations", tier="starter", seats=1)
    order = {
        "product": "integrations",
        "tier": "growth",
        "seats": 4,
        "interval": "month",
        "success_url": "http://127.0.0.1:8000/docs",
        "cancel_url": "http://127.0.0.1:8000/docs",
    }
    changed = seller.ask("POST", f"/v1/accounts/{account}/checkout", order, "portal")
    assert changed["changed"] == "item"
    seller.deliver()
    customer = seller.customer(page, account)
    rows = [customer.row("Integrations", n) for n in (1, 2)]
    assert [(row["Tier"], row["Seats"]) for row in rows] == [("Starter", "1"), ("Growth", "4")]


def test_after_a_key_has_ended_one_may_buy_and_the_other_way_round(
    seller: Seller, page: Page
) -> None:
    account = seller.account()
    code = seller.redeem(account, seats=2)
    customer = seller.customer(page, account)
    row = seller.view(account)["cloud_pos"]["rows"][0]["subscription"]
    path = f"/v1/accounts/{account}/subscriptions/{row}/terminate"
    seller.ask("POST", path, {"reason": "Its time was over"})
    seller.subscribe(account, seats=3)
    customer.open("subscriptions")
    assert customer.row("Cloud POS")["Source"] == "Stripe"
    customer.activate(seller.issue(seats=1))
    expect(customer.panel("Certificates")).to_contain_text("Used 0 / 4")
    assert code


def test_a_row_of_stripes_renews_and_one_of_a_key_does_not(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.redeem(account, INT)
    seller.subscribe(account)
    customer = seller.customer(page, account)
    assert customer.row("Cloud POS")["Expires"].endswith("renews")
    assert not customer.row("Integrations")["Expires"].endswith("renews")


def test_a_tier_that_was_bought_and_activated_is_one_pool(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.redeem(account, INT, tier="starter", seats=1)
    seller.subscribe(account, product="integrations", tier="starter", seats=2)
    customer = seller.customer(page, account)
    customer.open("manage/integrations")
    expect(customer.panel("Starter")).to_contain_text("Used 0 / 3")


def test_another_tier_is_had_by_a_new_key_or_bought(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.redeem(account, INT, tier="starter")
    customer = seller.customer(page, account)
    customer.activate(seller.issue(INT, tier="scale"), "Integrations")
    seller.subscribe(account, product="integrations", tier="growth", seats=4)
    customer.open("subscriptions")
    rows = [customer.row("Integrations", n) for n in (1, 2, 3)]
    assert [(row["Tier"], row["Seats"]) for row in rows] == [
        ("Starter", "2"),
        ("Growth", "4"),
        ("Scale", "2"),
    ]


def test_the_portal_opens_as_a_redirect(seller: Seller, page: Page) -> None:
    account = seller.account()
    seller.subscribe(account)
    seller.customer(page, account)
    token = str(page.locator("[name=form_token]").first.get_attribute("value"))
    answer = page.request.post(
        f"{seller.url}/portal/stripe", form={"form_token": token}, max_redirects=0
    )
    assert answer.status == 303
    assert answer.headers["location"].startswith(PORTAL)


def test_the_portal_that_is_opened_is_stripes_own_for_this_customer(
    seller: Seller, page: Page
) -> None:
    account = seller.account()
    subscription = seller.subscribe(account)
    seller.customer(page, account)
    to_stripe(page, "Manage in Stripe", PORTAL)
    asked = next(one for one in reversed(seller.stripe.requests) if "billing_portal" in one.path)
    bought_by = seller.stripe.get(f"/v1/subscriptions/{subscription}")["customer"]
    assert asked.params["customer"] == bought_by
    # Which of its pages there are (card, receipts, history) is Stripe's own configuration.
    assert "configuration" not in asked.params
    assert "flow_data" not in asked.params


def test_what_is_changed_in_stripe_is_seen_when_one_is_back(seller: Seller, page: Page) -> None:
    account = seller.account()
    subscription = seller.subscribe(account, seats=4)
    customer = seller.customer(page, account)
    seller.stripe.post(f"/v1/subscriptions/{subscription}", {"cancel_at_period_end": "true"})
    seller.deliver()
    customer.open("subscriptions")
    assert not customer.row("Cloud POS")["Expires"].endswith("renews")
    seller.stripe.delete(f"/v1/subscriptions/{subscription}")
    seller.deliver()
    customer.open("subscriptions")
    expect(customer.panel("Cloud POS").get_by_role("table")).to_have_count(0)


def test_buying_works_without_a_script(seller: Seller, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    customer = seller.customer(page)
    session = bought(customer, POS_SHOP, 2)
    seller.pay(session)
    customer.open("subscriptions")
    assert customer.row("Cloud POS")["Source"] == "Stripe"
    to_stripe(page, "Manage in Stripe", PORTAL)


def test_buying_works_by_keyboard(seller: Seller, page: Page) -> None:
    customer = seller.customer(page)
    customer.go(POS_SHOP)
    press_until(page, "Seats")
    page.keyboard.press("Control+A")
    page.keyboard.type("7")
    press_until(page, "Every month")
    page.keyboard.press("ArrowDown")
    with page.expect_request(lambda request: request.url.startswith(CHECKOUT)) as leaving:
        page.keyboard.press("Enter")
    session = seller.stripe.get(
        f"/v1/checkout/sessions/{leaving.value.url.removeprefix(CHECKOUT)}",
        {"expand": ["line_items"]},
    )
    assert session["line_items"]["data"][0]["quantity"] == 7
    assert session["line_items"]["data"][0]["price"]["recurring"]["interval"] == "year"
