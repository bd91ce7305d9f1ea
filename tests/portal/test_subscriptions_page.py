"""The Subscriptions page, as its guide describes it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.vendor import INT, Vendor

PRODUCTS = [("Cloud POS", "cloud_pos"), ("Integrations", "integrations")]


def test_subscriptions_is_under_billing_in_the_sidebar(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.open("manage/cloud_pos")
    customer.go("Subscriptions", "Billing")
    current = page.get_by_role("navigation").get_by_role("link", name="Subscriptions")
    expect(current).to_have_attribute("aria-current", "page")


def test_two_panels_cloud_pos_on_top_and_integrations_below(vendor: Vendor, page: Page) -> None:
    vendor.customer(page)
    expect(page.get_by_role("main").get_by_role("heading", level=2)).to_have_text(
        ["Cloud POS", "Integrations"]
    )


def test_every_active_plan_of_the_account_is_listed_in_one_view(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    for order in ({}, {"seats": 7}, INT, {**INT, "tier": "scale"}):
        vendor.redeem(account, **order)
    customer = vendor.customer(page, account)
    for panel in ("Cloud POS", "Integrations"):
        expect(customer.panel(panel).get_by_role("row")).to_have_count(3)


@pytest.mark.parametrize("panel", ["Cloud POS", "Integrations"])
def test_each_row_is_one_subscription_with_the_guides_columns(
    vendor: Vendor, page: Page, panel: str
) -> None:
    account = vendor.account()
    vendor.redeem(account)
    vendor.redeem(account, INT)
    customer = vendor.customer(page, account)
    columns = ["Seats", "Source", "Started", "Expires", "Used", "Actions"]
    if panel == "Integrations":
        columns.insert(0, "Tier")
    assert list(customer.row(panel)) == columns


def test_seats_is_what_the_subscription_provides(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account, seats=12345)
    vendor.redeem(account, INT, seats=3)
    customer = vendor.customer(page, account)
    assert customer.row("Cloud POS")["Seats"] == "12,345"
    assert customer.row("Integrations")["Seats"] == "3"


@pytest.mark.parametrize(("panel", "prefix"), [("Cloud POS", "POS"), ("Integrations", "INT")])
def test_a_redeemed_key_is_a_chip_with_the_masked_code_next_to_it(
    vendor: Vendor, page: Page, panel: str, prefix: str
) -> None:
    account = vendor.account()
    code = vendor.redeem(account, INT) if prefix == "INT" else vendor.redeem(account)
    customer = vendor.customer(page, account)
    assert customer.row(panel)["Source"] == f"Activation key {prefix}-••••-••••-{code[-4:]}"
    expect(customer.panel(panel).locator(".chip")).to_have_text("Activation key")
    assert code[4:13] not in page.content()


@pytest.mark.parametrize(("panel", "product"), PRODUCTS)
def test_started_and_expires_are_those_of_the_subscription(
    vendor: Vendor, page: Page, panel: str, product: str
) -> None:
    account = vendor.account()
    vendor.redeem(account)
    vendor.redeem(account, INT)
    customer = vendor.customer(page, account)
    times = customer.panel(panel).locator("time")
    row = vendor.view(account)[product]["rows"][0]
    expect(times.nth(0)).to_have_attribute("datetime", row["started_at"])
    expect(times.nth(1)).to_have_attribute("datetime", row["expires_at"])


def test_used_counts_the_certificates_on_pos_manager(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account, seats=3)
    customer = vendor.customer(page, account)
    assert customer.row("Cloud POS")["Used"] == "0 / 3"
    customer.go("POS Manager")
    for name in ("Till 1", "Till 2"):
        customer.upload(certificates.pem(name))
        expect(page.get_by_role("status")).to_contain_text("Added")
    customer.go("Subscriptions")
    assert customer.row("Cloud POS")["Used"] == "2 / 3"


def test_used_counts_the_connections_of_that_tier(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account, INT, tier="starter")
    vendor.redeem(account, INT, tier="growth")
    vendor.sit(account, "con-1", "integrations", tier="growth")
    customer = vendor.customer(page, account)
    rows = [customer.row("Integrations", n) for n in (1, 2)]
    assert [(row["Tier"], row["Used"]) for row in rows] == [
        ("Starter", "0 / 2"),
        ("Growth", "1 / 2"),
    ]


def test_integrations_have_one_row_a_non_empty_tier(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    for tier in ("scale", "starter"):
        vendor.redeem(account, INT, tier=tier)
    customer = vendor.customer(page, account)
    expect(customer.panel("Integrations").get_by_role("row")).to_have_count(3)
    assert [customer.row("Integrations", n)["Tier"] for n in (1, 2)] == ["Starter", "Scale"]


@pytest.mark.parametrize(
    ("panel", "shop"),
    [("Cloud POS", "Buy POS License"), ("Integrations", "Buy Integration License")],
)
def test_buy_more_below_the_table_opens_the_purchase_flow(
    vendor: Vendor, page: Page, panel: str, shop: str
) -> None:
    account = vendor.account()
    vendor.redeem(account)
    vendor.redeem(account, INT)
    customer = vendor.customer(page, account)
    more = customer.panel(panel).get_by_role("button", name="Buy more")
    table = customer.panel(panel).get_by_role("table").bounding_box()
    place = more.bounding_box()
    assert table
    assert place
    assert place["y"] > table["y"] + table["height"]
    more.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shop)


@pytest.mark.parametrize(
    ("panel", "call", "shop"),
    [
        ("Cloud POS", "Buy Cloud POS Plan", "Buy POS License"),
        ("Integrations", "Buy Integration Plan", "Buy Integration License"),
    ],
)
def test_an_empty_panel_prompts_with_a_call_to_action(
    vendor: Vendor, page: Page, panel: str, call: str, shop: str
) -> None:
    customer = vendor.customer(page)
    shown = customer.panel(panel)
    expect(shown).to_contain_text(f"You don't have any active {panel} subscription.")
    expect(shown.get_by_role("table")).to_have_count(0)
    shown.get_by_role("button", name=call).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shop)


def test_rows_of_activation_keys_have_no_stripe_action(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account)
    customer = vendor.customer(page, account)
    expect(page.get_by_role("button", name="Manage in Stripe")).to_have_count(0)
    assert customer.row("Cloud POS")["Actions"] == "Prepaid: contact your reseller, Northwind"


def test_an_ended_subscription_is_no_row_and_its_holders_are_told(
    vendor: Vendor, page: Page
) -> None:
    account = vendor.account()
    vendor.redeem(account)
    for holder in ("till-1", "till-2"):
        vendor.sit(account, holder)
    row = vendor.view(account)["cloud_pos"]["rows"][0]["subscription"]
    path = f"/v1/accounts/{account}/subscriptions/{row}/terminate"
    vendor.ask("POST", path, {"reason": "Paid back"})
    customer = vendor.customer(page, account)
    shown = customer.panel("Cloud POS")
    expect(shown).to_contain_text("In use: 2, but you have 0 seats.")
    expect(shown).to_contain_text("Add seats, or remove what you no longer need.")
    expect(shown.get_by_role("button", name="Buy Cloud POS Plan")).to_be_visible()


def test_over_use_is_said_plainly_with_what_to_do(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account, seats=1)
    vendor.redeem(account, seats=2)
    for n in (1, 2, 3):
        vendor.sit(account, f"till-{n}")
    rows = vendor.view(account)["cloud_pos"]["rows"]
    larger = next(row["subscription"] for row in rows if row["seats"] == 2)
    path = f"/v1/accounts/{account}/subscriptions/{larger}/terminate"
    vendor.ask("POST", path, {"reason": "Paid back"})
    customer = vendor.customer(page, account)
    shown = customer.panel("Cloud POS")
    expect(shown).to_contain_text("In use: 3, but you have 1 seat.")
    expect(shown).to_contain_text("The 2 that came last have no seat")
    assert customer.row("Cloud POS")["Used"] == "1 / 1"
    customer.go("POS Manager")
    statuses = [customer.row("Certificates", n)["Status"] for n in (1, 2, 3)]
    assert statuses == ["Active", "No seat", "No seat"]
